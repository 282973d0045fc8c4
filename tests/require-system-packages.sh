# The tests use strace to inject faults and a C compiler for system calls that Python has no name for.
missing=
command -v strace >/dev/null || missing="$missing strace"
command -v cc >/dev/null || missing="$missing gcc libc6-dev"
[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y $missing >/dev/null
else
  echo "the tests need:$missing (install them, for instance with apt-get)" >&2
  exit 1
fi
