"""``nono profile init``: a file to begin with, empty or with what a launch was refused."""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING

from attest.printable_text import printable
from runtime.capability.grant_request import SOCKET_KEYS
from runtime.cli.profile_wishes import Wish, is_text, wishes_of
from runtime.cli.terminal import number, write_lines
from runtime.errors import ProfileError, UsageError
from runtime.kernel.path_names import homes, shown
from runtime.policy.profile import built_in_names, find, read_profile, users_directory
from runtime.policy.profile_file import FILESYSTEM_KEYS, JSONC, PORT_KEYS, is_name, is_path
from store import locations
from store.private_directories import make_private

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

_EPILOG = """\
The file is $XDG_CONFIG_HOME/nono/profiles/NAME.jsonc, and from then on: nono run -p NAME. A name of a
built-in profile is refused; --extends builds upon one.

--from-session writes grants for the files that a launch was refused, as its ledger says, for reading where
nothing more is recorded, and for the UNIX sockets and the ports; and for the files that a person gave it
(--capability-elevation); each with the reason that was recorded. Look through them before you use them: the
command chose what it asked for. What a person refused, is protected, or is not there any more stays a
comment. Without any of that nothing is written.

examples:
  nono profile init mine
  nono profile init web --extends claude-code --extends node-dev
  nono profile init fixed --extends python-dev --from-session last
"""

_MAX_REASON = 400


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
        "--from-session", metavar="SESSION", help="grant what this launch was refused or given; or last"
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
        wishes: list[Wish] = []
    else:
        wishes = wishes_of(arguments)
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


def _text(name: bytes, extended: list[str], wishes: list[Wish], *, session: str | None) -> str:
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
        lines.append(
            "    // Refused to a recorded launch, or given to it; for more, move a line to another key."
        )
    for key in (*FILESYSTEM_KEYS, *SOCKET_KEYS):
        if (found := [wish for wish in wishes if wish.key == key]) or key in ("read", "read_file"):
            lines += _list(key, found)
    lines += [
        "  },",
        '  // "groups": {"include": [], "exclude": []},',
        *_network([wish for wish in wishes if wish.key in PORT_KEYS]),
        '  // "environment": {"allow": ["PATH", "HOME", "LC_*"], "deny": [], "set_vars": {}},',
        "}",
    ]
    return "\n".join(lines) + "\n"


def _network(wishes: list[Wish]) -> Iterator[str]:
    if not wishes:
        yield '  // "network": {"block": true},'
        return
    yield '  "network": {'
    for key in PORT_KEYS:
        if found := [wish for wish in wishes if wish.key == key]:
            yield from _list(key, found)
    yield "  },"


def _list(key: str, wishes: list[Wish]) -> Iterator[str]:
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
    return json.dumps(_written(value), ensure_ascii=True) if is_text(value) else _comment(shown(value))


def _comment(text: str) -> str:
    """Return recorded text for a comment: of one line, of ASCII, bounded."""
    safe = printable(text[:_MAX_REASON]).encode("ascii", "backslashreplace").decode("ascii")
    return safe + ("..." if len(text) > _MAX_REASON else "")


def _written(path: bytes) -> str:
    home = next(iter(homes()), None)
    if home is not None and home != b"/" and path.startswith(home + b"/"):
        path = b"~" + path[len(home) :]
    return path.decode("utf-8")
