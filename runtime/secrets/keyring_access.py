"""Keys and credentials in the desktop's keyring: ``keyring://SERVICE/USER``, through the library ``keyring``.

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
import sys
import time
from typing import TYPE_CHECKING, NoReturn

from attest.printable_text import printable
from runtime.errors import KeyringError
from runtime.kernel import own_threads
from runtime.kernel.path_names import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

LIMIT_SECONDS = 5.0

_TARGET = 3
_PROGRAM = """\
import json, sys
sys.path[:], names = json.loads(sys.argv[1])
from runtime.secrets.keyring_access import answer
answer(int(sys.argv[2]), names)
"""

_MAX_ANSWER_BYTES = 1 << 18
_MAX_REASON = 200


def read(*references: str) -> list[bytes]:
    """Return the passwords that the keyring has under each ``keyring://SERVICE/USER``, in UTF-8.

    The last slash divides: a service may have slashes in its name, a user may not. One helper asks for all of
    them, within one limit of time.

    Raises:
        KeyringError: a reference names nothing (``keyring.reference``) or nothing is there
            (``keyring.missing``), the keyring did not answer in time or cannot be asked
            (``keyring.unavailable``), or the library is not installed (``keyring.library``).
    """
    names = [_divided(reference) for reference in references]
    answer = _ask(names)
    if answer is None:
        raise KeyringError(
            f"the keyring did not answer within {LIMIT_SECONDS:.0f} s",
            hint="unlock it, or keep the secret in another place",
        )
    if "missing" in answer:
        from attest import extras  # noqa: PLC0415  # for a mistake alone

        raise KeyringError(
            "the library for keyrings is not installed",
            code="keyring.library",
            hint=extras.hint("keyring"),
        )
    passwords = answer.get("passwords")
    if not isinstance(passwords, list) or len(passwords) != len(names):
        raise KeyringError(
            f"the keyring cannot be asked: {answer.get('failed') or 'it ended without an answer'}",
            hint="unlock it, or where there is none name a file or a variable: file:///PATH, env://NAME",
        )
    found: list[bytes] = []
    for (service, user), password in zip(names, passwords, strict=True):
        if not isinstance(password, str):
            raise KeyringError(
                f"the keyring has no password for user {user} of service {service}",
                code="keyring.missing",
                hint=f"put it there: keyring set {_shown(service)} {_shown(user)}",
            )
        found.append(password.encode("utf-8", "surrogateescape"))
    return found


def _divided(reference: str) -> tuple[str, str]:
    service, slash, user = reference.removeprefix("keyring://").rpartition("/")
    if not slash or not service or not user:
        raise KeyringError(
            f"{reference} names nothing in a keyring",
            code="keyring.reference",
            hint="write keyring://SERVICE/USER",
        )
    return service, user


def _shown(word: str) -> str:
    return shown(os.fsencode(word))


def _ask(names: Sequence[tuple[str, str]]) -> dict[str, object] | None:
    """Return the helper's answer, None when it gave none in time."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    try:
        helper = _fork(writer, names) if own_threads.is_alone() else _spawn(writer, names)
    except BaseException:
        os.close(reader)
        raise
    finally:
        os.close(writer)
    try:
        data = _read_until(reader, time.monotonic() + LIMIT_SECONDS, len(names) * _MAX_ANSWER_BYTES)
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
        return {}
    return answer if isinstance(answer, dict) else {}


def _fork(writer: int, names: Sequence[tuple[str, str]]) -> int:
    helper = os.fork()
    if helper == 0:
        answer(writer, names)
    return helper


def _spawn(writer: int, names: Sequence[tuple[str, str]]) -> int:
    """Start the helper by exec: in a program with threads a fork could wait for a lock for ever.

    It imports from where this process does, which nothing that is launched may write to; what is no absolute
    path is left out.
    """
    told = json.dumps([[entry for entry in sys.path if entry.startswith("/")], list(names)])
    target = _TARGET if writer != _TARGET else _TARGET + 1
    return os.posix_spawn(
        sys.executable,
        [sys.executable, "-I", "-c", _PROGRAM, told, str(target)],
        os.environ,
        file_actions=[(os.POSIX_SPAWN_DUP2, writer, target)],
        setpgroup=0,
        setsigmask=(),
    )


def _read_until(reader: int, deadline: float, most: int) -> bytes | None:
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    data = b""
    while len(data) <= most:
        if not poll.poll(max(0, round((deadline - time.monotonic()) * 1_000))):
            return None
        chunk = os.read(reader, 65_536)
        if not chunk or data.endswith(b"\n"):
            break
        data += chunk
        if data.endswith(b"\n"):
            break
    return data


def answer(writer: int, names: Sequence[tuple[str, str]]) -> NoReturn:
    """Be the helper: ask the keyring and write one line of JSON."""
    status = 1
    try:
        os.setpgid(0, 0)
        null = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            os.dup2(null, number)
        os.write(writer, json.dumps(_passwords(names)).encode() + b"\n")
        status = 0
    finally:
        os._exit(status)


def _passwords(names: Sequence[tuple[str, str]]) -> dict[str, object]:
    try:
        import keyring  # noqa: PLC0415  # an extra, and only ever in this helper
    except ModuleNotFoundError as error:
        return {"missing": str(error.name)}
    try:
        return {"passwords": [keyring.get_password(service, user) for service, user in names]}
    except Exception as error:  # noqa: BLE001  # a back end may be anybody's code
        text = f"{type(error).__name__}: {error}"[:_MAX_REASON]
        return {"failed": printable(" ".join(text.split()))}
