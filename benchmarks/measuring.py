"""Measuring in turn: A B C A B C …, so that a machine that grows slower does so for all alike."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


_MEDIAN = 0.5


class BenchmarkError(Exception):
    """Something that was to be measured did not do what it should; no figure is made of that."""


@dataclass(frozen=True, slots=True)
class Subject:
    """One thing that is measured.

    Attributes:
        name: how the table calls it.
        sample: does it as often as it is told and returns the seconds of each time.
        units: how many entries, or whatever is counted, one time handles.
    """

    name: str
    sample: Callable[[int], list[float]]
    units: int = 1


@dataclass(frozen=True, slots=True)
class Missing:
    """A peer that is not measured, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Bar:
    """What must hold: the median of ``ours`` is at most ``at_most`` times that of ``peer``."""

    ours: str
    peer: str
    at_most: float


@dataclass(frozen=True, slots=True)
class Ceiling:
    """What must hold: ``subject`` is below so many seconds, whatever a peer takes.

    Attributes:
        subject: which.
        seconds: how many.
        of: what share of its samples must be below; the default speaks of the median.
    """

    subject: str
    seconds: float
    of: float = _MEDIAN


@dataclass(frozen=True, slots=True)
class Limit:
    """What must hold of something that is not a time.

    Attributes:
        what: what was measured.
        value: what it came to.
        at_most: the bar.
        unit: of both.
    """

    what: str
    value: float
    at_most: float
    unit: str


@dataclass(frozen=True, slots=True)
class Measured:
    """The samples of one subject, in seconds, in the order in which they were taken."""

    name: str
    seconds: list[float]
    units: int = 1

    @property
    def median(self) -> float:
        """The median, in seconds."""
        return statistics.median(self.seconds)

    @property
    def ninetieth(self) -> float:
        """What nine in ten samples do not exceed, in seconds."""
        return self.quantile(0.9)

    def quantile(self, share: float) -> float:
        """Return what this share of the samples does not exceed, in seconds."""
        return sorted(self.seconds)[math.ceil(len(self.seconds) * share) - 1]


@dataclass(frozen=True, slots=True)
class Result:
    """What one benchmark came to.

    Attributes:
        name: its name on the command line.
        title: what was measured.
        measured: the subjects, ours first: the ratios are ours to each of the others.
        missing: the peers that are not there.
        bars: what must hold.
        notes: what a reader of the figures should know.
        ceilings: what must hold too.
        limits: what must hold of other things than time.
    """

    name: str
    title: str
    measured: list[Measured]
    missing: list[Missing] = field(default_factory=list)
    bars: tuple[Bar, ...] = ()
    notes: list[str] = field(default_factory=list)
    ceilings: tuple[Ceiling, ...] = ()
    limits: tuple[Limit, ...] = ()

    def ratio(self, peer: Measured) -> float:
        """Return the median of ours divided by the peer's."""
        return self.measured[0].median / peer.median

    def missed(self) -> list[str]:
        """Say, one line each, which bars do not hold; one whose peer is missing cannot be judged."""
        by_name = {measured.name: measured for measured in self.measured}
        lines = []
        for bar in self.bars:
            if bar.ours in by_name and bar.peer in by_name:
                ratio = by_name[bar.ours].median / by_name[bar.peer].median
                if ratio > bar.at_most:
                    lines.append(f"{bar.ours} is {ratio:.3f}x of {bar.peer}; the bar is {bar.at_most:.2f}x")
        for ceiling in self.ceilings:
            measured = by_name[ceiling.subject]
            takes = measured.median if ceiling.of == _MEDIAN else measured.quantile(ceiling.of)
            if takes >= ceiling.seconds:
                lines.append(f"{ceiling.subject} takes {takes:.6f} s; the bar is {ceiling.seconds} s")
        lines += [
            f"{limit.what} is {limit.value:,.2f} {limit.unit}; the bar is {limit.at_most:,.2f}"
            for limit in self.limits
            if limit.value > limit.at_most
        ]
        return lines


def in_turn(subjects: Sequence[Subject], *, rounds: int, block: int = 1, warm_up: int = 1) -> list[Measured]:
    """Sample every subject ``block`` times a round, one subject after another.

    Args:
        subjects: what to measure.
        rounds: how many rounds.
        block: how many samples in one go.
        warm_up: samples of each that are taken beforehand and thrown away.
    """
    measured = [Measured(subject.name, [], subject.units) for subject in subjects]
    if warm_up:
        for subject in subjects:
            subject.sample(warm_up)
    for _ in range(rounds):
        for subject, into in zip(subjects, measured, strict=True):
            into.seconds.extend(subject.sample(block))
    return measured
