"""Conditions on one launch: what a policy asks of it, held against what its entries say.

A condition speaks about one kind of entry, so each is judged as soon as that entry comes, and a launch needs
to be remembered by what it failed alone. What an entry does not show (a blob that was taken away) is failed:
a condition holds when the record says so, and not when it is silent.
"""

from __future__ import annotations

import fnmatch
import functools
import re
from typing import TYPE_CHECKING, Any

from attest import canonical
from attest.named_tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from attest.canonical import Json


class Failure(NamedTuple):
    """A condition that a launch failed: the finding's code, and what its entry does, without a full stop."""

    code: str
    what: str


class FilePattern(NamedTuple):
    """A file by its path, its SHA-256 (hex), or both; with neither it is any."""

    path: str | None = None
    sha256: str | None = None

    def matches(self, path: Json, sha256: Json) -> bool:
        """Return whether a recorded path and digest are meant."""
        return self.path in {None, path if isinstance(path, str) else ""} and self.sha256 in {None, sha256}


MAX_GRANT_FINDINGS = 4
"""How many grants of one launch are reported."""

_MAX_SHOWN = 200

# What every launch is granted by nono itself, whoever asks: its private temporary directory, the file that
# says what it may do (its name is the session's), and devices, its own terminal among them. A policy about
# places means what was asked for beyond that. Other grants of the source "system" (the program, a file that a
# standard stream is) reach something that somebody chose, and files in the directories below /dev, /dev/shm
# for one, are no devices; terminals are.
_OWN_DIRECTORY = re.compile(rb"(?s:.*)/nono-[0-9a-f]{20}")
_DEVICE = re.compile(rb"/dev/(?:pts/)?[^/]+")
_DEVICE_SOURCES = frozenset({"system", "group:devices"})
_NO_CANONICAL_PARTS = frozenset({b"", b".", b".."})


