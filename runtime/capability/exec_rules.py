"""Which programs a launch may execute (``--exec-allow``), and what is asked about every exec of it.

A rule is a digest, a program, or a directory. A program is taken for its digest as it is at the launch, so
what becomes of its path is no matter; a directory covers what lies beneath it, whatever its digest, and
the command must not be able to write there. The command itself is always one of the programs.

Rules limit *images*, the file that the kernel is told to run: not the code that a shell or an interpreter
reads, that a library brings, or that a process maps or writes for itself. What is refused under any rule:
an image to which no path leads (``memfd_create``, a file that was removed), one whose content could not be
hashed, and a dynamic loader, which would run any file it is given.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from typing import TYPE_CHECKING

import attest.printable_text  # noqa: F401  # what shown() needs for some names: nothing is imported later
from attest import canonical, hashing
from attest.named_tuples import NamedTuple
from runtime.capability.capabilities import Access
from runtime.capability.refusals import NOT_COVERED
from runtime.errors import EnforcementError, LaunchError, UsageError
from runtime.kernel import loaders
from runtime.kernel.path_names import absolute, homes, is_beneath, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from attest.canonical import Json
    from runtime.capability.capabilities import CapabilitySet

NONE = "none"
TRACE = "trace"
ALLOW = "allow"
"""Whether execs are seen, as the record says it."""

MAX_RULES = 256
MAX_RULE_BYTES = 4_096
MAX_RULES_BYTES = 24_576
"""What all of them may come to in the record, whose entries have an end."""
MAX_HASHED_BYTES = 1 << 29
"""The largest image that is hashed; while one is, nothing else of its launch is seen to."""

_READ_BYTES = 1 << 20
_DIGEST = re.compile(rb"(?:sha256:)?([0-9a-f]{64})")
_FLAG = "--exec-allow"


class UnhashedError(Exception):
    """An image whose digest is not to be had; says why."""


class Rule(NamedTuple):
    """One rule.

    Attributes:
        asked: what was asked for, as typed.
        sha256: the digest that it allows, None for a directory.
        path: canonical path of the program or the directory; None for a digest.
    """

    asked: bytes
    sha256: str | None
    path: bytes | None

    def document(self) -> dict[str, Json]:
        """Return the rule as ``launch.start`` writes it."""
        said: dict[str, Json] = {"asked": canonical.text(self.asked)}
        if self.sha256 is not None:
            said["sha256"] = self.sha256
        if self.path is not None:
            said["path"] = canonical.text(self.path)
        return said


class SeenImage(NamedTuple):
    """An image that is about to run.

    Attributes:
        path: as the kernel names it.
        is_linked: whether that path leads to it.
        sha256: its digest, lower-case hex; None where it could not be had.
        size: its bytes.
        problem: why not.
        is_loader: whether it is a dynamic loader.
    """

    path: bytes
    is_linked: bool
    sha256: str | None
    size: int
    problem: str | None
    is_loader: bool


class ExecRules:
    """What is asked of the execs of one launch.

    Args:
        rules: which images may run; None where all may, and are only seen.

    Attributes:
        rules: as above, without the command.
    """

    def __init__(self, rules: Sequence[Rule] | None) -> None:
        self.rules = rules
        self._digests: dict[str, bytes] = {}
        self._directories: list[tuple[bytes, bytes]] = []
        self._command: str | None = None
        for rule in rules or ():
            if rule.sha256 is not None:
                self._digests.setdefault(rule.sha256, rule.asked)
            elif rule.path is not None:
                self._directories.append((rule.path, rule.asked))

    @property
    def tracing(self) -> str:
        """What the record calls it: :data:`TRACE` or :data:`ALLOW`."""
        return TRACE if self.rules is None else ALLOW

    def document(self) -> dict[str, Json]:
        """Return what ``launch.start`` says of it."""
        if self.rules is None:
            return {"tracing": TRACE}
        return {"allow": [rule.document() for rule in self.rules], "tracing": ALLOW}

    def require_held_images(self, cache_directory: bytes) -> None:
        """Refuse a kernel that lets programs be written while they run: a digest would say nothing.

        Args:
            cache_directory: where the answer is kept, once a boot.

        Raises:
            EnforcementError: this is one; some of Linux 6.11 and 6.12 were.
        """
        from runtime.capability import running_images  # noqa: PLC0415  # the zygote needs it not

        if running_images.protected(cache_directory) is False:
            raise EnforcementError(
                "this kernel lets a program be written to while it runs, so that its digest says nothing",
                hint="use another kernel than Linux 6.11 or 6.12, or leave out --trace-exec and --exec-allow",
            )

    def take_command(self, sha256: str | None) -> None:
        """Allow the command itself, whose image has been found to be the one that was to run."""
        self._command = sha256

    def judge(self, image: SeenImage) -> tuple[bool, str]:
        """Return whether an image may run, and why, or why not, in one line of text."""
        if self.rules is None:
            return True, _remark(image)
        if not image.is_linked:
            return False, "no path leads to it: it lies in memory, or was removed"
        if image.sha256 is None:
            return False, f"it could not be hashed: {image.problem}"
        if image.is_loader:
            return False, "it is a loader, which would run any file"
        if image.sha256 == self._command:
            return True, "it is the command itself"
        if image.sha256 in self._digests:
            return True, f"{_FLAG} {shown(self._digests[image.sha256])}"
        for directory, asked in self._directories:
            if is_beneath(image.path, directory):
                return True, f"{_FLAG} {shown(asked)}"
        return False, NOT_COVERED


def _remark(image: SeenImage) -> str:
    if image.sha256 is None:
        return f"traced; it could not be hashed: {image.problem}"
    if not image.is_linked:
        return "traced; no path leads to it: it lies in memory, or was removed"
    return "traced; it is a loader, and what it runs is not seen" if image.is_loader else "traced"


def is_digest(text: bytes) -> bool:
    """Return whether a rule is a digest, not a path."""
    return _DIGEST.fullmatch(text) is not None


def check(asked: Sequence[bytes]) -> None:
    """Refuse what no rule can be made of, without looking at any file.

    Raises:
        UsageError: too many, too long, empty, or with a NUL (``usage.exec``).
    """
    if len(asked) > MAX_RULES or sum(map(len, asked)) > MAX_RULES_BYTES:
        raise _too_many()
    for each in asked:
        if not each or b"\0" in each or len(each) > MAX_RULE_BYTES:
            raise UsageError(
                f"{_FLAG}: neither a digest nor a path: {shown(each[:100])}",
                code="usage.exec",
                hint="write a SHA-256 as 64 small hex digits, a program or a directory",
            )


def resolve(asked: Sequence[bytes], *, workdir: bytes, capabilities: CapabilitySet) -> tuple[Rule, ...]:
    """Return the rules that are asked for.

    Args:
        asked: digests, and paths of programs and directories.
        workdir: absolute; what relative paths are in.
        capabilities: what the launch may write to.

    Raises:
        LaunchError: a path that leads to no program, to a script or to a loader (``exec.rule``); a directory
            in which the command may write (``exec.writable``).
        UsageError: they are more than the record takes (``usage.exec``).
    """
    rules = tuple(dict.fromkeys(_rule(each, workdir, capabilities) for each in asked))
    if sum(len(canonical.encode(rule.document())) for rule in rules) > MAX_RULES_BYTES:
        raise _too_many()
    return rules


def _rule(asked: bytes, workdir: bytes, capabilities: CapabilitySet) -> Rule:
    digest = _DIGEST.fullmatch(asked)
    if digest is not None:
        return Rule(asked, digest[1].decode("ascii"), None)
    path = absolute(asked, workdir=workdir, home=next(iter(homes()), None))
    try:
        # O_PATH first: to open a device or a FIFO has effects.
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            own_name = b"/proc/self/fd/%d" % handle
            canonical_path, mode = os.readlink(own_name), os.fstat(handle).st_mode
            if stat.S_ISDIR(mode):
                _require_unwritable(canonical_path, capabilities)
                return Rule(asked, None, canonical_path)
            if not stat.S_ISREG(mode):
                raise _no_program(asked, "it is no regular file")
            return Rule(asked, _digest_of(asked, own_name), canonical_path)
        finally:
            os.close(handle)
    except OSError as error:
        raise _no_program(
            asked,
            os.strerror(error.errno or errno.EIO),
            "name a program or a directory that can be read, or a SHA-256 as 64 small hex digits",
        ) from None


def _digest_of(asked: bytes, path: bytes) -> str:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        header = os.pread(descriptor, 4, 0)
        if header.startswith(b"#!"):
            raise _no_program(
                asked,
                "it is a script, and what runs is its interpreter",
                "allow the interpreter; rules are about programs, not about what they read",
            )
        if header != b"\x7fELF":
            raise _no_program(asked, "it is no program", "name an ELF executable, or a directory of them")
        if loaders.is_loader(descriptor):
            raise _no_program(
                asked, "it is a loader, which would run any file", "allow the programs that are meant"
            )
        return digest(descriptor, lambda: True)
    except UnhashedError as error:
        raise _no_program(asked, str(error)) from None
    finally:
        os.close(descriptor)


def digest(descriptor: int, is_wanted: Callable[[], bool]) -> str:
    """Return the SHA-256 of a file.

    Args:
        descriptor: open for reading; its offset is left alone.
        is_wanted: asked now and then whether to go on.

    Raises:
        UnhashedError: it is too large, or not wanted any more.
        OSError: it cannot be read.
    """
    found, at = hashing.running(), 0
    buffer = bytearray(min(_READ_BYTES, os.fstat(descriptor).st_size + 1))
    view = memoryview(buffer)
    while count := os.preadv(descriptor, [buffer], at):
        found.update(view[:count])
        at += count
        if at > MAX_HASHED_BYTES:
            raise UnhashedError(f"it has more than {MAX_HASHED_BYTES} bytes")
        if not is_wanted():
            raise UnhashedError("the launch ended meanwhile")
    return hashing.finish(found).hex()


def _require_unwritable(directory: bytes, capabilities: CapabilitySet) -> None:
    from runtime.kernel.mounts import Mounts  # noqa: PLC0415  # not for a launch without such a rule

    try:
        mounts = Mounts.read()
    except OSError as error:
        raise LaunchError(
            f"{_FLAG} {shown(directory)}: what else shows it cannot be seen: {os.strerror(error.errno or 0)}",
            code="exec.rule",
            hint="/proc/self/mountinfo must be readable",
        ) from None
    # What is mounted twice can be written by its other name.
    own, names = mounts.holding(directory), {directory}
    if own is not None:
        names.update(name for _, name in mounts.showing(own.device, own.inner(directory)))
    for grant in capabilities.files:
        if grant.access.covers(Access.WRITE) and any(
            is_beneath(grant.path, name)
            or grant.path == name
            or (grant.directory and is_beneath(name, grant.path))
            for name in names
        ):
            raise LaunchError(
                f"{_FLAG} {shown(directory)}: the command may write to {shown(grant.path)},"
                " and could put any program there",
                code="exec.writable",
                hint="allow single programs, by their path or their digest",
            )


def _too_many() -> UsageError:
    return UsageError(
        f"more rules of {_FLAG} than the record takes",
        code="usage.exec",
        hint="a directory is for many programs in one place",
    )


def _no_program(asked: bytes, why: str, hint: str | None = None) -> LaunchError:
    return LaunchError(f"{_FLAG} {shown(asked)}: {why}", code="exec.rule", hint=hint)
