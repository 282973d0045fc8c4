"""Why a ledger cannot be opened, extended or searched: the errors of the ``store`` package."""

from __future__ import annotations

from attest.errors import NonoError


class LedgerError(NonoError):
    """The ledger cannot be used; nothing was written to it."""

    default_code = "ledger.unusable"


class TamperedLedgerError(LedgerError):
    """The ledger is not what its key last signed, so it gets no further signature."""

    default_code = "ledger.tampered"


class SearchIndexError(NonoError):
    """The searchable index cannot be used; no evidence is touched by that."""

    default_code = "index.unusable"
