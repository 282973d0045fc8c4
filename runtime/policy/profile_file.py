"""One profile file: what it says, every mistake named with its place.

A file is JSON, or, when its name ends in ``.jsonc``, JSON with comments and trailing commas
(:mod:`runtime.policy.jsonc`). The form is published as ``runtime/schemas/profile.schema.json``. What is not
in it is refused by name: a key that was misspelt would otherwise be a grant, or a block, that silently is not
there.

The bytes are read once, from one descriptor; what is hashed for the record is what is parsed.
What files say together, and which file a name means, is :mod:`runtime.policy.profile`.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, TypeVar

from attest import hashing
from attest.named_tuples import NamedTuple
from runtime.capability import environment
from runtime.capability.capabilities import (
    MAX_PORT,
    MAX_PORTS,
    MAX_SOCKET_GRANTS,
    PROFILE,
    SYSV,
    Access,
    Ports,
    ports,
)
from runtime.capability.environment_lists import Lists, is_pattern
from runtime.capability.grant_request import SOCKET_KEYS, GrantRequest, SocketRequest
from runtime.errors import ProfileError, UsageError
from runtime.kernel.bounded_reading import read_bounded
from runtime.kernel.path_names import absolute, homes, shown
from runtime.policy import blocked_commands
from runtime.policy.document_words import bounded, did_you_mean, is_plain, kind_of, quoted
from runtime.policy.strict_json import object_of, position, text_of, value_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runtime.capability.hook_request import Hook
    from runtime.policy.strict_json import Value

MAX_BYTES = 1 << 20
MAX_PATHS = 1024  # of each kind; Landlock itself has no bound, the record does
MAX_PATH_LENGTH = 4095  # characters; PATH_MAX is as many bytes and a NUL
MAX_EXTENDS = 15  # the record takes a chain of 16 files
MAX_NAMES = 1024  # patterns of one list, variables of set_vars
MAX_VALUE_LENGTH = 32_768  # characters; the kernel takes 128 KiB for a variable
MAX_DESCRIPTION = 200
DEFAULT_TIMEOUT_SECONDS = 30

JSONC = b".jsonc"
SUFFIXES = (JSONC, b".json")
"""In the order in which they are looked for."""

SECTIONS = (
    "$schema",
    "description",
    "extends",
    "filesystem",
    "network",
    "ipc",
    "groups",
    "environment",
    "env_credentials",
    "commands",
    "execs",
    "security",
    "limits",
    "session_hooks",
)

FILESYSTEM_KEYS = {
    "allow": (Access.READWRITE, True),
    "read": (Access.READ, True),
    "write": (Access.WRITE, True),
    "allow_file": (Access.READWRITE, False),
    "read_file": (Access.READ, False),
    "write_file": (Access.WRITE, False),
}
"""The keys of ``filesystem`` for files: what each grants, and whether of a directory."""

_COMMENTED = "comments, and a comma behind a last value, are for files whose names end in .jsonc"

PORT_KEYS = ("allow_connect_port", "listen_port", "open_port")
"""The keys of the network for ports: to connect to, to listen on, and both."""

SECURITY_KEYS = ("protect_metadata", "capability_elevation")
"""The keys of ``security``, which are the flags of ``run``."""

# Sets, since a regular expression takes longer to compile than the one profile of a launch to read.
_CONTROL = frozenset(map(chr, (*range(0x20), *range(0x7F, 0xA1))))
_LETTERS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
_NAME = _LETTERS | frozenset(b"._-")
_MAX_NAME = 64

_Item = TypeVar("_Item")


class ProfileFile(NamedTuple):
    """What one profile file says, by itself.

    Attributes:
        name: its file name without ``.json`` or ``.jsonc``.
        path: its absolute path; nothing may be granted for writing that contains it.
        sha256: lower-case hex digest of the bytes that were parsed.
        identity: device and inode of what was read.
        description: what it is for, in one line; may be empty.
        extends: the profiles that it builds upon, by name or path, in this order.
        filesystem: the grants that it asks for, in the file's order within each key.
        block_network: whether it blocks the network; a profile cannot open it.
        ports: the TCP ports that it asks for.
        unix_sockets: the grants on UNIX sockets that it asks for.
        sysv_ipc: whether it asks for System V memory, semaphores and queues.
        include: groups that it adds.
        exclude: groups that it leaves out.
        variables: what it says about the environment.
        hooks: ``before`` and ``after``, where given.
        credentials: references of secrets, by the variable that each is put into.
        allow_commands: names of commands that are not blocked.
        block_commands: names of commands that are blocked.
        trace_exec: whether every exec is seen.
        exec_allow: digests, programs and directories, beside which no program may run.
        protect_metadata: whether mode, owner, times and attributes of files are changed by the grants alone.
        capability_elevation: whether a person is asked about files that no grant covers.
        limits: what a launch is held to, by the names of the record.
    """

    name: bytes
    path: bytes
    sha256: str
    identity: tuple[int, int]
    description: str
    extends: tuple[bytes, ...]
    filesystem: tuple[GrantRequest, ...]
    block_network: bool
    ports: Ports
    unix_sockets: tuple[SocketRequest, ...]
    sysv_ipc: bool
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    variables: Lists
    hooks: Mapping[str, Hook]
    credentials: Mapping[str, str]
    allow_commands: tuple[bytes, ...]
    block_commands: tuple[bytes, ...]
    trace_exec: bool
    exec_allow: tuple[bytes, ...]
    protect_metadata: bool
    capability_elevation: bool
    limits: Mapping[str, int]


def is_name(text: bytes) -> bool:
    """Return whether a profile in nono's directory of profiles, or a built-in one, can be called so."""
    return 0 < len(text) <= _MAX_NAME and text[0] in _LETTERS and _NAME.issuperset(text) and not is_path(text)


