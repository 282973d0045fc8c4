"""Passphrases of encrypted keys: from a variable that the user names, or from whoever is asked.

The variable is for machines. Like one that holds a key it is taken out of nono's environment at once,
needed or not: neither the command nor a hook gets it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runtime.errors import SigningKeyError
from runtime.secrets import signing_key
from runtime.secrets.pkcs8 import MAX_PASSPHRASE_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ATTEMPTS = 3
"""How often a person may try."""


def take(name: str) -> bytes:
    """Return the passphrase in the variable ``name``, which is no longer there afterwards.

    Raises:
        SigningKeyError: it is not set (``key.variable``), or holds what no passphrase can be.
    """
    variable = os.fsencode(name)
    value = os.environb.get(variable)
    if not variable or value is None:
        # Not named: it may be the passphrase itself, by mistake.
        raise SigningKeyError(
            "the variable that is to hold the passphrase is not set",
            code="key.variable",
            hint="give the name of a variable, without $, and export it",
        )
    signing_key.forget_variable(variable)
    return check(value, f"in ${name}")


def check(passphrase: bytes, where: str) -> bytes:
    """Return the passphrase.

    Raises:
        SigningKeyError: it is empty or too long.
    """
    if not 0 < len(passphrase) <= MAX_PASSPHRASE_BYTES:
        raise SigningKeyError(
            f"the passphrase {where} has not 1 to {MAX_PASSPHRASE_BYTES} bytes", code="key.passphrase"
        )
    return passphrase


class PassphraseSource:
    """Gives the passphrases to try for a key: the one that was named, or else what a person types.

    Args:
        value: the passphrase, when a variable held it.
        ask: asks a person for the passphrase of what it is given; None where nobody can be asked.

    Attributes:
        used: the last one that was tried, so after a key was opened the one that opened it.
    """

    def __init__(self, value: bytes | None, ask: Callable[[str], bytes] | None) -> None:
        self.used: bytes | None = None
        self._value = value
        self._ask = ask

    def __call__(self, shown: str) -> Iterator[bytes]:
        """Yield what to try for the key that is called ``shown``."""
        if self._value is not None:
            self.used = self._value
            yield self._value
        elif self._ask is not None:
            for attempt in range(1, ATTEMPTS + 1):
                again = f" (that did not open it; try {attempt} of {ATTEMPTS})" if attempt > 1 else ""
                self.used = self._ask(shown + again)
                yield self.used
