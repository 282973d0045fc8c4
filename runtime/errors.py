"""Why a launch or a command did not happen: the errors of the ``runtime`` package.

``exit_status`` is the exit code of ``nono run`` for it: 125 nono failed or refused, 126 found but
cannot be executed or hashed, 127 not found.
"""

from __future__ import annotations

from attest.errors import NonoError


class LaunchError(NonoError):
    """The launch was refused or failed before the command ran."""

    default_code = "launch.refused"
    exit_status = 125


class UsageError(LaunchError):
    """The request itself makes no sense: a flag, a label, a profile."""

    default_code = "usage.invalid"


class ConfigurationError(LaunchError):
    """The configuration file cannot be trusted or read, or holds something it must not."""

    default_code = "configuration.invalid"


class ProfileError(LaunchError):
    """A profile that cannot be read or that holds something it must not."""

    default_code = "profile.invalid"


class ManifestError(LaunchError):
    """A capability manifest that cannot be read, or that holds something it must not."""

    default_code = "manifest.invalid"


class SystemPolicyError(LaunchError):
    """What is asked for is against the system configuration."""

    default_code = "system.refused"


class GrantError(LaunchError):
    """A grant that must not, or cannot, be given.

    Attributes:
        protected: the protected path that is in its way and whose protection can be lifted, else None.
        group: the group that protects it, else None.
    """

    default_code = "grant.refused"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        hint: str | None = None,
        protected: bytes | None = None,
        group: str | None = None,
    ) -> None:
        super().__init__(message, code=code, hint=hint)
        self.protected = protected
        self.group = group


class SigningKeyError(LaunchError):
    """The signing key cannot be had, or must not be used."""

    default_code = "key.unusable"


class KeyringError(LaunchError):
    """A keyring that cannot be asked, or that does not have what it was asked for."""

    default_code = "keyring.unavailable"


class CredentialError(LaunchError):
    """A secret for the command that cannot be had, or must not be given to it."""

    default_code = "credential.unusable"


class EnforcementError(LaunchError):
    """A feature that the launch requires cannot be enforced here."""

    default_code = "enforcement.missing"


class LimitError(LaunchError):
    """A limit that was asked for and cannot be held here."""

    default_code = "limit.unenforceable"


class HookError(LaunchError):
    """A session hook that must not run, or a required one that failed."""

    default_code = "hook.refused"


class ExecutableError(LaunchError):
    """The command was found but cannot be executed, hashed or held still."""

    default_code = "executable.unusable"
    exit_status = 126


class ExecFailedError(ExecutableError):
    """The kernel refused to execute what was found and held."""

    default_code = "executable.exec"


class CommandNotFoundError(LaunchError):
    """No such command on the path that the child will have."""

    default_code = "executable.missing"
    exit_status = 127


class OutputError(NonoError):
    """Standard output takes nothing more; without a message when its reader has only gone away."""

    default_code = "output.unwritable"


class StateFileError(NonoError):
    """There is no capability state file that could be believed."""

    default_code = "why.state"


class UnresolvedPathError(NonoError):
    """A path leads nowhere that could be judged."""

    default_code = "why.path"


class CollectorError(NonoError):
    """What was sent did not get to the collector, or cannot be sent to it."""

    default_code = "otlp.undelivered"