def is_path(named: bytes) -> bool:
    """Return whether what names a profile is a path: it has a slash, or one of the two endings."""
    return b"/" in named or named.endswith(SUFFIXES)


def read_profile_file(path: bytes, *, called: bytes, trusted: bool = False) -> ProfileFile:
    """Read the profile file at ``path``.

    What it names is not looked at here: :func:`runtime.capability.grants.resolve` does that.

    Args:
        path: its absolute path.
        called: how it was named, for messages.
        trusted: whether it must belong to the user or to root, and be writable by nobody else.

    Raises:
        ProfileError: it cannot be read, is no regular file of at most 1 MiB, is not to be trusted, or is
            not a profile.
    """
    data, status = _read(path, called, trusted=trusted)
    reader = _Reader(called, next(iter(homes()), None))
    document = reader.table(reader.parse(data, comments=path.endswith(JSONC)), "", SECTIONS)
    reader.schema(document.get("$schema", ""))
    filesystem = reader.table(document.get("filesystem", {}), "filesystem", (*FILESYSTEM_KEYS, *SOCKET_KEYS))
    groups = reader.table(document.get("groups", {}), "groups", ("include", "exclude"))
    hooks = reader.table(document.get("session_hooks", {}), "session_hooks", ("before", "after"))
    commands = reader.table(document.get("commands", {}), "commands", ("allow", "block"))
    execs = reader.table(document.get("execs", {}), "execs", ("trace", "allow"))
    security = reader.table(document.get("security", {}), "security", SECURITY_KEYS)
    protects, elevates = (reader.flag(security.get(key, False), f"security.{key}") for key in SECURITY_KEYS)
    ipc = reader.table(document.get("ipc", {}), "ipc", (SYSV,))
    blocks, asked_ports = reader.network(document.get("network", {}))
    return ProfileFile(
        name=_stem(path),
        path=path,
        sha256=hashing.hexdigest(data),
        identity=(status.st_dev, status.st_ino),
        description=reader.description(document.get("description", "")),
        extends=reader.extends(document.get("extends", [])),
        filesystem=tuple(
            request
            for key, value in filesystem.items()
            if key in FILESYSTEM_KEYS
            for request in reader.requests(key, value)
        ),
        block_network=blocks,
        ports=asked_ports,
        unix_sockets=tuple(
            request
            for key, value in filesystem.items()
            if key in SOCKET_KEYS
            for request in reader.sockets(key, value)
        ),
        sysv_ipc=reader.flag(ipc.get(SYSV, False), f"ipc.{SYSV}"),
        include=reader.groups("include", groups.get("include", [])),
        exclude=reader.groups("exclude", groups.get("exclude", [])),
        variables=reader.variables(document.get("environment", {})),
        hooks={kind: reader.hook(kind, value) for kind, value in hooks.items()},
        credentials=reader.credentials(document.get("env_credentials", {})),
        allow_commands=reader.commands("allow", commands.get("allow", [])),
        block_commands=reader.commands("block", commands.get("block", [])),
        trace_exec=reader.flag(execs.get("trace", False), "execs.trace"),
        exec_allow=reader.programs(execs.get("allow", [])),
        protect_metadata=protects,
        capability_elevation=elevates,
        limits=reader.limits(document.get("limits", {})),
    )


