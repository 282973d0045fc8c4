"""Asking for a passphrase on the terminal, whatever the standard streams are."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from attest.printable_text import printable
from runtime.errors import SigningKeyError
from runtime.secrets import passphrase

if TYPE_CHECKING:
    import argparse

FLAG = "--key-passphrase-env"


def add_argument(
    parser: argparse._ActionsContainer, flag: str = FLAG, whose: str = "an encrypted key"
) -> None:
    """Add the flag that names the variable of a passphrase."""
    parser.add_argument(
        flag,
        metavar="NAME",
        help=f"the variable that holds the passphrase of {whose} (default: ask on the terminal)",
    )


def source(variable: str | None) -> passphrase.PassphraseSource:
    """Return where the passphrase of a key that exists comes from.

    Raises:
        SigningKeyError: the variable is not set.
    """
    return passphrase.PassphraseSource(None if variable is None else passphrase.take(variable), ask)


def ask(shown: str) -> bytes:
    """Ask for the passphrase of the key that is called ``shown``.

    Raises:
        SigningKeyError: there is no terminal (``key.encrypted``).
    """
    return _ask(f"passphrase of {shown}: ", "key.encrypted")


def new(variable: str | None, flag: str = FLAG) -> bytes:
    """Return the passphrase for a new key: from a variable, or asked for twice.

    Raises:
        SigningKeyError: the variable is not set, there is no terminal, or the two are not the same.
    """
    if variable is not None:
        return passphrase.take(variable)
    typed = passphrase.check(_ask("passphrase of the new key: ", "key.passphrase", flag), "that was typed")
    if _ask("the same again: ", "key.passphrase", flag) != typed:
        raise SigningKeyError("the two passphrases are not the same", code="key.passphrase")
    return typed


def _ask(prompt: str, code: str, flag: str = FLAG) -> bytes:
    import getpass  # noqa: PLC0415  # only where somebody is asked

    try:
        # getpass would fall back to standard input, which is the command's, or a pipe's.
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
        typed = getpass.getpass(printable(prompt))
    except (OSError, EOFError):
        raise SigningKeyError(
            "a passphrase is needed, and there is no terminal to ask on",
            code=code,
            hint=f"name a variable that holds it: {flag} NAME",
        ) from None
    return typed.encode("utf-8", "surrogateescape")
