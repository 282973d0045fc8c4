"""Keys in the desktop's keyring: ``keyring://SERVICE/USER``, by way of the library ``keyring``.

A keyring may ask its user, wait for a bus that nobody answers, or run programs of its own. So a helper
process asks it, in a process group that is killed after five seconds: nothing of the library, its back
end or their threads is ever in the process that launches.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import time
from typing import NoReturn

from runtime.errors import SigningKeyError

LIMIT_SECONDS = 5.0

_MAX_ANSWER_BYTES = 1 << 18
_MAX_REASON = 200


def read(reference: str) -> bytes:
    """Return the password that the keyring has under ``keyring://SERVICE/USER``, in UTF-8.

    The last slash divides: a service may have slashes in its name, a user may not.

    Raises:
        SigningKeyError: there is none, the keyring did not answer in time or cannot be asked, or the
            library is not installed (``key.keyring``).
    """
    service, slash, user = reference.removeprefix("keyring://").rpartition("/")
    if not slash or not service or not user:
        raise _error(f"{reference} names no key in a keyring", "write keyring://SERVICE/USER")
    answer = _ask(service, user)
    if answer is None:
        raise _error(
            f"the keyring did not answer within {LIMIT_SECONDS:.0f} s", "unlock it, or name another key"
        )
    if "missing" in answer:
        raise _error(
            "the library for keyrings is not installed", "pip install 'nono-attest[keyring]', where nono is"
        )
    if "failed" in answer:
        raise _error(f"the keyring cannot be asked: {answer['failed'] or 'it ended without an answer'}")
    password = answer.get("password")
    if password is None:
        raise _error(
            f"the keyring has no password for user {user} of service {service}",
            f"put the key's PEM there: keyring set {service} {user} < KEY.pem",
        )
    return password.encode("utf-8", "surrogateescape")


def _error(message: str, hint: str | None = None) -> SigningKeyError:
    return SigningKeyError(message, code="key.keyring", hint=hint)


def _ask(service: str, user: str) -> dict[str, str | None] | None:
    """Return the helper's answer, None when it gave none in time."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    helper = os.fork()
    if helper == 0:
        _answer(writer, service, user)
    os.close(writer)
    try:
        data = _read_until(reader, time.monotonic() + LIMIT_SECONDS)
    finally:
        os.close(reader)
        # The group while its leader is not reaped: its number cannot have become another's.
        for kill in (os.killpg, os.kill):
            with contextlib.suppress(OSError):
                kill(helper, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):  # a caller that ignores SIGCHLD
            os.waitpid(helper, 0)
    if data is None:
        return None
    try:
        answer = json.loads(data)
    except ValueError:
        return {"failed": ""}
    return answer if isinstance(answer, dict) else {"failed": ""}


def _read_until(reader: int, deadline: float) -> bytes | None:
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    data = b""
    while len(data) <= _MAX_ANSWER_BYTES:
        if not poll.poll(max(0, round((deadline - time.monotonic()) * 1_000))):
            return None
        chunk = os.read(reader, 65_536)
        if not chunk or data.endswith(b"\n"):
            break
        data += chunk
        if data.endswith(b"\n"):
            break
    return data


def _answer(writer: int, service: str, user: str) -> NoReturn:
    """Be the helper: ask the keyring and write one line of JSON."""
    status = 1
    try:
        os.setpgid(0, 0)
        null = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            os.dup2(null, number)
        os.write(writer, json.dumps(_password(service, user)).encode() + b"\n")
        status = 0
    finally:
        os._exit(status)


def _password(service: str, user: str) -> dict[str, str | None]:
    try:
        import keyring  # noqa: PLC0415  # an extra, and only ever in this helper
    except ModuleNotFoundError as error:
        return {"missing": str(error.name)}
    try:
        return {"password": keyring.get_password(service, user)}
    except Exception as error:  # noqa: BLE001  # a back end may be anybody's code
        text = f"{type(error).__name__}: {error}"[:_MAX_REASON]
        return {"failed": "".join(c if c.isprintable() else " " for c in text)}
