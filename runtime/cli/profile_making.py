"""``nono profile init``: a file to begin with, empty or with what a launch was refused."""

from __future__ import annotations

import contextlib
import json
import os
import re
from typing import TYPE_CHECKING, NamedTuple

from attest import canonical
from attest import entry as entries
from attest.errors import NonoError
from runtime.capabilities import MAX_PORT, MAX_PORTS, MAX_SOCKET_GRANTS, PROFILE, Access, Reach
from runtime.cli.terminal import number, printable, write_lines
from runtime.errors import GrantError, ProfileError, UsageError
from runtime.grant_request import SOCKET_KEYS, GrantRequest, SocketRequest
from runtime.path_names import homes, normalise, shown
from runtime.profile import built_in_names, find, read_profile, users_directory
from runtime.profile_file import JSONC, MAX_PATHS, PORT_KEYS, is_name, is_path
from runtime.protected import Guard, Untouchable, own_code_paths
from store import locations
from store.private_directories import make_private

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from store.index import RecordedLaunch

_EPILOG = """\
The file is $XDG_CONFIG_HOME/nono/profiles/NAME.jsonc, and from then on: nono run -p NAME. A name of a
built-in profile is refused; --extends builds upon one.

--from-session writes grants for the files that a launch was refused, as its ledger says, for reading, and for
the UNIX sockets and the ports, each with the reason that was recorded. Look through them before you use them:
the command chose what it asked for. What is protected, or is not there any more, stays a comment. Without a
recorded refusal nothing is written.

examples:
  nono profile init mine
  nono profile init web --extends claude-code --extends node-dev
  nono profile init fixed --extends python-dev --from-session last
"""

_MAX_REASON = 400


class _Wish(NamedTuple):
    """One refused file, socket or port.

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


def add_init(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``nono profile init``."""
    parser = commands.add_parser(
        "init",
        help="begin a profile of your own",
        description="Begin a profile of your own.",
        epilog=_EPILOG,
    )
    parser.add_argument("name", metavar="NAME", help="letters, digits, . _ and -")
    parser.add_argument(
        "--extends",
        action="append",
        default=[],
        metavar="PROFILE",
        help="build upon it; can be given more than once",
    )
    parser.add_argument(
        "--from-session", metavar="SESSION", help="grant what this launch was refused; or last"
    )
    parser.add_argument("--ledger", metavar="FILE", help="the ledger of that launch (default: as nono audit)")
    parser.add_argument(
        "--index", metavar="URL", help="an SQLAlchemy URL of the index (default: as nono audit)"
    )
    parser.add_argument("--force", action="store_true", help="replace the file if it is there")
    parser.set_defaults(act=_init)


def _init(arguments: argparse.Namespace) -> int:
    config = locations.config_directory()
    name = os.fsencode(arguments.name)
    path = _target(name, config, force=arguments.force)
    for extended in arguments.extends:
        _check_extended(extended, config)
    if arguments.from_session is None:
        if arguments.ledger is not None or arguments.index is not None:
            raise UsageError("--ledger and --index are for --from-session alone")
        wishes: list[_Wish] = []
    else:
        wishes = _wishes(arguments)
    text = _text(name, arguments.extends, wishes, session=arguments.from_session)
    _write(path, text.encode("utf-8"), force=arguments.force)
    read_profile(name, config)  # what nono has written, nono can read
    granted = sum(wish.obstacle is None for wish in wishes)
    lines = [f"wrote {shown(path)}"]
    if wishes:
        lines.append(
            f"{number(granted, 'grant', 'grants')},"
            f" {number(len(wishes) - granted, 'refusal', 'refusals')} left as comments: look through them"
        )
    write_lines([*lines, f"use it with: nono run -p {shown(name)} -- COMMAND"])
    return 0


