"""Why a ledger cannot be opened, extended or searched: the errors of the ``store`` package."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attest.errors import NonoError

if TYPE_CHECKING:
    from attest.checkpoint import Checkpoint


class LedgerError(NonoError):
    """The ledger cannot be used; nothing was written to it."""

    default_code = "ledger.unusable"


class TamperedLedgerError(LedgerError):
    """The ledger is not what its key last signed, so it gets no further signature."""

    default_code = "ledger.tampered"


class SealedLedgerError(LedgerError):
    """The ledger was sealed on this host: another continues it, and nothing more is signed for this one.

    Args:
        message: what went wrong.
        code: another code than the default one.
        hint: what to do about it.
        head: the head that it was sealed with.
    """

    default_code = "ledger.sealed"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        hint: str | None = None,
        head: Checkpoint | None = None,
    ) -> None:
        super().__init__(message, code=code, hint=hint)
        self._head = head

    @property
    def head(self) -> Checkpoint:
        """The head that it was sealed with."""
        assert self._head is not None, "an error that a ledger did not raise"
        return self._head


class SearchIndexError(NonoError):
    """The searchable index cannot be used; no evidence is touched by that."""

    default_code = "index.unusable"
