"""Which launch a command is about: a session id, the beginning of one, or the newest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attest.errors import NonoError
from attest.printable_text import printable
from runtime.kernel.path_names import shown

if TYPE_CHECKING:
    from store.index import IndexedState, LaunchRecord, SearchIndex

_MIN_PREFIX = 4
_MOST_NAMED = 10
_DIGITS = frozenset("0123456789abcdef")


def chosen_launch(index: SearchIndex, ledger: IndexedState, session: str) -> LaunchRecord:
    """Return the launch that ``session`` means.

    Args:
        index: the index, caught up with the ledger.
        ledger: the ledger.
        session: a session id, four or more of its first hex digits, or ``last``.

    Raises:
        NonoError: there is none (``audit.no_launch``), it means several (``audit.ambiguous``), or it is
            nothing of the kind (``usage.invalid``).
    """
    from store.index import Criteria  # noqa: PLC0415  # SQLAlchemy, for whoever needs it

    if session == "last":
        newest = index.launches(ledger, limit=1)
        if not newest:
            raise NonoError(f"no launches in {shown(ledger.path)}", code="audit.no_launch")
        return newest[0]
    prefix = session.lower()
    if len(prefix) < _MIN_PREFIX or not _DIGITS.issuperset(prefix):
        raise NonoError(
            f"not a session id: {printable(session)}",
            code="usage.invalid",
            hint=f"{_MIN_PREFIX} or more of its hex digits, or last; nono audit list shows them",
        )
    found = index.launches(ledger, Criteria(session=prefix), limit=_MOST_NAMED + 1)
    if not found:
        raise NonoError(
            f"no launch whose session id begins with {prefix}",
            code="audit.no_launch",
            hint="nono audit list shows them; --ledger FILE names another ledger",
        )
    if len(found) > 1:
        more = " and others" if len(found) > _MOST_NAMED else ""
        raise NonoError(
            f"several launches whose session id begins with {prefix}",
            code="audit.ambiguous",
            hint=f"one of: {' '.join(launch.session for launch in found[:_MOST_NAMED])}{more}",
        )
    return found[0]
