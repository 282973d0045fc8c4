"""Write what is generated to where it is kept, and remove what is generated no more."""

from __future__ import annotations

import os
import sys

from generate.files import directories, generated

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def main() -> int:
    """Write it and return the exit code."""
    files = generated()
    for directory in directories():
        os.makedirs(os.path.join(ROOT, directory), exist_ok=True)
        for name in os.listdir(os.path.join(ROOT, directory)):
            if f"{directory}/{name}" not in files:
                os.unlink(os.path.join(ROOT, directory, name))
    for path, text in files.items():
        with open(os.path.join(ROOT, path), "w", encoding="utf-8") as file:
            file.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
