"""The record of one launch: its entries, one after another, each durable before its method returns.

The methods are the kinds of entries, in the order that the grammar of a session wants: an intent, hook
results, a start, an outcome, hook results, the attestation. Their data has the form of the closed
schemas in ``attest/schemas``. Without a ledger (``--no-audit``) the same calls write nothing.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from attest import canonical, entry, envelope, hashing
from attest.errors import MalformedError
from attest.instant import format_instant
from attest.statement import LaunchEvidence
from runtime.capability.capabilities import network_document
from runtime.errors import LaunchError
from runtime.kernel import syscalls
from runtime.launcher import host
from runtime.sandbox import enforcement
from store.errors import LedgerError
from store.ledger import Draft

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from attest.canonical import Json
    from attest.keys import SigningKey
    from runtime.capability.capabilities import CapabilitySet
    from runtime.capability.environment import Environment
    from runtime.capability.exec_rules import ExecRules
    from runtime.capability.executable import Image
    from runtime.capability.hooks import HookResult
    from runtime.policy.resolution import Resolution
    from runtime.processes.shared_ledgers import SharedLedger
    from runtime.processes.supervision import Ending
    from runtime.sandbox.enforcement import Prepared
    from runtime.secrets.redaction import Redactor
    from store.ledger import Appended, Ledger

SUPERVISED = "supervised"
DIRECT = "direct"
"""How a launch is done, as its intent says it."""

_MAX_REASON = 1_024
# What an attestation's entry has around its payload: members, a signature, an index of any length.
_ENVELOPE_BYTES = 1_024


class LaunchRecord:
    """The entries of one session.

    Args:
        session: the session id.
        ledger: where they go; None writes nothing.
        key: the key that signs the attestation; None without a ledger.
        redactor: takes the secrets out of what is recorded.

    Attributes:
        session: the session id.
        indices: where the entries that were written stand in the ledger.
    """

    def __init__(
        self, session: str, ledger: Ledger | SharedLedger | None, key: SigningKey | None, redactor: Redactor
    ) -> None:
        self.session = session
        self.indices: list[int] = []
        self._ledger = ledger
        self._key = key
        self._redactor = redactor
        self._evidence = LaunchEvidence()
        self._intent: entry.Entry | None = None
        self._decisions = 0
        self._kinds: set[str] = set()
        self._is_direct = False

    @property
    def is_open(self) -> bool:
        """Whether there is an intent and no outcome: whatever happens now, one is owed."""
        return entry.INTENT in self._kinds and entry.OUTCOME not in self._kinds

    @property
    def is_closed(self) -> bool:
        """Whether nothing is owed any more: the session has its attestation, is direct, or never began."""
        return not self._kinds or entry.ATTESTATION in self._kinds or self._is_direct

    def intent(self, resolution: Resolution, *, lost: Sequence[Draft] = ()) -> None:
        """Record what was asked, and by whom.

        Args:
            resolution: what the request came to.
            lost: entries about sessions whose supervisor is gone; they come first, in the same commit.
        """
        self._append(entry.INTENT, intent_data(resolution), before=lost)

    def direct(self, intent: dict[str, Json], start: dict[str, Json], *, lost: Sequence[Draft]) -> None:
        """Record all of a direct launch: intent and start, in one commit.

        Args:
            intent: what :func:`intent_data` returned.
            start: what :func:`start_data` returned, with the pid.
            lost: as for :meth:`intent`.
        """
        assert self._ledger is not None
        drafts = [
            Draft(entry.INTENT, self.session, 0, intent),
            Draft(entry.START, self.session, 1, start),
        ]
        appended = self._ledger.append([*lost, *drafts])[-len(drafts) :]
        self.indices += [each.index for each in appended]
        self._kinds |= {entry.INTENT, entry.START}
        self._is_direct = True

    def refusal(self, intent: dict[str, Json], code: str, message: str, *, lost: Sequence[Draft]) -> None:
        """Record all of a direct launch that was refused: what was asked, and why nothing ran.

        Args:
            intent: what :func:`intent_data` returned.
            code: stable code of the error.
            message: what it says.
            lost: as for :meth:`intent`.
        """
        self._append(entry.INTENT, intent, before=lost)
        self.not_started(code, message, ())
        self.attest()

    def hook_result(self, result: HookResult) -> None:
        """Record how a hook ended."""
        self._append(entry.HOOK_RESULT, result.document())

    def require_room(self, start: dict[str, Json]) -> None:
        """Refuse a launch whose statement could become too large, while it can still be refused.

        Args:
            start: what :func:`start_data` returned.

        Raises:
            LaunchError: it would not fit into an entry, so the record could not be closed.
        """
        if self._intent is None:
            return
        paths = self._intent.data["outputs"]
        assert isinstance(paths, list)
        outcome: dict[str, Json] = {
            "ended": self._intent.time,
            "exit": 0,
            "outputs": [{"path": path, "sha256": "0" * 64, "size": 0} for path in paths],
            "started": self._intent.time,
        }
        evidence = LaunchEvidence()
        for kind, data in ((entry.INTENT, self._intent.data), (entry.START, start), (entry.OUTCOME, outcome)):
            evidence.add(0, entry.Entry(kind, self.session, 0, "", data), b"\0" * 32)
        payload = canonical.encode(evidence.statement(""))
        if len(payload) * 4 // 3 + _ENVELOPE_BYTES > entry.MAX_BYTES:
            raise LaunchError(
                f"the statement about this launch would have {len(payload)} bytes, too many for one entry",
                code="launch.too_large",
                hint="declare fewer or shorter outputs and labels, or use shorter paths",
            )

    def start(self, data: dict[str, Json], *, achieved: Mapping[str, bool], pid: int) -> None:
        """Record what will run, and inside what.

        Args:
            data: what :func:`start_data` returned.
            achieved: what the child reached, of each feature.
            pid: its pid.
        """
        self._append(entry.START, with_achieved(data, achieved) | {"pid": pid})

    def decisions(self, decided: Sequence[dict[str, Json]]) -> None:
        """Record what the command was refused while it ran, in one commit.

        Args:
            decided: the data of each.
        """
        if self._ledger is None or not decided:
            return
        first = self._evidence.edge.size
        drafts = [
            Draft(entry.DECISION, self.session, first + number, data) for number, data in enumerate(decided)
        ]
        for appended in self._ledger.append(drafts):
            self._evidence.add(appended.index, appended.entry, appended.leaf)
            self.indices.append(appended.index)
        self._decisions += len(decided)
        self._kinds.add(entry.DECISION)

    def outcome(
        self,
        ending: Ending,
        *,
        outputs: list[Json],
        started_ns: int,
        duration_us: int,
        closing: bool = False,
    ) -> None:
        """Record how the command ended.

        Args:
            ending: how it ended.
            outputs: what is said of each declared output.
            started_ns: Unix time of its release, in nanoseconds.
            duration_us: microseconds of CLOCK_BOOTTIME from there to its end.
            closing: whether nothing comes between it and the attestation, so that one commit has both.
        """
        data: dict[str, Json] = {
            "counts": {
                "decisions": self._decisions,
                "decisions_dropped": max(0, ending.decisions - self._decisions),
                "survivors": ending.survivors,
                "survivors_left": ending.left,
                **ending.execs,
            },
            "duration_us": duration_us,
            "ended": format_instant(time.time_ns()),
            "executed_image": ending.image,
            "outputs": outputs,
            "resources": {
                "max_rss_bytes": ending.max_rss_bytes,
                "system_us": ending.system_us,
                "user_us": ending.user_us,
            },
            "started": format_instant(started_ns),
        }
        if ending.ended_by is not None:
            data["ended_by"] = ending.ended_by
        if ending.exit is not None:
            data["exit"] = ending.exit
        else:
            data["signal"], data["core_dumped"] = ending.signal, ending.core_dumped
        if not (closing and self._close_with(data)):
            self._append(entry.OUTCOME, data)

    def not_started(self, code: str, message: str, outputs: Sequence[bytes]) -> None:
        """Record that, and why, the command never ran."""
        self._append(
            entry.OUTCOME,
            {
                "counts": {"decisions": 0, "decisions_dropped": 0, "survivors": 0, "survivors_left": 0},
                "ended": format_instant(time.time_ns()),
                "not_started": {
                    "code": code,
                    "message": _printable(self._redactor.sentence(message))[:_MAX_REASON],
                },
                "outputs": [{"path": canonical.text(path), "unhashed": "missing"} for path in outputs],
            },
        )

    def _close_with(self, outcome: dict[str, Json]) -> bool:
        """Write outcome and attestation in one commit; return False if they must be tried one by one."""
        if self._ledger is None or self._key is None:
            return False
        origin, key = self._ledger.origin, self._key

        def attestation(appended: Appended) -> dict[str, Json]:
            evidence = self._evidence.copy()
            evidence.add(appended.index, appended.entry, appended.leaf)
            return envelope.sign(canonical.encode(evidence.statement(origin)), key)

        first = self._evidence.edge.size
        drafts = [
            Draft(entry.OUTCOME, self.session, first, outcome),
            Draft(entry.ATTESTATION, self.session, first + 1, attestation),
        ]
        try:
            written = self._ledger.append(drafts)
        except (MalformedError, LedgerError) as error:
            if isinstance(error, LedgerError) and error.code != "ledger.full":
                raise
            return False  # the outcome alone may fit: it is owed most
        for appended in written:
            self._evidence.add(appended.index, appended.entry, appended.leaf)
            self.indices.append(appended.index)
        self._kinds |= {entry.OUTCOME, entry.ATTESTATION}
        return True

    def attest(self) -> None:
        """Sign the statement about the launch, and close the session with it, if that is not done."""
        if self._ledger is None or self._key is None or entry.ATTESTATION in self._kinds:
            return
        payload = canonical.encode(self._evidence.statement(self._ledger.origin))
        self._append(entry.ATTESTATION, envelope.sign(payload, self._key))

    def _append(self, kind: str, data: dict[str, Json], before: Sequence[Draft] = ()) -> None:
        if self._ledger is not None:
            draft = Draft(kind, self.session, self._evidence.edge.size, data)
            appended = self._ledger.append([*before, draft])[-1]
            self._evidence.add(appended.index, appended.entry, appended.leaf)
            self.indices.append(appended.index)
            if kind == entry.INTENT:
                self._intent = appended.entry
        self._kinds.add(kind)


def intent_data(resolution: Resolution, strategy: str = SUPERVISED) -> dict[str, Json]:
    """Return what the intent of a launch says, one of this process's.

    Args:
        resolution: what the request came to.
        strategy: :data:`SUPERVISED` or :data:`DIRECT`.
    """
    request, profile, manifest = resolution.request, resolution.profile, resolution.manifest
    chain = () if profile is None else profile.chain
    data: dict[str, Json] = {
        "bypass_protection": [canonical.text(path) for path in request.bypass_protection],
        "command": resolution.redactor.command(request.command),
        "grants": [
            {
                "access": str(grant.access),
                "asked": canonical.text(grant.path),
                "source": grant.source,
                "type": "directory" if grant.directory else "file",
            }
            for grant in resolution.asked()
        ],
        "hooks": {kind: hook.document() for kind, hook in resolution.hooks.items()},
        "host": host.host(_landlock_abi()),
        "labels": dict(request.labels),
        "network": network_document(resolution.network, resolution.ports),
        "outputs": [canonical.text(path) for path in resolution.outputs],
        "profile": [{"name": canonical.text(file.name), "sha256": file.sha256} for file in chain],
        "redaction": resolution.redactor.policy.difference(),
        "strategy": strategy,
        "supervisor": host.supervisor_document(),
        "user": host.user(),
        **resolution.asked_besides(),
    }
    if resolution.configured:
        data["configuration"] = dict(resolution.configured)
    if manifest is not None:
        data["manifest"] = manifest.document()
    outer = request.outer_session()
    if outer is not None:
        data["outer_session"] = outer
    return data


def start_data(
    *,
    capabilities: CapabilitySet,
    images: Sequence[Image],
    variables: Environment,
    directory: bytes,
    prepared: Prepared,
    limits: Mapping[str, int],
    execs: ExecRules | None = None,
) -> dict[str, Json]:
    """Return what the start of a launch says, all but the pid; of no feature that it was achieved."""
    granted = capabilities.document()
    return {
        "capabilities": granted,
        "capabilities_sha256": hashing.hexdigest(canonical.encode(granted)),
        "directory": canonical.text(directory),
        "enforcement": {
            "achieved": dict.fromkeys(enforcement.FEATURES, False),
            "filter_sha256": prepared.filter_sha256,
            "landlock_abi": prepared.abi,
            "required": {feature: feature in prepared.required for feature in enforcement.FEATURES},
            "waived": [],
        },
        "environment": variables.names(),
        "executable": images[0].document(),
        "execs": {"tracing": "none"} if execs is None else execs.document(),
        "interpreters": [image.document() for image in images[1:]],
        "limits": dict(limits),
    }


def with_achieved(start: dict[str, Json], achieved: Mapping[str, bool]) -> dict[str, Json]:
    """Return what a start says, with what was achieved, of each feature."""
    enforced = start["enforcement"]
    assert isinstance(enforced, dict)
    said: Json = {feature: achieved[feature] for feature in enforcement.FEATURES}
    return start | {"enforcement": enforced | {"achieved": said}}


def _landlock_abi() -> int:
    try:
        return syscalls.landlock_abi()
    except OSError:
        return 0


def _printable(message: str) -> str:
    """Return a message without lone surrogates: a path in it can be any bytes."""
    return message.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
