"""Grants as a tree of directories: what lies inside of another grant stands inside of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runtime.kernel.path_names import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_MOST_NAMES = 256
"""Of a path's names; a path of more is one name, and the drawing stays bounded."""


@dataclass(slots=True)
class _Branch:
    """A directory on the way to grants, or one that is granted.

    Attributes:
        words: what is said of each grant on it.
        inside: what lies in it, by name.
    """

    words: list[str] = field(default_factory=list)
    inside: dict[bytes, _Branch] = field(default_factory=dict)


def grants_tree(grants: Iterable[tuple[bytes, str]]) -> list[str]:
    """Return the lines of a tree.

    Args:
        grants: the path of each, and what is said of it.
    """
    root = _Branch()
    for path, words in grants:
        branch = root
        names = [name for name in path.split(b"/") if name]
        for name in names if len(names) <= _MOST_NAMES else [path.strip(b"/")]:
            branch = branch.inside.setdefault(name, _Branch())
        branch.words.append(words)
    lines = [_line(b"/", root)] if root.words else []
    return lines + list(_drawn(root, "", "/"))


def _drawn(branch: _Branch, before: str, slash: str) -> Iterator[str]:
    """Yield the lines of what lies in a directory; names that are only on the way share a line."""
    # Not by recursion: how deep it goes is not ours to say.
    stack = [(list(_shared(branch)), before, slash)]
    while stack:
        left, before, slash = stack[-1]
        if not left:
            stack.pop()
            continue
        name, inner = left.pop(0)
        is_last = not left
        yield f"{before}{'' if slash else '└─ ' if is_last else '├─ '}{slash}{_line(name, inner)}"
        below = before + ("" if slash else "   " if is_last else "│  ")
        stack.append((list(_shared(inner)), below, ""))


def _shared(branch: _Branch) -> Iterator[tuple[bytes, _Branch]]:
    for first, found in sorted(branch.inside.items()):
        name, inner = first, found
        while not inner.words and len(inner.inside) == 1:
            ((next_name, inner),) = inner.inside.items()
            name = b"%b/%b" % (name, next_name)
        yield name, inner


def _line(name: bytes, branch: _Branch) -> str:
    return f"{shown(name)}  {', '.join(branch.words)}" if branch.words else shown(name)
