"""What is said when nothing could be checked, a fault of the verifier's own included."""

from __future__ import annotations

from typing import TYPE_CHECKING

from verify.cli.streams import NOT_CHECKED
from verify.errors import NotCheckedError
from verify.findings import Finding
from verify.launches import LaunchCounts
from verify.verdict import Verdict

if TYPE_CHECKING:
    from attest.errors import NonoError


def unexpected(error: BaseException) -> NotCheckedError:
    """Return the error that says what else went wrong: too little memory, or a fault of ours."""
    what = f"{type(error).__name__}: {error}".removesuffix(": ")
    if isinstance(error, MemoryError):
        return NotCheckedError("there is not enough memory", code="input.memory")
    return NotCheckedError(
        f"the verifier itself failed: {what}",
        code="input.unexpected",
        hint="this is a fault of nono-verify; please report it with these words",
    )


def not_checked(error: NonoError) -> Verdict:
    """Return the verdict that says so."""
    return Verdict(
        exit=NOT_CHECKED,
        findings=(Finding(error.code, str(error)),),
        launches=LaunchCounts(),
        hint=error.hint,
    )
