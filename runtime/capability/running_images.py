"""Whether this kernel refuses writes to a program that runs: without it a held image is not held."""

from __future__ import annotations

import contextlib
import errno
import os

from runtime.capability.executable import DEFAULT_PATH, resolve
from runtime.errors import CommandNotFoundError, ExecutableError

_BOOT_ID = b"/proc/sys/kernel/random/boot_id"
_READ_BYTES = 1 << 20


def protected(cache_directory: bytes) -> bool | None:
    """Find out whether this kernel refuses writes to an image that runs (some 6.11 and 6.12 did not).

    A copy of ``cat`` is started in ``cache_directory`` and opened for writing; ETXTBSY is the answer
    that protects. It is asked once a boot and remembered there in a file.

    Args:
        cache_directory: absolute path of an existing private directory of the user.

    Returns:
        True or False, or None when it could not be tried (no ``cat``, a noexec directory).
    """
    boot = _read(_BOOT_ID).strip()
    answer_path = os.path.join(cache_directory, b"running-images")
    remembered = _read(answer_path).split()
    if len(remembered) == 2 and remembered[0] == boot and remembered[1] in {b"yes", b"no"}:
        return remembered[1] == b"yes"
    answer = _probe(cache_directory)
    if answer is not None and boot:
        with contextlib.suppress(OSError):  # remembered is only faster: the answer itself stands
            _remember(answer_path, boot + (b" yes\n" if answer else b" no\n"))
    return answer


def _remember(path: bytes, content: bytes) -> None:
    fresh = path + b"." + os.urandom(8).hex().encode("ascii")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, content)
    finally:
        os.close(descriptor)
    os.rename(fresh, path)


def _probe(directory: bytes) -> bool | None:
    copy = os.path.join(directory, b".running-image-" + os.urandom(8).hex().encode())
    reader, writer = os.pipe2(os.O_CLOEXEC)
    pid = 0
    try:
        _copy(resolve(b"cat", DEFAULT_PATH, b"/"), copy)
        # posix_spawn returns after the exec; the copy then waits for the end of its input.
        actions = [(os.POSIX_SPAWN_DUP2, reader, 0)]
        pid = os.posix_spawn(copy, [b"cat"], {}, file_actions=actions)
        os.close(os.open(copy, os.O_WRONLY | os.O_CLOEXEC))
    except OSError as error:
        return True if pid and error.errno == errno.ETXTBSY else None
    except (CommandNotFoundError, ExecutableError):
        return None
    else:
        return False
    finally:
        os.close(reader)
        os.close(writer)
        if pid:
            os.waitpid(pid, 0)
        with contextlib.suppress(OSError):  # it was never made
            os.unlink(copy)


def _copy(source: bytes, target: bytes) -> None:
    read = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        write = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o700)
        try:
            while chunk := os.read(read, _READ_BYTES):
                rest = memoryview(chunk)
                while rest:
                    rest = rest[os.write(write, rest) :]
        finally:
            os.close(write)
    finally:
        os.close(read)


def _read(path: bytes) -> bytes:
    """Return what the file holds; empty when it cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return b""
    try:
        return os.read(descriptor, 128)
    except OSError:
        return b""
    finally:
        os.close(descriptor)
