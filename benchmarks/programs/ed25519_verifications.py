"""Serve Ed25519 verifications of statements, on a thread for each core; the argument is their number.

The library gives the interpreter's lock away while it verifies, so threads use all cores.
"""

import os
import sys
import threading

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from serving import serve

_STATEMENT_BYTES = 1_300

count, cores = int(sys.argv[1]), len(os.sched_getaffinity(0))
key = Ed25519PrivateKey.generate()
message = os.urandom(_STATEMENT_BYTES)
signature, public = key.sign(message), key.public_key()


def verify(times: int) -> None:
    """Verify so many."""
    for _ in range(times):
        public.verify(signature, message)


def call() -> None:
    """Verify all once."""
    shares = [count // cores + (number < count % cores) for number in range(cores)]
    threads = [threading.Thread(target=verify, args=(share,)) for share in shares]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


serve(call)
