"""The footer after a command that failed: what was refused, and the flags that would allow it.

Short, on standard error, after everything that the command wrote; the same for machines with
``--diagnostics-json``, in the form of ``runtime/schemas/diagnostics.schema.json``. Imported only after a
command that failed, or with one of the flags: its directory, like all that nono runs, can be granted for
writing to no command.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from attest import canonical
from runtime.capability.refusals import INFERRED, KERNEL, REFUSED
from runtime.cli import say
from runtime.cli.terminal import number
from runtime.errors import UsageError
from runtime.explanation import complaints, diagnosis
from runtime.kernel.path_names import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from attest.canonical import Json
    from runtime.capability.refusals import Finding
    from runtime.launcher.launch import Launch
    from runtime.processes.standard_error import FileView

VERSION = 1

FILE = "file"
RELAYED = "relayed"
UNREAD = "unread"
"""How standard error was seen."""

_MOST_LINES = 8
# Beside the findings: the blank line, how many more there are, what allows them.
_MOST_FINDINGS = _MOST_LINES - 3
_MOST_FLAGS_BYTES = 2_048
_MOST_JSON_FINDINGS = 64

_WHENCE = {INFERRED: " (inferred from standard error)", KERNEL: " (by the kernel's audit log)"}
_HOW_TO_ASK = "was something refused? run it again with 2> FILE or through a pipe with --diagnostics"


class DiagnosticsFile:
    """The file of ``--diagnostics-json``, opened before the command could put another in its place.

    Args:
        path: as typed.

    Raises:
        UsageError: it cannot be written, or holds something else.
    """

    def __init__(self, path: bytes) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
        try:
            self._descriptor = os.open(path, flags, 0o666)
        except OSError as error:
            why = os.strerror(error.errno or 0).lower()
            raise UsageError(
                f"--diagnostics-json {shown(path)} cannot be written: {why}",
                hint="a symbolic link is not followed" if os.path.islink(path) else None,
            ) from None
        begin = b'{"diagnostics":'
        regular = stat.S_ISREG(os.fstat(self._descriptor).st_mode)
        found = os.pread(self._descriptor, len(begin), 0) if regular else b"?"
        if found not in (b"", begin):
            os.close(self._descriptor)
            raise UsageError(
                f"--diagnostics-json {shown(path)} is there and holds something else",
                hint="name a file that is not there yet, or one of an earlier launch",
            )
        os.ftruncate(self._descriptor, 0)  # what an earlier launch said is not about this one

    def write(self, document: dict[str, Json]) -> None:
        """Write the document and close the file; that it cannot be written is said."""
        try:
            os.ftruncate(self._descriptor, 0)
            data = canonical.encode(document) + b"\n"
            if os.pwrite(self._descriptor, data, 0) != len(data):
                say("nono: the diagnostics cannot be written: no space is left")
        except OSError as error:
            say(f"nono: the diagnostics cannot be written: {error.strerror}")
        finally:
            os.close(self._descriptor)


def report(
    launch: Launch | None,
    status: int,
    view: FileView | None,
    diagnostics: DiagnosticsFile | None,
    *,
    quiet: bool,
    asks: bool,
) -> None:
    """Write the footer, and the diagnostics where they are asked for.

    Args:
        launch: the launch, None when there was none.
        status: what ``nono run`` exits with.
        view: standard error, where it is a file.
        diagnostics: where to write the same for machines.
        quiet: whether to leave out the footer.
        asks: whether to say how more could be seen, where standard error was not.
    """
    seen, text = UNREAD, None
    if launch is not None and launch.relay is not None:
        seen, text = RELAYED, launch.relay.tail()
    elif view is not None and (text := view.tail()) is not None:
        seen = FILE
    enforced = None if launch is None else launch.enforced()
    findings: list[Finding] = []
    if launch is not None and launch.exec_finding is not None:
        findings.append(launch.exec_finding)  # its error has said it
    elif enforced is not None and status:
        findings += diagnosis.findings(enforced, complaints.read(_without_own(text or b"")))
        if not quiet:
            _say_footer(findings, asks=asks)
    if diagnostics is not None:
        session = None if launch is None else launch.session
        diagnostics.write(_document(findings, session=session, exit_status=status, seen=seen))


def _without_own(text: bytes) -> bytes:
    """Return the text without the lines of nono itself."""
    return b"\n".join(line for line in text.split(b"\n") if not line.startswith(b"nono: "))


def _say_footer(findings: Sequence[Finding], *, asks: bool) -> None:
    """Write the footer to standard error, if there is anything to say."""
    lines = [_line(finding) for finding in findings[:_MOST_FINDINGS]]
    if more := len(findings) - len(lines):
        lines.append(
            f"and {number(more, 'more refusal', 'more refusals')} (--diagnostics-json has all of them)"
        )
    lines += _allowing(findings)
    if asks:
        lines.append(_HOW_TO_ASK)
    if lines:
        say("\n".join(["", *(f"nono: {line}" for line in lines)][:_MOST_LINES]))


def _line(finding: Finding) -> str:
    inferred = _WHENCE.get(finding.certainty, "")
    if finding.what == "call":
        return f"{finding.reason}{inferred}"
    if finding.cause == REFUSED and finding.what in ("exec", "file"):
        return f"{shown(finding.subject)}: {finding.reason}"
    if finding.cause == REFUSED:  # a verb, and what it was about
        verb, _, about = finding.subject.partition(b" ")
        return f"{shown(verb)} {shown(about)}: {finding.reason}"
    own_words = finding.what == "network" and finding.certainty == INFERRED
    subject = finding.subject.decode("ascii") if own_words else shown(finding.subject)
    return f"{subject} {finding.reason}{inferred}"


def _allowing(findings: Sequence[Finding]) -> list[str]:
    """Return the line with what has to be added to the command line, and what has to go for it."""
    words: list[tuple[bytes, ...]] = []
    for finding in findings:
        words += [pair for pair in _pairs(finding.flags) if pair not in words]
    gone = sorted({flag for finding in findings for flag in finding.replaces})
    left = _MOST_FLAGS_BYTES
    shortened = [" ".join(map(shown, pair)) for pair in words]
    kept = [text for text in shortened if (left := left - len(text)) >= 0]
    if gone and kept:
        return [f"to allow it: leave out {' '.join(map(shown, gone))}, and add {' '.join(kept)}"]
    if gone:
        return [f"to allow it: leave out {' '.join(map(shown, gone))}"]
    return [f"to allow it: {' '.join(kept)}"] if kept else []


def _pairs(flags: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
    return list(zip(flags[::2], flags[1::2], strict=True))


def _document(
    findings: Sequence[Finding], *, session: str | None, exit_status: int, seen: str
) -> dict[str, Json]:
    """Return the diagnosis as JSON (``runtime/schemas/diagnostics.schema.json``)."""
    return {
        "diagnostics": VERSION,
        "exit_status": exit_status,
        "findings": [_finding(finding) for finding in findings[:_MOST_JSON_FINDINGS]],
        "more": max(0, len(findings) - _MOST_JSON_FINDINGS),
        "session": session,
        "standard_error": seen,
    }


def _finding(finding: Finding) -> dict[str, Json]:
    return {
        "access": None if finding.access is None else str(finding.access),
        "cause": finding.cause,
        "certainty": finding.certainty,
        "flags": [canonical.text(word) for word in finding.flags],
        "reason": finding.reason,
        "replaces": [canonical.text(word) for word in finding.replaces],
        "subject": canonical.text(finding.subject),
        "what": finding.what,
    }
