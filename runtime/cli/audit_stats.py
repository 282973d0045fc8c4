"""``nono audit stats``: what launches came to, in numbers and as a small chart."""

from __future__ import annotations

import heapq
from array import array
from collections import Counter
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from attest.errors import MalformedError
from attest.instant_reading import parse_instant
from attest.written_time import TIMES
from runtime.cli import complain
from runtime.cli.audit_document import SCHEMAS, ledger_document, warn, write_document
from runtime.cli.chosen_ledger import chosen_index, chosen_ledger
from runtime.cli.painting import BAD, HEADING, add_pager_argument, draws, write_pages
from runtime.cli.search_terms import add_search_arguments, criteria
from runtime.cli.terminal import Progress, columns, number, shorten
from runtime.kernel.path_names import shown

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from store.index import LaunchRecord

EPILOG = f"""\
{TIMES}

The launches that are counted are chosen as those of nono audit list. The chart has a bar for each hour, day,
week, month or year, whichever suits their span. Failed is what ended with another exit code than 0 or by a
signal, did not start, or was lost.

--json writes one object, whose form nono audit schema stats prints.

What is counted is an index, not evidence: nono-verify says whether a ledger holds.

examples:
  nono audit stats
  nono audit stats --since 1w
  nono audit stats --command pytest --json
"""

_MOST_PROGRAMS = 10
_MOST_NAMES = 100_000
"""Different programs that are told apart; of a ledger that somebody filled with more the rest is one."""
_NAME_SHOWN = 48
_OTHERS = "(others)"
_BAR_WIDTH = 40
_MOST_BARS = 62

_STATES = ("complete", "running", "unfinished", "lost")
_SPANS = (
    ("hour", timedelta(hours=48), "%Y-%m-%d %H:00"),
    ("day", timedelta(days=60), "%Y-%m-%d"),
    ("week", timedelta(weeks=60), "%Y-%m-%d"),
    ("month", timedelta(days=366 * 5), "%Y-%m"),
    ("year", timedelta.max, "%Y"),
)


class Stats:
    """What launches came to, as they come by.

    Attributes:
        launches: how many there were.
        states: how many are complete, running, unfinished and lost.
        exits, signals: how many ended with each.
        not_started: how many did not start, by the code of the reason.
        denied: how many of them had something denied to them; ``refusals``: how many refusals that were.
        durations: microseconds of each that has a duration.
        programs: how many ran each program, and how many of these did not succeed.
        first, last: the times of the oldest and the newest.
    """

    def __init__(self) -> None:
        self.launches = 0
        self.states: Counter[str] = Counter()
        self.exits: Counter[int] = Counter()
        self.signals: Counter[int] = Counter()
        self.not_started: Counter[str] = Counter()
        self.denied = 0
        self.refusals = 0
        self.durations = array("q")
        self.programs: dict[str, list[int]] = {}
        self.hours: dict[datetime, list[int]] = {}
        self.first: str | None = None
        self.last: str | None = None

    def add(self, launch: LaunchRecord) -> None:
        """Take in one launch."""
        failed = not succeeded(launch)
        self.launches += 1
        self.states[launch.state] += 1
        if launch.exit is not None:
            self.exits[launch.exit] += 1
        if launch.signal is not None:
            self.signals[launch.signal] += 1
        if launch.not_started is not None:
            self.not_started[launch.not_started] += 1
        self.denied += launch.denied > 0
        self.refusals += launch.denied
        if launch.duration_us is not None:
            self.durations.append(launch.duration_us)
        name = shorten(launch.program or "-", _NAME_SHOWN)
        if name not in self.programs and len(self.programs) >= _MOST_NAMES:
            name = _OTHERS
        count(self.programs, name, failed=failed)
        try:
            moment = parse_instant(launch.time)
        except MalformedError:
            return
        self.first = min(self.first or launch.time, launch.time)
        self.last = max(self.last or launch.time, launch.time)
        count(self.hours, moment.replace(minute=0, second=0, microsecond=0), failed=failed)

    def add_all(self, launches: Iterable[LaunchRecord]) -> Stats:
        """Take in launches, and return itself."""
        for launch in launches:
            self.add(launch)
        return self


