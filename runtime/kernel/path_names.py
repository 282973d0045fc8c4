"""The names of a file: every one under which the kernel passes on its way to it.

A path is judged by what it says *and* by where it leads. Between the two lie symbolic links, each
of them a name that somebody could replace; so the walk here returns all of them, not only the first
and the last (``path_resolution(7)``). Nothing needs to exist: what is missing is taken as written.

Paths are absolute bytes. Whoever *opens* a path lets the kernel resolve it and compares by
descriptor; these functions only say under which names it has to be judged.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runtime.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

# The kernel gives up after this many links (MAXSYMLINKS); past it there is nothing to be opened.
_MAX_LINKS = 40

# XDG Base Directory Specification
_XDG = {
    b".cache/": b"XDG_CACHE_HOME",
    b".config/": b"XDG_CONFIG_HOME",
    b".local/share/": b"XDG_DATA_HOME",
    b".local/state/": b"XDG_STATE_HOME",
}

_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./+,:@%=~")
_TWO_BLANKS = "  "
_BLANK = "\\x20"
# Of two, the second: a command to the runner of a pipeline begins with them (attest.runner_commands).
_SHARPS = "##"
_NO_SHARPS = "#\\x23"


def normalise(path: bytes) -> bytes:
    """Return ``path`` without ``.``, ``..``, doubled and trailing slashes, by its text alone."""
    kept: list[bytes] = []
    for part in path.split(b"/"):
        if part == b"..":
            del kept[-1:]
        elif part not in (b"", b"."):
            kept.append(part)
    return b"/" + b"/".join(kept)


def join(directory: bytes, name: bytes) -> bytes:
    """Return ``name`` beneath the absolute ``directory``."""
    return directory + name if directory.endswith(b"/") else directory + b"/" + name


def is_beneath(path: bytes, directory: bytes) -> bool:
    """Return whether ``path`` is ``directory`` or lies inside it; components are compared, not prefixes."""
    return path == directory or path.startswith(directory if directory == b"/" else directory + b"/")


def upwards(path: bytes) -> Iterator[bytes]:
    """Yield the absolute, normalised ``path`` and its ancestors, the root last."""
    while path != b"/":
        yield path
        path = path[: path.rindex(b"/")] or b"/"
    yield path


def absolute(path: bytes, *, workdir: bytes, home: bytes | None) -> bytes:
    """Return the absolute path that ``path`` means: ``~`` and ``~/…`` expand, the rest is in ``workdir``.

    ``..`` is left in place: only the kernel knows where it leads after a symbolic link.

    Raises:
        UsageError: the path is empty or has a NUL, ``~`` is used without a known home directory, or
            ``~name`` is used at all.
    """
    if not path or b"\0" in path:
        raise UsageError("an empty path" if not path else "a path with a NUL byte")
    if path.startswith(b"~"):
        if path[1:2] not in (b"", b"/"):
            raise UsageError(
                f"cannot expand {shown(path)}: only ~ itself is expanded",
                hint=f"write the full path, or {shown(b'./' + path)} for a file of that name",
            )
        if home is None:
            raise UsageError(
                f"cannot expand {shown(path)}: no home directory is known",
                hint="set HOME, or write the full path",
            )
        return home + path[1:]
    return path if path.startswith(b"/") else join(workdir, path)


def from_here(path: bytes) -> bytes:
    """Return the absolute path that ``path`` means where nono was called, ``..`` by its text alone.

    Raises:
        UsageError: it is relative, and the current directory is gone or cannot be named
            (``directory.gone``).
    """
    try:
        return os.path.abspath(path)
    except OSError as error:
        what = "is gone" if isinstance(error, FileNotFoundError) else f"has no name here: {error.strerror}"
        raise UsageError(
            f"cannot tell where {shown(path)} is: the current directory {what}",
            code="directory.gone",
            hint="change to another directory, or write the full path",
        ) from None


def homes() -> tuple[bytes, ...]:
    """Return the home directories of this user: $HOME first, then that of the user database.

    Both count: a tool that is told another HOME writes there, everything else uses the account's.
    Relative and empty values are ignored; without either the result is empty. ``..`` is left in place:
    after a symbolic link only the kernel knows where it leads.
    """
    found: list[bytes] = []
    from_environment = os.environb.get(b"HOME", b"")
    if from_environment.startswith(b"/"):
        found.append(_tidied(from_environment))
    import pwd  # noqa: PLC0415  # only where homes are asked for

    try:
        account = os.fsencode(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:  # a container's bare uid
        account = b""
    if account.startswith(b"/"):
        found.append(_tidied(account))
    return tuple(dict.fromkeys(found))


def moved(path: bytes, home: bytes) -> bytes:
    """Return where what is called ``~/PATH`` lies: XDG variables move the directories that they are for.

    Args:
        path: relative to a home.
        home: absolute.
    """
    for beginning, variable in _XDG.items():
        base = os.environb.get(variable, b"")
        if path.startswith(beginning) and base.startswith(b"/"):
            return join(base, path[len(beginning) :])
    return join(home, path)


def _tidied(path: bytes) -> bytes:
    return path if b".." in path.split(b"/") else normalise(path)


def walk(
    path: bytes, seen: dict[bytes, bytes | None] | None = None
) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    """Return every name of the absolute ``path``, the canonical one last, and the links passed.

    The first tuple holds the path as written (normalised by its text), then as it reads after each
    symbolic link, then where it ends. The second holds the places of those links: whoever can
    replace one of them decides where the path leads. ``seen`` remembers what was looked up, for
    whoever walks many paths at one moment.
    """
    seen = {} if seen is None else seen
    names = [normalise(path)]
    links: list[bytes] = []
    reached = b"/"
    remaining = path.split(b"/")[::-1]
    while remaining:
        part = remaining.pop()
        if part in (b"", b"."):
            continue
        if part == b"..":
            reached = os.path.dirname(reached)
            continue
        here = join(reached, part)
        if here not in seen:
            seen[here] = _target(here)
        target = seen[here]
        if target is None:
            reached = here
            continue
        if len(links) == _MAX_LINKS:
            break
        links.append(here)
        if target.startswith(b"/"):
            reached = b"/"
        remaining.extend(target.split(b"/")[::-1])
        names.append(normalise(join(reached, b"/".join(remaining[::-1]))))
    return (*(name for name in dict.fromkeys(names) if name != reached), reached), tuple(links)


def _target(path: bytes) -> bytes | None:
    try:
        return os.readlink(path)
    except OSError:  # no link, or nothing there (yet): taken as written
        return None


def looks_the_same(seen: dict[bytes, bytes | None]) -> bool:
    """Return whether each look that :func:`walk` has remembered finds now what it found then."""
    return all(_target(path) == target for path, target in seen.items())


def every_name(path: bytes, seen: dict[bytes, bytes | None] | None = None) -> tuple[bytes, ...]:
    """Return the names of the absolute ``path``: as written, after each symbolic link, at its end."""
    return walk(path, seen)[0]


def shown(path: bytes) -> str:
    """Return ``path`` for a message: one word of a shell command, in which every character can be seen.

    Blanks in a row are escapes as well: how many there are nobody sees, least of all where a line ends.
    """
    if path and _PLAIN.issuperset(path):
        return path.decode("ascii")
    text = path.decode("utf-8", "surrogateescape")
    is_plain = _TWO_BLANKS not in text and _SHARPS not in text
    if is_plain and _is_printable(text):  # what is not UTF-8 is no printable text
        return "'" + text.replace("'", "'\\''") + "'"
    word = "".join(_escaped(character) for character in text).replace(_TWO_BLANKS, 2 * _BLANK)
    word = word.replace(_SHARPS, _NO_SHARPS)
    return "$'" + word.replace(_BLANK + " ", 2 * _BLANK) + "'"


def _escaped(character: str) -> str:
    if character in "'\\":
        return "\\" + character
    if _is_printable(character):
        return character
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogateescape"))


def _is_printable(text: str) -> bool:
    if text.isascii():
        return text.isprintable()
    from attest.printable_text import is_printable  # noqa: PLC0415  # most launches name plain paths alone

    return is_printable(text)
