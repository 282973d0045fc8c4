"""A signed verdict: an in-toto Simple Verification Result (SVR, v0.2) in a DSSE envelope.

It says that this verifier found everything to hold, at this checkpoint, under this policy, so somebody who
trusts whoever ran the verifier needs neither the ledger nor the time to replay it. Only a verdict of exit
code 0 is signed, and never by a key of the ledger itself: whoever wrote a ledger does not vouch for it.

The first subject is the signed checkpoint, by the SHA-256 of its bytes and with these bytes; the others are
the files that were required as outputs. What the verdict leaves open stands in the extension ``nono``.
"""

from __future__ import annotations

import base64
import os
import stat
from typing import TYPE_CHECKING

from attest import __version__, canonical, envelope, hashing
from attest.errors import KeyFormatError, MalformedError
from attest.instant import format_instant
from attest.keys import SigningKey, is_key_text
from attest.statement import STATEMENT_TYPE
from verify.errors import NotCheckedError
from verify.findings import encodable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from attest.canonical import Json
    from verify.verdict import Verdict

PREDICATE_TYPE = "https://in-toto.io/attestation/svr/v0.2"
VERIFIER_ID = f"urn:nono-attest:nono-verify:{__version__}"
"""The ``verifier.id``; it has the version, since another one may check more."""

_MAX_KEY_BYTES = 16_384
_VARIABLE = "env://"
_MAX_SHOWN_NAME = 40  # a seed has 43 characters of base64, or 64 of hex


def read_key(reference: str, environment: Mapping[str, str]) -> SigningKey:
    """Return the key that signs verdicts.

    Args:
        reference: a file with an unencrypted PKCS#8 PEM of Ed25519 that nobody else can read, or
            ``env://NAME``, a variable that holds the same, or base64 of its DER.
        environment: where variables are looked up.

    Raises:
        NotCheckedError: it cannot be read, others can read it, or it is no such key (``attest.key``).
    """
    if is_key_text(reference):
        raise _unusable("a key itself is given where its file is wanted", "name its file, or env://NAME")
    if reference.startswith(_VARIABLE):
        name = reference.removeprefix(_VARIABLE)
        value = environment.get(name, "").strip()
        if not value:
            raise _unusable(
                "the variable of the key that signs the verdict is not set, or empty: " + _shown_name(name),
                "export it, and give its name without $: env://NAME",
            )
        data, name = os.fsencode(value), "in the variable"
    else:
        data, name = _read_private(reference), reference
    try:
        if data.lstrip().startswith(b"-----BEGIN"):
            return SigningKey.from_pem(data)
        return SigningKey.from_pkcs8(canonical.decode_base64(data.strip().decode("ascii", "replace")))
    except (KeyFormatError, MalformedError) as error:
        reason = "it is encrypted" if getattr(error, "code", None) == "key.encrypted" else str(error)
        raise _unusable(
            f"the key {name} that signs the verdict is unusable: {reason}",
            "an unencrypted Ed25519 key, PKCS#8 PEM, as nono keygen --out FILE makes it",
        ) from None


def sign(verdict: Verdict, key: SigningKey, unix_ns: int) -> bytes:
    """Return the envelope of the statement about a verdict, JSON.

    Args:
        verdict: one that holds: exit code 0.
        key: of whoever ran the verifier.
        unix_ns: when it ran, nanoseconds of Unix time.

    Raises:
        NotCheckedError: the key is one of the ledger's (``attest.ledger_key``).
    """
    if key.public.fingerprint() in {epoch.fingerprint for epoch in verdict.epochs}:
        raise NotCheckedError(
            "the key that is to sign the verdict is the ledger's own, which would vouch for itself",
            code="attest.ledger_key",
            hint="make one for verdicts: nono keygen --out verdicts.pem",
        )
    signed = envelope.sign(canonical.encode(_statement(verdict, unix_ns)), key)
    return canonical.encode(signed) + b"\n"


