"""Why a command may have failed: what was refused to it, and which flag would allow that.

Four sources, in the order of what they are worth:

1. *decided*: what nono itself refused while the command ran;
2. *exec*: the kernel's own answer to the exec of the command;
3. *kernel*: the kernel's own refusals, as far as its audit stream tells of them;
4. *inferred*: what programs complained of on standard error (:mod:`runtime.explanation.complaints`).

What is inferred is a question, not an answer: whoever wrote it may lie. Each is asked of the very capability
set that was enforced, of the file's own permissions, and of the guard that judges grants. A flag is suggested
only where the sandbox would have refused, the file's own permissions would not, and the grant can be given;
it is the narrowest one. Nothing here ever gets into the record: evidence is not inferred.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.capability import exec_obstacles
from runtime.capability.capabilities import Access
from runtime.capability.grant_request import GrantRequest
from runtime.capability.refusals import DECIDED, EXEC, KERNEL, NOT_COVERED, NOT_GRANTED, REFUSED, Finding
from runtime.explanation import network_refusals
from runtime.explanation.complaints import FileComplaint, NetworkComplaint, Refusing, Use
from runtime.explanation.file_refusals import FileJudge

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from runtime.capability.capabilities import CapabilitySet
    from runtime.capability.refusals import Enforced, Refusal
    from runtime.explanation.complaints import Complaint

# What a process wanted that lacked a right of Landlock. Making and removing lacks it of the directory.
_USES = (
    *(("fs.read", Use.READ), ("fs.execute", Use.EXECUTE), ("fs.ioctl", Use.WRITE), ("fs.refer", Use.WRITE)),
    *(("fs.write", Use.WRITE), ("fs.truncate", Use.WRITE), ("fs.make", Use.WRITE), ("fs.remove", Use.WRITE)),
)


def findings(enforced: Enforced, complaints: Iterable[Complaint]) -> list[Finding]:
    """Return what was refused, the surest first, each thing once.

    Args:
        enforced: what the command was launched inside of.
        complaints: what was read from its standard error.
    """
    decided = [
        Finding(
            DECIDED, refusal.what, refusal.subject, None, REFUSED, refusal.reason, _flags_of_decided(refusal)
        )
        for refusal in enforced.refusals
        if refusal.by != KERNEL
    ]
    judge = FileJudge(enforced)
    found: dict[Hashable, Finding] = {}
    for complaint in complaints:
        if isinstance(complaint, FileComplaint):
            about, finding = judge.judge(complaint) or (None, None)
        elif isinstance(complaint, NetworkComplaint):
            about = finding = network_refusals.of_network(complaint, enforced)
        else:
            about = finding = network_refusals.of_call(complaint)
        if finding is not None:
            found[about] = finding
    for refusal in enforced.refusals:
        if refusal.by == KERNEL:
            found.setdefault(*_of_kernel(refusal, judge))
    known = {finding.subject for finding in decided}
    return [*decided, *(finding for finding in found.values() if finding.subject not in known)]


def _of_kernel(refusal: Refusal, judge: FileJudge) -> tuple[Hashable, Finding]:
    """Return what the kernel says that it refused, with what would allow it as far as that can be said.

    What programs complain of comes first: they look for much that they can do without.
    """
    use = next((use for right, use in _USES if refusal.reason.startswith(right)), None)
    if use is not None and refusal.what in ("exec", "file"):
        judged = judge.judge(FileComplaint(refusal.subject, use, Refusing.DENIED, named=True))
        if judged is not None:
            return judged[0], judged[1]._replace(certainty=KERNEL)
    finding = Finding(KERNEL, refusal.what, refusal.subject, None, REFUSED, refusal.reason)
    return finding, finding


def of_exec(path: bytes, capabilities: CapabilitySet) -> Finding | None:
    """Return why the kernel could not execute the command, None where that is not seen.

    Args:
        path: absolute, of the command.
        capabilities: what was enforced.
    """
    obstacle = exec_obstacles.find(path, capabilities)
    if obstacle is None:
        return None
    return Finding(
        EXEC, "file", obstacle.path, Access.READ, obstacle.cause, obstacle.reason, _flags_of(obstacle)
    )


def _flags_of_decided(refusal: Refusal) -> tuple[bytes, ...]:
    # What else is said of an exec is of the image, and no rule would allow it.
    if refusal.what != EXEC or refusal.reason != NOT_COVERED:
        return ()
    return b"--exec-allow", refusal.subject


def _flags_of(obstacle: exec_obstacles.Obstacle) -> tuple[bytes, ...]:
    if obstacle.cause != NOT_GRANTED:
        return ()
    return GrantRequest(Access.READ, obstacle.path, directory=False).words()
