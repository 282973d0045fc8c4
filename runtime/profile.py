"""Profiles: a JSON file that says what a kind of command needs.

Exactly three parts, ``filesystem``, ``network`` and ``session_hooks``; the form is published as
``runtime/schemas/profile.schema.json``. What is not in it is refused by name: a key that was misspelt
would otherwise be a grant, or a block, that silently is not there.

The bytes are read once, from one descriptor; what is hashed for the record is what is parsed.
"""

from __future__ import annotations

import codecs
import hashlib
import os
import stat
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from runtime.capabilities import MAX_PORT, MAX_PORTS, PROFILE, Access, Ports, ports
from runtime.document_words import bounded, did_you_mean, kind_of, quoted
from runtime.errors import ProfileError, UsageError
from runtime.grant_request import GrantRequest
from runtime.hooks import MAX_TIMEOUT_SECONDS, Hook
from runtime.path_names import absolute, from_here, homes, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_BYTES = 1 << 20
MAX_PATHS = 1024  # of each kind; Landlock itself has no bound, the record does
MAX_PATH_LENGTH = 4095  # characters; PATH_MAX is as many bytes and a NUL
DEFAULT_TIMEOUT_SECONDS = 30

_FILESYSTEM = {
    "allow": (Access.READWRITE, True),
    "read": (Access.READ, True),
    "write": (Access.WRITE, True),
    "allow_file": (Access.READWRITE, False),
    "read_file": (Access.READ, False),
    "write_file": (Access.WRITE, False),
}

# To connect to, to listen on, and both.
_PORTS = ("allow_connect_port", "listen_port", "open_port")

_Value: TypeAlias = "dict[str, _Value] | list[_Value] | str | int | float | bool | None"


class Profile(NamedTuple):
    """What one profile file says.

    Attributes:
        name: its file name without ``.json``.
        path: its absolute path; nothing may be granted for writing that contains it.
        sha256: lower-case hex digest of the bytes that were parsed.
        filesystem: the grants that it asks for, in the file's order within each key.
        block_network: whether it blocks the network; a profile cannot open it.
        ports: the TCP ports that it asks for.
        hooks: ``before`` and ``after``, where given.
    """

    name: bytes
    path: bytes
    sha256: str
    filesystem: tuple[GrantRequest, ...]
    block_network: bool
    ports: Ports
    hooks: Mapping[str, Hook]


def read_profile(path: bytes) -> Profile:
    """Read the profile at ``path``.

    ``~`` expands; a relative path is in the *current* directory, as any file that a command line
    names. What the profile names is not looked at here: :func:`runtime.grants.resolve` does that.

    Raises:
        ProfileError: it cannot be read, is no regular file of at most 1 MiB, or is not a profile.
    """
    home = next(iter(homes()), None)
    try:
        where = absolute(path, workdir=b"/" if path[:1] in b"~/" else from_here(b"."), home=home)
    except UsageError as error:
        raise ProfileError(f"cannot read the profile: {error}", hint=error.hint) from None
    data = _read(where)
    reader = _Reader(shown(path), home)
    document = reader.table(reader.parse(data), "", ("filesystem", "network", "session_hooks"))
    filesystem = reader.table(document.get("filesystem", {}), "filesystem", tuple(_FILESYSTEM))
    network = reader.table(document.get("network", {}), "network", ("block", *_PORTS))
    hooks = reader.table(document.get("session_hooks", {}), "session_hooks", ("before", "after"))
    return Profile(
        name=os.path.basename(where).removesuffix(b".json"),
        path=where,
        sha256=hashlib.sha256(data).hexdigest(),
        filesystem=tuple(
            request for key, value in filesystem.items() for request in reader.requests(key, value)
        ),
        block_network=reader.flag(network.get("block", False), "network.block"),
        ports=_ports(reader, network),
        hooks={kind: reader.hook(kind, value) for kind, value in hooks.items()},
    )


def _ports(reader: _Reader, network: dict[str, _Value]) -> Ports:
    """Return the ports of the section ``network``; the keys are the flags of ``nono run``."""
    connect, listen, both = (reader.ports(network.get(key, []), f"network.{key}") for key in _PORTS)
    return ports((*connect, *both), listen, both)


