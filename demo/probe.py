"""Try what a launched command must not be able to do, and say of each attempt how it went.

One line of JSON an attempt, on standard output: ``{"attempt", "done", "why"}``. The demo runs this file
twice: outside, where everything must work, and inside the sandbox, where nothing may.
"""

import json
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path


def main() -> None:
    """Make every attempt that the arguments name: key, ledger, port, abstract socket."""
    key, ledger, port, abstract = sys.argv[1:]
    attempt("read the private key", lambda: Path(key).read_bytes())
    attempt("read the ledger", lambda: Path(ledger).read_bytes())
    attempt("open the ledger for writing", lambda: os.close(os.open(ledger, os.O_RDWR)))
    attempt("plant a journal beside the ledger", lambda: plant(ledger + "-journal"))
    attempt("open a TCP connection", lambda: connect(socket.AF_INET, ("127.0.0.1", int(port))))
    attempt("send a UDP datagram", lambda: send(("127.0.0.1", int(port))))
    attempt("connect to an abstract unix socket", lambda: connect(socket.AF_UNIX, "\0" + abstract))
    attempt("signal the process that launched it", lambda: os.kill(os.getppid(), 0))


def attempt(name: str, action: Callable[[], object]) -> None:
    """Do it, and say how it went."""
    try:
        action()
    except OSError as error:
        print(json.dumps({"attempt": name, "done": False, "why": error.strerror}), flush=True)
    else:
        print(json.dumps({"attempt": name, "done": True, "why": None}), flush=True)


def plant(path: str) -> None:
    """Make a file, and remove it again."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    os.unlink(path)


def connect(family: int, address: tuple[str, int] | str) -> None:
    """Open a stream connection and close it."""
    with socket.socket(family, socket.SOCK_STREAM) as client:
        client.settimeout(5)
        client.connect(address)


def send(address: tuple[str, int]) -> None:
    """Send one datagram."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(b"out", address)


main()
