"""What is said and who says it: canonical JSON, entries, tree, notes, statements, envelopes, keys.

Bytes in, bytes out: this package opens no file but its own data, starts no process and knows no
database. ``attest.schema`` stands apart, since its library is too heavy for the launch.
"""

from attest.blob import Blob
from attest.checkpoint import Checkpoint
from attest.entry import Entry
from attest.errors import (
    KeyFormatError,
    MalformedError,
    NonoError,
    ProofError,
    SignatureError,
)
from attest.keys import PublicKey, SigningKey
from attest.note import Note, Verifier
from attest.statement import LaunchEvidence
from attest.tree import Edge

__version__ = "0.1.0"

__all__ = [
    "Blob",
    "Checkpoint",
    "Edge",
    "Entry",
    "KeyFormatError",
    "LaunchEvidence",
    "MalformedError",
    "NonoError",
    "Note",
    "ProofError",
    "PublicKey",
    "SignatureError",
    "SigningKey",
    "Verifier",
    "__version__",
]
