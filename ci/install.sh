#!/usr/bin/env bash
# Install what lies in this checkout into a new virtual environment, from pinned packages alone.
#
#   install.sh nono DIRECTORY      everything: nono and nono-verify
#   install.sh verify DIRECTORY    what nono-verify needs, and no more
#
# Everything that comes from an index is pinned by version and SHA-256 (requirements/*.txt), and no package
# runs code of its own while it is installed. NONO_CI_PYTHON names the Python, python3 by default. Whatever fails,
# the exit code is 2: nothing was checked, and 1 would say that something was tampered with.
set -euo pipefail
trap '[ $? = 0 ] || exit 2' EXIT

what=$1
directory=$2
python=${NONO_CI_PYTHON:-python3}
checkout=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)

"$python" -I -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  printf 'not checked: nono needs Python 3.11 or newer, and %q is none\n' "$python" >&2
  exit 2
}
"$python" -I -m venv -- "$directory"
pip() {
  "$directory/bin/python" -I -m pip --disable-pip-version-check --no-input --quiet "$@"
}
pip install --only-binary :all: --require-hashes --requirement "$checkout/ci/requirements/$what.txt"
pip install --no-deps --no-index --no-build-isolation "$checkout"
