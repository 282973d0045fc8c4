"""``nono keygen``: make a signing key."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runtime.cli import passphrases
from runtime.cli.terminal import write_lines
from runtime.errors import UsageError
from runtime.kernel.path_names import from_here, shown
from runtime.secrets import key_files, signing_key
from store import locations

if TYPE_CHECKING:
    import argparse

EPILOG = """\
A key is an Ed25519 private key (PKCS#8 PEM, mode 0600), with its public half beside it (.pub). Give the
public half to whoever is to check the ledger. Nothing is ever overwritten.

examples:
  nono keygen                       the host key, which launches use when none is named
  nono keygen --out ci.pem          a key for a pipeline: ci.pem and ci.pub
  nono keygen --out ci.pem --trust  also let nono-verify, run by you, take its ledgers as known
  nono keygen --encrypt             asks for a passphrase, twice; each launch then asks for it
  nono keygen --encrypt --key-passphrase-env PASS --out ci.pem
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``nono keygen``."""
    parser.add_argument("--out", metavar="FILE", help="where to put it (default: the host key's place)")
    parser.add_argument(
        "--trust",
        action="store_true",
        help="put the public half into your trust store (done anyway for the host key)",
    )
    parser.add_argument("--encrypt", action="store_true", help="encrypt it with a passphrase")
    passphrases.add_argument(parser, whose="the new key, with --encrypt")


def run(arguments: argparse.Namespace) -> int:
    """Make the key and say where it is and what it is called."""
    signing_key.refuse_inline(arguments.out)
    config = locations.config_directory()
    default = signing_key.default_path(config)
    path = default if arguments.out is None else _chosen(os.fsencode(arguments.out))
    passphrase = _passphrase(arguments)
    trusting = config if arguments.trust or path == default else None
    key = key_files.generate(path, passphrase, trusting=trusting)
    write_lines(
        (
            f"private key  {shown(path)}",
            f"public key   {shown(signing_key.public_half(path))}",
            f"fingerprint  {key.public.fingerprint()}",
            *(
                ()
                if trusting is None
                else (f"trusted      {shown(key_files.trusted_path(key.public, config))}",)
            ),
        )
    )
    return 0


def _passphrase(arguments: argparse.Namespace) -> bytes | None:
    if arguments.encrypt:
        return passphrases.new(arguments.key_passphrase_env)
    if arguments.key_passphrase_env is not None:
        raise UsageError(f"{passphrases.FLAG} without --encrypt: the key would not be encrypted")
    return None


def _chosen(path: bytes) -> bytes:
    if not path or path.endswith(b"/") or os.path.isdir(path):
        raise UsageError("--out names a file", hint="for instance: nono keygen --out ci.pem")
    if path.endswith(b".pub"):  # sooner or later it would be given away as what it is called
        raise UsageError("a private key is not called .pub", hint="its public half gets that name")
    return from_here(path)
