"""The words in which a mistake in a file that somebody wrote, a profile or a configuration, is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.kernel.path_names import shown

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Protocol

    from attest.errors import NonoError

    class Complaint(Protocol):
        """Makes the error that says what is wrong, and where."""

        def __call__(self, where: str, what: str, *, hint: str | None = None) -> NonoError:
            """Return the error."""


_MAX_SHOWN = 100


def kind_of(value: object) -> str:
    """Return what a value of JSON or TOML is, for a message: ``must be a list, not a string``."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return "a string"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, dict):
        return "an object"
    return "a list" if isinstance(value, list) else "a date or a time"


def is_plain(text: str) -> bool:
    """Return whether ``text`` has no control characters and no lone surrogates."""
    return not any(
        character < " " or "\x7f" <= character <= "\xa0" or "\ud800" <= character <= "\udfff"
        for character in text
    )


def bounded(text: str) -> str:
    """Return the beginning of ``text``, with escapes for what is not printable."""
    from attest.printable_text import printable  # noqa: PLC0415  # for documents that have a fault

    return printable(text[:_MAX_SHOWN]) + ("…" if len(text) > _MAX_SHOWN else "")


def quoted(text: str) -> str:
    """Return the beginning of ``text`` as one word of a shell command."""
    beginning = text[:_MAX_SHOWN] + ("…" if len(text) > _MAX_SHOWN else "")
    return shown(beginning.encode("utf-8", "surrogatepass"))


def require_known_keys(
    table: Mapping[str, object], where: str, known: tuple[str, ...], complain: Complaint
) -> None:
    """Refuse a key that is not ``known``, with the one that it resembles.

    Args:
        table: whose keys they are.
        where: its place, empty for the whole document.
        known: the keys that it may have.
        complain: makes the error.
    """
    for key in table:
        if key not in known:
            inside = f"{where}.{key}" if where else key
            raise complain(bounded(inside), "unknown key", hint=did_you_mean(key, known))


def did_you_mean(key: str, known: tuple[str, ...]) -> str:
    """Return the hint for an unknown key: the known one that it resembles, else all of them."""
    import difflib  # noqa: PLC0415  # only a mistake pays for it

    close = difflib.get_close_matches(key[:_MAX_SHOWN].lower().replace("-", "_"), known, n=1)
    return f"did you mean {close[0]}?" if close else f"known here: {', '.join(known)}"
