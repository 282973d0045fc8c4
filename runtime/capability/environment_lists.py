"""What a profile says about the environment: which variables are inherited, and which ones are set.

A *pattern* is a name, or the beginning of names and a ``*``; ``*`` alone is every name. In which order all
that makes an environment comes together is :mod:`runtime.capability.environment`.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from attest.named_tuples import NamedTuple
from runtime.capability.environment import is_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


class Lists(NamedTuple):
    """What a profile says about the environment.

    Attributes:
        allow: patterns of what is inherited; None when there is no such list, and all is.
        deny: patterns of what is not inherited, whatever is allowed.
        set_vars: variables that the child gets, dangerous ones included.
    """

    allow: tuple[bytes, ...] | None = None
    deny: tuple[bytes, ...] = ()
    set_vars: Mapping[bytes, bytes] = MappingProxyType({})

    def passing(self) -> Callable[[bytes], bool]:
        """Return what says of a name whether it is inherited."""
        denied = _matching(self.deny)
        if self.allow is None:
            return lambda name: not denied(name)
        allowed = _matching(self.allow)
        return lambda name: allowed(name) and not denied(name)


def is_pattern(pattern: bytes) -> bool:
    """Return whether ``pattern`` is a name, the beginning of names and a ``*``, or ``*`` alone."""
    return pattern == b"*" or is_name(pattern.removesuffix(b"*"))


def _matching(patterns: Sequence[bytes]) -> Callable[[bytes], bool]:
    exact = frozenset(pattern for pattern in patterns if not pattern.endswith(b"*"))
    beginnings = tuple(pattern[:-1] for pattern in patterns if pattern.endswith(b"*"))
    return lambda name: name in exact or name.startswith(beginnings)