def succeeded(launch: LaunchRecord) -> bool:
    """Return whether a launch ended with exit code 0, or has not ended."""
    ended = launch.signal is not None or launch.not_started is not None or launch.state == "lost"
    return launch.exit in {None, 0} and not ended


def count(into: dict[Any, list[int]], name: Any, *, failed: bool) -> None:
    """Count one, and whether it failed."""
    counts = into.setdefault(name, [0, 0])
    counts[0] += 1
    counts[1] += failed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``nono audit stats``."""
    parser.add_argument("--json", action="store_true", help="write one JSON object")
    add_pager_argument(parser)
    add_search_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Count launches and return the exit code.

    Raises:
        NonoError: a value cannot be meant, or the ledger or the index cannot be used.
    """
    wanted = criteria(arguments)
    with chosen_index(arguments.index) as index, Progress("indexing") as progress:
        ledger = index.catch_up(chosen_ledger(arguments.ledger), progress)
        stats = index.summed_up(ledger, wanted, lambda launches: Stats().add_all(launches))
    if arguments.json:
        write_document({**stats_document(stats), "ledger": ledger_document(ledger)})
    elif not stats.launches:
        what = "no launches" if wanted == type(wanted)() else "no such launches"
        complain(f"{what} in {shown(ledger.path)}")
    else:
        lines, kinds = stats_text(stats, draw=draws())
        write_pages(lines, kinds, pager=not arguments.no_pager)
    warn(ledger)
    return 0


# --- for programs -----------------------------------------------------------------------------------


def stats_document(stats: Stats) -> dict[str, Any]:
    """Return the JSON form (``runtime/schemas/audit-stats.schema.json``), without its ledger."""
    unit, bars = chart(stats)
    return {
        "schema": SCHEMAS["stats"],
        "launches": stats.launches,
        "states": {name: stats.states[name] for name in _STATES},
        "exits": _named(stats.exits),
        "signals": _named(stats.signals),
        "not_started": dict(stats.not_started),
        "denied": {"launches": stats.denied, "decisions": stats.refusals},
        "duration_us": quantiles(stats.durations),
        "first": stats.first,
        "last": stats.last,
        "programs": [
            {"program": name, "launches": all_of_it, "failed": failed}
            for name, all_of_it, failed in busiest(stats)
        ],
        "chart": {
            "unit": unit,
            "bars": [
                {"from": _instant(begin), "launches": all_of_it, "failed": failed}
                for begin, all_of_it, failed in bars
            ],
        },
    }


def _named(counts: Counter[int]) -> dict[str, int]:
    return {str(key): counts[key] for key in sorted(counts)}


