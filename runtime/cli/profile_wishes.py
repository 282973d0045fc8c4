"""What a recorded launch was refused, or a person gave it, as a profile would grant it.

Whatever is in the ledger was chosen by the command: each wish is judged as a grant of a profile would be, and
what cannot be granted, or was refused by a person, says so instead.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from attest import canonical
from attest import entry as entries
from attest.errors import NonoError
from attest.named_tuples import NamedTuple
from runtime.broker.approver import PERSON
from runtime.capability.capabilities import MAX_PORT, MAX_PORTS, MAX_SOCKET_GRANTS, PROFILE, Access, Reach
from runtime.capability.grant_request import GrantRequest, SocketRequest
from runtime.capability.protected import Guard, Untouchable, own_code_paths
from runtime.errors import GrantError, ProfileError
from runtime.kernel.path_names import normalise, shown
from runtime.policy.profile_file import FILESYSTEM_KEYS, MAX_PATHS
from store import locations

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from store.index import RecordedLaunch


class Wish(NamedTuple):
    """One file, socket or port that a launch was refused, or that a person gave it.

    Attributes:
        key: that of the profile which would grant it.
        value: as the profile writes it: a path, absolute and normalised, or a port.
        reason: what was recorded, of one line.
        obstacle: why it is not granted, None when it is.
    """

    key: str
    value: bytes | int
    reason: str
    obstacle: str | None


def wishes_of(arguments: argparse.Namespace) -> list[Wish]:
    """Return what the recorded launch was refused, and the files that a person gave it.

    Raises:
        NonoError: the ledger or the index cannot be used, the ledger's entries do not lead to its head,
            there is no such launch, or nothing was refused or given to it.
    """
    from runtime.cli.chosen_launch import chosen_launch  # noqa: PLC0415  # SQLAlchemy, for whoever needs it
    from runtime.cli.chosen_ledger import chosen_index, chosen_ledger  # noqa: PLC0415  # likewise
    from store.index import reread  # noqa: PLC0415  # likewise

    with chosen_index(arguments.index) as index:
        ledger = index.catch_up(chosen_ledger(arguments.ledger))
        if not ledger.consistent:
            raise NonoError(
                f"the entries of {shown(ledger.path)} do not lead to its own head: it was changed or damaged",
                code="audit.inconsistent",
                hint=f"nono-verify {shown(ledger.path)}",
            )
        recorded = reread(ledger.path, chosen_launch(index, ledger, arguments.from_session))
    wishes = [*_files(recorded), *_refused_sockets(recorded), *_refused_ports(recorded)]
    if not wishes:
        raise ProfileError(
            f"no refused file, socket or port is recorded of the launch {recorded.launch.session}:"
            " there is nothing to grant",
            code="profile.no_refusals",
            hint=f"what is recorded: nono audit show {recorded.launch.session[:12]}",
        )
    return wishes


class _Decision(NamedTuple):
    """What an entry says: of what, the verdict, by whom, and why."""

    subject: bytes
    granted: bool
    by: str
    reason: str


def _decisions(recorded: RecordedLaunch, what: str) -> Iterator[_Decision]:
    """Yield what was decided of one kind."""
    for item in recorded.entries:
        if item.fault is None and item.entry.kind == entries.DECISION and item.entry.data["what"] == what:
            data = item.entry.data
            subject = canonical.text_bytes(data["subject"])
            yield _Decision(subject, data["verdict"] == "granted", str(data["by"]), str(data["reason"]))


def _refusals(recorded: RecordedLaunch, what: str) -> Iterator[tuple[bytes, str]]:
    """Yield subject and reason of what was refused of one kind, each subject once."""
    known: set[bytes] = set()
    for decision in _decisions(recorded, what):
        if not decision.granted and decision.subject not in known:
            known.add(decision.subject)
            yield decision.subject, decision.reason


# What a subject begins with where more is known than the path: what a person was asked for
# (runtime.broker.approver), and what changes metadata (runtime.broker.metadata_mediation).
_ACCESSES = {
    b"read": Access.READ,
    b"write": Access.WRITE,
    b"read and write": Access.READWRITE,
    b"make": Access.WRITE,
    b"make and read": Access.READWRITE,
    **dict.fromkeys((b"chmod", b"chown", b"utime", b"setxattr", b"removexattr", b"chattr"), Access.WRITE),
}
_KEYS = {granting: key for key, granting in FILESYSTEM_KEYS.items()}


def _files(recorded: RecordedLaunch) -> Iterator[Wish]:
    """Yield the narrowest grant for each file that was refused, or that a person gave; each once."""
    guard = _guard()
    counts = dict.fromkeys(FILESYSTEM_KEYS, 0)
    known: set[tuple[str, bytes]] = set()
    for decision in _decisions(recorded, "file"):
        verb, _, asked = decision.subject.partition(b" /")
        access = _ACCESSES.get(verb)
        if decision.granted and access is None:
            continue
        path = decision.subject if access is None else b"/" + asked
        path = normalise(path) if path.startswith(b"/") else path
        directory = os.path.isdir(path) if path.startswith(b"/") and b"\0" not in path else False
        reason = decision.reason
        if verb.startswith(b"make") and access is not None and not os.path.lexists(path):
            # What is to be made is in no grant but on its directory.
            reason = f"to make {shown(os.path.basename(path))}: {reason}"
            path, directory = os.path.dirname(path), True
        request = GrantRequest(access or Access.READ, path, directory, PROFILE)
        key = _KEYS[request.access, directory]
        if (key, path) in known:
            continue
        known.add((key, path))
        obstacle = _obstacle(request, guard)
        if obstacle is None and decision.by == PERSON and not decision.granted:
            obstacle = "a person refused it"
        if obstacle is None:
            counts[key] += 1
            if counts[key] > MAX_PATHS:
                obstacle = "one path too many"
        yield Wish(key, path, reason, obstacle)


def _refused_sockets(recorded: RecordedLaunch) -> Iterator[Wish]:
    """Yield a grant for each socket by itself: ``connect PATH`` or ``bind PATH`` was refused."""
    guard = _guard()
    for count, (subject, reason) in enumerate(_refusals(recorded, "unix-socket")):
        verb, _, path = subject.partition(b" ")
        request = SocketRequest(path, Reach.SOCKET, verb == b"bind", PROFILE)
        obstacle = _obstacle(request, guard, there=False)
        if verb not in (b"connect", b"bind"):
            obstacle = "neither to connect nor to bind"
        elif obstacle is None and count >= MAX_SOCKET_GRANTS:
            obstacle = "one socket too many"
        yield Wish("unix_socket_bind" if request.bind else "unix_socket", path, reason, obstacle)


_ADDRESS = re.compile(rb"(connect|listen) (127\.[0-9.]+|\[::1\]|[0-9.]+|\[[0-9a-f:.]+\]):([1-9][0-9]{0,4})")


def _refused_ports(recorded: RecordedLaunch) -> Iterator[Wish]:
    """Yield a grant for each port: to connect to, to listen on, or to open for this host alone."""
    known: set[tuple[str, int]] = set()
    for subject, reason in _refusals(recorded, "network"):
        found = _ADDRESS.fullmatch(subject)
        if found is None or int(found[3]) > MAX_PORT:
            yield Wish("listen_port", subject, reason, "no port that could be granted")
            continue
        key = "allow_connect_port"
        if found[1] == b"listen":
            key = "open_port" if found[2].startswith((b"127.", b"[::1]")) else "listen_port"
        wanted = key, int(found[3])
        if wanted not in known:
            known.add(wanted)
            yield Wish(*wanted, reason, None if len(known) <= MAX_PORTS else "one port too many")


def _guard() -> Guard:
    state, config = locations.state_directory(), locations.config_directory()
    return Guard(Untouchable((state, config, locations.cache_directory()), own_code_paths()))


def _obstacle(request: GrantRequest | SocketRequest, guard: Guard, *, there: bool = True) -> str | None:
    """Return why a profile cannot grant this, None if it can."""
    path = request.path
    if not path.startswith(b"/") or b"\0" in path:
        return "not an absolute path"
    if not is_text(path):
        return "not UTF-8"
    try:
        canonical_path = os.path.realpath(path, strict=there)
    except OSError as error:
        return os.strerror(error.errno or 0).lower()
    try:
        guard.judge(request, canonical_path, path=path)
    except GrantError as error:
        return str(error)
    return None


def is_text(path: bytes) -> bool:
    """Return whether a profile, which is UTF-8, can name this path."""
    try:
        path.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
