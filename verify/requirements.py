"""Part 8 of the replay, policy: a ledger's launches held against conditions, as they come by.

Of a launch that is still open it is kept which requirements it failed; of a requirement, the first launch
that met it. A launch meets a requirement when it is complete: it started, ended, was attested, and its record
is whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attest import canonical
from attest.errors import MalformedError
from attest.named_tuples import NamedTuple
from verify.blobs import has_too_many_values
from verify.conditions import MAX_GRANT_FINDINGS, Conditions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from attest.canonical import Json
    from verify.conditions import Failure
    from verify.findings import Findings
    from verify.policy import Policy


class Accepted(NamedTuple):
    """What would not pass by itself: launches without an end by session id, waived features."""

    lost: frozenset[str] = frozenset()
    waived: frozenset[str] = frozenset()


class Output(NamedTuple):
    """A file that is required: how it is called here, and the hex SHA-256 of its bytes."""

    name: str
    sha256: str


class Requirement(NamedTuple):
    """What at least one launch must show.

    Attributes:
        code: the finding when none does.
        what: the same in words, as it goes on after "no complete launch".
        conditions: what the launch must show.
        output: the file that the launch must have made, or None.
    """

    code: str
    what: str
    conditions: Conditions
    output: Output | None = None


class Required(NamedTuple):
    """What a verification is asked for beside an intact ledger.

    Attributes:
        policy: the policy, or None.
        requirements: what at least one launch each must show, beside those of the policy.
        session: the one launch that is meant, or None for all.
    """

    policy: Policy | None = None
    requirements: tuple[Requirement, ...] = ()
    session: str | None = None

    @property
    def accepted(self) -> Accepted:
        """What would not pass by itself."""
        return Accepted() if self.policy is None else self.policy.accepted


def labelled(labels: Sequence[tuple[str, str]]) -> Requirement:
    """Return the requirement of a launch with these labels that succeeded."""
    return Requirement(
        "require.label",
        f"labelled {_words(labels)} ended with exit code 0",
        Conditions(exit=frozenset({0}), labels=tuple(labels)),
    )


def made(name: str, sha256: str, labels: Sequence[tuple[str, str]]) -> Requirement:
    """Return the requirement of a launch with these labels that succeeded and has this output.

    Args:
        name: how the file is called here.
        sha256: hex digest of its bytes.
        labels: as for :func:`labelled`; may be empty.
    """
    by = f" labelled {_words(labels)}" if labels else ""
    return Requirement(
        "require.output",
        f"{by} that ended with exit code 0 made {name} (sha256 {sha256})".strip(),
        Conditions(exit=frozenset({0}), labels=tuple(labels), output_sha256=sha256),
        Output(name, sha256),
    )


def _words(labels: Sequence[tuple[str, str]]) -> str:
    return ", ".join(f"{key}={value}" for key, value in labels)


class _Open:
    """An open launch: which requirements it failed (a bit each), whether it started, whether it is direct."""

    __slots__ = ("direct", "failed", "started")

    def __init__(self, *, direct: bool) -> None:
        self.failed = 0
        self.started = False
        self.direct = direct


class Watch:
    """What is asked of launches, fed with the entries of each in order."""

    def __init__(self, required: Required, findings: Findings) -> None:
        policy = required.policy
        self._requirements = (
            *required.requirements,
            *(
                Requirement("policy.required", f"meets what [[require]] number {number} asks for", conditions)
                for number, conditions in enumerate(() if policy is None else policy.require, 1)
            ),
        )
        self._met: list[str | None] = [None] * len(self._requirements)
        self._every = None if policy is None else policy.every
        asked = [each.conditions for each in self._requirements]
        self._asks_for_capabilities = any(
            each.about_capabilities for each in (*asked, *([] if self._every is None else [self._every]))
        )
        self._session = required.session
        self._seen = False
        self._findings = findings
        self._open: dict[str, _Open] = {}

    def intent(self, index: int, name: str, data: dict[str, Any]) -> None:
        """Take in the intent of a session."""
        if self._session is None or self._session == name:
            self._seen = True
            self._open[name] = _Open(direct=data["strategy"] == "direct")
            self._judge(index, name, lambda conditions: conditions.intent(data))

    def hook(self, index: int, name: str, data: dict[str, Any]) -> None:
        """Take in the result of a hook."""
        if name in self._open:
            self._judge(index, name, lambda conditions: conditions.hook(data))

    def start(self, index: int, name: str, data: dict[str, Any], capabilities: bytes | None) -> None:
        """Take in a start.

        Args:
            index: where it stands.
            name: the session.
            data: what it says.
            capabilities: canonical JSON of the capability set when it lies beside the entry, or None where
                that is not to be had.
        """
        launch = self._open.get(name)
        if launch is None:
            return
        launch.started = True
        known = _capability_set(data, capabilities) if self._asks_for_capabilities else None
        self._judge(index, name, lambda conditions: conditions.start(data, known, name))
        if launch.direct:
            self._judge(index, name, lambda conditions: conditions.direct())

    def outcome(self, index: int, name: str, data: dict[str, Any]) -> None:
        """Take in an outcome."""
        launch = self._open.get(name)
        if launch is None:
            return
        launch.started &= "not_started" not in data  # the start was ready, and exec failed: nothing ran
        self._judge(index, name, lambda conditions: conditions.outcome(data))

    def close(self, index: int, name: str, *, attested: bool, whole: bool) -> None:
        """Take in the end of a session.

        Args:
            index: the entry that ended it, or its intent when nothing did.
            name: the session.
            attested: whether a signed statement closed it.
            whole: whether nothing was found about its record.
        """
        launch = self._open.pop(name, None)
        if launch is None:
            return
        if not attested and self._every is not None and self._every.attested:
            self._findings.add("policy.attested", "belongs to a launch without an attestation", index, name)
        if not (attested and whole and launch.started):
            return
        for number, met in enumerate(self._met):
            if met is None and not launch.failed >> number & 1:
                self._met[number] = name

    def settle(self, name: str, met: Iterable[int]) -> None:
        """Take in a complete launch of which another watch found nothing, and what it meets."""
        self._seen |= name == self._session
        for number in met:
            if self._met[number] is None:
                self._met[number] = name

    def finish(self) -> None:
        """Report what no launch met."""
        if self._session is not None and not self._seen:
            self._findings.add("require.session", f"no launch has the id {self._session}")
        for requirement, met in self.met():
            if met is None:
                self._findings.add(requirement.code, f"no complete launch {requirement.what}")

    def met(self) -> tuple[tuple[Requirement, str | None], ...]:
        """Return each requirement with the session that met it first, or None."""
        return tuple(zip(self._requirements, self._met, strict=True))

    def _judge(self, index: int, name: str, failures: Callable[[Conditions], Iterable[Failure]]) -> None:
        launch = self._open[name]
        if self._every is not None:
            self._report(index, name, failures(self._every))
        for number, requirement in enumerate(self._requirements):
            if not launch.failed >> number & 1 and any(True for _ in failures(requirement.conditions)):
                launch.failed |= 1 << number

    def _report(self, index: int, name: str, failures: Iterable[Failure]) -> None:
        counts: dict[str, int] = {}
        for code, what in failures:
            counts[code] = counts.get(code, 0) + 1
            if counts[code] <= MAX_GRANT_FINDINGS:
                self._findings.add(code, what, index, name)


def _capability_set(data: dict[str, Any], beside: bytes | None) -> Json:
    """Return the capability set of a start, or None when it is not to be had in bounded memory."""
    if "blob" not in data["capabilities"]:
        return data["capabilities"]  # type: ignore[no-any-return]  # of its closed schema
    if beside is None or has_too_many_values(beside):
        return None
    try:
        return canonical.decode(beside)
    except MalformedError:
        return None  # which was reported