def _stem(path: bytes) -> bytes:
    name = os.path.basename(path)
    return next((name.removesuffix(suffix) for suffix in SUFFIXES if name.endswith(suffix)), name)


def _read(path: bytes, called: bytes, *, trusted: bool) -> tuple[bytes, os.stat_result]:
    """Return the bytes of the regular file at ``path``."""
    try:
        descriptor = _open_regular(path, called)
    except OSError as error:
        raise _unreadable(called, os.strerror(error.errno or 0).lower()) from None
    try:
        status = os.fstat(descriptor)
        if trusted:
            _require_trusted(path, status)
        data = read_bounded(descriptor, MAX_BYTES)
    except OSError as error:
        raise _unreadable(called, os.strerror(error.errno or 0).lower()) from None
    finally:
        os.close(descriptor)
    if data is None:
        raise _unreadable(called, "larger than 1 MiB")
    return data, status


def _open_regular(path: bytes, called: bytes) -> int:
    # Whoever looks at a stranger's profile opens what it extends, and merely to open a FIFO or a device for
    # reading is heard by somebody: a watchdog begins to count, a tape rewinds, a writer goes on.
    handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise _unreadable(called, "not a regular file")
        return os.open(b"/proc/self/fd/%d" % handle, os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(handle)


def _require_trusted(path: bytes, status: os.stat_result) -> None:
    if status.st_uid not in {0, os.geteuid()}:
        raise ProfileError(
            f"the profile {shown(path)} belongs to another user",
            code="profile.untrusted",
            hint="it must belong to you or to root; a profile that is named by its path may be anybody's",
        )
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ProfileError(
            f"the profile {shown(path)} can be written by others",
            code="profile.untrusted",
            hint=f"chmod go-w {shown(path)}",
        )


def _unreadable(called: bytes, why: str) -> ProfileError:
    return ProfileError(f"cannot read the profile {shown(called)}: {why}", code="profile.unreadable")


class _Reader:
    """Takes a parsed profile apart; every complaint names the file and the key."""

    def __init__(self, called: bytes, home: bytes | None) -> None:
        self._file = shown(called)
        self._home = home

    def error(self, where: str, what: str, *, hint: str | None = None) -> ProfileError:
        position = f" at {where}" if where else ""
        return ProfileError(f"profile {self._file}{position}: {what}", hint=hint)

    def parse(self, data: bytes, *, comments: bool) -> Value:
        text = text_of(data, self.error)
        if not comments:
            return value_of(text, self.error, commented=_COMMENTED)
        from runtime.policy import jsonc  # noqa: PLC0415  # a profile without comments does not pay for it

        try:
            return value_of(jsonc.without_comments(text), self.error)
        except jsonc.UnclosedCommentError as error:
            raise self.error(position(text, error.position), "the comment is not closed") from None

    def table(self, value: Value, where: str, known: tuple[str, ...]) -> dict[str, Value]:
        return object_of(value, where, known, self.error)

    def flag(self, value: Value, where: str) -> bool:
        if not isinstance(value, bool):
            raise self.error(where, f"must be true or false, not {kind_of(value)}")
        return value

    def network(self, value: Value) -> tuple[bool, Ports]:
        """Return whether the section blocks the network, and its ports; the keys are the flags of ``run``."""
        table = self.table(value, "network", ("block", *PORT_KEYS))
        connect, listen, both = (self._ports(table.get(key, []), f"network.{key}") for key in PORT_KEYS)
        blocks = self.flag(table.get("block", False), "network.block")
        return blocks, ports((*connect, *both), listen, both)

    def _ports(self, value: Value, where: str) -> list[int]:
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

    def schema(self, value: Value) -> None:
        """Check ``$schema``, which is for editors and says nothing to us."""
        if not isinstance(value, str):
            raise self.error("$schema", f"must be a string, not {kind_of(value)}")

    def description(self, value: Value) -> str:
        if not isinstance(value, str):
            raise self.error("description", f"must be a string, not {kind_of(value)}")
        if len(value) > MAX_DESCRIPTION or not _CONTROL.isdisjoint(value):
            raise self.error("description", f"must be one line of at most {MAX_DESCRIPTION} characters")
        return value

    def extends(self, value: Value) -> tuple[bytes, ...]:
        if isinstance(value, str):
            return (self._extended(value, "extends"),)
        return self._strings(value, "extends", "profiles", MAX_EXTENDS, self._extended)

    def _extended(self, value: Value, where: str) -> bytes:
        if not isinstance(value, str):
            raise self.error(where, f"must be the name or the path of a profile, not {kind_of(value)}")
        named = self._path(value, where)
        if not is_path(named) and not is_name(named):
            raise self.error(
                where,
                f"{quoted(value)} is neither the name of a profile nor a path",
                hint="a name has letters, digits, . _ and -; a path has a slash, or ends in .json or .jsonc",
            )
        return named

    def groups(self, kind: str, value: Value) -> tuple[str, ...]:
        def group(item: Value, where: str) -> str:
            from runtime.capability.tool_groups import GROUPS  # noqa: PLC0415  # a file that names none needs none of it

            if not isinstance(item, str):
                raise self.error(where, f"must be the name of a group, not {kind_of(item)}")
            if item not in GROUPS:
                raise self.error(where, f"no group {quoted(item)}", hint=did_you_mean(item, tuple(GROUPS)))
            if kind == "exclude" and GROUPS[item].required:
                raise self.error(
                    where,
                    f"the group {item} is required: it denies {GROUPS[item].description}",
                    hint="--bypass-protection lifts the protection of one path, for one launch",
                )
            return item

        return self._strings(value, f"groups.{kind}", "groups", MAX_NAMES, group)

    def _strings(
        self,
        value: Value,
        where: str,
        what: str,
        most: int,
        item: Callable[[Value, str], _Item],
    ) -> tuple[_Item, ...]:
        if not isinstance(value, list):
            raise self.error(where, f"must be a list of {what}, not {kind_of(value)}")
        if len(value) > most:
            raise self.error(where, f"more than {most} {what}")
        return tuple(item(each, f"{where}[{number}]") for number, each in enumerate(value))

    def variables(self, value: Value) -> Lists:
        table = self.table(value, "environment", ("allow", "deny", "set_vars"))
        given = table.get("set_vars", {})
        if not isinstance(given, dict):
            raise self.error("environment.set_vars", f"must be an object, not {kind_of(given)}")
        if len(given) > MAX_NAMES:
            raise self.error("environment.set_vars", f"more than {MAX_NAMES} variables")
        return Lists(
            allow=self._patterns("allow", table["allow"]) if "allow" in table else None,
            deny=self._patterns("deny", table.get("deny", [])),
            set_vars=dict(self._variable(name, text) for name, text in given.items()),
        )

    def _patterns(self, kind: str, value: Value) -> tuple[bytes, ...]:
        def pattern(item: Value, where: str) -> bytes:
            if not isinstance(item, str):
                raise self.error(where, f"must be the name of a variable, not {kind_of(item)}")
            if not item.isascii() or not is_pattern(item.encode("ascii")):
                raise self.error(
                    where,
                    f"{quoted(item)} is neither the name of a variable nor the beginning of names",
                    hint="letters, digits and _, no digit first, and at most one *, at the end",
                )
            return item.encode("ascii")

        return self._strings(value, f"environment.{kind}", "names", MAX_NAMES, pattern)

    def _variable(self, name: str, value: Value) -> tuple[bytes, bytes]:
        where = f"environment.set_vars.{bounded(name)}"
        if not name.isascii() or not environment.is_name(name.encode("ascii")):
            raise self.error(
                where, "not the name of a variable", hint="letters, digits and _, no digit first"
            )
        if environment.is_own(name.encode("ascii")):
            raise self.error(where, "nono sets this one itself")
        if not isinstance(value, str):
            raise self.error(where, f"must be a string, not {kind_of(value)}")
        if "\0" in value or len(value) > MAX_VALUE_LENGTH:
            raise self.error(where, f"must be at most {MAX_VALUE_LENGTH} characters without NUL")
        try:
            encoded = value.encode("utf-8")
        except UnicodeEncodeError:
            raise self.error(where, "a lone surrogate is no character") from None
        if environment.holds_private_key(encoded):
            raise self.error(where, "holds a private key", hint="a profile is no place for secrets")
        return name.encode("ascii"), encoded

    def credentials(self, value: Value) -> dict[str, str]:
        if not isinstance(value, dict):
            raise self.error("env_credentials", f"must be an object, not {kind_of(value)}")
        if not value:
            return {}
        from runtime.policy import credentials  # noqa: PLC0415  # few profiles name any

        if len(value) > credentials.MAX_CREDENTIALS:
            raise self.error("env_credentials", f"more than {credentials.MAX_CREDENTIALS} variables")
        found: dict[str, str] = {}
        for name, reference in value.items():
            where = f"env_credentials.{bounded(name)}"
            try:
                environment.require_secret_name(name.encode("utf-8", "replace"))
            except UsageError as error:
                raise self.error(where, str(error), hint=error.hint) from None
            if not isinstance(reference, str):
                raise self.error(where, f"must be a reference, not {kind_of(reference)}")
            if wrong := credentials.fault(reference):
                raise self.error(where, wrong, hint="a profile says where a secret lies, never the secret")
            found[name] = reference
        return found

    def commands(self, kind: str, value: Value) -> tuple[bytes, ...]:
        def command(item: Value, where: str) -> bytes:
            if not isinstance(item, str):
                raise self.error(where, f"must be the name of a command, not {kind_of(item)}")
            name = item.encode("utf-8", "surrogatepass")
            if not is_plain(item) or not blocked_commands.is_command_name(name):
                raise self.error(where, f"{quoted(item)} is not the name of a command, which has no slash")
            return name

        return self._strings(value, f"commands.{kind}", "names", blocked_commands.MAX_NAMES, command)

    def programs(self, value: Value) -> tuple[bytes, ...]:
        if value == []:
            return ()
        from runtime.capability import exec_rules  # noqa: PLC0415  # few profiles name any

        def rule(item: Value, where: str) -> bytes:
            if isinstance(item, str) and item.isascii() and exec_rules.is_digest(item.encode()):
                return item.encode()
            return self._granted_path(item, where)

        return self._strings(value, "execs.allow", "programs", exec_rules.MAX_RULES, rule)

    def limits(self, value: Value) -> dict[str, int]:
        if value == {}:
            return {}
        from runtime.policy import limits  # noqa: PLC0415  # few profiles have any

        found: dict[str, int] = {}
        for name, each in self.table(value, "limits", limits.NAMES).items():
            try:
                found |= limits.asked({name: each})
            except UsageError as error:
                raise self.error("limits", str(error), hint=error.hint) from None
        return found

    def requests(self, key: str, value: Value) -> list[GrantRequest]:
        access, directory = FILESYSTEM_KEYS[key]
        return [
            GrantRequest(access, path, directory, PROFILE)
            for path in self._strings(value, f"filesystem.{key}", "paths", MAX_PATHS, self._granted_path)
        ]

    def sockets(self, key: str, value: Value) -> list[SocketRequest]:
        where = f"filesystem.{key}"
        reach, bind = SOCKET_KEYS[key]
        return [
            SocketRequest(path, reach, bind, PROFILE)
            for path in self._strings(value, where, "paths", MAX_SOCKET_GRANTS, self._granted_path)
        ]

    def hook(self, kind: str, value: Value) -> Hook:
        from runtime.capability.hook_request import MAX_TIMEOUT_SECONDS, Hook  # noqa: PLC0415  # few profiles have one

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

    def _granted_path(self, value: Value, where: str) -> bytes:
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

    def _path(self, value: Value, where: str) -> bytes:
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
