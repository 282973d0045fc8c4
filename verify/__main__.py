"""``python -m verify``: the command where scripts have no place (on Windows ``py -I -m verify``)."""

import sys

try:
    from verify.cli import main
except Exception as error:  # noqa: BLE001  # a traceback would end with 1, which says "tampered with"
    what = ascii(f"{type(error).__name__}: {error}")[1:-1]
    sys.stderr.write(f"not checked: nono-verify cannot be loaded: {what}\n  hint: install it again\n")
    sys.exit(2)

if __name__ == "__main__":
    sys.exit(main())
