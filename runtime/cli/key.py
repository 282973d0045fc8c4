"""``nono key``: what a key is and which ledgers it has, and how another takes its place."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from attest import canonical
from attest import origin as origins
from attest.errors import NonoError
from attest.keys import PublicKey
from attest.named_tuples import NamedTuple
from attest.note import Verifier
from attest.printable_text import is_printable
from runtime.cli import complain, passphrases
from runtime.cli.audit_document import write_document
from runtime.cli.published_schemas import add_schema_command
from runtime.cli.terminal import columns, number, write_lines
from runtime.errors import SigningKeyError, UsageError
from runtime.kernel.path_names import from_here, shown
from runtime.secrets import key_files, key_rotation, signing_key, unfinished_roll
from store import locations
from store.errors import LedgerError
from store.overview import LedgerOverview, default_ledgers_of

if TYPE_CHECKING:
    import argparse

    from attest.keys import SigningKey
    from runtime.secrets.key_rotation import Rotation
    from runtime.secrets.passphrase import PassphraseSource

EPILOG = """\
examples:
  nono key show                        the host key
  nono key rotate --reason yearly      another host key, for this host's ledger
  nono key rotate --ledger ci.db --audit-sign-key old.pem --out new.pem
"""

_SHOW_EPILOG = """\
KEY is a private key as --audit-sign-key takes it, or the file of a public one. Of an encrypted private key
whose public half lies beside it, that is read, and nobody is asked. The private part is never shown.

--json writes one object, whose form nono key schema show prints.

examples:
  nono key show
  nono key show ci.pub --origin "$(nono ledger info --json | jq -r .origin)"
"""

_ROTATE_EPILOG = """\
The ledger gets an entry that names the new key, and a checkpoint that both keys sign; what was recorded
before still verifies under the old public key, what comes later under both. The old private key is not
needed again. Nothing is handed over while launches of the ledger run: they hold the old key.

Without --audit-sign-key, --new and --out it is the host key that is made anew: every ledger in the state
directory that it has in force is handed over (and the one of --ledger); the old one is kept as
default-<first 8 digits of its fingerprint>.pem. An encrypted host key is followed by one with the same
passphrase. If this is interrupted, the same command again finishes it.

examples:
  nono key rotate --reason yearly --destroy-old
  nono key rotate --ledger ci.db --audit-sign-key env://OLD --new env://NEW
"""

_SCHEMA_EPILOG = """\
It is a JSON Schema (draft 2020-12), for programs that read what nono key show --json writes.

example:
  nono key schema show
"""

_NEW_FLAG = "--new-key-passphrase-env"
_DEFAULT_REASON = "routine"
_MAX_REASON = 1_024
_MAX_PUBLIC_BYTES = 65_536


class _Shown(NamedTuple):
    """A key to be shown.

    Attributes:
        key: its public half.
        where: the path of its file, or the reference that named it.
        encrypted: whether it is; None for a public key.
        read_from: the path of the public half that was read in the place of an encrypted key.
    """

    key: PublicKey
    where: bytes
    encrypted: bool | None
    read_from: bytes | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the commands of ``nono key`` and their flags."""
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    show = commands.add_parser(
        "show",
        help="print what a key is, and which ledgers it has",
        description="Print what a key is, and which ledgers in the state directory it has in force.",
        epilog=_SHOW_EPILOG,
    )
    show.add_argument("key", nargs="?", metavar="KEY", help="the key (default: the host key)")
    show.add_argument("--origin", metavar="O", help="print its verifier key for this ledger too")
    passphrases.add_argument(show)
    show.add_argument("--json", action="store_true", help="write one JSON object")
    show.set_defaults(act=_show)
    rotate = commands.add_parser(
        "rotate",
        help="hand a ledger over to another key",
        description="Hand a ledger over to another key.",
        epilog=_ROTATE_EPILOG,
    )
    rotate.add_argument("--ledger", metavar="FILE", help="the ledger (default: the key's own)")
    rotate.add_argument("--audit-sign-key", metavar="OLD", help="its key (default: the host key)")
    passphrases.add_argument(rotate, whose="the old key")
    successor = rotate.add_mutually_exclusive_group()
    successor.add_argument("--new", metavar="REF", help="the new key, which exists")
    successor.add_argument("--out", metavar="FILE", help="make the new key there")
    rotate.add_argument("--encrypt", action="store_true", help="encrypt the key that is made")
    passphrases.add_argument(rotate, _NEW_FLAG, "the new key")
    rotate.add_argument("--reason", default=_DEFAULT_REASON, metavar="TEXT", help="why, for the record")
    rotate.add_argument("--destroy-old", action="store_true", help="overwrite and remove the old key's file")
    rotate.add_argument(
        "--unsafe-while-running",
        action="store_true",
        help="do not wait for launches that run: their records stay unfinished",
    )
    rotate.set_defaults(act=_rotate)
    add_schema_command(commands, {"show": "key-show"}, _SCHEMA_EPILOG)


