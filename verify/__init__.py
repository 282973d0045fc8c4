"""The verifier: a separate program that trusts nothing but a public key.

It imports ``attest`` and nothing else of ours, takes files and folders, reaches no network, and
writes nothing beside its input. :func:`verify` replays a ledger and returns a :class:`Verdict`;
:func:`verify_proof` checks one entry without its ledger and returns a :class:`ProofVerdict`,
:func:`verify_evidence` one launch, and returns an :class:`EvidenceVerdict`.
"""

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
