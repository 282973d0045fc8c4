"""``python -m verify``: the command where scripts have no place (on Windows ``py -I -m verify``)."""

import sys

try:
    from verify.cli import main
except BaseException as error:  # a traceback would end with 1, which says "tampered with"
    if isinstance(error, (KeyboardInterrupt, SystemExit)):
        raise
    what = ascii(f"{type(error).__name__}: {error}".removesuffix(": "))[1:-1]
    sys.stderr.write(f"not checked: nono-verify cannot be loaded: {what}\n")
    sys.stderr.write("  hint: install it again, or give it more memory\n")
    sys.exit(2)

if __name__ == "__main__":
    sys.exit(main())