def run(arguments: argparse.Namespace) -> int:
    """Do what was asked and return the exit code.

    Raises:
        NonoError: a key or a ledger cannot be used.
    """
    status: int = arguments.act(arguments)
    return status


# --- show -------------------------------------------------------------------------------------------


def _show(arguments: argparse.Namespace) -> int:
    if arguments.origin is not None:
        try:
            origins.split(arguments.origin)
        except NonoError as error:
            raise UsageError(
                f"--origin: {error}",
                hint='for instance: --origin "$(nono ledger info --json | jq -r .origin)"',
            ) from None
    seen = _look_at(arguments.key, passphrases.source(arguments.key_passphrase_env))
    ledgers = default_ledgers_of(seen.key, state=locations.state_directory())
    named = [] if arguments.origin is None else [_vkey(arguments.origin, seen.key)]
    if arguments.json:
        write_document(_document(seen, ledgers, named))
        return 0
    encrypted = {None: "public", True: "encrypted", False: "not encrypted"}[seen.encrypted]
    where = shown(seen.where) + (f", read from {shown(seen.read_from)}" if seen.read_from is not None else "")
    rows = [("fingerprint", seen.key.fingerprint()), ("where", f"{where} ({encrypted})")]
    for ledger in ledgers:
        rows += [
            ("ledger", f"{shown(ledger.path)} ({number(ledger.head.size, 'entry', 'entries')})"),
            ("verifier key", _vkey(ledger.head.origin, seen.key)),
        ]
    rows += [("verifier key", vkey) for vkey in named]
    write_lines([*columns(rows), *seen.key.pem().decode().splitlines()])
    return 0


def _document(seen: _Shown, ledgers: list[LedgerOverview], named: list[str]) -> dict[str, object]:
    return {
        "fingerprint": seen.key.fingerprint(),
        "where": canonical.text(seen.where),
        "encrypted": seen.encrypted,
        "read_from": None if seen.read_from is None else canonical.text(seen.read_from),
        "public_key": seen.key.pem().decode(),
        "vkeys": named,
        "ledgers": [
            {
                "path": canonical.text(ledger.path),
                "origin": ledger.head.origin,
                "size": ledger.head.size,
                "vkey": _vkey(ledger.head.origin, seen.key),
            }
            for ledger in ledgers
        ],
    }


def _vkey(origin: str, key: PublicKey) -> str:
    return Verifier(origin, key).vkey()


def _look_at(reference: str | None, source: PassphraseSource) -> _Shown:
    default = reference is None
    if reference is None:
        reference = os.fsdecode(signing_key.default_path(locations.config_directory()))
    signing_key.refuse_inline(reference)
    path = signing_key.file_of(reference)
    if path is None:
        key = signing_key.resolve(reference, source).key.public
        return _Shown(key, os.fsencode(reference), encrypted=source.used is not None)
    data = _read(path, "the first launch makes it, and so does: nono keygen" if default else None)
    if b"PRIVATE KEY-----" not in data:
        try:
            return _Shown(_public(data), path, None)
        except NonoError:
            pass  # no public key either: the refusal says what it should have been
    elif b"-----BEGIN ENCRYPTED PRIVATE KEY-----" in data:
        beside = signing_key.public_half(path)
        if os.path.exists(beside):
            return _Shown(_public(_read(beside)), path, encrypted=True, read_from=beside)
    key = signing_key.read_file(path, source).key.public
    return _Shown(key, path, encrypted=source.used is not None)


def _read(path: bytes, hint: str | None = None) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            return os.read(descriptor, _MAX_PUBLIC_BYTES)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise SigningKeyError(
            f"cannot read the key {shown(path)}: {error.strerror}", code="key.unreadable", hint=hint
        ) from None


def _public(data: bytes) -> PublicKey:
    if data.lstrip().startswith(b"-----BEGIN "):
        return PublicKey.from_pem(data)
    return Verifier.from_vkey(data.decode("utf-8", "replace").strip()).key


# --- rotate -----------------------------------------------------------------------------------------


