"""What the arguments of every verification have in common: their errors, and the keys that are pinned."""

from __future__ import annotations

import argparse
import itertools
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn

from attest import origin as origins
from attest import written_time
from attest.errors import MalformedError, NonoError
from attest.keys import without_key_text
from verify import pins, trust
from verify.cli.streams import write
from verify.errors import NotCheckedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


def moment(text: str) -> datetime:
    """Return the instant of RFC 3339 that ``text`` writes, in UTC, for argparse.

    Raises:
        ArgumentTypeError: it is none, or there is no such time.
    """
    return _read(written_time.parse_rfc_3339, text)


def beginning(text: str) -> datetime:
    """Return the time that ``text`` writes (:mod:`attest.written_time`), in UTC, for argparse.

    Raises:
        ArgumentTypeError: it writes none, or there is no such time.
    """
    return _read(lambda text: written_time.parse_time(text, datetime.now(UTC)), text)


def end(text: str) -> datetime:
    """Return the same as :func:`beginning`; of a date, the end of its day."""
    return _read(lambda text: written_time.parse_time(text, datetime.now(UTC), end=True), text)


def _read(parse: Callable[[str], datetime], text: str) -> datetime:
    try:
        return parse(text)
    except MalformedError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no time: {error}") from None


def require_span(since: datetime | None, until: datetime | None) -> None:
    """Refuse a beginning that does not lie before its end.

    Raises:
        UsageError: no time lies between the two.
    """
    if since is not None and until is not None and since >= until:
        raise UsageError("no time lies between --since and --until", hint="--since is the earlier one")


class _Unasked(argparse.RawDescriptionHelpFormatter):
    """The form of a help that nobody asks for.

    argparse makes one for each argument that is added, and to find how wide a terminal is it imports shutil,
    which loads every compression that Python has.
    """

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=80)


class Parser(argparse.ArgumentParser):
    """A parser whose errors are those of the verifier.

    Args:
        prog: the command, as it is typed.
        description: what it does, one sentence.
        epilog: exit codes and examples.
    """

    def __init__(self, prog: str, *, description: str = "", epilog: str = "") -> None:
        super().__init__(
            prog=prog,
            description=description,
            epilog=epilog,
            formatter_class=_Unasked,
            allow_abbrev=False,
        )

    def format_help(self) -> str:
        """Return the help, as wide as the terminal is."""
        self.formatter_class = argparse.RawDescriptionHelpFormatter
        return super().format_help()

    def format_usage(self) -> str:
        """Return the usage, likewise."""
        self.formatter_class = argparse.RawDescriptionHelpFormatter
        return super().format_usage()

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> Any:  # whatever its type is
        """Refuse ``--`` as a value: argparse of Python 3.12 and older makes an empty list of it."""
        if action.option_strings and arg_strings == ["--"]:
            self.error(f"argument {'/'.join(action.option_strings)}: -- is no value")
        return super()._get_values(action, arg_strings)

    def error(self, message: str) -> NoReturn:
        """Raise a :class:`UsageError`: a reason why nothing was checked, and worded like the others."""
        raise UsageError(without_key_text(message), hint=f"{self.prog} --help")

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:  # as argparse has it
        """Return what the arguments say; for an unknown flag, with the one that may have been meant."""
        found, surplus = self.parse_known_args(args, namespace)
        if surplus:
            meant = _closest(surplus[0].partition("=")[0], self._option_string_actions)
            self.error(f"unrecognized arguments: {' '.join(surplus)}{meant}")
        return found

    def _check_value(self, action: argparse.Action, value: Any) -> None:  # whatever the action's type makes
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as error:
            error.message += _closest(str(value), map(str, action.choices or ()))
            raise

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """Leave after help or version, which argparse has written without looking whether it could."""
        write("")
        super().exit(status, message)


_WORD = 100
"""As much of a word as is compared with others: more is no slip of the finger, and would take its time."""


def _closest(word: str, words: Iterable[str]) -> str:
    import difflib  # noqa: PLC0415  # for a mistake alone

    found = difflib.get_close_matches(word[:_WORD], list(words), n=1)
    return f"; did you mean {found[0]}?" if found else ""


def asked_format(arguments: Sequence[str], formats: Sequence[str]) -> str:
    """Return the format that arguments ask for which could not be parsed; ``text`` when they ask for none."""
    pairs = [tuple(argument.split("=", 1)) for argument in arguments] + list(itertools.pairwise(arguments))
    return next(
        (pair[1] for pair in pairs if pair[0] == "--format" and pair[1:] and pair[1] in formats), "text"
    )


def add_pins(parser: argparse.ArgumentParser) -> None:
    """Add the flags that every verification has."""
    parser.add_argument(
        "-k",
        "--public-key-file",
        metavar="KEY",
        action="append",
        default=[],
        help="a public key that is trusted; the ledger must be one of these keys'",
    )
    parser.add_argument("--origin", metavar="O", help="the ledger must have this origin, name/id")


def given_pins(options: argparse.Namespace, *, store: bool) -> tuple[pins.Pin, ...]:
    """Return what is pinned: the files named, else the variable's key, else the ``store`` of trusted keys.

    One source only: a job that names the key it expects must not pass with another that happens to
    lie in somebody's trust store.

    Raises:
        NotCheckedError: a key cannot be read, or the origin that is pinned is none.
    """
    if options.origin is not None:
        try:
            origins.split(options.origin)
        except NonoError as error:
            raise NotCheckedError(f"--origin: {error}", code="input.usage") from None
    if options.public_key_file:
        return tuple(pins.read_file(path) for path in options.public_key_file)
    return pins.from_environment(os.environ) or (trust.load(os.environ) if store else ())
