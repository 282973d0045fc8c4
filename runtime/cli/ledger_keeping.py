"""``nono ledger init``, ``list`` and ``roll``: founding ledgers, finding them, and beginning the next one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from attest import __version__, canonical
from attest import origin as origins
from attest.errors import MalformedError, NonoError
from attest.printable_text import printable
from runtime.cli import complain, passphrases, say
from runtime.cli.audit_document import write_document
from runtime.cli.terminal import columns, number, write_lines
from runtime.errors import UsageError
from runtime.kernel.path_names import from_here, shown
from runtime.launcher import host
from runtime.secrets import signing_key, unfinished_roll
from store import locations, rolling
from store.errors import LedgerError, TamperedLedgerError
from store.ledger import Ledger
from store.overview import LedgerOverview, judged_ledgers_of, overview

if TYPE_CHECKING:
    import argparse

    from attest.keys import PublicKey, SigningKey

_INIT_EPILOG = """\
A launch founds its ledger itself where there is none; this is for founding one beforehand, and for its name.

examples:
  nono ledger init --name build
  nono ledger init --ledger ci.db --audit-sign-key ci.pem
"""

_LIST_EPILOG = """\
--json writes one object a line, whose form nono ledger schema list prints.

example:
  nono ledger list --json | jq -r 'select(.sealed | not) | .path'
"""

_ROLL_EPILOG = """\
Nothing more is appended to the sealed ledger by this host. Its successor names its origin, size and root in
its first entry, so the two hold together. Both verify, each for itself; keep both. If this is interrupted,
the same command again finishes it.

examples:
  nono ledger roll
  nono ledger roll --ledger ci.db --audit-sign-key ci.pem --to ci-2026.db
"""


def add_init(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``nono ledger init``."""
    parser = commands.add_parser(
        "init", help="found a ledger", description="Found a ledger.", epilog=_INIT_EPILOG
    )
    parser.add_argument(
        "--ledger", metavar="FILE", help="where (default: the key's place in the state directory)"
    )
    parser.add_argument("--name", metavar="NAME", help="its name, [a-z0-9./_-] (default: the host name)")
    _add_key(parser)
    parser.set_defaults(act=_init)