def _target(name: bytes, config: bytes, *, force: bool) -> bytes:
    """Return where the profile of this name goes."""
    if not is_name(name):
        raise UsageError(
            f"not the name of a profile: {shown(name)}" if name else "a profile is named by an empty word",
            hint="up to 64 letters, digits, . _ and -, a letter or a digit first; nono adds the .jsonc",
        )
    if name in built_in_names():
        raise ProfileError(
            f"{shown(name)} is a built-in profile",
            code="profile.shadows",
            hint=f"choose another name, and build upon it: nono profile init NAME --extends {shown(name)}",
        )
    there = find(name, config)
    if there is not None and not force:
        raise ProfileError(
            f"there is a profile {shown(name)} already: {shown(there.path)}",
            code="profile.exists",
            hint="--force replaces it",
        )
    target = os.path.join(users_directory(config), name + JSONC)
    if there is not None and there.path != target:
        raise ProfileError(
            f"the profile {shown(name)} is {shown(there.path)}, and two of one name cannot be",
            code="profile.exists",
            hint="remove it first",
        )
    return target


def _check_extended(named: str, config: bytes) -> None:
    encoded = os.fsencode(named)
    if is_path(encoded) and not encoded.startswith((b"/", b"~/")):
        raise UsageError(
            f"--extends {printable(named)} is a relative path, and would be one in the directory of profiles",
            hint="write the full path",
        )
    try:
        encoded.decode("utf-8")
    except UnicodeDecodeError:
        raise UsageError(f"--extends {printable(named)} is not UTF-8, and a profile is") from None
    read_profile(encoded, config)


def _write(path: bytes, data: bytes, *, force: bool) -> None:
    """Write the file whole, or not at all."""
    directory = os.path.dirname(path)
    temporary = os.path.join(directory, b"." + os.urandom(8).hex().encode("ascii"))
    try:
        make_private(directory)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with open(descriptor, "wb") as file:
                file.write(data)
            if force:
                os.rename(temporary, path)
            else:
                os.link(temporary, path)  # not over what somebody else has made meanwhile
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
    except OSError as error:
        raise ProfileError(
            f"cannot write {shown(path)}: {os.strerror(error.errno or 0).lower()}", code="profile.unwritable"
        ) from None


# --- what is written ------------------------------------------------------------------------------


def _text(name: bytes, extended: list[str], wishes: list[_Wish], *, session: str | None) -> str:
    lines = [
        f"// A profile: nono run -p {name.decode('ascii')} -- COMMAND",
        "// What can stand in it: nono profile schema. What it comes to: nono profile show "
        + name.decode("ascii"),
        "{",
        '  "description": "",',
    ]
    if extended:
        lines.append(f'  "extends": {json.dumps(extended, ensure_ascii=True)},')
    else:
        lines.append('  // "extends": ["python-dev"],')
    lines += [
        "  // ~ and $WORKDIR expand; allow is for reading and writing, what ends in _file for single files",
        '  "filesystem": {',
    ]
    if session is not None:
        lines.append("    // Refused to a recorded launch. For writing: move a line to allow or allow_file.")
    for key in ("read", "read_file"):
        lines += _list(key, [wish for wish in wishes if wish.key == key])
    for key in SOCKET_KEYS:
        if found := [wish for wish in wishes if wish.key == key]:
            lines += _list(key, found)
    lines += [
        "  },",
        '  // "groups": {"include": [], "exclude": []},',
        *_network([wish for wish in wishes if wish.key in PORT_KEYS]),
        '  // "environment": {"allow": ["PATH", "HOME", "LC_*"], "deny": [], "set_vars": {}},',
        "}",
    ]
    return "\n".join(lines) + "\n"


def _network(wishes: list[_Wish]) -> Iterator[str]:
    if not wishes:
        yield '  // "network": {"block": true},'
        return
    yield '  "network": {'
    for key in PORT_KEYS:
        if found := [wish for wish in wishes if wish.key == key]:
            yield from _list(key, found)
    yield "  },"


def _list(key: str, wishes: list[_Wish]) -> Iterator[str]:
    if not wishes:
        yield f'    "{key}": [],'
        return
    yield f'    "{key}": ['
    for wish in wishes:
        said = _said(wish.value)
        if wish.obstacle is None:
            yield f"      {said},  // {_comment(wish.reason)}"
        else:
            yield f"      // {said}: {_comment(wish.obstacle)}; {_comment(wish.reason)}"
    yield "    ],"


def _said(value: bytes | int) -> str:
    if isinstance(value, int):
        return str(value)
    return json.dumps(_written(value), ensure_ascii=True) if _is_text(value) else _comment(shown(value))


