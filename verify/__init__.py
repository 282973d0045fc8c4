"""The verifier: a separate program that trusts nothing but a public key.

It imports ``attest`` and nothing else of ours, takes files and folders, reaches no network, and
writes nothing beside its input. :func:`verify` replays a ledger and returns a :class:`Verdict`;
:func:`verify_proof` checks one entry without its ledger and returns a :class:`ProofVerdict`,
:func:`verify_evidence` one launch, and returns an :class:`EvidenceVerdict`.

What it offers is imported when it is first asked for. ``python -m verify`` imports this before anything of
the command: what failed or was interrupted here would end with 1, which says "tampered with".
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from verify.anchors import AnchorReport
    from verify.errors import NotCheckedError
    from verify.evidence import verify_evidence
    from verify.evidence_verdict import EvidenceVerdict
    from verify.findings import CODES, Finding, Severity
    from verify.pins import Pin
    from verify.proof import verify_proof
    from verify.proof_verdict import ProofVerdict
    from verify.remembered import Held, Remembered
    from verify.timestamps import Authorities
    from verify.verdict import Caveat, Verdict
    from verify.verification import verify
    from verify.witness_policy import WitnessPolicy
    from verify.witnessing import Witnessed

__all__ = [
    "CODES",
    "AnchorReport",
    "Authorities",
    "Caveat",
    "EvidenceVerdict",
    "Finding",
    "Held",
    "NotCheckedError",
    "Pin",
    "ProofVerdict",
    "Remembered",
    "Severity",
    "Verdict",
    "WitnessPolicy",
    "Witnessed",
    "verify",
    "verify_evidence",
    "verify_proof",
]

_PLACES = {
    "AnchorReport": "verify.anchors",
    "Authorities": "verify.timestamps",
    "CODES": "verify.findings",
    "Caveat": "verify.verdict",
    "EvidenceVerdict": "verify.evidence_verdict",
    "Finding": "verify.findings",
    "Held": "verify.remembered",
    "NotCheckedError": "verify.errors",
    "Pin": "verify.pins",
    "ProofVerdict": "verify.proof_verdict",
    "Remembered": "verify.remembered",
    "Severity": "verify.findings",
    "Verdict": "verify.verdict",
    "WitnessPolicy": "verify.witness_policy",
    "Witnessed": "verify.witnessing",
    "verify": "verify.verification",
    "verify_evidence": "verify.evidence",
    "verify_proof": "verify.proof",
}


def __getattr__(name: str) -> object:
    """Import what is asked for from where it is."""
    import hashlib  # noqa: F401, PLC0415  # before what hashes: it is quicker (attest.hashing), and -m has its own

    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(importlib.import_module(_PLACES[name]), name)
    globals()[name] = found
    return found
