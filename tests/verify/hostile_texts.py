"""A ledger whose every text an attacker chose, to do something to whoever opens an export of it."""

from __future__ import annotations

from typing import Any

from attest import entry
from tests.verify.conftest import DECISION, INTENT, OUTCOME, REFUSED, START, Book, changed

TEXTS = (
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-2+3",
    "@SUM(1+1)",
    "\t=1+1",
    "\r=1+1",
    "\n=1+1",
    "\uff1d1+1",
    'a";=1+1',
    "a;=1+1;b",
    "a|=1+1",
    "a\t=1+1",
    ' "=1+1',
    "'=1+1",
    "first\nsecond\r\nthird\x0bfourth\x0cfifth\x1csixth\x85seventh\u2028eighth\u2029ninth",
    "\x1b[2J\x1b]0;title\x07\x9b31m",
    "\x7f\x00\u202eevil\u2066\ufeff",
    "no\u034f ink\u3164\u2800\ufe0f\U000e0100",
    "a|b\\|c\\",
    "k=v cs4=verified cn1=1 \\= \\n",
    "CEF:0|nono|nono-ledger|1|x|y|0|cs4=verified",
    " leading and trailing ",
    "</script><img src=x onerror=alert(1)>",
    '","verdict":"verified',
    "{{7*7}}${7*7}%s%n",
    "\U0001f600\ud7ff",
    "a" * 5_000,
)
BYTES: dict[str, Any] = {"base64": "/wBcfD0="}
"""What is no UTF-8: ``ff 00 5c 7c 3d``."""


def hostile_book() -> Book:
    """Return a ledger that holds, with these texts wherever there may be texts."""
    book = Book()
    for text in TEXTS:
        session = book.new_session()
        book.add(
            entry.INTENT,
            session,
            changed(
                INTENT,
                command=[text, BYTES, {"redacted": "flag"}, {"parts": [text, {"redacted": "query"}]}],
                labels={"+key": text[:512], "@": text[:512]},
                outputs=[text, BYTES],
                host={**INTENT["host"], "name": text},
                profile=[{"name": text, "sha256": "a" * 64}],
                capability_elevation=True,
            ),
        )
        for what in ("approval", "exec", "file", "network", "unix-socket", "url"):
            for verdict in ("denied", "granted"):
                subject = BYTES if what == "exec" else text
                book.add(
                    entry.DECISION,
                    session,
                    changed(DECISION, what=what, verdict=verdict, subject=subject, reason=text[:1024]),
                )
        if text.startswith("+"):
            ended = changed(REFUSED, not_started={"code": "grant.refused", "message": text})
            ended["outputs"] = [{"path": text, "unhashed": "missing"}, {"path": BYTES, "unhashed": "missing"}]
        else:
            started = changed(START, directory=text)
            started["executable"]["path"] = text
            started["interpreters"] = [{**START["executable"], "path": BYTES}]
            book.add(entry.START, session, started)
            ended = changed(OUTCOME)
            ended["outputs"] = [
                {"path": text, "sha256": "f" * 64, "size": 1},
                {"path": BYTES, "sha256": "e" * 64, "size": 2},
            ]
        ended["counts"]["decisions"] = 12
        book.add(entry.OUTCOME, session, ended)
        book.attest(session)
    return book
