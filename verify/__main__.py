"""``python -m verify``: the command where scripts have no place (on Windows ``py -I -m verify``)."""

import sys

from verify.cli import main

if __name__ == "__main__":
    sys.exit(main())
