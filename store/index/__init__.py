"""The index: a second database for searching and listing, made from ledgers (design 2, "The index").

It is disposable and never evidence. It is rebuilt when it is missing, damaged or of another revision,
and caught up on use; whoever states a fact reads it from the ledger again.
"""

from store.index.records import IndexedState, LaunchRecord
from store.index.rereading import RecordedEntry, RecordedLaunch, reread
from store.index.search_index import SearchIndex
from store.index.searching import Criteria

__all__ = [
    "Criteria",
    "IndexedState",
    "LaunchRecord",
    "RecordedEntry",
    "RecordedLaunch",
    "SearchIndex",
    "reread",
]
