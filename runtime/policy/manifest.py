"""A capability manifest: a whole capability set in a file, for ``nono run --config FILE``.

Its form is the one that the record has: ``capabilities`` of ``launch.start``, and where there are any its
``limits``; published by itself as ``runtime/schemas/capabilities.schema.json``. ``nono run --dry-run --json``
writes one. It is JSON with any white space; what is not in the form is refused by name, since a key that was
misspelt would otherwise be a grant that silently is not there.

It stands alone: nothing is added to it but what the launch itself needs. What it grants is asked for as if
the user had typed it, whatever source it names, so what is protected stays protected.
"""

from __future__ import annotations

import os
import stat
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

from attest import canonical, hashing
from attest.errors import MalformedError
from attest.named_tuples import NamedTuple
from runtime.capability.capabilities import (
    MAX_PORT,
    MAX_PORTS,
    MAX_SOCKET_GRANTS,
    NO_PORTS,
    PROFILE,
    SYSTEM,
    SYSV,
    USER,
    Access,
    Network,
    Reach,
    ports,
)
from runtime.capability.grant_request import GrantRequest, SocketRequest
from runtime.errors import ManifestError, UsageError
from runtime.kernel.bounded_reading import read_bounded
from runtime.kernel.path_names import from_here, normalise, shown
from runtime.policy.document_words import kind_of, quoted
from runtime.policy.strict_json import object_of, text_of, value_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from attest.canonical import Json
    from runtime.capability.capabilities import Ports
    from runtime.policy.strict_json import Value

MAX_BYTES = 1 << 20
MAX_PATH_BYTES = 4095  # PATH_MAX without its NUL
NOT_CANONICAL = "manifest.path"
"""The code of the one mistake that the published schema cannot name."""

_MEMBERS = ("files", "ipc", "limits", "network", "unix_sockets")
_GRANT = ("access", "asked", "path", "source", "type")
_NETWORK = ("connect", "listen", "listen_loopback", "mode")
_GROUP = "group:"
_OF_A_GROUP = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_-")
_MAX_GROUP = 64


class Manifest(NamedTuple):
    """What a manifest says.

    Attributes:
        path: its absolute path; nothing may be granted for writing that contains it.
        sha256: lower-case hex digest of the bytes that were parsed.
        grants: the grants, as a user would ask for them.
        network: the network mode.
        ports: which, where that is ``ports``.
        unix_sockets: the grants on UNIX sockets, as a user would ask for them.
        limits: what the launch is held to, by the names of the record.
        sysv_ipc: whether it grants System V memory, semaphores and queues.
    """

    path: bytes
    sha256: str
    grants: tuple[GrantRequest, ...]
    network: Network
    ports: Ports
    unix_sockets: tuple[SocketRequest, ...] = ()
    limits: Mapping[str, int] = MappingProxyType({})
    sysv_ipc: bool = False

    def document(self) -> dict[str, Json]:
        """Return what the intent says of it."""
        return {"path": canonical.text(self.path), "sha256": self.sha256}


def read_manifest(named: bytes) -> Manifest:
    """Read the manifest that a command line names; a relative path is where nono was called.

    Raises:
        ManifestError: it cannot be read, is no regular file of at most 1 MiB, or is no manifest.
    """
    path = from_here(named)
    data = _read(path)
    reader = _Reader(path)
    document = reader.table(value_of(text_of(data, reader.error), reader.error), "", _MEMBERS)
    for key in ("files", "network"):
        if key not in document:
            raise reader.error("", f"{key} is missing")
    files = document["files"]
    if not isinstance(files, list):
        raise reader.error("files", f"must be a list of grants, not {kind_of(files)}")
    grants = tuple(reader.grant(each, f"files[{number}]") for number, each in enumerate(files))
    network, asked_ports = reader.network(document["network"])
    sockets = reader.sockets(document["unix_sockets"]) if "unix_sockets" in document else ()
    sha256, held = hashing.hexdigest(data), reader.limits(document.get("limits", {}))
    sysv_ipc = "ipc" in document and bool(reader.one_of(document["ipc"], "ipc", (SYSV,)))
    return Manifest(path, sha256, grants, network, asked_ports, sockets, held, sysv_ipc)


