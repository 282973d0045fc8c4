"""Write what is generated to where it is kept, and remove what is generated no more."""

from __future__ import annotations

import os
import sys

from generate.files import ROOT, bindings, directories, generated


def main() -> int:
    """Write it and return the exit code."""
    _write(bindings())  # the rest is asked of our commands, which load them
    files = generated()
    for directory in directories():
        os.makedirs(os.path.join(ROOT, directory), exist_ok=True)
        for name in os.listdir(os.path.join(ROOT, directory)):
            if f"{directory}/{name}" not in files:
                os.unlink(os.path.join(ROOT, directory, name))
    _write(files)
    return 0


def _write(files: dict[str, str]) -> None:
    for path, text in files.items():
        with open(os.path.join(ROOT, path), "w", encoding="utf-8") as file:
            file.write(text)


if __name__ == "__main__":
    sys.exit(main())
