"""Entries, one after another in the order of their ledger: steps 2, 5 and 6 of the replay for each of them.

Whether they are all entries of a ledger (:mod:`verify.replay`) or those of one launch
(:mod:`verify.evidence`) makes no difference to what is asked of each: its form, its time, what it says about
keys, and its place in its session.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from attest import canonical, checkpoint, entry, schema
from attest import origin as origins
from attest.errors import MalformedError, NonoError
from attest.keys import PublicKey
from verify.batch_check import Terms
from verify.blobs import BlobCheck, BlobSource
from verify.epochs import Epochs
from verify.forms import Forms
from verify.launches import BodySource, Launches, gives_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from attest.canonical import Json
    from verify.batch_check import BatchCheck, Settled
    from verify.findings import Findings
    from verify.requirements import Required

_HEX = frozenset("0123456789abcdef")


class EntrySource(BodySource, BlobSource, Protocol):
    """Where entries come from: a ledger's file, or evidence of one launch."""


class EntryReplay:
    """What the entries so far have come to.

    Args:
        source: where they come from.
        findings: told what is wrong.
        anchored: called with the index and the data of each anchor, which is about the ledger.
        required: what is asked of the launches, or None.

    Attributes:
        launches: the sessions.
        blobs: what lies beside the entries.
        epochs: the keys, or None when the genesis entry is broken.
        origin: the origin that follows from the genesis entry, or None when that is broken.
        continues: the origin of the ledger that this one continues, or None.
        time: that of the newest entry so far; empty when there is none.
    """

    def __init__(
        self,
        source: EntrySource,
        findings: Findings,
        anchored: Callable[[int, dict[str, Json]], None],
        required: Required | None = None,
    ) -> None:
        self.blobs = BlobCheck(source, findings)
        self.launches = Launches(source, self.blobs, findings, required)
        self.epochs: Epochs | None = None
        self.origin: str | None = None
        self.continues: str | None = None
        self._findings = findings
        self._anchored = anchored
        self._forms = Forms()
        self.time = ""

    # --- 2 Entries ---------------------------------------------------------------------------------

    def take(self, index: int, body: bytes, leaf: bytes) -> None:
        """Take in the next entry.

        Args:
            index: where it stands, above all that were taken in before.
            body: its bytes.
            leaf: its leaf hash.
        """
        if len(body) > entry.MAX_BYTES:
            self._findings.add("entry.size", f"has {len(body)} bytes; the limit is {entry.MAX_BYTES}", index)
            return
        document = self._forms.read(body)
        if document is None:
            self._odd(index, body, leaf)
            return
        kind, time = document["kind"], document["time"]
        if time < self.time:
            self._findings.add("entry.time", "is older than the entry above it", index)
        self.time = time
        if index == 0 and kind != entry.GENESIS:
            self._findings.add("entry.genesis", "is not a genesis", 0)
        if kind == entry.DECISION:
            gives = gives_file(document["data"]["verdict"], document["data"]["what"])
            self.launches.add_decision(index, document["session"], document["seq"], leaf, gives=gives)
        elif document["session"] is None:
            self._ledger_entry(index, kind, document["data"])
        else:
            self.launches.add(index, document, leaf, self._key(), body)

    def _key(self) -> PublicKey | None:
        return None if self.epochs is None else self.epochs.all[-1].key

    # --- what a batch check has settled ----------------------------------------------------------------

    def terms(self) -> Terms | None:
        """Return what holds behind the entries so far, or None where the genesis entry is broken."""
        key = self._key()
        return None if key is None or self.origin is None else Terms(self.origin, key)

    def agrees(self, check: BatchCheck, terms: Terms | None) -> bool:
        """Return whether what was said of the next batch by itself holds behind the entries so far.

        Args:
            check: what was said.
            terms: under which terms.
        """
        return (
            check.is_sound
            and terms == self.terms()
            and check.first_time >= self.time
            and not any(self.launches.has(settled.session) for settled in check.settled)
        )

    def take_decision(self, index: int, session: str, seq: int, leaf: bytes) -> None:
        """Take in a decision that has its form, and gives no file."""
        self.launches.add_decision(index, session, seq, leaf, gives=False)

    def take_settled(self, settled: Settled, leaf: bytes) -> None:
        """Take in a launch that is settled, at the entry that closes it."""
        attestation = leaf if settled.attested else None
        self.launches.add_settled(settled.session, attestation, met=settled.met, caveats=settled.caveats)

    def _odd(self, index: int, body: bytes, leaf: bytes) -> None:
        """Report an entry that is not valid; one of a kind yet to come still belongs to its session."""
        add = self._findings.add
        try:
            document = canonical.decode(body)
            if (
                isinstance(document, dict)
                and type(document.get("v")) is int
                and document["v"] != entry.VERSION
            ):
                later = document.get("session")
                later = later if isinstance(later, str) and is_session_id(later) else None
                add("entry.kind", "is of a version that this verifier does not know", index, later)
                if later is not None:
                    self.launches.add_later_version(later)
                return
            parsed = entry.parse(body)
        except MalformedError as error:
            add("entry.form", f"is no entry: {error}", index)
            return
        session = parsed.session if parsed.session is not None and is_session_id(parsed.session) else None
        try:
            schema.check_entry(parsed.document())
        except MalformedError as error:
            if error.code != "entry.kind":
                add("entry.schema", f"is {error}", index, session)
                return
        # Of a known kind and of its schema it would not be here, so its kind is not known.
        add("entry.kind", "is of a kind that this verifier does not know", index, session)
        if session is not None:
            self.launches.add(index, parsed.document(), leaf, None, body)

    # --- 4 Head and kept checkpoints, who signed them -------------------------------------------------

    def open_signed(self, data: bytes, size: int, area: str, where: str) -> checkpoint.Checkpoint | None:
        """Return the checkpoint that the key in force at ``size`` signed; None when it is not, and say so.

        Args:
            data: the signed note.
            size: the size that decides who has to have signed it.
            area: that of the findings' codes, ``head`` or ``checkpoint``.
            where: what it is called in their messages.
        """
        if self.epochs is None or self.origin is None:
            return None  # the genesis entry is broken, which was reported
        try:
            return checkpoint.open_signed(data, self.origin, self.epochs.signers(size))
        except MalformedError as error:
            self._findings.add(f"{area}.form", f"{where} cannot be read: {error}")
        except NonoError as error:
            if error.code == "signature.origin":
                self._findings.add(f"{area}.origin", f"{where} belongs to another ledger")
            else:
                self._findings.add(f"{area}.signature", f"{where} does not hold: {error}")
        return None

    # --- 5 Keys, and what else belongs to no session ---------------------------------------------------

    def _ledger_entry(self, index: int, kind: str, data: dict[str, Json]) -> None:
        if kind == entry.GENESIS:
            if index:
                self._findings.add("entry.genesis", "is a second genesis", index)
            else:
                self._genesis(data)
        elif kind == entry.KEY:
            self._handover(index, data)
        elif kind == entry.ANCHOR:
            self._anchored(index, data)

    def _genesis(self, data: dict[str, Json]) -> None:
        claimed = str(data["origin"])
        try:
            key = PublicKey.from_spki(canonical.decode_base64(data["public_key"]))
            derived = origins.derive(origins.split(claimed)[0], key.spki(), bytes.fromhex(str(data["nonce"])))
        except NonoError as error:
            self._findings.add("key.form", f"founds the ledger with a key that cannot be used: {error}", 0)
            return
        if derived != claimed:
            self._findings.add("origin.genesis", "claims another origin than its key and nonce give", 0)
        self.epochs = Epochs(key)
        self.origin = self.launches.origin = derived
        previous = data.get("previous")
        if isinstance(previous, dict):
            if previous["origin"] == derived:
                self._findings.add("origin.previous", "says that the ledger continues itself", 0)
            self.continues = str(previous["origin"])

    def _handover(self, index: int, data: dict[str, Json]) -> None:
        if self.epochs is None:
            return
        try:
            key = PublicKey.from_spki(canonical.decode_base64(data["public_key"]))
        except NonoError as error:
            self._findings.add("key.form", f"hands over to a key that cannot be used: {error}", index)
            return
        if not self.epochs.hand_over(index, key):
            self._findings.add("key.repeated", "hands over to a key that was in force before", index)


def is_session_id(text: str) -> bool:
    """Return whether ``text`` has the form of a session id."""
    return len(text) == 32 and set(text) <= _HEX
