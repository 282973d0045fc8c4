"""Witness policies: which witnesses are known, and which of them together are enough (C2SP tlog-policy).

A file of lines ``log VKEY [URL]``, ``witness NAME VKEY [URL]``, ``group NAME any|all|K NAME…`` and, once,
``quorum NAME|none``; empty lines and lines that begin with ``#`` say nothing. A name is defined above the
line that uses it, so a group cannot contain itself, and each is a member of one group at most, so no witness
counts twice. Names and addresses are octets and mean nothing outside of the file.

Whatever is not of that form is an error with the number of its line: a policy that is read as less than it
says would be met too easily. For that reason the last line must end in a newline too; a file that was cut
short may name another quorum than it did.

Not of the specification: a key of a log that is a witness's as well is refused, since a log that vouches for
itself is no witness; and witnesses' keys of type 0x06 (ML-DSA-44) are refused, because their cosignatures are
not checked here and a quorum that silently needs them could never be met.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from attest.cosignature import Witness
from attest.errors import KeyFormatError, MalformedError
from attest.named_tuples import NamedTuple
from attest.note import Verifier
from verify import regular_files
from verify.errors import NotCheckedError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from attest.keys import PublicKey

MAX_BYTES = 1 << 18
MAX_OF_A_KIND = 256
"""How many logs, witnesses and groups there may be, of each; the specification asks for at least 32."""

_NONE = b"none"
_OTHER_OCTET = re.compile(rb"[^\x09\x0a\x20-\x7e\x80-\xff]")
_DECIMAL = re.compile(rb"[1-9][0-9]{0,5}")
_SHOWN = 60
_KEY_HINTS = {
    b"log": "a log's key is a verifier key of type 0x01: ORIGIN+ID+KEY",
    b"witness": "a witness's key is a verifier key of type 0x04 (Ed25519 cosignatures): NAME+ID+KEY;"
    " cosignatures of other types are not checked here",
}


class Group(NamedTuple):
    """A group of witnesses and groups.

    Attributes:
        name: octets.
        threshold: how many of the members must have cosigned, 1 to all of them.
        members: their names, each defined before this group.
    """

    name: bytes
    threshold: int
    members: tuple[bytes, ...]


class WitnessPolicy(NamedTuple):
    """A policy that was read.

    Attributes:
        source: the file that it came from.
        logs: whose checkpoints it is about; none of them means every log's.
        witnesses: the witnesses by their names in the file, in its order.
        groups: in the order of the file.
        quorum: the name of the witness or group that must have cosigned; None asks for nobody.
    """

    source: str
    logs: tuple[Verifier, ...]
    witnesses: Mapping[bytes, Witness]
    groups: tuple[Group, ...]
    quorum: bytes | None

    def is_met(self, cosigned: Collection[Witness]) -> bool:
        """Return whether these witnesses together are the quorum."""
        if self.quorum is None:
            return True
        # Members stand above their group, so one walk in the file's order is enough, however deep they nest.
        met = {name: witness in cosigned for name, witness in self.witnesses.items()}
        for group in self.groups:
            met[group.name] = sum(met[member] for member in group.members) >= group.threshold
        return met[self.quorum]

    def accepts(self, origin: str, keys: Iterable[PublicKey]) -> bool:
        """Return whether a checkpoint of ``origin`` that ``keys`` signed is one of the logs'."""
        return not self.logs or any(Verifier(origin, key) in self.logs for key in keys)

    def shown(self, cosigned: Collection[Witness]) -> tuple[str, ...]:
        """Return the names of these witnesses, in the order of the file."""
        return tuple(spelled(name) for name, witness in self.witnesses.items() if witness in cosigned)


def spelled(name: bytes) -> str:
    """Return a name as text: what is not UTF-8 is escaped, and what is very long is cut."""
    text = name.decode("utf-8", "backslashreplace")
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def read(path: str) -> WitnessPolicy:
    """Return the policy in a file.

    Raises:
        NotCheckedError: it cannot be read (``witness.unreadable``), or is no policy (``witness.form``).
    """
    return parse(regular_files.read_file(path, MAX_BYTES, "witness policy", "witness.unreadable"), path)


def parse(data: bytes, source: str) -> WitnessPolicy:
    """Return the policy that ``data`` spells; ``source`` names it in errors.

    Raises:
        NotCheckedError: it is not of the form of C2SP tlog-policy (``witness.form``).
    """
    if len(data) > MAX_BYTES:
        raise NotCheckedError(
            f"{source} is too long for a witness policy: the limit is {MAX_BYTES} bytes", code="witness.form"
        )
    other = _OTHER_OCTET.search(data)
    if other is not None:
        what = f"a byte 0x{other[0].hex()}, which no policy has"
        hint = "end each line with a newline alone" if other[0] == b"\r" else None
        raise _error(source, data.count(b"\n", 0, other.start()) + 1, what, hint)
    lines = data.split(b"\n")
    if lines.pop():
        raise _error(source, len(lines) + 1, "does not end in a newline, so the file may have been cut short")
    reading = _Reading(source)
    for number, line in enumerate(lines, 1):
        words = line.split()  # of white space, only space and tab are left
        if words and not words[0].startswith(b"#"):
            try:
                reading.take(words)
            except MalformedError as error:
                raise _error(source, number, str(error), error.hint) from None
    return reading.finish()