def add_list(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``nono ledger list``."""
    parser = commands.add_parser(
        "list",
        help="list the ledgers in the state directory",
        description="List the ledgers in the state directory.",
        epilog=_LIST_EPILOG,
    )
    parser.add_argument("--json", action="store_true", help="write one JSON object a line")
    parser.set_defaults(act=_list)


def add_roll(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``nono ledger roll``."""
    parser = commands.add_parser(
        "roll",
        help="seal a ledger and begin the next one",
        description="Seal a ledger and begin the next one, which names it.",
        epilog=_ROLL_EPILOG,
    )
    parser.add_argument("--ledger", metavar="FILE", help="the ledger to seal (default: the key's own)")
    parser.add_argument("--to", metavar="FILE", help="where the next one goes; needed with --ledger")
    parser.add_argument("--name", metavar="NAME", help="its name (default: the same)")
    _add_key(parser)
    parser.add_argument(
        "--unsafe-while-running",
        action="store_true",
        help="do not wait for launches that run: their records stay unfinished",
    )
    parser.set_defaults(act=_roll)


def _add_key(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--audit-sign-key", metavar="REF", help="the ledger's key (default: the host key)")
    passphrases.add_argument(parser)


def _key(arguments: argparse.Namespace) -> SigningKey:
    source = passphrases.source(arguments.key_passphrase_env)
    reference = arguments.audit_sign_key
    if reference is None:
        return signing_key.host_key(locations.config_directory(), passphrases=source, notify=_notify).key
    if signing_key.is_inline(reference):
        raise UsageError(
            "a signing key on the command line can be read by every process",
            code="usage.key_in_argv",
            hint="put it into a variable and name that: env://NAME",
        )
    return signing_key.resolve(reference, source).key


def _notify(text: str) -> None:
    say(f"nono: {text}")


def _require_name(arguments: argparse.Namespace) -> None:
    if arguments.name is not None:
        try:
            origins.check_name(arguments.name)
        except MalformedError as error:
            raise UsageError(
                f"--name {printable(arguments.name)}: {error}", hint="for instance: --name build"
            ) from None


# --- init -------------------------------------------------------------------------------------------


def _init(arguments: argparse.Namespace) -> int:
    _require_name(arguments)
    named = None if arguments.ledger is None else from_here(os.fsencode(arguments.ledger))
    key, state = _key(arguments), locations.state_directory()
    if named is not None:
        path = named
    else:
        own = judged_ledgers_of(key.public, state=state)
        if own:
            raise LedgerError(
                f"this key has a ledger: {shown(own[0].path)}",
                code="ledger.exists",
                hint="begin the next one with: nono ledger roll; or found one elsewhere: --ledger FILE",
            )
        unfinished_roll.refuse(
            key.public,
            state=state,
            reference=arguments.audit_sign_key,
            passphrase_variable=arguments.key_passphrase_env,
        )
        path = locations.free_path(state, key.public.fingerprint())
    name = host.ledger_name() if arguments.name is None else arguments.name
    with Ledger.create(path, key, name=name, tool_version=__version__, state=state) as ledger:
        write_lines(_founded(ledger, key))
    return 0


def _founded(ledger: Ledger, key: SigningKey) -> list[str]:
    rows = [("ledger", shown(ledger.path)), ("origin", ledger.origin), ("key", key.public.fingerprint())]
    return columns(rows)


# --- list -------------------------------------------------------------------------------------------


def _list(arguments: argparse.Namespace) -> int:
    state = locations.state_directory()
    host_key = signing_key.host_public_key(locations.config_directory())
    mark = None if host_key is None else host_key.fingerprint()
    rows: list[tuple[str, ...]] = []
    for path in locations.all_ledgers(state):
        try:
            seen: LedgerOverview | LedgerError = overview(path, state=state)
        except LedgerError as error:
            seen = error
        if arguments.json:
            write_document(_document(path, seen, mark))
        else:
            rows.append(_row(path, seen, mark))
    if not rows and not arguments.json:
        say(f"nono: no ledger in {shown(locations.ledgers_directory(state))} yet")
    elif rows:
        write_lines(columns(rows))
    return 0


def _document(path: bytes, seen: LedgerOverview | LedgerError, host_key: str | None) -> dict[str, object]:
    if isinstance(seen, LedgerError):
        return {"path": canonical.text(path), "error": str(seen)}
    previous = seen.previous
    return {
        "path": canonical.text(path),
        "origin": seen.head.origin,
        "size": seen.head.size,
        "key": seen.key.fingerprint(),
        "host_key": seen.key.fingerprint() == host_key,
        "previous": None
        if previous is None
        else {"origin": previous.origin, "size": previous.size, "root": previous.root.hex()},
        "sealed": seen.sealed,
    }


def _row(path: bytes, seen: LedgerOverview | LedgerError, host_key: str | None) -> tuple[str, ...]:
    if isinstance(seen, LedgerError):
        return shown(path), "", "", printable(str(seen))
    fingerprint = seen.key.fingerprint()
    said = ["host key"] if fingerprint == host_key else []
    said += ["sealed"] if seen.sealed else []
    said += [f"continues {seen.previous.origin}"] if seen.previous is not None else []
    return shown(path), number(seen.head.size, "entry", "entries"), f"{fingerprint[:16]}…", ", ".join(said)


# --- roll -------------------------------------------------------------------------------------------


def _roll(arguments: argparse.Namespace) -> int:
    _require_name(arguments)
    if (arguments.ledger is None) != (arguments.to is None):
        raise UsageError(
            "--ledger and --to go together: the next ledger of one that is named is named too",
            hint="nono ledger roll --ledger FILE --to FILE",
        )
    named = None
    if arguments.ledger is not None:
        named = (from_here(os.fsencode(arguments.ledger)), from_here(os.fsencode(arguments.to)))
    key, state = _key(arguments), locations.state_directory()
    path, successor = named or _own(key.public, state)
    try:
        with rolling.roll(
            path,
            key,
            successor=successor,
            name=arguments.name,
            tool_version=__version__,
            state=state,
            unsafe_while_running=arguments.unsafe_while_running,
        ) as ledger:
            rows = [*columns([("sealed", shown(path))]), *_founded(ledger, key)]
    except NonoError as error:
        said = _left(path, state)
        # Neither with another key nor after repair by hand would the same command finish it.
        if said is None or isinstance(error, TamperedLedgerError) or error.code == "ledger.other_key":
            raise
        raise LedgerError(
            f"{error}; {said}", code=error.code, hint=_finishing(arguments, named, error)
        ) from None
    except KeyboardInterrupt:
        said = _left(path, state)
        if said is None:
            complain(f"interrupted: {_unchanged(path, state)}")
        else:
            complain(f"interrupted: {said}", _finishing(arguments, named))
        raise
    write_lines(rows)
    return 0


def _own(key: PublicKey, state: bytes) -> tuple[bytes, bytes]:
    """Return the key's ledger in the state directory, and where the next one goes."""
    own = [seen.path for seen in judged_ledgers_of(key, state=state)]
    if not own:  # one that was sealed and has no successor: whoever rolled it was interrupted
        own = [seen.path for seen in rolling.unfinished_rolls_of(key, state=state)]
    if not own:
        raise LedgerError(
            "this key has no ledger in the state directory that could be rolled",
            code="ledger.none",
            hint="name one: --ledger FILE --to FILE",
        )
    return own[0], locations.free_path(state, key.fingerprint())


def _left(path: bytes, state: bytes) -> str | None:
    """Return how a roll that failed has left the ledger, None if it is not half done or cannot be seen."""
    try:
        seen = rolling.unfinished_roll(path, state=state)
    except LedgerError:
        return None
    if seen is None:
        return None
    size = number(seen.head.size, "entry", "entries")
    return f"{shown(path)} is sealed at {size}, and nothing continues it yet"


def _unchanged(path: bytes, state: bytes) -> str:
    """Return what there is to say of a ledger whose roll is not half done."""
    try:
        seen = overview(path, state=state)
        beside = [os.path.dirname(path)]
        followed = rolling.successor_of(seen.head.origin, state=state, beside=beside) if seen.sealed else None
    except LedgerError as error:
        return str(error)
    if followed is None:
        return f"{shown(path)} is not sealed, and goes on"
    return f"{shown(path)} is sealed, and {shown(followed)} continues it"


def _finishing(
    arguments: argparse.Namespace, named: tuple[bytes, bytes] | None, error: NonoError | None = None
) -> str:
    path, successor = named or (None, None)
    if successor is not None and os.path.lexists(successor):
        successor = None  # another has to be named
    before = "" if error is None or error.hint is None else f"{error.hint}; then "
    return f"{before}finish it with: " + unfinished_roll.command(
        ledger=path,
        successor=successor,
        key=arguments.audit_sign_key,
        passphrase_variable=arguments.key_passphrase_env,
        name=arguments.name,
    )
