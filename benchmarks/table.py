"""The figures as an aligned table, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from measuring import Ceiling

if TYPE_CHECKING:
    from measuring import Result

_HEADINGS = ("", "median", "minimum", "90 %", "a second", "ours is")


def lines(result: Result) -> list[str]:
    """Return the table of one benchmark, its missing peers, notes and bars."""
    rows = [_HEADINGS]
    for measured in result.measured:
        ours = measured is result.measured[0]
        rows.append(
            (
                measured.name,
                duration(measured.median),
                duration(min(measured.seconds)),
                duration(measured.ninetieth),
                f"{measured.units / measured.median:,.0f}",
                "" if ours else f"{result.ratio(measured):.2f}x",
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    samples = len(result.measured[0].seconds)
    text = [f"{result.name}: {result.title} ({samples} samples each, in turn)"]
    for first, *rest in rows:
        cells = (cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))
        text.append(f"  {first.ljust(widths[0])}  {'  '.join(cells)}".rstrip())
    text += [f"  missing: {peer.name}: {peer.reason}" for peer in result.missing]
    text += [f"  note: {note}" for note in result.notes]
    missed = result.missed()
    text += [f"  MISSED: {line}" for line in missed]
    names = {measured.name for measured in result.measured}
    for bar in result.bars:
        if not {bar.ours, bar.peer} <= names:
            text.append(f"  not judged: {bar.ours} at most {bar.at_most:.2f}x of {bar.peer}")
        elif not missed:
            text.append(f"  holds: {bar.ours} at most {bar.at_most:.2f}x of {bar.peer}")
    if not missed:
        text += [
            f"  holds: {_share(each)}{each.subject} below {duration(each.seconds)}"
            for each in result.ceilings
        ]
        text += [
            f"  holds: {each.what} {each.value:,.2f} {each.unit}, at most {each.at_most:,.2f}"
            for each in result.limits
        ]
    return text


def _share(ceiling: Ceiling) -> str:
    return "" if ceiling.of == Ceiling("", 0).of else f"{ceiling.of:.0%} of "


def duration(seconds: float) -> str:
    """Return a duration in the unit that leaves one to three digits before the point."""
    for factor, unit in ((1.0, "s"), (1e3, "ms")):
        if seconds * factor >= 1:
            return f"{seconds * factor:.2f} {unit}"
    return f"{seconds * 1e6:.1f} us"