def _error(source: str, number: int, what: str, hint: str | None = None) -> NotCheckedError:
    return NotCheckedError(
        f"{source} is no witness policy: line {number} {what}",
        code="witness.form",
        hint=hint or "its form is C2SP tlog-policy: https://c2sp.org/tlog-policy",
    )


def _wrong(what: str, hint: str | None = None) -> MalformedError:
    """Return the error about a line; the sentence goes on after its number."""
    return MalformedError(what, code="witness.form", hint=hint)


class _Reading:
    """What was read so far, line by line."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._logs: list[Verifier] = []
        self._witnesses: dict[bytes, Witness] = {}
        self._groups: dict[bytes, Group] = {}
        self._quorum: list[bytes | None] = []
        self._members: set[bytes] = set()
        self._keys: dict[PublicKey, str] = {}
        self._ids: set[tuple[str, bytes]] = set()
        self._lines: dict[bytes, Callable[[Sequence[bytes]], None]] = {
            b"log": self._log,
            b"witness": self._witness,
            b"group": self._group,
            b"quorum": self._quorum_line,
        }

    def take(self, words: Sequence[bytes]) -> None:
        """Take in one line that says something.

        Raises:
            MalformedError: it is not of its form (``witness.form``).
        """
        take = self._lines.get(words[0])
        if take is None:
            # Not shown: whoever names a key's file by mistake shall not find the key in a log.
            raise _wrong("begins with none of: log, witness, group, quorum")
        try:
            take(words[1:])
        except (MalformedError, KeyFormatError, UnicodeDecodeError) as error:
            if isinstance(error, MalformedError) and error.code == "witness.form":
                raise
            what = "its name is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
            raise _wrong(f"has no key that can be used: {what}", hint=_KEY_HINTS[words[0]]) from None

    def finish(self) -> WitnessPolicy:
        """Return the policy.

        Raises:
            NotCheckedError: there is no quorum line.
        """
        if not self._quorum:
            raise NotCheckedError(
                f"{self._source} is no witness policy: there is no quorum line",
                code="witness.form",
                hint="say which witness or group is needed: quorum NAME (or: quorum none)",
            )
        return WitnessPolicy(
            self._source,
            tuple(self._logs),
            dict(self._witnesses),
            tuple(self._groups.values()),
            self._quorum[0],
        )

    def _log(self, words: Sequence[bytes]) -> None:
        if not 1 <= len(words) <= 2:
            raise _wrong("is not: log VKEY [URL]")
        _require_room(self._logs, "logs")
        verifier = Verifier.from_vkey(words[0].decode())
        self._own(verifier.key, "log")
        self._logs.append(verifier)

    def _witness(self, words: Sequence[bytes]) -> None:
        if not 2 <= len(words) <= 3:
            raise _wrong("is not: witness NAME VKEY [URL]")
        self._require_new(words[0])
        _require_room(self._witnesses, "witnesses")
        witness = Witness.from_vkey(words[1].decode())
        self._own(witness.key, "witness")
        name_and_id = witness.name, witness.key_id()
        if name_and_id in self._ids:
            raise _wrong("has a key that cannot be told from another witness's: same name, same id")
        self._ids.add(name_and_id)
        self._witnesses[words[0]] = witness

    def _group(self, words: Sequence[bytes]) -> None:
        if len(words) < 3:
            raise _wrong("is not: group NAME any|all|K NAME… (with at least one member)")
        name, how, members = words[0], words[1], tuple(words[2:])
        self._require_new(name)
        _require_room(self._groups, "groups")
        for member in members:
            self._require_defined(member)
            if member in self._members:
                raise _wrong(
                    f"has the member {spelled(member)!r}, which is a member already: it would count twice"
                )
            self._members.add(member)
        threshold = {b"any": 1, b"all": len(members)}.get(how)
        if threshold is None:
            if not _DECIMAL.fullmatch(how):
                raise _wrong("does not say how many are needed: any, all, or a decimal number from 1 on")
            threshold = int(how)
            if threshold > len(members):
                raise _wrong(f"needs {threshold} of {len(members)} members")
        self._groups[name] = Group(name, threshold, members)

    def _quorum_line(self, words: Sequence[bytes]) -> None:
        if len(words) != 1:
            raise _wrong("is not: quorum NAME")
        if self._quorum:
            raise _wrong("is a second quorum line")
        if words[0] != _NONE:
            self._require_defined(words[0])
        self._quorum.append(None if words[0] == _NONE else words[0])

    def _own(self, key: PublicKey, whose: str) -> None:
        """Note whose key this is: under another name or type the same key is still the same."""
        before = self._keys.get(key)
        if before is not None:
            other = f"another {whose}'s" if before == whose else f"a {before}'s: no log is its own witness"
            raise _wrong(f"has a key that is {other}")
        self._keys[key] = whose

    def _require_new(self, name: bytes) -> None:
        if name == _NONE:
            raise _wrong("defines the name 'none', which stands for no witness at all")
        if name in self._witnesses or name in self._groups:
            raise _wrong(f"defines {spelled(name)!r}, which is defined already")

    def _require_defined(self, name: bytes) -> None:
        if name == _NONE:
            raise _wrong("has the member 'none', which stands for no witness at all")
        if name not in self._witnesses and name not in self._groups:
            raise _wrong(f"names {spelled(name)!r}, which no line above defines")


def _require_room(of_that_kind: Collection[object], what: str) -> None:
    if len(of_that_kind) == MAX_OF_A_KIND:
        raise _wrong(f"is one too many: at most {MAX_OF_A_KIND} {what} are read")
