"""What will run, held so that it cannot change between the hash and the exec (design 3).

Comparing ``stat`` before and after is unsound: whoever holds a dirty shared mapping changes the
content under an identical ``stat``. A read lease is sound: the kernel grants it only while no writer
exists and breaks it, visibly, as soon as one wants in. So the order is

1. :func:`resolve` the command on the *child's* PATH, as ``execvp`` does;
2. :func:`hold` it: open the file and its ``#!`` chain, take the leases (before the fork);
3. :meth:`Held.hash_all` of those very descriptors (the parent, while the child builds its sandbox);
4. the child executes ``held.descriptor`` with ``held.argv`` (``os.execve`` of a descriptor);
5. :func:`check_image` at the exec stop, then :meth:`Held.end_leases`, at the end :meth:`Held.release`.

A ``#!`` line is followed here (:mod:`runtime.kernel.shebang`) rather than by the kernel, because a script
that runs by descriptor would see ``/dev/fd/N`` as ``$0``. What runs is the interpreter's hashed descriptor;
the script is handed over *by path* and its identity compared again at the exec stop, which is recorded
as ``by-path``. ``#!/usr/bin/env X`` is replaced by the X that ``env`` would find, so that the image
which runs is the one that was held; ``env`` itself stays in the chain that is recorded.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from signal import SIGURG
from typing import TYPE_CHECKING

from attest import canonical, hashing
from attest.errors import files_hint
from attest.named_tuples import NamedTuple
from runtime.capability.capabilities import Access
from runtime.capability.environment import is_name
from runtime.errors import CommandNotFoundError, ExecutableError
from runtime.kernel import binfmt_misc, shebang
from runtime.kernel.path_names import is_beneath, shown, walk

if TYPE_CHECKING:
    from collections.abc import Sequence

    from attest.canonical import Json
    from runtime.capability.capabilities import CapabilitySet, FileGrant
    from runtime.kernel.binfmt_misc import Format

LEASE = "lease"
STAT_ONLY = "stat-only"
BY_PATH = "by-path"

# confstr(_CS_PATH) of glibc: what execvp searches when there is no PATH at all.
DEFAULT_PATH = b"/bin:/usr/bin"

# exec_binprm() looks for a handler six times, so five rewrites by #! lines are the most.
_MAX_REWRITES = 5
# Each `env X` starts the kernel's count anew, so the whole chain has a bound of its own
# (that of the record: one executable and eight interpreters).
_MAX_IMAGES = 9
_READ_BYTES = 1 << 20
_GOES_ON = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENODEV, errno.ESTALE, errno.ETIMEDOUT})


class Image(NamedTuple):
    """One hashed file of the chain, as the record states it.

    Attributes:
        path: canonical absolute path.
        sha256: lower-case hex SHA-256 of the bytes that were read from the held descriptor.
        size: number of those bytes.
        held: ``lease``, ``stat-only`` or ``by-path``.
    """

    path: bytes
    sha256: str
    size: int
    held: str

    def document(self) -> dict[str, Json]:
        """Return the image as ``launch.start`` writes it."""
        return {
            "held": self.held,
            "path": canonical.text(self.path),
            "sha256": self.sha256,
            "size": self.size,
        }


class OpenImage(NamedTuple):
    """One file of the chain while it is held.

    Attributes:
        path: canonical absolute path, as the kernel names the descriptor.
        opened_as: absolute path under which it was opened; a script is opened under it again.
        descriptor: ``O_RDONLY | O_CLOEXEC``.
        dev: device number at the time of opening.
        ino: inode number at the time of opening.
        ctime_ns: change time in nanoseconds at the time of opening.
        size: bytes at the time of opening.
        header: the first 256 bytes, which decided how it is executed.
        leased: whether a read lease is held on it.
        by_path: whether it is handed to an interpreter by its path.
        privileged: whether it is set-uid, set-gid or has file capabilities, all of which have no
            effect under ``no_new_privs``.
    """

    path: bytes
    opened_as: bytes
    descriptor: int
    dev: int
    ino: int
    ctime_ns: int
    size: int
    header: bytes
    leased: bool
    by_path: bool
    privileged: bool

    @property
    def held(self) -> str:
        """How it is held, in the words of the record."""
        if self.by_path:
            return BY_PATH
        return LEASE if self.leased else STAT_ONLY

    def is_same(self, status: os.stat_result) -> bool:
        """Return whether ``status`` describes this very file, unchanged since it was opened."""
        return (status.st_dev, status.st_ino, status.st_ctime_ns) == (self.dev, self.ino, self.ctime_ns)


class Held(NamedTuple):
    """A command and its interpreters, open and held.

    Attributes:
        images: the file that was named first, then each interpreter; the last one is the image that
            will run.
        argv: the argument vector to execute it with.
    """

    images: tuple[OpenImage, ...]
    argv: tuple[bytes, ...]

    @property
    def executed(self) -> OpenImage:
        """The image that will run."""
        return self.images[-1]

    @property
    def descriptor(self) -> int:
        """The descriptor to execute."""
        return self.images[-1].descriptor

    def hash_all(self) -> tuple[Image, ...]:
        """Hash every image of the chain from its held descriptor.

        Returns:
            One :class:`Image` for each of ``images``, in their order.

        Raises:
            ExecutableError: a file changed while it was read, or cannot be read.
        """
        return tuple(_hash(image) for image in self.images)

    def end_leases(self) -> None:
        """Give up the leases, keep the descriptors; a writer that waits goes on at once.

        To be called as soon as the exec stop was passed: from then on the kernel protects the image,
        and whoever saves a script in place would wait for as long as the command runs (45 seconds,
        then the kernel breaks the lease). Any process that shares the descriptors can do it, and
        doing it twice is harmless.
        """
        for image in self.images:
            _end_lease(image)

    def release(self) -> None:
        """Give up the leases and close the descriptors; once only."""
        for image in self.images:
            _close(image)


def resolve(command: bytes, path_variable: bytes | None, directory: bytes) -> bytes:
    """Find what ``execvp`` would execute in a child that starts in ``directory``.

    Args:
        command: the command as typed.
        path_variable: the child's PATH, None when it will have none.
        directory: absolute start directory of the child.

    Returns:
        The path as the kernel would get it: with a slash as typed, else PATH component, slash and
        command (an empty component is the start directory and adds nothing). It can be relative to
        ``directory``.

    Raises:
        CommandNotFoundError: there is no such file (127).
        ExecutableError: there is one, but it may not be executed (126).
    """
    if not command or b"\0" in command:
        raise CommandNotFoundError("the command has no name" if not command else "the command holds a NUL")
    if b"/" in command:
        problem = _obstacle(os.path.join(directory, command))
        if problem is None:
            return command
        if problem in _GOES_ON and _is_assignment(command):
            raise _no_program(command)
        raise _failure(command, problem)
    denied: bytes | None = None
    for component in (DEFAULT_PATH if path_variable is None else path_variable).split(b":"):
        candidate = os.path.join(component, command)
        problem = _obstacle(os.path.join(directory, candidate))
        if problem is None:
            return candidate
        # execvp goes on after each of these, and remembers EACCES for the end.
        if problem == errno.EACCES:
            denied = denied or candidate
        elif problem not in _GOES_ON:
            raise _failure(candidate, problem)
    if denied is not None:
        raise _failure(denied, errno.EACCES)
    if _is_assignment(command):
        raise _no_program(command)
    raise CommandNotFoundError(
        f"command not found: {shown(command)}",
        hint="it is searched on the PATH that the child will have; name the file with a slash to bypass it",
    )


def hold(path: bytes, argv: Sequence[bytes], *, path_variable: bytes | None, directory: bytes) -> Held:
    """Open the executable and its interpreters and take a read lease on each.

    Nobody is signalled when a lease breaks (the default of SIGIO would kill this process): the break
    shows in :func:`check_image`. The process that calls this must be the one that releases, or a
    fork of it: they share the open file descriptions.

    Args:
        path: what :func:`resolve` returned.
        argv: the argument vector as typed, argv[0] included.
        path_variable: the child's PATH, on which ``env`` searches.
        directory: absolute start directory of the child.

    Raises:
        ExecutableError: a file of the chain cannot be executed, read or held still (126).
        CommandNotFoundError: it is gone, or ``env`` would not find its program (127).
    """
    if not argv:
        raise ExecutableError("an empty argument vector")
    images: list[OpenImage] = []
    try:
        return _hold(path, list(argv), path_variable, directory, images)
    except BaseException:
        for image in images:
            _close(image)
        raise


def _hold(
    path: bytes, argv: list[bytes], path_variable: bytes | None, directory: bytes, images: list[OpenImage]
) -> Held:
    formats = list(binfmt_misc.registered_formats())
    rewrites = 0
    while True:
        if rewrites > _MAX_REWRITES or len(images) >= _MAX_IMAGES:
            raise ExecutableError(f"too many levels of interpreters: {shown(images[0].opened_as)}")
        images.append(_open(os.path.join(directory, path), named_by=images[-1] if images else None))
        header = images[-1].header
        interpretation = _interpretation(path, header, formats)
        if interpretation is None:
            if not header.startswith(b"\x7fELF"):
                raise ExecutableError(
                    f"neither a program nor a script with a #! line: {shown(images[-1].path)}",
                    hint="give it a #! line, or name its interpreter in the command",
                )
            return Held(tuple(images), tuple(argv))
        images[-1] = images[-1]._replace(by_path=True)
        interpreter, arguments = interpretation
        program = shebang.env_program(interpreter, arguments)
        if program is not None:
            images.append(_open(os.path.join(directory, interpreter), named_by=images[-1]))
            if images[-1].header.startswith(b"\x7fELF"):
                argv = [*program, path, *argv[1:]]
                path = _resolve_for(images[-2], program[0], path_variable, directory)
                rewrites = 0
                continue
            _close(images.pop())  # an `env` that is no program: an interpreter like any other
        argv = [interpreter, *arguments, path, *argv[1:]]
        path = interpreter
        rewrites += 1


def check_image(pid: int, held: Held) -> str | None:
    """Compare what runs in ``pid``, stopped at its exec, with what was held.

    Args:
        pid: a process at its exec stop, whose ``/proc/PID/exe`` this process may read.
        held: what it was told to execute.

    Returns:
        None when all of it still holds, else the reason why not, for the record.
    """
    changed = check_held(held)
    if changed is not None:
        return changed
    try:
        status = os.stat(b"/proc/%d/exe" % pid)
    except OSError as error:
        return f"the running image cannot be looked at: {os.strerror(error.errno or 0)}"
    if not held.executed.is_same(status):
        return f"the running image is not {shown(held.executed.path)}"
    return None


def check_held(held: Held) -> str | None:
    """Return None when every file of the chain is as it was when it was opened, else what is not."""
    for image in held.images:
        name = shown(image.path)
        if image.leased and fcntl.fcntl(image.descriptor, fcntl.F_GETLEASE) != fcntl.F_RDLCK:
            return f"{name} was opened for writing"
        if not image.is_same(os.fstat(image.descriptor)):
            return f"{name} changed after it was opened"
        if image.by_path:
            try:
                status = os.stat(image.opened_as)
            except OSError as error:
                return f"{name} cannot be looked at again: {os.strerror(error.errno or 0)}"
            if not image.is_same(status):
                return f"{name} was replaced"
    return None


def inside_write_grant(capabilities: CapabilitySet, path: bytes) -> FileGrant | None:
    """Return the grant that lets the child write to the canonical ``path``, if there is one."""
    for grant in capabilities.files:
        if grant.access.covers(Access.WRITE) and (
            grant.path == path or (grant.directory and is_beneath(path, grant.path))
        ):
            return grant
    return None


def writable_script(held: Held, capabilities: CapabilitySet) -> tuple[bytes, FileGrant] | None:
    """Return the first script of the chain that the child could rewrite, with the grant.

    Checked is every name of it and every symbolic link on the way: who can change a link changes
    what the interpreter opens.
    """
    for image in held.images:
        if not image.by_path:
            continue
        names, links = walk(image.opened_as)
        for path in (image.path, *names, *links):
            grant = inside_write_grant(capabilities, path)
            if grant is not None:
                return path, grant
    return None


def _resolve_for(script: OpenImage, program: bytes, path_variable: bytes | None, directory: bytes) -> bytes:
    try:
        return resolve(program, path_variable, directory)
    except CommandNotFoundError:
        raise CommandNotFoundError(
            f"{shown(script.path)} wants {shown(program)}, which is not on the child's PATH",
            hint="`env` takes everything after it as one name; with arguments it needs `env -S`"
            if b" " in program
            else "install it, or change the PATH that the child will have",
        ) from None


def _interpretation(
    path: bytes, header: bytes, formats: Sequence[Format]
) -> tuple[bytes, tuple[bytes, ...]] | None:
    """Return the interpreter and its argument that the kernel would put in front, or None."""
    # binfmt_misc registers at the head of the kernel's list, so it is asked before #! and ELF.
    for form in formats:
        if form.matches(path, header):
            if form.flags:
                raise ExecutableError(
                    f"the kernel runs it through binfmt_misc ({shown(form.name)}, flags "
                    f"{shown(form.flags)}), which cannot be held",
                    hint=f"name the interpreter in the command: {shown(form.interpreter)}",
                )
            return form.interpreter, ()
    return shebang.interpreter(header)


# --- opening, leasing, hashing -------------------------------------------------------------------


def _open(path: bytes, *, named_by: OpenImage | None) -> OpenImage:
    if b"\0" in path:
        raise ExecutableError("a path that holds a NUL")
    try:
        # O_PATH first: opening a device or a FIFO for reading has effects, looking at it has none.
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError as error:
        if named_by is not None:
            raise ExecutableError(
                f"the interpreter of {shown(named_by.path)} cannot be used: {shown(path)}: "
                f"{os.strerror(error.errno or 0)}"
            ) from None
        raise _failure(path, error.errno or 0) from None
    try:
        return _examine(handle, path)
    finally:
        os.close(handle)


def _examine(handle: int, path: bytes) -> OpenImage:
    """Open for reading, and lease, the very file that the O_PATH descriptor ``handle`` stands for."""
    own_name = b"/proc/self/fd/%d" % handle
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode) or not os.access(own_name, os.X_OK, effective_ids=True):
        raise _failure(path, errno.EACCES)
    try:
        descriptor = os.open(own_name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        raise ExecutableError(
            f"cannot be read, so it cannot be hashed: {shown(path)}: {os.strerror(error.errno or 0)}",
            hint=files_hint(error.errno) or "give yourself read permission on it",
        ) from None
    try:
        # The lease comes before anything is read from the file, its #! line included.
        leased = _lease(descriptor, path)
        status = os.fstat(descriptor)
        canonical_path = os.readlink(own_name)
        _require_reachable(canonical_path, status)
        return OpenImage(
            path=canonical_path,
            opened_as=path,
            descriptor=descriptor,
            dev=status.st_dev,
            ino=status.st_ino,
            ctime_ns=status.st_ctime_ns,
            size=status.st_size,
            header=os.pread(descriptor, shebang.HEADER_BYTES, 0),
            leased=leased,
            by_path=False,
            privileged=_is_privileged(descriptor, status),
        )
    except BaseException:
        os.close(descriptor)
        raise


def _lease(descriptor: int, path: bytes) -> bool:
    """Take a read lease; False where none is to be had (not the owner, or not on this filesystem)."""
    try:
        # Until F_SETOWN below the holder is signalled when the lease breaks. SIGIO would kill it;
        # SIGURG is ignored by default, so nobody's signal handling has to be touched.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETOWN, 0)
    except OSError as error:
        if error.errno in {errno.EACCES, errno.EPERM, errno.EINVAL}:
            return False
        if error.errno == errno.EAGAIN:
            raise ExecutableError(
                f"another process has it open for writing: {shown(path)}",
                hint="wait until whatever writes it is done",
            ) from None
        raise ExecutableError(
            f"cannot be held still: {shown(path)}: {os.strerror(error.errno or 0)}"
        ) from None
    return True


def _require_reachable(path: bytes, status: os.stat_result) -> None:
    """Refuse a name that the kernel made up (``… (deleted)``, ``/memfd:…``): the record states paths."""
    try:
        found = os.stat(path, follow_symlinks=False)
    except OSError:
        found = None
    if found is None or (found.st_dev, found.st_ino) != (status.st_dev, status.st_ino):
        raise ExecutableError(f"no path leads to it any more: {shown(path)}")


def _is_privileged(descriptor: int, status: os.stat_result) -> bool:
    if status.st_mode & (stat.S_ISUID | stat.S_ISGID):
        return True
    try:
        return bool(os.getxattr(descriptor, b"security.capability"))
    except OSError:
        return False


def _hash(image: OpenImage) -> Image:
    digest = hashing.running()
    # One byte more than there is, to see it grow; to clear a megabyte for a small program takes longer.
    buffer = bytearray(min(_READ_BYTES, image.size + 1))
    view = memoryview(buffer)
    size = 0
    header = b""
    try:
        # preadv: the offset belongs to the open file description, which the child shares.
        while size <= image.size and (count := os.preadv(image.descriptor, [buffer], size)):
            header = header or bytes(view[: min(count, shebang.HEADER_BYTES)])
            digest.update(view[:count])
            size += count
        status = os.fstat(image.descriptor)
    except OSError as error:
        raise ExecutableError(
            f"cannot be read: {shown(image.path)}: {os.strerror(error.errno or 0)}"
        ) from None
    if size != image.size or header != image.header or not image.is_same(status):
        raise ExecutableError(f"it changed while it was read: {shown(image.path)}")
    return Image(image.path, hashing.finish(digest).hex(), size, image.held)


def _close(image: OpenImage) -> None:
    # Closing alone is not enough: a fork that still has the descriptor keeps the lease alive.
    _end_lease(image)
    os.close(image.descriptor)


def _end_lease(image: OpenImage) -> None:
    if not image.leased:
        return
    try:
        fcntl.fcntl(image.descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except BlockingIOError:  # EAGAIN: there is none any more, given up before or broken by the kernel
        return


def _obstacle(path: bytes) -> int | None:
    """Return the errno that ``execve`` of ``path`` would end with before it looks inside, or None."""
    try:
        status = os.stat(path)
    except OSError as error:
        return error.errno or errno.EIO
    if not stat.S_ISREG(status.st_mode) or not os.access(path, os.X_OK, effective_ids=True):
        return errno.EACCES
    return None


def _is_assignment(command: bytes) -> bool:
    """Return whether a command is ``NAME=value``, as only a shell understands it."""
    name, equals, _ = command.partition(b"=")
    return bool(equals) and is_name(name)


def _no_program(assignment: bytes) -> CommandNotFoundError:
    """Return the error for one; its value can be a secret, and error messages end up in logs."""
    name = assignment.partition(b"=")[0].decode("ascii")
    return CommandNotFoundError(
        f"a variable, not a command: {name}=…", hint=f"env {name}=VALUE COMMAND sets it for a command"
    )


def _failure(path: bytes, number: int) -> ExecutableError | CommandNotFoundError:
    if number == errno.ENOENT:
        return CommandNotFoundError(f"no such file: {shown(path)}")
    if number != errno.EACCES:
        return ExecutableError(
            f"cannot be executed: {shown(path)}: {os.strerror(number)}", hint=files_hint(number)
        )
    if os.path.isdir(path):
        return ExecutableError(f"a directory, not a program: {shown(path)}")
    return ExecutableError(
        f"may not be executed: {shown(path)}",
        hint="it must be a regular file with execute permission, on a filesystem without noexec",
    )
