"""What is configured for every launch: by the user, and above the user by root.

``$XDG_CONFIG_HOME/nono/config.toml`` has the user's defaults and what counts as secret; flags win over it.
``/etc/nono/config.toml`` has what every launch on this host must keep to; it wins over both. No file means
nothing is configured, and costs one system call each. What such a file says is part of what decides a
launch, so it is judged like a hook: nobody else may write it, and what is not known is refused by name.

The forms are published as ``runtime/schemas/configuration.schema.json`` and
``system-configuration.schema.json``; they are read in :mod:`runtime.policy.user_configuration` and
:mod:`runtime.policy.system_configuration`, which only a launch with such a file imports. What comes of the
latter is :mod:`runtime.policy.system_policy`'s.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from runtime.secrets.redaction_policy import DEFAULT

if TYPE_CHECKING:
    from attest.canonical import Json
    from runtime.policy.request import LaunchRequest
    from runtime.policy.system_configuration import SystemConfiguration
    from runtime.policy.system_policy import Minimum
    from runtime.policy.user_configuration import LaunchDefaults
    from runtime.secrets.redaction_policy import Policy

FILE_NAME = b"config.toml"

SYSTEM_DIRECTORY = b"/etc/nono"
"""A constant: what a variable could name, the user could name otherwise."""


class Configuration:
    """What a user has configured.

    Attributes:
        redaction: what counts as secret on a command line.
        launch: what a launch has where no flag says otherwise, None where nothing is configured.
        path: the file, None without one.
        sha256: lower-case hex digest of its bytes, None without a file.
    """

    __slots__ = ("launch", "path", "redaction", "sha256")

    def __init__(
        self,
        *,
        redaction: Policy = DEFAULT,
        launch: LaunchDefaults | None = None,
        path: bytes | None = None,
        sha256: str | None = None,
    ) -> None:
        self.redaction = redaction
        self.launch = launch
        self.path = path
        self.sha256 = sha256


def read_configuration(directory: bytes) -> Configuration:
    """Read the user's configuration in ``directory``; without a file it is the default.

    Args:
        directory: nono's configuration directory.

    Raises:
        ConfigurationError: there is a file, and it cannot be read, is no regular file of at most 64 KiB,
            belongs to or can be written by somebody else, or says what cannot be meant.
    """
    path = os.path.join(directory, FILE_NAME)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return Configuration()
    except OSError as error:
        from runtime.policy import user_configuration  # noqa: PLC0415  # only a launch with such a file pays

        raise user_configuration.unreadable(path, error) from None
    try:
        from runtime.policy import user_configuration  # noqa: PLC0415  # as above

        return user_configuration.read(path, descriptor)
    finally:
        os.close(descriptor)


def links(directory: bytes) -> list[bytes]:
    """Return the symbolic links in nono's configuration directory, and in its directory of profiles.

    Where they lead decides as much as what lies there.

    Args:
        directory: nono's configuration directory.
    """
    found: list[bytes] = []
    for place in (directory, os.path.join(directory, b"profiles")):
        with contextlib.suppress(OSError), os.scandir(place) as listing:
            found += [entry.path for entry in listing if entry.is_symlink()]
    return found


def read_system_configuration(directory: bytes = SYSTEM_DIRECTORY) -> SystemConfiguration | None:
    """Read the system configuration; None where there is none.

    Args:
        directory: where it lies; another one is for tests.

    Raises:
        ConfigurationError: the directory or the file is there, and is not root's alone, is reached through a
            symbolic link, cannot be read, or says what cannot be meant.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(directory, os.O_PATH | flags)
    except FileNotFoundError:
        return None
    except OSError as error:
        from runtime.policy import system_configuration  # noqa: PLC0415  # only a host with such a directory pays

        raise system_configuration.unreadable(directory, error) from None
    try:
        from runtime.policy import system_configuration  # noqa: PLC0415  # as above

        return system_configuration.read(directory, descriptor)
    finally:
        os.close(descriptor)


def configured_ledger(directory: bytes) -> bytes | None:
    """Return the ledger that launches go to without ``--ledger``, where one is configured.

    Args:
        directory: nono's configuration directory.

    Raises:
        ConfigurationError: a configuration file cannot be read, or cannot be meant.
    """
    system = read_system_configuration()
    if system is not None and system.ledger is not None:
        return system.ledger
    defaults = read_configuration(directory).launch
    return None if defaults is None else defaults.ledger


class InForce:
    """What a request comes to under all that is configured; see :func:`configured`.

    Attributes:
        request: the request, with what is fixed and what is default.
        user: the user's configuration.
        minimum: the host's minimum profile, None without one.
        digests: what the intent says of the files; empty where there are none.
    """

    __slots__ = ("_system", "digests", "minimum", "request", "user")

    def __init__(
        self,
        request: LaunchRequest,
        user: Configuration,
        system: SystemConfiguration | None,
        minimum: Minimum | None,
        digests: dict[str, Json],
    ) -> None:
        self.request = request
        self.user = user
        self._system = system
        self.minimum = minimum
        self.digests = digests

    def require_elevation(self) -> None:
        """Refuse elevation where the system configuration forbids it, whoever asks for it.

        Raises:
            SystemPolicyError: it does.
        """
        if self._system is not None:
            from runtime.policy import system_policy  # noqa: PLC0415  # it has judged the request

            system_policy.require_elevation(self._system)


def configured(request: LaunchRequest, directory: bytes) -> InForce:
    """Return what a request comes to: the system's word first, then the request's, then the user's.

    Args:
        request: what is asked.
        directory: nono's configuration directory.

    Raises:
        ConfigurationError: a file cannot be read, or cannot be meant.
        SystemPolicyError: the request asks for what the system configuration forbids.
        ProfileError: the minimum profile cannot be used.
    """
    user, system = read_configuration(directory), read_system_configuration()
    minimum: Minimum | None = None
    digests: dict[str, Json] = {}
    if system is not None:
        from runtime.policy import system_policy  # noqa: PLC0415  # only a host with such a file pays

        digests["system"] = system.sha256
        request = system_policy.applied(system, request)
        system_policy.require_redaction(system, user)
        if system.minimum_profile is not None:
            minimum = system_policy.Minimum(system)
            minimum.require_no_manifest(request)
    if user.sha256 is not None:
        digests["user"] = user.sha256
    if user.launch is not None:
        request = user.launch.complete(request)
    return InForce(request, user, system, minimum, digests)