def _comment(text: str) -> str:
    """Return recorded text for a comment: of one line, of ASCII, bounded."""
    safe = printable(text[:_MAX_REASON]).encode("ascii", "backslashreplace").decode("ascii")
    return safe + ("..." if len(text) > _MAX_REASON else "")


def _written(path: bytes) -> str:
    home = next(iter(homes()), None)
    if home is not None and home != b"/" and path.startswith(home + b"/"):
        path = b"~" + path[len(home) :]
    return path.decode("utf-8")


def _is_text(path: bytes) -> bool:
    try:
        path.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


# --- what a launch was refused --------------------------------------------------------------------


def _wishes(arguments: argparse.Namespace) -> list[_Wish]:
    """Return what the recorded launch was refused of files, each path once.

    Raises:
        NonoError: the ledger or the index cannot be used, the ledger's entries do not lead to its head,
            there is no such launch, or nothing was refused to it.
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
    wishes = [*_refused_files(recorded), *_refused_sockets(recorded), *_refused_ports(recorded)]
    if not wishes:
        raise ProfileError(
            f"no refused file, socket or port is recorded of the launch {recorded.launch.session}:"
            " there is nothing to grant",
            code="profile.no_refusals",
            hint=f"what is recorded: nono audit show {recorded.launch.session[:12]}",
        )
    return wishes


def _refusals(recorded: RecordedLaunch, what: str) -> Iterator[tuple[bytes, str]]:
    """Yield subject and reason of what was refused of one kind, each subject once."""
    known: set[bytes] = set()
    for item in recorded.entries:
        if item.fault is not None or item.entry.kind != entries.DECISION:
            continue
        decision = item.entry.data
        if decision["verdict"] == "denied" and decision["what"] == what:
            subject = canonical.text_bytes(decision["subject"])
            if subject not in known:
                known.add(subject)
                yield subject, str(decision["reason"])


def _refused_files(recorded: RecordedLaunch) -> Iterator[_Wish]:
    guard = _guard()
    granted = {True: 0, False: 0}
    known: set[bytes] = set()
    for subject, reason in _refusals(recorded, "file"):
        path = normalise(subject) if subject.startswith(b"/") else subject
        if path in known:
            continue
        known.add(path)
        directory = os.path.isdir(path) if path.startswith(b"/") and b"\0" not in path else False
        request = GrantRequest(Access.READ, path, directory, PROFILE)
        obstacle = _obstacle(request, guard)
        if obstacle is None:
            granted[directory] += 1
            if granted[directory] > MAX_PATHS:
                obstacle = "one path too many"
        yield _Wish("read" if directory else "read_file", path, reason, obstacle)


def _refused_sockets(recorded: RecordedLaunch) -> Iterator[_Wish]:
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
        yield _Wish("unix_socket_bind" if request.bind else "unix_socket", path, reason, obstacle)


_ADDRESS = re.compile(rb"(connect|listen) (127\.[0-9.]+|\[::1\]|[0-9.]+|\[[0-9a-f:.]+\]):([1-9][0-9]{0,4})")


def _refused_ports(recorded: RecordedLaunch) -> Iterator[_Wish]:
    """Yield a grant for each port: to connect to, to listen on, or to open for this host alone."""
    known: set[tuple[str, int]] = set()
    for subject, reason in _refusals(recorded, "network"):
        found = _ADDRESS.fullmatch(subject)
        if found is None or int(found[3]) > MAX_PORT:
            yield _Wish("listen_port", subject, reason, "no port that could be granted")
            continue
        key = "allow_connect_port"
        if found[1] == b"listen":
            key = "open_port" if found[2].startswith((b"127.", b"[::1]")) else "listen_port"
        wanted = key, int(found[3])
        if wanted not in known:
            known.add(wanted)
            yield _Wish(*wanted, reason, None if len(known) <= MAX_PORTS else "one port too many")


def _guard() -> Guard:
    state, config = locations.state_directory(), locations.config_directory()
    return Guard(Untouchable((state, config, locations.cache_directory()), own_code_paths()))


def _obstacle(request: GrantRequest | SocketRequest, guard: Guard, *, there: bool = True) -> str | None:
    """Return why a profile cannot grant this, None if it can."""
    path = request.path
    if not path.startswith(b"/") or b"\0" in path:
        return "not an absolute path"
    if not _is_text(path):
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
