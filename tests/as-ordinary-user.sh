# shellcheck shell=sh
# Run the tests once more as an ordinary user, when this is root; else say that the root half did not run.
#
# The user gets a copy of its own in a directory that it can read, with a Python that it can execute: a
# checkout below /root, or an interpreter there, is out of its reach.
set -eu
if [ "$(id -u)" != 0 ]; then
  echo 'ran as an ordinary user; the root half was not run (run "make test" as root for it)'
  exit 0
fi
user=65534
# A short name: the address of a UNIX socket below it has 107 bytes at most.
home=$(mktemp -d /var/tmp/nono-XXXXXX)
trap 'rm -rf "$home"' EXIT
chmod 755 "$home"
as_user() {
  setpriv --reuid "$user" --regid "$user" --clear-groups env -i \
    PATH=/usr/local/bin:/usr/bin:/bin HOME="$home" LANG=C.UTF-8 TMPDIR="$home/t" \
    "$@"
}
python=
for candidate in "$(readlink -f "${PYTHON:-$(command -v python3)}")" /usr/local/bin/python3 /usr/bin/python3; do
  if as_user "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    python=$candidate
    break
  fi
done
if [ -z "$python" ]; then
  echo 'no Python >= 3.11 with venv that an ordinary user can execute (apt-get install python3-venv)' >&2
  exit 1
fi
echo "again as an ordinary user (uid $user), $("$python" --version)"
mkdir "$home/checkout" "$home/t"
git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "$home/checkout" 2>/dev/null || true
make -C "$home/checkout" --no-print-directory PYTHON="$python" .venv/.installed .venv/.test .venv/.junit .venv/.axe .venv/.wheelhouse
chown -R "$user:$user" "$home"
cd "$home/checkout"
as_user .venv/bin/python -m pytest -p no:cacheprovider "$@"
