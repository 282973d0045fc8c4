"""Which ledger a command is about, and which index: those that were named, or those of launches here."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runtime.kernel.path_names import from_here, shown
from runtime.policy.configuration import configured_ledger
from runtime.secrets import signing_key
from store import locations
from store.errors import LedgerError
from store.overview import default_ledgers_of

if TYPE_CHECKING:
    import argparse

    from store.index import SearchIndex

INDEX_VARIABLE = "NONO_INDEX"

_MAX_LISTED = 10


def add_ledger_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--ledger`` to a command that looks at a ledger."""
    parser.add_argument(
        "--ledger",
        metavar="FILE",
        help="the ledger (default: the configured one, the only one in nono's state directory, or that of the"
        " host key)",
    )


def add_index_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--index`` to a command that searches."""
    parser.add_argument(
        "--index",
        metavar="URL",
        help=f"an SQLAlchemy URL of the index (default: ${INDEX_VARIABLE}, or a file in the cache directory)",
    )


def chosen_index(named: str | None = None) -> SearchIndex:
    """Open the index.

    Args:
        named: the value of ``--index``, or None.

    Raises:
        SearchIndexError: it cannot be used.
    """
    from store.index import SearchIndex  # noqa: PLC0415  # SQLAlchemy, for whoever needs it

    return SearchIndex(named if named is not None else os.environ.get(INDEX_VARIABLE) or None)


def all_ledgers() -> list[bytes]:
    """Return the absolute paths of the ledgers in nono's state directory.

    Raises:
        LedgerError: the directory cannot be read.
    """
    return _ledgers_in(locations.ledgers_directory(locations.state_directory()))


def chosen_ledger(named: str | None) -> bytes:
    """Return the absolute path of the ledger.

    Args:
        named: the value of ``--ledger``, or None.

    Raises:
        LedgerError: there is none yet (``ledger.none``), or several and none of the host key
            (``ledger.ambiguous``); or an empty path is named.
        ConfigurationError: a configuration file cannot be read, or cannot be meant.
    """
    if named == "":
        raise LedgerError("--ledger is given an empty path", code="ledger.missing")
    if named is not None:
        return from_here(os.fsencode(named))
    configured = configured_ledger(locations.config_directory())
    if configured is not None:
        return configured
    state = locations.state_directory()
    directory = locations.ledgers_directory(state)
    ledgers = _ledgers_in(directory)
    if len(ledgers) == 1:
        return ledgers[0]
    if not ledgers:
        raise LedgerError(
            f"no ledger in {shown(directory)} yet",
            code="ledger.none",
            hint="launch something with nono run, or name a ledger: --ledger FILE",
        )
    host_key = signing_key.host_public_key(locations.config_directory())
    if host_key is not None:
        own = default_ledgers_of(host_key, state=state)
        if own:
            return own[0].path
    listed = ", ".join(shown(path) for path in ledgers[:_MAX_LISTED])
    more = f" and {len(ledgers) - _MAX_LISTED} more" if len(ledgers) > _MAX_LISTED else ""
    raise LedgerError(
        f"{len(ledgers)} ledgers in the state directory, none of the host key",
        code="ledger.ambiguous",
        hint=f"name one with --ledger: {listed}{more}",
    )


def _ledgers_in(directory: bytes) -> list[bytes]:
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise LedgerError(f"cannot read {shown(directory)}: {error.strerror}") from None
    paths = (os.path.join(directory, name) for name in sorted(names))
    return [path for path in paths if path.endswith(b".db") and _is_ledger_name(path)]


def _is_ledger_name(path: bytes) -> bool:
    # Ledgers in the making have a dot in front.
    return not os.path.basename(path).startswith(b".") and os.path.isfile(path)
