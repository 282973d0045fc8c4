"""What is asked of a launch, checked as far as it can be without touching anything."""

from __future__ import annotations

import os
import stat
from types import MappingProxyType
from typing import TYPE_CHECKING

from attest import canonical
from attest.named_tuples import NamedTuple
from runtime.capability.capabilities import MAX_PORT, MAX_PORTS, MAX_SOCKET_GRANTS, Ports, ports
from runtime.capability.grant_request import GrantRequest, SocketRequest, working_directory_request
from runtime.capability.session import is_session_id
from runtime.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_LABELS = 64
MAX_LABEL_KEY = 128
MAX_LABEL_VALUE = 512
MAX_LABELS_BYTES = 8_192
"""All labels together, in canonical form: intent and attestation both hold them."""

MAX_OUTPUTS = 64
MAX_OUTPUTS_BYTES = 8_192
"""The paths of all declared outputs together: intent, outcome and attestation each hold them."""

TOO_MANY_BYTES = "usage.labels"
"""The code of labels that are too long together, each by itself being right."""

# What can stand beside a manifest; all else would add to what it grants, or to what it is asked for.
_BESIDE_A_MANIFEST = frozenset(
    {
        *("command", "variables", "workdir", "config"),
        *("bypass_protection", "allow_writable_script", "allow_commands", "block_commands"),
        *("audit", "ledger", "key", "key_passphrase_env", "labels", "outputs"),
        *("limits", "protect_metadata", "trace_exec", "exec_allow"),  # which take away
    }
)

_NONE: Mapping[str, str] = MappingProxyType({})
_NO_LIMITS: Mapping[str, int] = MappingProxyType({})


class LaunchRequest(NamedTuple):
    """What is asked of a launch; paths are bytes as they were typed.

    Attributes:
        command: the argument vector.
        variables: the environment to inherit from.
        grants: the grants that the user asked for.
        allow_cwd: whether the working directory is readable; None for what is configured.
        workdir: the working directory, None for the current one.
        block_net: whether the network is closed; None for what is configured.
        protect_metadata: whether mode, owner, times and attributes of files are changed by the grants alone.
        capability_elevation: whether a person is asked about files that no grant covers.
        connect_ports: TCP ports that it may connect to.
        listen_ports: TCP ports that it may listen on.
        open_ports: TCP ports that it may connect to, and listen on for this host alone.
        unix_sockets: UNIX sockets that it may connect to, or make and listen on.
        sysv_ipc: whether it may use System V memory, semaphores and queues, those outside included.
        bypass_protection: protected paths whose protection is lifted.
        allow_writable_script: whether the command may be a script that it can rewrite.
        allow_commands: names of commands that are not blocked.
        block_commands: names of commands that are blocked besides the usual ones.
        credentials: references of secrets, by the variable of the command that each is put into.
        limits: what it is held to, by the names of the record (:mod:`runtime.policy.limits`).
        trace_exec: whether every exec is seen.
        exec_allow: digests, programs and directories: no other program may run; every exec is seen then.
        profile: name of a profile, or path of a profile file.
        ledger: path of the ledger; None for the key's own in the state directory.
        key: reference of the signing key; None for the host key.
        key_passphrase_env: name of the variable that holds its passphrase, None when there is none.
        labels: words that the record carries.
        outputs: files whose digests the outcome states.
        audit: False writes no record at all.
        config: path of a capability manifest, which says all that is granted.
    """

    command: tuple[bytes, ...]
    variables: Mapping[bytes, bytes]
    grants: tuple[GrantRequest, ...] = ()
    allow_cwd: bool | None = None
    workdir: bytes | None = None
    block_net: bool | None = None
    protect_metadata: bool = False
    capability_elevation: bool = False
    connect_ports: tuple[int, ...] = ()
    listen_ports: tuple[int, ...] = ()
    open_ports: tuple[int, ...] = ()
    unix_sockets: tuple[SocketRequest, ...] = ()
    sysv_ipc: bool = False
    bypass_protection: tuple[bytes, ...] = ()
    allow_writable_script: bool = False
    allow_commands: tuple[bytes, ...] = ()
    block_commands: tuple[bytes, ...] = ()
    credentials: Mapping[str, str] = _NONE
    limits: Mapping[str, int] = _NO_LIMITS
    trace_exec: bool = False
    exec_allow: tuple[bytes, ...] = ()
    profile: bytes | None = None
    ledger: bytes | None = None
    key: str | None = None
    key_passphrase_env: str | None = None
    labels: Mapping[str, str] = _NONE
    outputs: tuple[bytes, ...] = ()
    audit: bool = True
    config: bytes | None = None

    def __repr__(self) -> str:
        # Neither arguments nor the environment: both can hold secrets.
        return "LaunchRequest(…)"

    def check(self) -> None:
        """Refuse a request that makes no sense.

        Raises:
            UsageError: no command, labels that the record does not take, or what is for the record alone
                where there is none.
        """
        if not self.command or not self.command[0]:
            raise UsageError(
                "no command", code="usage.command", hint="nono run [FLAGS] -- COMMAND [ARGUMENT...]"
            )
        if any(b"\0" in argument for argument in self.command):
            raise UsageError("an argument holds a NUL byte", code="usage.command")
        for asked in (self.connect_ports, self.listen_ports, self.open_ports):
            _check_ports(asked)
        if len(self.unix_sockets) > MAX_SOCKET_GRANTS:
            raise UsageError(
                f"more than {MAX_SOCKET_GRANTS} grants on UNIX sockets", code="usage.unix_socket"
            )
        for_the_record = {"a ledger": self.ledger, "labels": self.labels, "outputs": self.outputs}
        useless = [name for name, given in for_the_record.items() if given]
        if useless and not self.audit:
            raise UsageError(
                f"nothing is to be recorded, and {' and '.join(useless)} would be for the record alone",
                hint="leave out --no-audit, or what is for the record",
            )
        require_labels(self.labels)
        if self.limits:
            from runtime.policy import limits  # noqa: PLC0415  # most launches have none

            limits.check(self.limits)
        if self.config is not None:
            self._require_manifest_alone()

    def _require_manifest_alone(self) -> None:
        given = [name for name in self._fields if name not in _BESIDE_A_MANIFEST and getattr(self, name)]
        if given:
            raise UsageError(
                "a capability manifest says all that is granted, and"
                f" {' and '.join(map(_worded, given))} would add to it",
                code="usage.manifest",
                hint="leave out one of the two; nono run --dry-run --json makes a manifest of flags",
            )

    @property
    def names_ports(self) -> bool:
        """Whether the user asked for ports."""
        return bool(self.connect_ports or self.listen_ports or self.open_ports)

    def asked_ports(self) -> Ports:
        """Return the ports that the user asked for."""
        return ports((*self.connect_ports, *self.open_ports), self.listen_ports, self.open_ports)

    def outer_session(self) -> str | None:
        """Return the session of the launch around this one, if its child says that there is one."""
        outer = self.variables.get(b"NONO_SESSION_ID", b"").decode("ascii", "replace")
        return outer if is_session_id(outer) else None

    def working_directory(self) -> bytes:
        """Return the canonical working directory.

        Raises:
            UsageError: there is none, or it is no directory.
        """
        path = self.workdir if self.workdir is not None else b"."
        shown = os.fsdecode(path)
        try:
            directory = os.path.realpath(path, strict=True)
            is_directory = stat.S_ISDIR(os.stat(directory).st_mode)
        except OSError as error:
            raise UsageError(f"the working directory cannot be used: {shown}: {error.strerror}") from None
        if not is_directory:
            raise UsageError(f"the working directory is no directory: {shown}")
        return directory

    def declared_outputs(self, workdir: bytes) -> tuple[bytes, ...]:
        """Return the declared outputs as absolute paths.

        Raises:
            UsageError: too many, too long, or no path at all.
        """
        declared = tuple(os.path.normpath(os.path.join(workdir, path)) for path in self.outputs)
        if any(not path or b"\0" in path for path in self.outputs):
            raise UsageError("an output needs a path", code="usage.output")
        if len(declared) > MAX_OUTPUTS or sum(map(len, declared)) > MAX_OUTPUTS_BYTES:
            raise UsageError(
                f"at most {MAX_OUTPUTS} outputs of {MAX_OUTPUTS_BYTES} bytes of paths can be declared",
                code="usage.output",
            )
        return declared

    def asked_grants(self, workdir: bytes) -> tuple[GrantRequest, ...]:
        """Return the grants that the user asked for, ``allow_cwd`` included."""
        return (*self.grants, working_directory_request(workdir)) if self.allow_cwd else self.grants