def _read(path: bytes) -> bytes:
    """Return the bytes of the regular file at ``path``; a FIFO or a device must not make us wait."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        raise _unreadable(path, os.strerror(error.errno or 0).lower()) from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise _unreadable(path, "not a regular file")
        data = bytearray()
        while len(data) <= MAX_BYTES:
            piece = os.read(descriptor, MAX_BYTES + 1 - len(data))
            if not piece:
                return bytes(data)
            data += piece
    except OSError as error:
        raise _unreadable(path, os.strerror(error.errno or 0).lower()) from None
    finally:
        os.close(descriptor)
    raise _unreadable(path, "larger than 1 MiB")


def _unreadable(path: bytes, why: str) -> ProfileError:
    return ProfileError(f"cannot read the profile {shown(path)}: {why}", code="profile.unreadable")


class _Reader:
    """Takes a parsed profile apart; every complaint names the file and the key."""

    def __init__(self, file: str, home: bytes | None) -> None:
        self._file = file
        self._home = home

    def error(self, where: str, what: str, *, hint: str | None = None) -> ProfileError:
        position = f" at {where}" if where else ""
        return ProfileError(f"profile {self._file}{position}: {what}", hint=hint)

    def parse(self, data: bytes) -> _Value:
        import json  # noqa: PLC0415  # only a launch with a profile pays for it

        if data.startswith(codecs.BOM_UTF8):
            raise self.error("", "begins with a byte order mark", hint="save it as UTF-8 without one")
        try:
            text = data.decode("utf-8")
            value: _Value = json.loads(
                text, object_pairs_hook=self._pairs, parse_constant=self._constant, parse_int=self._integer
            )
        except UnicodeDecodeError as error:
            raise self.error(f"byte {error.start}", "not UTF-8") from None
        except RecursionError:
            raise self.error("", "nested too deeply") from None
        except json.JSONDecodeError as error:
            where = f"line {error.lineno}, column {error.colno}"
            raise self.error(where, f"not JSON ({error.msg[:1].lower()}{error.msg[1:]})") from None
        return value

    def _pairs(self, pairs: list[tuple[str, _Value]]) -> _Value:
        table = dict(pairs)
        if len(table) != len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise self.error("", f"the key {quoted(twice)} is there twice in one object")
        return table

    def _constant(self, name: str) -> _Value:
        raise self.error("", f"not JSON ({name})")

    def _integer(self, digits: str) -> int:
        if len(digits) > 20:  # int() of a million digits takes its time, or refuses with its own error
            raise self.error("", f"the number {digits[:20]}… is too large")
        return int(digits)

    def table(self, value: _Value, where: str, known: tuple[str, ...]) -> dict[str, _Value]:
        if not isinstance(value, dict):
            raise self.error(where, f"must be an object, not {kind_of(value)}")
        for key in value:
            if key not in known:
                inside = f"{where}.{key}" if where else key
                raise self.error(bounded(inside), "unknown key", hint=did_you_mean(key, known))
        return value

    def flag(self, value: _Value, where: str) -> bool:
        if not isinstance(value, bool):
            raise self.error(where, f"must be true or false, not {kind_of(value)}")
        return value

    def ports(self, value: _Value, where: str) -> list[int]:
        if not isinstance(value, list):
            raise self.error(where, f"must be a list of ports, not {kind_of(value)}")
        if len(value) > MAX_PORTS:
            raise self.error(where, f"more than {MAX_PORTS} ports")
        found: list[int] = []
        for number, port in enumerate(value):
            if type(port) is not int or not 1 <= port <= MAX_PORT:
                raise self.error(f"{where}[{number}]", f"must be a whole number from 1 to {MAX_PORT}")
            found.append(port)
        return found

    def requests(self, key: str, value: _Value) -> list[GrantRequest]:
        where = f"filesystem.{key}"
        if not isinstance(value, list):
            raise self.error(where, f"must be a list of paths, not {kind_of(value)}")
        if len(value) > MAX_PATHS:
            raise self.error(where, f"more than {MAX_PATHS} paths")
        access, directory = _FILESYSTEM[key]
        return [
            GrantRequest(access, self._granted_path(item, f"{where}[{number}]"), directory, PROFILE)
            for number, item in enumerate(value)
        ]

    def hook(self, kind: str, value: _Value) -> Hook:
        where = f"session_hooks.{kind}"
        table = self.table(value, where, ("script", "timeout_secs", "required"))
        if "script" not in table:
            raise self.error(where, "script is missing")
        script = self._path(table["script"], f"{where}.script")
        # Not $WORKDIR: what the command can write there would run outside the sandbox next time.
        if not script.startswith((b"/", b"~/")):
            raise self.error(f"{where}.script", "must be an absolute path", hint="start it with / or ~/")
        timeout = table.get("timeout_secs", DEFAULT_TIMEOUT_SECONDS)
        if type(timeout) is not int or not 1 <= timeout <= MAX_TIMEOUT_SECONDS:
            raise self.error(
                f"{where}.timeout_secs", f"must be a whole number from 1 to {MAX_TIMEOUT_SECONDS}"
            )
        required = self.flag(table.get("required", False), f"{where}.required")
        if required and kind == "after":
            raise self.error(
                f"{where}.required",
                "an after-hook cannot be required: the command has run, and nothing is left to refuse",
                hint="leave it out; that an after-hook failed is said and recorded",
            )
        return Hook(
            kind=kind,
            script=self._expanded(script, f"{where}.script"),
            timeout_seconds=timeout,
            required=required,
        )

    def _granted_path(self, value: _Value, where: str) -> bytes:
        path = self._path(value, where)
        if path == b"$WORKDIR" or path.startswith(b"$WORKDIR/"):
            return path
        if path.startswith(b"$"):
            raise self.error(where, f"cannot expand {shown(path)}", hint="only ~ and $WORKDIR are expanded")
        if not path.startswith((b"/", b"~")):
            raise self.error(
                where,
                f"{shown(path)} is relative, and to what it would be is not said",
                hint=f"write $WORKDIR/{path.decode()} for the directory in which the command starts",
            )
        self._expanded(path, where)  # ~name is refused here, with its place
        return path

    def _path(self, value: _Value, where: str) -> bytes:
        if not isinstance(value, str):
            raise self.error(where, f"must be a path, not {kind_of(value)}")
        try:
            path = value.encode("utf-8")
        except UnicodeEncodeError:
            raise self.error(where, "a lone surrogate is no character") from None
        if not path or b"\0" in path or len(value) > MAX_PATH_LENGTH:
            raise self.error(where, f"must be a path of 1 to {MAX_PATH_LENGTH} characters without NUL")
        return path

    def _expanded(self, path: bytes, where: str) -> bytes:
        try:
            return absolute(path, workdir=b"/", home=self._home)
        except UsageError as error:
            raise self.error(where, str(error), hint=error.hint) from None
