"""Witnesses with their secret keys, and ledgers that they cosign."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from attest import cosignature, entry, note
from attest.cosignature import Witness
from attest.keys import PublicKey

if TYPE_CHECKING:
    from tests.verify.conftest import Bench, Book, Judged

ASKED = "2026-12-01T00:00:00Z"
NOW = 1_796_083_200
MONDAY, TUESDAY = NOW - 2 * 86_400, NOW - 86_400
MONDAY_TEXT, TUESDAY_TEXT = "2026-11-29T00:00:00.000000Z", "2026-11-30T00:00:00.000000Z"


class Cosigner:
    """A witness with its secret key, of which there are as many as a test wants."""

    def __init__(self, number: int, name: str | None = None) -> None:
        self._secret = Ed25519PrivateKey.from_private_bytes(bytes([0x70 + number]) * 32)
        public = PublicKey(self._secret.public_key().public_bytes_raw())
        self.witness = Witness(name or f"witness.example/{number}", public)

    def line(self, signed: str, seconds: int, *, over: str | None = None) -> str:
        """Return the line that goes under a note; ``over`` is signed in place of its text."""
        text = note.parse(signed.encode()).text if over is None else over
        signature = self._secret.sign(cosignature.message(seconds, text))
        blob = self.witness.key_id() + seconds.to_bytes(8, "big") + signature
        return f"\u2014 {self.witness.name} {base64.b64encode(blob).decode()}\n"


A, B, C, D = (Cosigner(number) for number in range(1, 5))


class Scene:
    """A ledger in the making, a policy, and what the verifier says of the one under the other."""

    def __init__(self, bench: Bench, book: Book) -> None:
        self.bench = bench
        self.book = book
        self.policy = Path(bench.path("witnesses.txt"))
        self.define("quorum A")
        self._notes = 0

    def define(self, *lines: str) -> None:
        known = zip("ABC", (A, B, C), strict=True)
        witnesses = "".join(f"witness {name} {each.witness.vkey()}\n" for name, each in known)
        self.policy.write_text(witnesses + "".join(f"{line}\n" for line in lines))

    def anchor(self, size: int, *cosigned: tuple[Cosigner, int], beside: bool = False) -> int:
        """Append an anchor of the kept checkpoint of a size with these cosignatures."""
        signed = self.book.note(size)
        return self.append(
            size, signed + "".join(each.line(signed, seconds) for each, seconds in cosigned), beside=beside
        )

    def append(self, size: int, evidence: str, *, beside: bool = False, kind: str = "cosignature") -> int:
        if size not in self.book.kept:
            self.book.kept.append(size)
        encoded: Any = base64.b64encode(evidence.encode()).decode()
        data = {"covers": {"size": size}, "evidence": encoded, "type": kind}
        if beside:
            data["evidence"] = self.book.beside(encoded)
        return self.book.add(entry.ANCHOR, None, data)

    def note(self, size: int, *cosigned: tuple[Cosigner, int], signed: str | None = None) -> list[str]:
        """Return the arguments that name a cosigned checkpoint which was kept outside."""
        signed = signed or self.book.note(size)
        self._notes += 1
        path = Path(self.bench.path(f"note-{self._notes}"))
        path.write_text(signed + "".join(each.line(signed, seconds) for each, seconds in cosigned))
        return ["--checkpoint", str(path)]

    def judge(self, *arguments: str, path: str | None = None, **options: Any) -> Judged:
        return self.bench.verify(
            path or self.bench.write(self.book),
            "--witness-policy", str(self.policy), "--now", ASKED, *arguments,
            **options,
        )  # fmt: skip
