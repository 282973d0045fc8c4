# shellcheck shell=sh
# Print the newest CPython at hand that is newer than the default one; nothing when there is none.
default=$(python3 -c 'import sys; print(sys.version_info[1])')
for minor in 16 15 14 13 12; do
  [ "$minor" -gt "$default" ] || break
  for candidate in "$(command -v "python3.$minor" || true)" "$HOME/.pyenv/versions/3.$minor".*/bin/python3; do
    if [ -x "$candidate" ] && "$candidate" -c 'import venv, ensurepip' 2>/dev/null; then
      echo "$candidate"
      exit 0
    fi
  done
done
