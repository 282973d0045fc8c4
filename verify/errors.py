"""What keeps the verifier from checking at all: exit 2, whatever the input holds."""

from __future__ import annotations

from attest.errors import NonoError


class NotCheckedError(NonoError):
    """The input cannot be checked: missing, unreadable, not SQLite or not ours, or a bad request."""

    default_code = "input.unreadable"


class UsageError(NotCheckedError):
    """The command line cannot be understood."""

    default_code = "input.usage"
