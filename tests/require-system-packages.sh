# shellcheck shell=sh
# The tests use strace to inject faults, a C compiler for system calls that Python has no name for, openssl as
# a timestamp authority, a PostgreSQL server of their own for the index, a network file system that root mounts
# (sshfs), npm for what is published nowhere else, a browser for pages, the shells that command lines are completed in,
# what reads manual pages, curl, jq for what documents show, and the programs that the built-in profiles are made for.
missing=
command -v strace >/dev/null || missing="$missing strace"
command -v openssl >/dev/null || missing="$missing openssl"
command -v npm >/dev/null || missing="$missing npm"
command -v chromium >/dev/null || command -v google-chrome >/dev/null || missing="$missing chromium"
command -v jq >/dev/null || missing="$missing jq"
command -v cc >/dev/null || missing="$missing gcc libc6-dev"
command -v curl >/dev/null || missing="$missing curl"
command -v zsh >/dev/null || missing="$missing zsh"
command -v fish >/dev/null || missing="$missing fish"
[ -f /usr/share/bash-completion/bash_completion ] || missing="$missing bash-completion"
command -v man >/dev/null || missing="$missing man-db"
command -v mandoc >/dev/null || missing="$missing mandoc"
command -v groff >/dev/null || missing="$missing groff"
# Who cannot install it can do without it, but not in CI: see tests/store/postgresql_server.py.
if [ "$(id -u)" = 0 ] || [ "${CI:-}" = true ]; then
  ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null ||
    missing="$missing postgresql"
  command -v git >/dev/null || missing="$missing git"
  [ -x /usr/bin/node ] || [ -x /usr/local/bin/node ] || missing="$missing nodejs"
  [ -x /usr/bin/go ] || [ -x /usr/local/bin/go ] || missing="$missing golang-go"
  [ -x /usr/bin/cargo ] || missing="$missing cargo"
  [ -x /usr/bin/javac ] || missing="$missing default-jdk-headless"
  [ -x /usr/bin/mvn ] || missing="$missing maven"
fi
if [ "$(id -u)" = 0 ]; then
  command -v sshfs >/dev/null || missing="$missing sshfs"
  [ -x /usr/lib/openssh/sftp-server ] || missing="$missing openssh-sftp-server"
fi
[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  # shellcheck disable=SC2086 # they are words, of this script's own
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y $missing >/dev/null
else
  echo "the tests need:$missing (install them, for instance with apt-get)" >&2
  exit 1
fi
