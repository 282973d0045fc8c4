"""The system configuration: what every launch on this host must keep to.

``/etc/nono/config.toml``::

    [policy]
    require_audit = true                  # --no-audit is refused
    forbid_bypass = true                  # --bypass-protection is refused
    forbid_writable_script = true         # --allow-writable-script is refused
    forbid_unsafe_redaction = true        # [redaction] unsafe_remove of a user is refused
    forbid_elevation = true               # --capability-elevation is refused, and a profile's likewise
    protect_metadata = true               # for each launch, as --protect-metadata
    trace_exec = true                     # for each launch, as --trace-exec
    key = "/etc/nono/keys/ci.pem"         # the only key
    ledger = "/var/lib/nono/ci.db"        # the only ledger
    minimum_profile = "ci-strict"         # or the path of a file of root's
    grants = "profile-only"               # nothing beyond what that profile grants; "any" is the default

It is root's: the directory and the file belong to root, nobody else may write to either, and neither is a
symbolic link. What is there and is not so, cannot be read or cannot be meant refuses every launch. What the
settings do to a launch is :mod:`runtime.policy.system_policy`'s.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from attest import hashing
from attest.named_tuples import NamedTuple
from runtime.errors import ConfigurationError
from runtime.kernel.path_names import join, normalise, shown
from runtime.policy.configuration import FILE_NAME
from runtime.policy.configuration_file import WRITABLE_BY_OTHERS, Reader, read_file
from runtime.policy.configuration_file import unreadable as unreadable_file

if TYPE_CHECKING:
    from collections.abc import Mapping

_HINT = "it says what every launch on this host must keep to, so root has to repair or remove it"
_INSIDE = "; inside of another sandbox it must be granted there: --read-file {}"
_ELSEWHERE = "name a file of root's by its path, such as /etc/nono/profiles/NAME.json"
_SWITCHES = (
    *("forbid_bypass", "forbid_elevation", "forbid_unsafe_redaction", "forbid_writable_script"),
    *("protect_metadata", "require_audit", "trace_exec"),
)
_POLICY = ("grants", "key", "ledger", "minimum_profile", *_SWITCHES)
_ANY, _PROFILE_ONLY = "any", "profile-only"
# What the published schema cannot say.
_CONTRADICTION = "configuration.contradiction"


class SystemConfiguration(NamedTuple):
    """What root has configured.

    Attributes:
        path: the file.
        sha256: lower-case hex digest of its bytes.
        require_audit: whether each launch is recorded.
        forbid_bypass: whether protection is never lifted.
        forbid_writable_script: whether no command may be a script that it can rewrite.
        forbid_unsafe_redaction: whether a user's configuration may take no name out of the redaction policy.
        forbid_elevation: whether nobody is asked about files that no grant covers.
        protect_metadata: whether each launch has mode, owner, times and attributes of files protected.
        trace_exec: whether every exec of each launch is seen.
        key: reference of the only signing key; None for any.
        ledger: absolute path of the only ledger; None for any.
        minimum_profile: name of a built-in profile, or absolute path of a file of root's, that each launch
            uses or builds upon; None for none.
        profile_only: whether nothing is granted beyond what that profile grants.
    """

    path: bytes
    sha256: str
    require_audit: bool = False
    forbid_bypass: bool = False
    forbid_writable_script: bool = False
    forbid_unsafe_redaction: bool = False
    forbid_elevation: bool = False
    protect_metadata: bool = False
    trace_exec: bool = False
    key: str | None = None
    ledger: bytes | None = None
    minimum_profile: bytes | None = None
    profile_only: bool = False


def read(directory: bytes, descriptor: int) -> SystemConfiguration | None:
    """Return what the file in an open directory says; None where there is no file.

    Args:
        directory: its path.
        descriptor: it, opened without following a link.

    Raises:
        ConfigurationError: see :func:`runtime.policy.configuration.read_system_configuration`.
    """
    require_roots(directory, os.fstat(descriptor))
    path = join(directory, FILE_NAME)
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        file = os.open(FILE_NAME, flags, dir_fd=descriptor)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unreadable(path, error) from None
    try:
        require_roots(path, os.fstat(file))
        return read_form(path, file)
    finally:
        os.close(file)


def read_form(path: bytes, descriptor: int) -> SystemConfiguration:
    """Return what an open file says, whosever it is.

    Args:
        path: its path.
        descriptor: it, open for reading.

    Raises:
        ConfigurationError: it cannot be read or meant.
    """
    data = read_file(path, descriptor, hint=_HINT)
    reader = _SystemReader(path)
    document = reader.document(data, ("policy",))
    return reader.policy(document.get("policy", {}), path, hashing.hexdigest(data))


def unreadable(path: bytes, error: OSError) -> ConfigurationError:
    """Return the error that the directory or the file cannot be opened."""
    if os.path.islink(path):
        return unreadable_file(path, "it is a symbolic link", hint=_HINT)
    inside = _INSIDE.format(shown(path)) if isinstance(error, PermissionError) else ""
    return unreadable_file(path, os.strerror(error.errno or 0).lower(), hint=_HINT + inside)


def require_roots(path: bytes, status: os.stat_result) -> None:
    """Refuse what is not root's alone.

    Raises:
        ConfigurationError: it belongs to somebody else, or somebody else can write to it.
    """
    if status.st_uid != 0:
        raise ConfigurationError(
            f"{shown(path)} is of the system configuration and belongs to uid {status.st_uid}, not to root",
            code="configuration.untrusted",
            hint=f"chown root {shown(path)}",
        )
    if status.st_mode & WRITABLE_BY_OTHERS:
        raise ConfigurationError(
            f"{shown(path)} is of the system configuration and can be written by others than root",
            code="configuration.untrusted",
            hint=f"chmod go-w {shown(path)}",
        )


def require_path_of_roots(path: bytes) -> None:
    """Refuse a file that somebody else than root can exchange.

    Args:
        path: its absolute path.

    Raises:
        ConfigurationError: a directory on the way, or the file, is not root's alone, or is a symbolic link.
    """
    at = normalise(path)
    while True:
        try:
            status = os.lstat(at)
        except OSError as error:
            raise unreadable(at, error) from None
        if stat.S_ISLNK(status.st_mode):
            raise unreadable_file(at, "it is a symbolic link", hint=_HINT)
        require_roots(at, status)
        if at == b"/":
            return
        at = os.path.dirname(at)


class _SystemReader(Reader):
    """Takes the system's file apart."""

    def policy(self, value: object, path: bytes, sha256: str) -> SystemConfiguration:
        table = self.table(value, "policy", _POLICY)
        switches = {key: bool(self.flag(table, "policy", key)) for key in _SWITCHES}
        grants = self.text(table, "policy", "grants", f"{_ANY} or {_PROFILE_ONLY}")
        if grants not in (None, _ANY, _PROFILE_ONLY):
            raise self.error("policy.grants", f"must be {_ANY} or {_PROFILE_ONLY}")
        minimum = self._profile(table)
        ledger = self.text(table, "policy", "ledger", "the absolute path of a ledger")
        found = SystemConfiguration(
            path,
            sha256,
            **switches,
            key=self.key(table, "policy", self._absolute),
            ledger=None if ledger is None else self._absolute(ledger, "policy.ledger"),
            minimum_profile=minimum,
            profile_only=grants == _PROFILE_ONLY,
        )
        self._require_meant(found)
        return found

    def _require_meant(self, found: SystemConfiguration) -> None:
        """Refuse what has the right form and cannot be meant."""
        minimum = found.minimum_profile
        if minimum is None:
            if found.profile_only:
                raise self.error(
                    "policy.grants",
                    f"{_PROFILE_ONLY}, and no minimum_profile says what is granted",
                    code=_CONTRADICTION,
                )
            return
        from runtime.policy import profile, profile_file  # noqa: PLC0415  # where one is named, a launch needs it

        # A user's profile can have any name, so a name means a built-in one here.
        if not profile_file.is_path(minimum) and not profile.is_built_in_name(minimum):
            raise self.error(
                "policy.minimum_profile", "is no built-in profile", hint=_ELSEWHERE, code=_CONTRADICTION
            )

    def _profile(self, table: Mapping[str, object]) -> bytes | None:
        from runtime.policy import profile_file  # noqa: PLC0415  # where it is named, a launch needs it

        named = self.text(table, "policy", "minimum_profile", "the name or the path of a profile")
        if named is None:
            return None
        encoded = named.encode("utf-8")
        if profile_file.is_path(encoded):
            return self._absolute(named, "policy.minimum_profile")
        if not profile_file.is_name(encoded):
            raise self.error("policy.minimum_profile", "is no built-in profile", hint=_ELSEWHERE)
        return encoded

    def _absolute(self, path: str, where: str) -> bytes:
        # Not ~: where a home is, a variable says.
        if not path.startswith("/"):
            raise self.error(where, "must be an absolute path", hint="start it with /")
        return normalise(path.encode("utf-8"))
