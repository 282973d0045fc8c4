"""The compiled leak filter: loaded from a cache, built only when that fails.

The rules are in ``seccomp_rules``, which is imported only to build. The launch itself reads one small file.

The cache protects against accidents and against other users: owner, mode, link count, size and digest are
checked, and whatever fails a check is built anew. It does *not* protect against an unsandboxed process of
the same user, which could replace this module as well; the launched command cannot write there, since
nono's own directories are never granted. The digest of what was loaded is in the record either way.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from attest import hashing
from attest.errors import files_hint
from runtime.errors import EnforcementError
from runtime.kernel.syscalls import BPF_INSTRUCTION_SIZE, BPF_MAX_SIZE

if TYPE_CHECKING:
    from runtime.capability.capabilities import Network

# Counts up whenever ``seccomp_rules`` changes its meaning: the name of the cached program depends on it.
# (A digest of the rules themselves would cost the launch a quarter of a millisecond; a test pins it instead.)
RULES_VERSION = 12

# The cache. One file for each set of rules, machine and kind of network:
#     nono-filter-HASH.bpf SHA-256-OF-THE-PROGRAM LIBSECCOMP-STATE LIBSECCOMP-PATH\n
# and the program. The name holds the digest of everything that is known without libseccomp, and is repeated
# inside so that two files cannot change places; what libseccomp it was is in the header, so that an upgrade
# of it makes a new program.
_MAX_CACHE_SIZE = BPF_MAX_SIZE + 8192

_FOR_LOOKING = 8
"""How many descriptors it takes to look for a library: pipes to the programs that know of it."""


def load_or_build(
    cache_directory: bytes,
    network: Network,
    *,
    listens: bool = False,
    unix_sockets: bool = False,
    metadata: bool = False,
    traces_execs: bool = False,
    opens: bool = False,
    sysv_ipc: bool = False,
    keep: bool = True,
) -> tuple[bytes, str]:
    """Return the BPF program for ``network`` and its lower-case hex SHA-256.

    It comes from the cache, or is built and put there.

    Args:
        cache_directory: absolute path; made (0700) when missing. A directory that cannot be used only
            costs the time to build: the launch does not depend on the cache.
        network: the network mode.
        listens: whether bind(2) and listen(2) go to whoever mediates them, where the network is ``ports``.
        unix_sockets: whether UNIX sockets can be made, and both calls and connect(2) go to whoever mediates.
        metadata: whether what changes modes, owners, times and attributes of files goes there as well.
        traces_execs: whether nothing may get away from whoever traces it, or trace by itself.
        opens: whether the calls that open a file go there as well.
        sysv_ipc: whether System V memory, semaphores and queues are there.
        keep: whether what was built is put there; without, nothing is made or changed.

    Raises:
        EnforcementError: it must be built and cannot be.
    """
    kinds = {
        "listens": listens,
        "unix_sockets": unix_sockets,
        "metadata": metadata,
        "traces_execs": traces_execs,
        "opens": opens,
        "sysv_ipc": sysv_ipc,
    }
    name = _cache_name(network, **kinds)
    directory = _open_directory(cache_directory, make=keep)
    try:
        program = None if directory is None else _cached(directory, name)
        if program is None:
            program, library = _build(network, **kinds)
            if keep and directory is not None:
                with suppress(OSError):
                    _store(directory, name, program, library)
    finally:
        if directory is not None:
            os.close(directory)
    return program, hashing.hexdigest(program)


def _build(network: Network, **kinds: bool) -> tuple[bytes, str]:
    """Return the program, and the path of the libseccomp that made it."""
    try:
        from runtime.sandbox import seccomp_rules  # noqa: PLC0415  # only a launch without a cached program pays for it
    except (ImportError, RuntimeError) as error:  # RuntimeError: pyseccomp found no libseccomp
        raise EnforcementError(
            f"cannot build the system call filter: {error}",
            # Who looks for a library says no more than that none was found.
            hint=_files_hint() or "install libseccomp (Debian: libseccomp2, Fedora: libseccomp)",
        ) from error
    try:
        program = seccomp_rules.build(network, **kinds)
        return program, seccomp_rules.library()
    except OSError as error:
        raise EnforcementError(f"cannot build the system call filter: {error.strerror}") from error


def _files_hint() -> str | None:
    """Return what to do where so few descriptors are left that a library cannot be looked for."""
    taken: list[int] = []
    try:
        while len(taken) < _FOR_LOOKING:
            taken.append(os.dup(0))
    except OSError as error:
        return files_hint(error.errno)
    finally:
        for descriptor in taken:
            os.close(descriptor)
    return None


def _cache_name(
    network: Network,
    *,
    listens: bool,
    unix_sockets: bool,
    metadata: bool,
    traces_execs: bool,
    opens: bool,
    sysv_ipc: bool,
) -> bytes:
    kind = str(network) + " listening" * listens + " with UNIX sockets" * unix_sockets
    kind += " with metadata" * metadata + " traced" * traces_execs + " asking" * opens
    kind += " with System V" * sysv_ipc
    stated = f"{RULES_VERSION} {os.uname().machine} {kind}".encode()
    return b"nono-filter-" + hashing.hexdigest(stated)[:32].encode() + b".bpf"


def _open_directory(path: bytes, *, make: bool) -> int | None:
    with suppress(OSError):
        with suppress(FileExistsError):
            if make:
                os.mkdir(path, 0o700)
        directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        status = os.fstat(directory)
        if status.st_uid == os.geteuid() and not status.st_mode & 0o022:
            return directory
        os.close(directory)
    return None


def _cached(directory: int, name: bytes) -> bytes | None:
    """Return the program in the file ``name`` if nothing at all is odd about it."""
    try:
        # NONBLOCK: somebody may have put a FIFO there.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(name, flags, dir_fd=directory)
    except OSError:
        return None
    try:
        status = os.fstat(descriptor)
        if (
            not stat.S_ISREG(status.st_mode)
            or status.st_uid != os.geteuid()
            or stat.S_IMODE(status.st_mode) != 0o600
            or status.st_nlink != 1
            or status.st_size > _MAX_CACHE_SIZE
        ):
            return None
        content = os.read(descriptor, _MAX_CACHE_SIZE + 1)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    header, newline, program = content.partition(b"\n")
    if not newline or not program or len(program) % BPF_INSTRUCTION_SIZE or len(program) > BPF_MAX_SIZE:
        return None
    library = os.fsdecode(header.split(b" ", 3)[-1])
    return program if header == _header(name, program, library) else None


def _header(name: bytes, program: bytes, library: str) -> bytes:
    digest = hashing.hexdigest(program)
    return name + os.fsencode(f" {digest} {_library_state(library)} {library}")


def _library_state(library: str) -> str:
    """Return what changes when the library is replaced: its size and change times."""
    try:
        status = os.stat(library)
    except (OSError, ValueError):
        return "gone"
    return f"{status.st_size}/{status.st_mtime_ns}/{status.st_ctime_ns}"


def _store(directory: int, name: bytes, program: bytes, library: str) -> None:
    """Write the file under a name of its own, then put it in place in one step."""
    temporary = name + b"." + os.urandom(8).hex().encode()
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, 0o600, dir_fd=directory)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o600)  # whatever the umask is
            file.write(_header(name, program, library) + b"\n" + program)
        os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary, dir_fd=directory)
        raise