def _instant(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def quantiles(durations: array[int]) -> dict[str, int] | None:
    """Return median, 90th percentile, the longest and the sum of durations, or None without any."""
    if not durations:
        return None
    ordered = sorted(durations)
    size = len(ordered)
    return {
        # By the nearest rank: the shortest that so many of a hundred, or more, do not exceed.
        "median": ordered[-(-size // 2) - 1],
        "p90": ordered[-(-size * 9 // 10) - 1],
        "longest": ordered[-1],
        "total": sum(ordered),
    }


def busiest(stats: Stats) -> list[tuple[str, int, int]]:
    """Return the programs that most launches ran: name, launches, and how many did not succeed."""
    most = heapq.nsmallest(_MOST_PROGRAMS, stats.programs.items(), key=lambda item: (-item[1][0], item[0]))
    return [(name, all_of_it, failed) for name, (all_of_it, failed) in most]


def chart(stats: Stats) -> tuple[str, list[tuple[datetime, int, int]]]:
    """Return the unit of the bars, and each: where it begins, launches, and how many did not succeed.

    Spans without launches have a bar as well; there are at most 62 bars, the newest.
    """
    if not stats.hours:
        return "hour", []
    first, last = min(stats.hours), max(stats.hours)
    unit = next(name for name, most, _ in _SPANS if last - first <= most)
    bars: dict[datetime, list[int]] = {}
    for hour, (all_of_it, failed) in stats.hours.items():
        counts = bars.setdefault(_begin(hour, unit), [0, 0])
        counts[0] += all_of_it
        counts[1] += failed
    found: list[tuple[datetime, int, int]] = []
    begin = _begin(last, unit)
    while begin >= _begin(first, unit) and len(found) < _MOST_BARS:
        all_of_it, failed = bars.get(begin, (0, 0))
        found.append((begin, all_of_it, failed))
        if begin.year <= 1000:  # no instant of the record is older
            break
        begin = _begin(begin - timedelta(hours=1), unit)
    return unit, found[::-1]


def _begin(hour: datetime, unit: str) -> datetime:
    if unit == "hour":
        return hour
    day = hour.replace(hour=0)
    if unit == "day":
        return day
    if unit == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if unit == "month" else day.replace(day=1, month=1)


# --- for people ---------------------------------------------------------------------------------------


def stats_text(stats: Stats, *, draw: bool) -> tuple[list[str], dict[int, str]]:
    """Return the lines, and what some of them are (:mod:`runtime.cli.painting`).

    Args:
        stats: of at least one launch.
        draw: whether bars are drawn with blocks, else with ``#``.
    """
    from runtime.cli import launch_text  # noqa: PLC0415  # imports the index

    lines = columns(
        [
            ("launches", f"{stats.launches:,}"),
            ("from", f"{_second(stats.first)} to {_second(stats.last)} UTC"),
            ("states", ", ".join(f"{stats.states[name]:,} {name}" for name in _STATES)),
            ("results", _results(stats, launch_text.signal_words)),
            (
                "denied",
                f"{number(stats.refusals, 'decision', 'decisions')}"
                f" in {number(stats.denied, 'launch', 'launches')}",
            ),
            ("durations", _durations(stats.durations, launch_text.duration)),
        ]
    )
    kinds: dict[int, str] = {}
    lines.append("")
    kinds[len(lines)] = HEADING
    programs = [("PROGRAM", "LAUNCHES", "FAILED")]
    programs += [
        (_shown(name), f"{all_of_it:,}", f"{failed:,}") for name, all_of_it, failed in busiest(stats)
    ]
    lines += columns(programs)
    unit, bars = chart(stats)
    if not bars:
        return lines, kinds
    lines.append("")
    kinds[len(lines)] = HEADING
    form = next(form for name, _, form in _SPANS if name == unit)
    most = max(all_of_it for _, all_of_it, _ in bars)
    rows = [(unit.upper(), "LAUNCHES", "FAILED", "")]
    for begin, all_of_it, failed in bars:
        if failed:
            kinds[len(lines) + len(rows)] = BAD
        good, bad = _cells(all_of_it - failed, most), _cells(failed, most)
        bar = ("█" * good + "▌" * bad) if draw else ("#" * good + "x" * bad)
        rows.append((begin.strftime(form), f"{all_of_it:,}", f"{failed:,}", bar))
    lines += [line.rstrip() for line in columns(rows)]
    return lines, kinds


def _shown(program: str) -> str:
    """Return a name as messages have it, so that where it ends can be seen."""
    return program if program == _OTHERS else shown(program.encode("utf-8", "surrogateescape"))


def _cells(part: int, most: int) -> int:
    """Return the length of a bar; of what is not nothing, at least one cell."""
    return max(1, round(part * _BAR_WIDTH / most)) if part else 0


def _second(instant: str | None) -> str:
    return "-" if instant is None else instant[:19].replace("T", " ")


def _results(stats: Stats, signal_words: Any) -> str:
    words = [f"{count:,} exit {code}" for code, count in _most(stats.exits, 8)]
    words += [f"{count:,} {signal_words(signal)}" for signal, count in _most(stats.signals, 4)]
    words += [f"{count:,} not started: {code}" for code, count in _most(stats.not_started, 4)]
    return ", ".join(words) or "none"


def _most(counts: Counter[Any], at_most: int) -> list[tuple[Any, int]]:
    return heapq.nsmallest(at_most, counts.items(), key=lambda item: (-item[1], item[0]))


def _durations(durations: array[int], words: Any) -> str:
    found = quantiles(durations)
    if found is None:
        return "none"
    return (
        f"median {words(found['median'])}, 90 % within {words(found['p90'])},"
        f" longest {words(found['longest'])}, together {words(found['total'])}"
    )
