"""Fuzz one target under atheris, guided by coverage: ``python -m fuzz.run TARGET``."""

from __future__ import annotations

import argparse
import hashlib
import os
import sys

NAMES = ("note", "entry", "proof", "evidence", "export", "policy", "witnesses", "ledger", "rows")
MAX_MEGABYTES = 1_024
"""What the process may take; a parser that takes more is a fault."""


def main(arguments: list[str]) -> int:
    """Fuzz until the time is over or something is found.

    Returns:
        2 when it cannot begin. Otherwise atheris ends the process: with 0 when nothing was found.
    """
    parser = argparse.ArgumentParser("fuzz.run", description="Fuzz one target of nono.")
    parser.add_argument("target", choices=NAMES)
    parser.add_argument("--seconds", type=int, default=60, help="how long")
    parser.add_argument("--place", default="fuzz-results", help="where the corpus and what is found are kept")
    options = parser.parse_args(arguments)
    try:
        import atheris  # noqa: PLC0415  # it is not there where nobody fuzzes
    except ImportError as error:
        print(f"fuzz: atheris cannot be loaded: {error}", file=sys.stderr)
        print(
            "  hint: make fuzz installs it; it has wheels for Linux and some versions of Python,",
            file=sys.stderr,
        )
        print("  another is named so: make fuzz PYTHON=python3.12 VENV=.venv-fuzz", file=sys.stderr)
        return 2
    with atheris.instrument_imports(include=["attest", "verify"]):
        from fuzz.targets import TARGETS  # noqa: PLC0415  # what it imports is instrumented here
    target = TARGETS[options.target]
    corpus, found = (os.path.join(options.place, options.target, name) for name in ("corpus", "found"))
    for directory in (corpus, found):
        os.makedirs(directory, exist_ok=True)
    for seed in target.seeds():
        with open(os.path.join(corpus, hashlib.sha256(seed).hexdigest()[:16]), "wb") as file:
            file.write(seed)
    atheris.Setup(
        [
            "fuzz",
            f"-max_total_time={options.seconds}",
            f"-max_len={target.max_bytes}",
            f"-timeout={int(target.max_seconds) + 10}",
            f"-rss_limit_mb={MAX_MEGABYTES}",
            f"-artifact_prefix={found}/",
            "-print_final_stats=1",
            "-len_control=0",
            corpus,
        ],
        lambda data: target(data) and None,
    )
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