class Conditions(NamedTuple):
    """What is asked of a launch; None, or an empty tuple, where nothing is.

    Attributes:
        attested: it is closed by a signed statement.
        bypass: False: no protection was bypassed.
        executables: the program that was launched and each interpreter of it is one of these; what those
            started in turn is not recorded.
        execs: what is seen of its execs at least: ``trace``, or ``allow``, limited to some programs.
        exit: the exit codes that it may have ended with.
        hooks: by name, the hook that it had, which succeeded.
        labels: what its labels contain.
        network: the widest network mode.
        no_grant_under: canonical paths; none of them, nothing in and nothing above them was granted.
        no_write_under: the same, for writing.
        outputs: patterns, of each of which an output was hashed.
        profiles: what each file of the profile's chain is one of.
        system_configurations: hex digests, of which the host's configuration that was in force has one.
        sysv_ipc: False: System V memory, semaphores and queues were closed.
        unix_sockets: False: no UNIX socket was granted.
        write_only_under: canonical paths; what was granted for writing is or lies in one of them.
        output_sha256: hex digest that an output has.
    """

    attested: bool = False
    bypass: bool | None = None
    executables: tuple[FilePattern, ...] = ()
    execs: str | None = None
    exit: frozenset[int] | None = None
    hooks: tuple[tuple[str, FilePattern], ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    network: str | None = None
    no_grant_under: tuple[str, ...] = ()
    no_write_under: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    profiles: tuple[FilePattern, ...] = ()
    system_configurations: tuple[str, ...] = ()
    sysv_ipc: bool | None = None
    unix_sockets: bool | None = None
    write_only_under: tuple[str, ...] = ()
    output_sha256: str | None = None

    @property
    def about_capabilities(self) -> bool:
        """Whether the capability set is asked about."""
        closed = self.unix_sockets is False or self.sysv_ipc is False
        return bool(self.network or closed or self.about_places)

    @property
    def about_places(self) -> bool:
        """Whether it is asked what was granted."""
        return bool(self.no_grant_under or self.no_write_under or self.write_only_under)

    def intent(self, data: Mapping[str, Any]) -> Iterator[Failure]:
        """Judge what was asked; ``data`` is that of a ``launch.intent``."""
        if self.bypass is False and data["bypass_protection"]:
            count = len(data["bypass_protection"])
            yield Failure("policy.bypass", f"bypasses protection in {count} place{'s' * (count > 1)}")
        lacking = [f"{key}={value}" for key, value in self.labels if data["labels"].get(key) != value]
        if lacking:
            yield Failure("policy.label", f"has not the label {lacking[0]}")
        if self.profiles:
            chain = data["profile"]
            if not chain:
                yield Failure("policy.profile", "asks for no profile")
            for file in chain:
                if not any(each.matches(file["name"], file["sha256"]) for each in self.profiles):
                    yield Failure(
                        "policy.profile", f"has the profile {_shown(file['name'])}, which is none of those"
                    )
                    break
        yield from self._host(data)
        for name, pattern in self.hooks:
            hook = data["hooks"].get(name)
            if hook is None:
                yield Failure("policy.hook", f"has no {name}-hook")
            elif not pattern.matches(hook["path"], hook["sha256"]):
                yield Failure("policy.hook", f"has another {name}-hook, {_shown(hook['path'])}")

    def _host(self, data: Mapping[str, Any]) -> Iterator[Failure]:
        if not self.system_configurations:
            return
        digest = data.get("configuration", {}).get("system")
        if digest is None:
            yield Failure("policy.configuration", "was under no configuration of its host")
        elif digest not in self.system_configurations:
            what = f"was under its host's configuration {digest}, which is none of those"
            yield Failure("policy.configuration", what)

    def hook(self, data: Mapping[str, Any]) -> Iterator[Failure]:
        """Judge a ``hook.result``."""
        if any(name == data["hook"] for name, _ in self.hooks) and (
            data["timed_out"] or data.get("exit") != 0
        ):
            yield Failure("policy.hook", f"says that the {data['hook']}-hook failed")

    def start(self, data: Mapping[str, Any], capabilities: Json, session: str) -> Iterator[Failure]:
        """Judge what was to run; ``data`` is that of a ``launch.start``.

        Args:
            data: what the entry says.
            capabilities: the effective capability set, or None when it is not to be had.
            session: the launch's.
        """
        achieved = data["enforcement"]["achieved"]
        if self.executables:
            for image in (data["executable"], *data["interpreters"]):
                if not any(each.matches(image["path"], image["sha256"]) for each in self.executables):
                    which = f"{_shown(image['path'])} (sha256 {image['sha256'][:16]}…)"
                    yield Failure("policy.executable", f"runs {which}, which is none of those")
                    break
        tracing = data.get("execs", {}).get("tracing", "none")
        if self.execs is not None and tracing not in {"allow", self.execs}:
            yield Failure(
                "policy.execs", f"has as its tracing of execs {tracing}, which is less than {self.execs}"
            )
        if self.network == "blocked" and not achieved["network"]:  # waived, so it is said and not enforced
            yield Failure("policy.network", "starts with a network that nothing blocks")
        if self.unix_sockets is False and not achieved["filter"]:
            yield Failure("policy.socket", "starts with UNIX sockets that nothing refuses")
        if self.sysv_ipc is False and not achieved["filter"]:
            yield Failure("policy.ipc", "starts with System V memory that nothing refuses")
        if self.about_places and not achieved["filesystem"]:
            yield Failure("policy.grant", "starts with grants that nothing enforces")
        if not self.about_capabilities:
            return
        if not isinstance(capabilities, dict):
            yield Failure("policy.undecided", "does not show its capability set, which the policy asks about")
            return
        yield from self._capabilities(capabilities, session)

    def _capabilities(self, capabilities: dict[str, Any], session: str) -> Iterator[Failure]:
        mode = capabilities["network"]["mode"]
        if self.network == "blocked" and mode != "blocked":
            yield Failure("policy.network", f"has the network {mode}, which was to be blocked")
        if self.unix_sockets is False and (granted := capabilities.get("unix_sockets")):
            first = _shown(granted[0]["path"])
            yield Failure("policy.socket", f"grants UNIX sockets, which were to be closed: {first}")
        if self.sysv_ipc is False and "ipc" in capabilities:
            yield Failure("policy.ipc", "shares System V memory, semaphores and queues with what is outside")
        for grant in capabilities["files"] if self.about_places else ():
            if not _is_canonical(canonical.text_bytes(grant["path"])):
                what = (
                    f"grants {_shown(grant['path'])}, which is no canonical path, so its place is not known"
                )
                yield Failure("policy.undecided", what)
            elif not _is_own(grant, session):
                yield from self._grant(grant)
        for socket in capabilities.get("unix_sockets", ()) if self.about_places else ():
            # To make a socket is to write; one that is connected to lies in a place as a file does.
            yield from self._grant(
                {
                    "access": "readwrite" if socket["access"] == "bind" else "read",
                    "path": socket["path"],
                    "type": "file" if socket["type"] == "socket" else "directory",
                }
            )

    def _grant(self, grant: dict[str, Any]) -> Iterator[Failure]:
        path, writes = canonical.text_bytes(grant["path"]), grant["access"] != "read"
        is_directory = grant["type"] == "directory"
        for place in _places(self.no_grant_under).opened_by(path, is_directory=is_directory):
            yield Failure("policy.grant", f"grants {_shown(grant['path'])}, which opens {place}")
        if not writes:
            return
        for place in _places(self.no_write_under).opened_by(path, is_directory=is_directory):
            what = f"grants {_shown(grant['path'])} for writing, which opens {place}"
            yield Failure("policy.write", what)
        if self.write_only_under and not any(_places(self.write_only_under).around(path)):
            what = f"grants {_shown(grant['path'])} for writing, which lies outside of what may be written"
            yield Failure("policy.write", what)

    def direct(self) -> Iterator[Failure]:
        """Judge a launch that ends with its start, because nobody stayed to see how it went on."""
        if self.exit is not None or self.outputs or self.output_sha256 is not None:
            yield Failure(
                "policy.undecided",
                "is of a direct launch, which does not show how it ended, which the policy asks about",
            )

    def outcome(self, data: Mapping[str, Any]) -> Iterator[Failure]:
        """Judge how it ended; ``data`` is that of a ``launch.outcome``."""
        if self.exit is not None and data.get("exit") not in self.exit:
            yield Failure("policy.exit", f"says that it {_ended(data)}")
        hashed = [output for output in data["outputs"] if "sha256" in output]
        for pattern in self.outputs:
            if not any(_is_called(output["path"], pattern) for output in hashed):
                yield Failure("policy.output", f"has no hashed output {pattern}")
        if self.output_sha256 is not None and all(out["sha256"] != self.output_sha256 for out in hashed):
            yield Failure("require.output", "has no output of that SHA-256")


def _is_own(grant: dict[str, Any], session: str) -> bool:
    path, is_of_system = canonical.text_bytes(grant["path"]), grant["source"] == "system"
    if grant["type"] == "directory":
        return is_of_system and _OWN_DIRECTORY.fullmatch(path) is not None
    if path.endswith(f"/nono/capabilities/{session}.json".encode()):
        return is_of_system and bool(grant["access"] == "read")
    return grant["source"] in _DEVICE_SOURCES and _DEVICE.fullmatch(path) is not None


def _is_canonical(path: bytes) -> bool:
    """Return whether a path is absolute and means what it says: no ``..``, no empty part."""
    root, *parts = path.split(b"/")
    return path == b"/" or (not root and bool(parts) and _NO_CANONICAL_PARTS.isdisjoint(parts))


def _ended(data: Mapping[str, Any]) -> str:
    if "exit" in data:
        return f"ended with exit code {data['exit']}"
    return f"was ended by signal {data['signal']}" if "signal" in data else "never ran"


class _Places:
    """Places of a policy, looked up by the paths above them: there may be far more grants than places."""

    def __init__(self, places: tuple[str, ...]) -> None:
        self._names = {place.encode(): place for place in places}
        self._longest = max(map(len, self._names), default=0)
        self._below: dict[bytes, list[str]] = {}
        for place, name in self._names.items():
            for above in _upwards(place, len(place)):
                if above != place:
                    self._below.setdefault(above, []).append(name)

    def around(self, path: bytes) -> Iterator[str]:
        """Return those which a path is or lies in."""
        return (self._names[above] for above in _upwards(path, self._longest) if above in self._names)

    def opened_by(self, path: bytes, *, is_directory: bool) -> Iterator[str]:
        """Return those of which a grant on a path opens something: a directory opens all that is below."""
        yield from self.around(path)
        if is_directory:
            yield from self._below.get(path, ())[:MAX_GRANT_FINDINGS]  # no more are reported of all


@functools.lru_cache
def _places(places: tuple[str, ...]) -> _Places:
    return _Places(places)


def _upwards(path: bytes, longest: int) -> Iterator[bytes]:
    """Return the root, and each part of a canonical path on the way to it that is not too long."""
    yield b"/"
    end = path.find(b"/", 1, longest + 1)
    while end > 0:
        yield path[:end]
        end = path.find(b"/", end + 1, longest + 1)
    if 1 < len(path) <= longest:
        yield path


def _is_called(path: Json, pattern: str) -> bool:
    """Return whether an output's path, or its last part where the pattern is no path, is meant."""
    if not isinstance(path, str):
        return False
    return fnmatch.fnmatchcase(path if "/" in pattern else path.rpartition("/")[2], pattern)


def _shown(text: Json) -> str:
    """Return recorded bytes as words; a sentence is no place for more than a screen of them."""
    shown = canonical.text_bytes(text).decode("utf-8", "backslashreplace")
    return shown if len(shown) <= _MAX_SHOWN else f"{shown[:_MAX_SHOWN]}…"
