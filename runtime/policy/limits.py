"""The limits of one launch: their names, how they are written, and which of several holds.

As data they are a mapping of whole numbers in the form that ``launch.start`` has (``memory_bytes``, …); what
was not limited is not in it. Each is an upper bound for the launch, so of several the lowest holds: a flag
lowers what a profile says, and never raises it. How they are enforced is
:mod:`runtime.sandbox.confinement`'s.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from attest.named_tuples import NamedTuple
from runtime.errors import UsageError
from runtime.policy.document_words import bounded, kind_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

MEMORY = "memory_bytes"
PROCESSES = "processes"
CPU = "cpu_seconds"
FILE_SIZE = "file_size_bytes"
OPEN_FILES = "open_files"
TIMEOUT = "timeout_ms"
TIMEOUT_GRACE = "timeout_grace_ms"
STARTUP_TIMEOUT = "startup_timeout_ms"

_MOST_BYTES = (1 << 53) - 1  # what the record takes
_MOST_PROCESSES = 1 << 22  # PID_MAX_LIMIT of the kernel
_MOST_SECONDS = (1 << 31) - 1
_MOST_FILES = 1 << 30  # what the kernel lets /proc/sys/fs/nr_open be

# So many digits that no number is out of bounds; none begins with 0, which elsewhere means "no limit".
_SIZE = re.compile(
    r"[1-9][0-9]{0,14}|[1-9][0-9]{0,11}K(?:iB)?|[1-9][0-9]{0,8}M(?:iB)?|[1-9][0-9]{0,5}G(?:iB)?"
    r"|[1-9][0-9]{0,2}T(?:iB)?"
)
_DURATION = re.compile(r"[1-9][0-9]{0,8}s?|[1-9][0-9]{0,6}m|[1-9][0-9]{0,4}h|[1-9][0-9]{0,3}d")
_TIME = re.compile(r"[1-9][0-9]{0,8}(?:ms|s)?|[1-9][0-9]{0,6}m|[1-9][0-9]{0,4}h|[1-9][0-9]{0,3}d")
_COUNT = re.compile(r"[1-9][0-9]{0,9}")
_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40, "s": 1, "m": 60, "h": 3_600, "d": 86_400}
_MILLISECONDS = 1_000
_MOST_MILLISECONDS = _MOST_SECONDS * _MILLISECONDS


class _Kind(NamedTuple):
    """One kind of limit.

    Attributes:
        member: its name in the record.
        least: the lowest that can be meant.
        most: the highest.
        text: how a text says it.
        form: likewise, in words.
        scale: how many of the record's units are one of those that a plain number counts.
    """

    member: str
    least: int
    most: int
    text: re.Pattern[str]
    form: str
    scale: int = 1


_SIZE_FORM = "a number of bytes, or one with K, M, G or T, such as 512M (1M is 1,048,576)"
_TIME_FORM = "whole seconds, or a number with ms, s, m, h or d"
_KINDS = {
    "memory": _Kind(MEMORY, 1, _MOST_BYTES, _SIZE, _SIZE_FORM),
    "max_processes": _Kind(PROCESSES, 1, _MOST_PROCESSES, _COUNT, "a whole number"),
    "cpu_time": _Kind(CPU, 1, _MOST_SECONDS, _DURATION, "whole seconds, or a number with s, m, h or d"),
    "max_file_size": _Kind(FILE_SIZE, 1, _MOST_BYTES, _SIZE, _SIZE_FORM),
    # A dynamic loader needs one beside the standard streams.
    "nofile": _Kind(OPEN_FILES, 4, _MOST_FILES, _COUNT, "a whole number"),
    "timeout": _Kind(TIMEOUT, 1, _MOST_MILLISECONDS, _TIME, _TIME_FORM, _MILLISECONDS),
    "timeout_grace": _Kind(TIMEOUT_GRACE, 1, _MOST_MILLISECONDS, _TIME, _TIME_FORM, _MILLISECONDS),
    "startup_timeout": _Kind(STARTUP_TIMEOUT, 1, _MOST_MILLISECONDS, _TIME, _TIME_FORM, _MILLISECONDS),
}

TIMED = frozenset({TIMEOUT, STARTUP_TIMEOUT})
"""Which of them end a launch when a time is over."""

NAMES = tuple(_KINDS)
"""What they are called: the keys of profiles and configuration, the parameters of ``launch()``."""

_BY_MEMBER = {kind.member: name for name, kind in _KINDS.items()}

MEMBERS = tuple(sorted(_BY_MEMBER))
"""What the record calls them."""


def name_of(member: str) -> str:
    """Return which of :data:`NAMES` the record calls ``member``."""
    return _BY_MEMBER[member]


def flag_of(name: str) -> str:
    """Return the flag of ``nono run`` for one of :data:`NAMES`."""
    return "--" + name.replace("_", "-")


def asked(
    values: Mapping[str, object], called: Callable[[str], str] = str, *, typed: bool = False
) -> dict[str, int]:
    """Return what is limited, by the names of the record.

    Args:
        values: whole numbers, or texts with a unit, by :data:`NAMES`.
        called: what a name is called where it was given, for messages.
        typed: whether all are texts, as on a command line.

    Raises:
        UsageError: a value means no limit, or one that cannot be meant.
    """
    return {
        _KINDS[name].member: _number(_KINDS[name], value, called(name), typed=typed)
        for name, value in values.items()
    }


def _number(kind: _Kind, value: object, called: str, *, typed: bool) -> int:
    if isinstance(value, str) and (typed or kind.text is not _COUNT):
        if not kind.text.fullmatch(value):
            raise UsageError(
                f"{called}: {bounded(value)!r} is not a limit",
                code="usage.limit",
                hint=f"write {kind.form}; a plain number is {_bounds(kind)}",
            )
        found = _of_text(value, kind.scale)
    elif type(value) is int:
        found = value * kind.scale
    else:
        raise UsageError(f"{called}: must be {kind.form}, not {kind_of(value)}", code="usage.limit")
    _require_within(kind, found, called)
    return found


def _of_text(text: str, scale: int) -> int:
    """Return what a text that has the form means, in the units of the record."""
    if text.endswith("ms"):
        return int(text[:-2])
    digits = text.removesuffix("iB")
    return (int(digits) if digits.isdigit() else int(digits[:-1]) * _UNITS[digits[-1]]) * scale


def _require_within(kind: _Kind, value: int, called: str) -> None:
    if not kind.least <= value <= kind.most:
        raise UsageError(f"{called}: out of its bounds", code="usage.limit", hint=_bounds(kind))


def _bounds(kind: _Kind) -> str:
    return f"from {-(-kind.least // kind.scale):,} to {kind.most // kind.scale:,}"


def check(limits: Mapping[str, int]) -> None:
    """Refuse limits that no record could hold.

    Raises:
        UsageError: one is unknown, no whole number, or out of its bounds.
    """
    for member, value in limits.items():
        name = _BY_MEMBER.get(member)
        if name is None or type(value) is not int:
            raise UsageError(f"not a limit of the record: {bounded(str(member))!r}", code="usage.limit")
        _require_within(_KINDS[name], value, flag_of(name))


def lowest(said: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Return what holds where several say how much: of each the lowest."""
    held: dict[str, int] = {}
    for limits in said:
        for member, value in limits.items():
            held[member] = min(value, held.get(member, value))
    return dict(sorted(held.items()))


def words(member: str, value: int) -> str:
    """Return a limit of the record in words."""
    if member == MEMORY:
        return f"{_bytes(value)} of memory"
    if member == PROCESSES:
        return f"{value:,} process{'' if value == 1 else 'es'} and threads"
    if member == CPU:
        return f"{value:,} s of CPU time"
    if member == FILE_SIZE:
        return f"files of {_bytes(value)}"
    if member == TIMEOUT:
        return f"{time_words(value)} until it is told to end"
    if member == STARTUP_TIMEOUT:
        return f"{time_words(value)} until it must have written to its terminal"
    if member == TIMEOUT_GRACE:
        return f"{time_words(value)} from there until it is ended"
    return f"{value:,} open files in each process"


def _bytes(value: int) -> str:
    for unit, size in (("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if value >= size and value % size == 0:
            return f"{value // size:,} {unit}"
    return f"{value:,} bytes"


def time_words(milliseconds: int) -> str:
    """Return a duration in words."""
    seconds, rest = divmod(milliseconds, _MILLISECONDS)
    return f"{milliseconds:,} ms" if rest else f"{seconds:,} s"
