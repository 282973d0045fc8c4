"""The errors of the whole project: one root, one subclass for each kind of operation.

Every error carries a stable ``code`` (``area.reason``) for machines, a message for people
(lower case, no full stop) and, where there is one, a ``hint`` that says what to do.
"""

from __future__ import annotations

import errno
from typing import ClassVar


def files_hint(number: int | None) -> str | None:
    """Return what to do where no file could be opened, by the errno ``number``; None if no limit is why."""
    return "raise the limit of open files (ulimit -n)" if number == errno.EMFILE else None


class NonoError(Exception):
    """The root of every error that this project raises on purpose.

    Attributes:
        code: stable identifier ``area.reason``, never reused for another meaning.
        hint: what the user can do about it, or None.
    """

    default_code: ClassVar[str] = "nono.error"

    def __init__(self, message: str, *, code: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.code = code if code is not None else self.default_code
        self.hint = hint


class MalformedError(NonoError):
    """Bytes that are not in the one canonical form that this project accepts."""

    default_code = "form.malformed"


class SignatureError(NonoError):
    """A signature that does not verify, or that no known key made."""

    default_code = "signature.invalid"


class KeyFormatError(NonoError):
    """A key that cannot be read, or that is of a kind that is not accepted."""

    default_code = "key.format"


class ProofError(NonoError):
    """A Merkle proof that does not lead where it should (RFC 9162, section 2.1)."""

    default_code = "proof.invalid"