def _rotate(arguments: argparse.Namespace) -> int:
    if len(arguments.reason) > _MAX_REASON or not is_printable(arguments.reason):
        raise UsageError(f"a reason is one line of at most {_MAX_REASON} characters", code="usage.reason")
    for reference in (arguments.audit_sign_key, arguments.new, arguments.out):
        signing_key.refuse_inline(reference)
    if arguments.new is not None and arguments.encrypt:
        raise UsageError("--encrypt is for a key that is made, and --new names one that exists")
    source = passphrases.source(arguments.key_passphrase_env)
    named = arguments.ledger is not None
    ledger = from_here(os.fsencode(arguments.ledger)) if named else None
    new = None if arguments.out is None else from_here(os.fsencode(arguments.out))
    if arguments.audit_sign_key is None and arguments.new is None and arguments.out is None:
        new = signing_key.default_path(locations.config_directory())
        rotation = _rotate_host_key(arguments, ledger, source)
    else:
        rotation = _rotate_ledger(arguments, ledger, source, new)
    _report(rotation, new, destroy=arguments.destroy_old)
    return 0


def _rotate_host_key(
    arguments: argparse.Namespace, ledger: bytes | None, source: PassphraseSource
) -> Rotation:
    variable = arguments.new_key_passphrase_env
    given = None if variable is None else passphrases.new(variable)

    def new_passphrase() -> bytes | None:
        if given is None and arguments.encrypt:
            return passphrases.new(None, _NEW_FLAG)
        return given or source.used

    return key_rotation.rotate_host_key(
        config=locations.config_directory(),
        state=locations.state_directory(),
        ledger=ledger,
        reason=arguments.reason,
        passphrases=source,
        begun_passphrases=source if given is None else lambda _: (given,),
        new_passphrase=new_passphrase,
        unsafe_while_running=arguments.unsafe_while_running,
    )


def _rotate_ledger(
    arguments: argparse.Namespace, ledger: bytes | None, source: PassphraseSource, out: bytes | None
) -> Rotation:
    if arguments.new is None and out is None:
        raise UsageError(
            "no new key", code="usage.new_key", hint="make one with --out FILE, or name one: --new REF"
        )
    config, state = locations.config_directory(), locations.state_directory()
    if arguments.audit_sign_key is None:
        old = signing_key.host_key(config, passphrases=source)
    else:
        old = signing_key.resolve(arguments.audit_sign_key, source)
    own = [seen.path for seen in default_ledgers_of(old.key.public, state=state)]
    if ledger is None or arguments.destroy_old:
        unfinished_roll.refuse(
            old.key.public,
            state=state,
            reference=arguments.audit_sign_key,
            passphrase_variable=arguments.key_passphrase_env,
        )
    if ledger is None:
        if not own:
            raise LedgerError(
                "this key has no ledger in the state directory",
                code="ledger.none",
                hint="name one: --ledger FILE",
            )
        ledger = own[0]
    if arguments.destroy_old:
        if not old.files:
            raise UsageError("--destroy-old: the old key is in no file")
        others = [path for path in own if path != ledger]
        if others:
            raise SigningKeyError(
                f"--destroy-old: the old key still has {shown(others[0])} in force", code="key.in_force"
            )

    def new() -> SigningKey:
        variable = arguments.new_key_passphrase_env
        if out is None:
            return signing_key.resolve(arguments.new, passphrases.source(variable)).key
        encrypt = arguments.encrypt or variable is not None
        passphrase = passphrases.new(variable, _NEW_FLAG) if encrypt else None
        return key_files.generate(out, passphrase)

    rotation = key_rotation.rotate_ledger(
        ledger,
        old.key,
        new,
        config=config,
        state=state,
        reason=arguments.reason,
        unsafe_while_running=arguments.unsafe_while_running,
    )
    return rotation._replace(kept=old.files[-1] if old.files else None)


def _report(rotation: Rotation, new: bytes | None, *, destroy: bool) -> None:
    config = locations.config_directory()
    rows = [("old key", rotation.old.fingerprint()), ("new key", rotation.new.fingerprint())]
    if new is not None:
        rows.append(("private key", shown(new)))
    rows.append(("trusted", shown(key_files.trusted_path(rotation.new, config))))
    for ledger in rotation.ledgers:
        where = "handed over before" if ledger.entry is None else f"handed over in entry {ledger.entry}"
        rows.append(("ledger", f"{shown(ledger.path)} ({where})"))
    if not rotation.ledgers:
        rows.append(("ledger", "none: the old key had none in the state directory"))
    if rotation.kept is not None and destroy:
        key_files.destroy(rotation.kept)
        rows.append(("old file", f"{shown(rotation.kept)} (destroyed)"))
    elif rotation.kept is not None:
        rows.append(("old file", shown(rotation.kept)))
    write_lines(columns(rows))
    if rotation.resumed:
        complain("this finished a rotation that was begun before and interrupted")
    if rotation.kept is not None and not destroy:
        complain(
            "the old key is not needed any more, except for ledgers elsewhere that it still has in force",
            f"shred -u {shown(rotation.kept)}",
        )
