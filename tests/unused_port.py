"""A port that nobody listens on, for one test."""

from __future__ import annotations

import os
import random
import socket
from pathlib import Path

_STRIDE = 64  # no run has as many workers


def unused_port() -> int:
    """Return a TCP port on which nothing listens, and which the kernel gives to nobody who asks for any.

    A port that was bound and let go is an ephemeral one: whatever the test binds to port 0 next may be given
    that very number. So this is one below that range, and no two workers of a run choose from the same ones.
    """
    first_ephemeral = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text("ascii").split()[0])
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    candidates = range(1024 + worker % _STRIDE, first_ephemeral, _STRIDE)
    for port in random.sample(candidates, len(candidates)):
        try:
            with socket.socket() as one, socket.socket(type=socket.SOCK_DGRAM) as other:
                one.bind(("0.0.0.0", port))
                other.bind(("0.0.0.0", port))
        except OSError:
            continue
        return port
    raise AssertionError(f"no port below {first_ephemeral} is unused")