def _statement(verdict: Verdict, unix_ns: int) -> dict[str, Json]:
    assert verdict.exit == 0
    assert verdict.head is not None
    head = verdict.head.encode()
    subjects: list[Json] = [
        {
            "name": f"checkpoint:{verdict.origin}",
            "digest": {"sha256": hashing.hexdigest(head)},
            "content": base64.b64encode(head).decode(),
        }
    ]
    subjects += [
        {
            "name": encodable(os.path.basename(required.output.name)),
            "digest": {"sha256": required.output.sha256},
        }
        for required in verdict.required
        if required.output is not None
    ]
    policies: list[Json] = []
    if verdict.policy is not None:
        name = encodable(os.path.basename(verdict.policy.source))
        policies.append({"name": name, "digest": {"sha256": verdict.policy.sha256}})
    return {
        "_type": STATEMENT_TYPE,
        "subject": subjects,
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "verifier": {"id": VERIFIER_ID, "policies": policies},
            "timeCreated": format_instant(unix_ns),
            "properties": [*_properties(verdict)],
            "nono": _extension(verdict),
        },
    }


def _properties(verdict: Verdict) -> list[str]:
    """Return what was found to hold, in fixed words."""
    held = ["NONO_LEDGER_INTACT"]
    held.append("NONO_KEY_PINNED" if any(pin.met for pin in verdict.pins) else "NONO_ORIGIN_PINNED")
    if not verdict.launches.running:
        held.append("NONO_LAUNCHES_ACCOUNTED_FOR")
    if verdict.freshness != "unproven":
        held.append("NONO_NOT_SET_BACK")
    if verdict.policy is not None:  # held against one launch, it says nothing about the others
        held.append("NONO_POLICY_MET" if verdict.session is None else "NONO_POLICY_MET_BY_SESSION")
    if verdict.required:
        held.append("NONO_REQUIREMENTS_MET")
    return held


def _extension(verdict: Verdict) -> dict[str, Json]:
    """Return the rest of the verdict, without the paths of the machine that it was made on."""
    return {
        "origin": verdict.origin,
        "size": verdict.size,
        "root": verdict.root,
        "pinned": [pin.fingerprint for pin in verdict.pins if pin.met],
        "freshness": verdict.freshness,
        "session": verdict.session,
        "required": [
            {"what": encodable(required.what), "session": required.session} for required in verdict.required
        ],
        "findings": [{"code": each.code, "message": encodable(each.message)} for each in verdict.findings],
        "not_excluded": [each.document() for each in verdict.not_excluded],
    }


def _read_private(path: str) -> bytes:
    try:
        with open(
            path, "rb", opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0))
        ) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise _unusable(f"the key {path} that signs the verdict is no regular file")
            data = file.read(_MAX_KEY_BYTES + 1)
            # A public half may be open to all, and to close it would not make it the key.
            is_public = data.lstrip().startswith(b"-----BEGIN PUBLIC KEY-----")
            if os.name == "posix" and status.st_mode & 0o077 and not is_public:
                raise _unusable(
                    f"the key {path} that signs the verdict is open to others"
                    f" (mode {stat.S_IMODE(status.st_mode):04o})",
                    f"chmod 600 {path}",
                )
            return data
    except OSError as error:
        raise _unusable(f"cannot read the key {path} that signs the verdict: {error.strerror}") from None
    except ValueError:
        raise _unusable("a path with a NUL character names no key") from None


def _shown_name(name: str) -> str:
    """What cannot be a name may be the key itself, in whatever form, and is not echoed."""
    is_name = name.isidentifier() and name.isascii() and len(name) <= _MAX_SHOWN_NAME
    return name if is_name else "(not a name)"


def _unusable(what: str, hint: str | None = None) -> NotCheckedError:
    return NotCheckedError(what, code="attest.key", hint=hint)