def require_labels(labels: Mapping[str, str]) -> None:
    """Refuse labels that the record does not take.

    Raises:
        UsageError: too many, too long, or no text (``usage.label``); all together (:data:`TOO_MANY_BYTES`).
    """
    if len(labels) > MAX_LABELS:
        raise UsageError(f"more than {MAX_LABELS} labels", code="usage.label")
    for key, value in labels.items():
        _check_label(key, value)
    if len(canonical.encode(dict(labels))) > MAX_LABELS_BYTES:
        raise UsageError(f"more than {MAX_LABELS_BYTES} bytes of labels", code=TOO_MANY_BYTES)


def _worded(name: str) -> str:
    return {
        "credentials": "a secret",
        "grants": "a grant",
        "profile": "a profile",
        "sysv_ipc": "--allow-sysv-ipc",
        "unix_sockets": "a UNIX socket",
    }.get(name, f"--{name.replace('_', '-')}")


def _check_ports(asked: tuple[object, ...]) -> None:
    for port in asked:
        if type(port) is not int or not 1 <= port <= MAX_PORT:
            raise UsageError(
                f"not a port: {port!r}", code="usage.port", hint=f"a port is a number from 1 to {MAX_PORT}"
            )
    if len(set(asked)) > MAX_PORTS:
        raise UsageError(f"more than {MAX_PORTS} ports", code="usage.port")


def _check_label(key: object, value: object) -> None:
    if not isinstance(key, str) or not isinstance(value, str):
        raise UsageError(f"the label {key!r} is not text", code="usage.label")
    plain = key.isascii() and key.isprintable() and not set(key) & {" ", "="}
    if not 0 < len(key) <= MAX_LABEL_KEY or not plain:
        raise UsageError(
            f"not a label: {key!r}",
            code="usage.label",
            hint=f"write KEY=VALUE; a key is at most {MAX_LABEL_KEY} printable ASCII characters, no spaces",
        )
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise UsageError(f"the label {key} has a value that is not UTF-8", code="usage.label") from None
    if len(value) > MAX_LABEL_VALUE:
        raise UsageError(f"the label {key} is longer than {MAX_LABEL_VALUE} characters", code="usage.label")
