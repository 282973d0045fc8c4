"""The page: its parts, put together into one file that needs nothing else.

What comes from the ledger stands in the page in three places: escaped in the words that a reader sees
before any script runs, and in two kinds of data blocks, JSON in which no ``<`` is left, and base64. Which
scripts and which style may be used the page's own policy says, by their digests: there is no other way to
run anything.
"""

from __future__ import annotations

import base64
import html
import json
import os
import re
from typing import TYPE_CHECKING, NamedTuple

from attest import __version__, canonical, hashing
from verify import render

if TYPE_CHECKING:
    from attest.canonical import Json
    from verify.report.carried import Carried
    from verify.report.choice import Bounds
    from verify.report.subtrees import Subtree
    from verify.verdict import Verdict

SCHEMA = "urn:nono-attest:schema:v1:report"
"""Names what the page's JSON block holds."""

SCRIPTS = (
    "text.js",
    "elements.js",
    "bytes.js",
    "patience.js",
    "tree.js",
    "notes.js",
    "carried.js",
    "launches.js",
    "claims.js",
    "check.js",
    "known.js",
    "verdict.js",
    "overview.js",
    "grants.js",
    "proof.js",
    "detail.js",
    "list.js",
    "filters.js",
    "page.js",
)
"""The page's scripts, in the order in which a browser runs them: each uses what those before it declare."""

_DIRECTORY = os.path.dirname(os.path.abspath(__file__))
_PLACE = re.compile("@@([a-z]+)@@")
_LINE_BYTES = 96


class Notes(NamedTuple):
    """The signed checkpoints that a page carries, as they are stored.

    Attributes:
        head: the head's; empty when there is none.
        handovers: the one kept at each handover that is carried, in their order.
    """

    head: bytes
    handovers: tuple[bytes, ...] = ()


def write_page(
    verdict: Verdict, carried: Carried, bounds: Bounds, notes: Notes, *, ledger: str, made: str
) -> bytes:
    """Return the page.

    Args:
        verdict: what the verification says.
        carried: what of the ledger is carried.
        bounds: what was asked for.
        notes: the signed checkpoints.
        ledger: the name of the ledger's file.
        made: when the page is made, as entries write instants.
    """
    style = _part("page.css")
    scripts = [_part(name) for name in SCRIPTS]
    blocks = {
        "report": _as_json(_document(verdict, carried, bounds, notes, ledger=ledger, made=made)),
        "entries": _as_base64(carried.frames),
        "blobs": _as_base64(carried.blobs),
    }
    digest = hashing.hexdigest("\n".join(blocks.values()).encode())
    places = {
        "policy": _policy(style, scripts),
        "style": style,
        "title": html.escape(render.printable(f"{verdict.word}: {verdict.origin or ledger}")),
        "word": verdict.word,
        "headline": html.escape(render.printable(render.headline(verdict))),
        "text": html.escape(render.as_text(verdict)),
        "digest": digest,
        **blocks,
        "scripts": "\n".join(f"<script>{script}</script>" for script in scripts),
    }
    # In one pass: nothing that was put in is looked at again.
    return _PLACE.sub(lambda found: places[found[1]], _part("page.html")).encode()


def _document(
    verdict: Verdict, carried: Carried, bounds: Bounds, notes: Notes, *, ledger: str, made: str
) -> dict[str, Json]:
    # As many keys as are carried: that of the genesis entry, and those of the handovers.
    epochs = verdict.epochs[: carried.handovers + 1]
    return {
        "schema": SCHEMA,
        "made": made,
        "tool": __version__,
        "ledger": canonical.text(os.fsencode(ledger)),
        "verdict": verdict._replace(epochs=epochs).document(),
        "head": canonical.text(notes.head),
        "handovers": [canonical.text(note) for note in notes.handovers],
        "handovers_left_out": carried.handovers_left_out,
        "bounds": bounds.document(),
        "whole": carried.whole,
        "launches": {"all": carried.launches, "asked": carried.asked, "carried": carried.carried},
        "entries": carried.entries,
        "bytes": carried.entry_bytes,
        "subtrees": None if carried.subtrees is None else _subtrees(carried.subtrees),
        "shortened": [
            {"session": each.session, "left_out": each.left_out, "subtrees": _subtrees(each.subtrees)}
            for each in carried.shortened
        ],
    }


def _subtrees(subtrees: list[Subtree]) -> list[Json]:
    return [[first, height, root.hex()] for first, height, root in subtrees]


def _part(name: str) -> str:
    with open(os.path.join(_DIRECTORY, name), encoding="utf-8", newline="\n") as file:
        # A browser takes all ends of lines for the one, and digests what it took.
        return file.read().replace("\r\n", "\n")


def _policy(style: str, scripts: list[str]) -> str:
    def source(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashing.digest(text.encode())).decode()}'"

    allowed = " ".join(source(script) for script in scripts)
    return (
        f"default-src 'none'; script-src {allowed}; style-src {source(style)};"
        " base-uri 'none'; form-action 'none'"
    )


def _as_json(document: dict[str, Json]) -> str:
    """Return JSON in ASCII that cannot end the element in which it stands."""
    text = json.dumps(document, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _as_base64(data: bytes) -> str:
    text = base64.b64encode(data).decode()
    return "\n".join(text[at : at + _LINE_BYTES] for at in range(0, len(text), _LINE_BYTES))
