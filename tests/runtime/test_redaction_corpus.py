"""Command lines as they are written: no secret is kept, and hardly anything else is taken out."""

from __future__ import annotations

import base64
import json
import random
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from runtime.secrets.redaction import Redactor

CORPUS = Path(__file__).parents[1] / "vectors" / "redaction"
ALPHABETS = {
    "~": "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
    "^": "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
    "#": "0123456789abcdef",
}
# So many characters of a secret in a row are a part of it that was kept.
TELLING = 5
MOST_NEEDLESS = 0.02


class Argument(NamedTuple):
    """An argument and which of its bytes are secret."""

    data: bytes
    secret: frozenset[int]


def made(secret: str, seed: str) -> str:
    source = random.Random(seed)

    def random_run(match: re.Match[str]) -> str:
        alphabet = ALPHABETS[match[1]]
        return "".join(source.choice(alphabet) for _ in range(int(match[2])))

    return re.sub(r"([~^#])(\d+)", random_run, secret)


def argument(text: str, seed: str) -> Argument:
    data = b""
    secret: set[int] = set()
    for piece in re.split(r"(⟦[^⟧]*⟧)", text):
        if piece.startswith("⟦"):
            encoded = made(piece[1:-1], f"{seed}{len(data)}").encode()
            secret.update(range(len(data), len(data) + len(encoded)))
        else:
            encoded = piece.encode()
        data += encoded
    return Argument(data, frozenset(secret))


def corpus(name: str) -> list[list[Argument]]:
    lines = (CORPUS / name).read_text().splitlines()
    return [
        [argument(text, f"{name}{number}.{place}") for place, text in enumerate(json.loads(line))]
        for number, line in enumerate(lines)
    ]


WITH = corpus("with-secrets.jsonl")
WITHOUT = corpus("without-secrets.jsonl")


def kept(recorded: Any) -> list[bytes | None]:
    """Return the pieces that were kept, None for each that was taken out."""
    if isinstance(recorded, str):
        return [recorded.encode()]
    if "base64" in recorded:
        return [base64.b64decode(recorded["base64"])]
    if "parts" in recorded:
        return [piece for part in recorded["parts"] for piece in kept(part)]
    return [None]


def taken_out(argument: Argument, recorded: Any) -> list[range]:
    """Return where in the argument its redactions are."""
    pieces = kept(recorded)
    pattern = b"".join(b"(.*)" if piece is None else re.escape(piece) for piece in pieces)
    # Greedy from the left: what follows a redaction is found at its last place, so no redaction looks
    # narrower than it is.
    match = re.fullmatch(pattern, argument.data, re.DOTALL)
    assert match, (pieces, argument.data)
    return [range(*match.span(group)) for group in range(1, (match.lastindex or 0) + 1)]


def shown(line: list[Argument]) -> str:
    return " ".join(argument.data.decode() for argument in line)


def needless(line: list[Argument]) -> list[str]:
    """Return what was taken out of a command line although no secret is in it."""
    recorded = Redactor().command([argument.data for argument in line])
    return [
        argument.data[place.start : place.stop].decode()
        for argument, value in zip(line, recorded, strict=True)
        for place in taken_out(argument, value)
        if not argument.secret.intersection(place)
    ]


def test_the_corpus_is_large_and_says_each_thing_once() -> None:
    assert len(WITH) >= 100
    assert len(WITHOUT) >= 100
    lines = [shown(line) for line in WITH + WITHOUT]
    assert len(set(lines)) == len(lines)
    assert all(any(argument.secret for argument in line) for line in WITH)
    assert not any(argument.secret for line in WITHOUT for argument in line)


@pytest.mark.parametrize("line", WITH, ids=shown)
def test_no_secret_is_kept(line: list[Argument]) -> None:
    recorded = Redactor().command([argument.data for argument in line])
    for argument, value in zip(line, recorded, strict=True):
        gone = {index for place in taken_out(argument, value) for index in place}
        assert argument.secret <= gone, (argument.data, value)
    # Nor any part of it, wherever it might have come from; words that stand outside of it as well aside.
    output = b"\n".join(piece for value in recorded for piece in kept(value) if piece is not None)
    public = b"\n".join(
        bytes(byte if index not in argument.secret else 0 for index, byte in enumerate(argument.data))
        for argument in line
    )
    for argument in line:
        for index in sorted(argument.secret):
            window = argument.data[index : index + TELLING]
            if len(window) == TELLING and argument.secret.issuperset(range(index, index + TELLING)):
                assert window not in output or window in public, (window, recorded)


def test_hardly_anything_else_is_taken_out() -> None:
    found = [(shown(line), lost) for line in WITH + WITHOUT if (lost := needless(line))]
    share = len(found) / len(WITH + WITHOUT)
    of_those_without = sum(1 for line in WITHOUT if needless(line)) / len(WITHOUT)
    text = (
        f"needless redactions in {len(found)} of {len(WITH + WITHOUT)} command lines: {share:.1%};"
        f" {of_those_without:.1%} of those without a secret"
    )
    print(text, *found, sep="\n  ")
    # Of the lines without a secret, which is the harder measure.
    assert of_those_without <= MOST_NEEDLESS, found
    assert share <= MOST_NEEDLESS, found


def test_what_surrounds_a_secret_stays_readable() -> None:
    lost = public = 0
    for line in WITH:
        recorded = Redactor().command([argument.data for argument in line])
        for argument, value in zip(line, recorded, strict=True):
            gone = {index for place in taken_out(argument, value) for index in place}
            public += len(argument.data) - len(argument.secret)
            lost += len(gone - argument.secret)
    print(f"{lost} of {public} characters around secrets went with them: {lost / public:.1%}")
    assert lost / public < 0.1
