"""Where entries live and are remembered: the ledger that is appended to, and the index for searching.

``store.index`` stands apart: its libraries (SQLAlchemy, Alembic) are never on the launch path.
"""

from store.errors import LedgerError, SearchIndexError, TamperedLedgerError
from store.ledger import Appended, Draft, Ledger

__all__ = ["Appended", "Draft", "Ledger", "LedgerError", "SearchIndexError", "TamperedLedgerError"]