def _read(path: bytes) -> bytes:
    """Return the bytes of the regular file at ``path``; a FIFO or a device must not make us wait."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        raise _unreadable(path, os.strerror(error.errno or 0).lower()) from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise _unreadable(path, "not a regular file")
        data = read_bounded(descriptor, MAX_BYTES)
    except OSError as error:
        raise _unreadable(path, os.strerror(error.errno or 0).lower()) from None
    finally:
        os.close(descriptor)
    if data is None:
        raise _unreadable(path, "larger than 1 MiB")
    return data


def _unreadable(path: bytes, why: str) -> ManifestError:
    return ManifestError(
        f"cannot read the manifest {shown(path)}: {why}",
        code="manifest.unreadable",
        hint="nono run --dry-run --json makes one of flags: what its member manifest holds",
    )


class _Reader:
    """Takes a parsed manifest apart; every complaint names the file and the key."""

    def __init__(self, path: bytes) -> None:
        self._file = shown(path)

    def error(
        self, where: str, what: str, *, hint: str | None = None, code: str | None = None
    ) -> ManifestError:
        position = f" at {where}" if where else ""
        return ManifestError(f"manifest {self._file}{position}: {what}", hint=hint, code=code)

    def table(self, value: Value, where: str, known: tuple[str, ...]) -> dict[str, Value]:
        return object_of(value, where, known, self.error)

    def grant(self, value: Value, where: str) -> GrantRequest:
        access, kind, path = self._place(value, where, tuple(map(str, Access)), ("directory", "file"))
        return GrantRequest(Access(access), path, directory=kind == "directory", source=USER)

    def sockets(self, value: Value) -> tuple[SocketRequest, ...]:
        where = "unix_sockets"
        if not isinstance(value, list):
            raise self.error(where, f"must be a list of grants, not {kind_of(value)}")
        if not 0 < len(value) <= MAX_SOCKET_GRANTS:
            raise self.error(where, f"must be from 1 to {MAX_SOCKET_GRANTS} grants, or absent")
        found = []
        for number, each in enumerate(value):
            position = f"{where}[{number}]"
            access, kind, path = self._place(each, position, ("bind", "connect"), tuple(map(str, Reach)))
            found.append(SocketRequest(path, Reach(kind), access == "bind", USER))
        return tuple(found)

    def _place(
        self, value: Value, where: str, accesses: tuple[str, ...], kinds: tuple[str, ...]
    ) -> tuple[str, str, bytes]:
        """Return access, type and path of a grant."""
        table = self.table(value, where, _GRANT)
        for key in _GRANT:
            if key not in table:
                raise self.error(where, f"{key} is missing")
        access = self.one_of(table["access"], f"{where}.access", accesses)
        kind = self.one_of(table["type"], f"{where}.type", kinds)
        self._source(table["source"], f"{where}.source")
        self._text(table["asked"], f"{where}.asked")
        path = self._text(table["path"], f"{where}.path")
        if (
            not path.startswith(b"/")
            or normalise(path) != path
            or b"\0" in path
            or len(path) > MAX_PATH_BYTES
        ):
            raise self.error(
                f"{where}.path",
                f"{shown(path[:MAX_PATH_BYTES])} is not canonical",
                hint="it is absolute, without . or .., doubled slashes, or one at its end",
                code=NOT_CANONICAL,
            )
        return access, kind, path

    def network(self, value: Value) -> tuple[Network, Ports]:
        table = self.table(value, "network", _NETWORK)
        if "mode" not in table:
            raise self.error("network", "mode is missing")
        mode = Network(self.one_of(table["mode"], "network.mode", tuple(map(str, Network))))
        lists = [self._ports(table, key) for key in _NETWORK[:-1]]
        if mode is Network.PORTS and None in lists:
            missing = _NETWORK[lists.index(None)]
            raise self.error("network", f"{missing} is missing")
        if mode is not Network.PORTS and lists != [None, None, None]:
            raise self.error("network", f"names ports, and its mode is {mode}")
        return mode, NO_PORTS if mode is not Network.PORTS else ports(*(each or () for each in lists))

    def limits(self, value: Value) -> dict[str, int]:
        if value == {}:
            return {}
        from runtime.policy import limits  # noqa: PLC0415  # few launches have any

        table = self.table(value, "limits", limits.MEMBERS)
        for member, each in table.items():
            if type(each) is not int:
                raise self.error(f"limits.{member}", f"must be a whole number, not {kind_of(each)}")
        found = cast("dict[str, int]", table)
        try:
            limits.check(found)
        except UsageError as error:
            raise self.error("limits", str(error), hint=error.hint) from None
        return found

    def _ports(self, table: dict[str, Value], key: str) -> list[int] | None:
        if key not in table:
            return None
        value, where = table[key], f"network.{key}"
        if not isinstance(value, list):
            raise self.error(where, f"must be a list of ports, not {kind_of(value)}")
        if len(value) > MAX_PORTS:
            raise self.error(where, f"more than {MAX_PORTS} ports")
        found: list[int] = []
        for number, port in enumerate(value):
            if type(port) is not int or not 1 <= port <= MAX_PORT:
                raise self.error(f"{where}[{number}]", f"must be a whole number from 1 to {MAX_PORT}")
            if port in found:
                raise self.error(f"{where}[{number}]", f"the port {port} is there twice")
            found.append(port)
        return found

    def one_of(self, value: Value, where: str, known: tuple[str, ...]) -> str:
        if not isinstance(value, str):
            raise self.error(where, f"must be one of {', '.join(known)}, not {kind_of(value)}")
        if value not in known:
            raise self.error(where, f"{quoted(value)} is none of {', '.join(known)}")
        return value

    def _source(self, value: Value, where: str) -> None:
        """Check who is said to have asked; here it is the user, whoever that was."""
        if isinstance(value, str):
            group = value.removeprefix(_GROUP)
            plain = group.isascii() and set(group) <= _OF_A_GROUP and 0 < len(group) <= _MAX_GROUP
            if value in (USER, PROFILE, SYSTEM) or (group != value and plain):
                return
        raise self.error(where, "must be user, profile, system or group:NAME")

    def _text(self, value: Value, where: str) -> bytes:
        """Return the bytes that a text of the record stands for."""
        if not isinstance(value, str | dict):
            raise self.error(where, f"must be a path, not {kind_of(value)}")
        try:
            return canonical.text_bytes(cast("Json", value))
        except MalformedError as error:
            raise self.error(
                where, f"must be text, or bytes that are none: {error}", hint='{"base64": "…"}, padded'
            ) from None
