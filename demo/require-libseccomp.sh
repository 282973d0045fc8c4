# shellcheck shell=sh
# libseccomp builds the system call filter: installed when this is root, else named.
for library in /lib/*/libseccomp.so.2 /usr/lib/*/libseccomp.so.2 /usr/lib/libseccomp.so.2 /usr/lib64/libseccomp.so.2; do
  [ -e "$library" ] && exit 0
done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  # shellcheck disable=SC2086 # they are words, of this script's own
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y libseccomp2 >/dev/null
else
  echo 'nono needs libseccomp2: apt-get install libseccomp2 (or the like)' >&2
  exit 1
fi
