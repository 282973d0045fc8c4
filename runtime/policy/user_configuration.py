"""The user's configuration: what a launch has by default, and what counts as secret.

``$XDG_CONFIG_HOME/nono/config.toml``::

    [launch]                                  # what a launch has where no flag says otherwise
    profile = "python-dev"                    # or a path
    block_net = true                          # --no-block-net, or a port, opens it for one launch
    allow_cwd = true
    ledger = "~/evidence/work.db"
    key = "env://NONO_KEY"
    key_passphrase_env = "NONO_PASSPHRASE"    # of that key
    labels = { team = "compilers" }
    silent = true                             # -v speaks again
    limits = { memory = "4G", cpu_time = "1h", timeout = "3h" }

    [redaction]
    extra_flags = ["--pin"]
    extra_headers = ["X-Acme-Key"]
    extra_query_keys = ["ticket"]
    extra_env_vars = ["ACME_LICENSE", "*_CREDENTIAL"]
    unsafe_remove = { flags = ["--auth"], query_keys = ["code", "state"] }

What is removed will be in the ledger for ever, so it has to be called unsafe; either difference from the
default is part of each launch's intent. Grants and bypasses are no defaults: a profile says them, or the
command line.
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING

from attest import hashing
from attest.named_tuples import NamedTuple
from runtime.capability.environment import is_name
from runtime.errors import ConfigurationError, UsageError
from runtime.kernel.path_names import absolute, homes, shown
from runtime.policy.configuration import Configuration
from runtime.policy.configuration_file import MAX_BYTES, WRITABLE_BY_OTHERS, Reader, read_file
from runtime.policy.configuration_file import unreadable as unreadable_file
from runtime.secrets.redaction_policy import DEFAULT, NOT_REMOVED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from runtime.policy.request import LaunchRequest
    from runtime.secrets.redaction_policy import Policy

MAX_NAMES = 64
"""Names in one list."""
MAX_NAMES_BYTES = 8_192
"""All names together: the intent holds them, and must not become too large for an entry."""

__all__ = ["MAX_BYTES", "LaunchDefaults", "read", "unreadable"]

_HINT = "repair or remove it, or name another directory with XDG_CONFIG_HOME"
# The names in the file, and those of the policy.
_KINDS = {"flags": "flags", "headers": "headers", "query_keys": "query_keys", "env_vars": "environment"}
_EXTRA = "extra_"
_UNSAFE_REMOVE = "unsafe_remove"
# What the published schema cannot say.
_TOO_LARGE = "configuration.too_large"
_CONTRADICTION = "configuration.contradiction"

_LAUNCH = (
    "allow_cwd",
    "block_net",
    "key",
    "key_passphrase_env",
    "labels",
    "ledger",
    "limits",
    "profile",
    "silent",
)


class LaunchDefaults(NamedTuple):
    """What a launch has where neither a flag nor a parameter says otherwise; None for what is not said.

    Attributes:
        allow_cwd: whether the working directory is readable.
        block_net: whether the network is closed.
        key: reference of the signing key; a path in it is absolute.
        key_passphrase_env: the variable that holds that key's passphrase.
        labels: words that the record carries.
        ledger: absolute path of the ledger.
        limits: what it is held to, by the names of the record.
        profile: name of a profile, or absolute path of a profile file.
        silent: whether the command writes nothing to standard error.
    """

    allow_cwd: bool | None = None
    block_net: bool | None = None
    key: str | None = None
    key_passphrase_env: str | None = None
    labels: tuple[tuple[str, str], ...] = ()
    ledger: bytes | None = None
    limits: tuple[tuple[str, int], ...] = ()
    profile: bytes | None = None
    silent: bool | None = None

    def complete(self, request: LaunchRequest) -> LaunchRequest:
        """Return the request with what it leaves open.

        A manifest stands alone, so nothing is added to what it grants; and what is for the record is left out
        where there is none. Ports on the command line are a network of their own.
        """
        changes: dict[str, object] = {}
        if request.config is None:
            if request.profile is None:
                changes["profile"] = self.profile
            if request.block_net is None and not request.names_ports:
                changes["block_net"] = self.block_net
            if request.allow_cwd is None:
                changes["allow_cwd"] = self.allow_cwd
            changes["limits"] = {**dict(self.limits), **request.limits}
        if request.audit:
            changes["labels"] = {**dict(self.labels), **request.labels}
            if request.ledger is None:
                changes["ledger"] = self.ledger
            if request.key is None:
                changes["key"] = self.key
                if request.key_passphrase_env is None:
                    changes["key_passphrase_env"] = self.key_passphrase_env
        return request._replace(**changes)  # type: ignore[arg-type]  # each has the type of its field


def read(path: bytes, descriptor: int) -> Configuration:
    """Return what an open configuration file of the user says.

    Args:
        path: its path.
        descriptor: it, open for reading.

    Raises:
        ConfigurationError: see :func:`runtime.policy.configuration.read_configuration`.
    """
    _require_trusted(path, os.fstat(descriptor))
    return read_form(path, descriptor)


def read_form(path: bytes, descriptor: int) -> Configuration:
    """Return what an open file says, whosever it is; see :func:`read`."""
    data = read_file(path, descriptor, hint=_HINT)
    reader = _UserReader(path)
    document = reader.document(data, ("launch", "redaction"))
    return Configuration(
        launch=reader.launch(document["launch"]) if "launch" in document else None,
        redaction=reader.redaction(document["redaction"]) if "redaction" in document else DEFAULT,
        path=path,
        sha256=hashing.hexdigest(data),
    )


def unreadable(path: bytes, error: OSError) -> ConfigurationError:
    """Return the error that the file cannot be opened."""
    return unreadable_file(path, os.strerror(error.errno or 0).lower(), hint=_HINT)


def _require_trusted(path: bytes, status: os.stat_result) -> None:
    """Refuse a file that somebody else decides about."""
    if not stat.S_ISREG(status.st_mode):
        raise unreadable_file(path, "not a regular file", hint=_HINT)
    if status.st_uid not in {0, os.geteuid()}:
        raise ConfigurationError(
            f"the configuration belongs to another user: {shown(path)}",
            code="configuration.untrusted",
            hint="it must belong to you or to root",
        )
    if status.st_mode & WRITABLE_BY_OTHERS:
        raise ConfigurationError(
            f"the configuration can be written by others: {shown(path)}",
            code="configuration.untrusted",
            hint=f"chmod go-w {shown(path)}",
        )


class _UserReader(Reader):
    """Takes the user's file apart."""

    def launch(self, value: object) -> LaunchDefaults:
        table = self.table(value, "launch", _LAUNCH)
        return LaunchDefaults(
            allow_cwd=self.flag(table, "launch", "allow_cwd"),
            block_net=self.flag(table, "launch", "block_net"),
            key=self.key(table, "launch", self._absolute),
            key_passphrase_env=self._variable(table),
            labels=self._labels(table),
            ledger=self._place(table, "ledger", "the path of a ledger"),
            limits=self._limits(table),
            profile=self._profile(table),
            silent=self.flag(table, "launch", "silent"),
        )

    def _variable(self, table: Mapping[str, object]) -> str | None:
        name = self.text(table, "launch", "key_passphrase_env", "the name of a variable")
        if name is not None and not is_name(name.encode("utf-8")):
            raise self.error(
                "launch.key_passphrase_env",
                "not the name of a variable",
                hint="letters, digits and _, no digit first",
            )
        return name

    def _profile(self, table: Mapping[str, object]) -> bytes | None:
        from runtime.policy import profile_file  # noqa: PLC0415  # with a profile it is needed anyway

        named = self.text(table, "launch", "profile", "the name or the path of a profile")
        if named is None:
            return None
        if profile_file.is_path(named.encode("utf-8")):
            return self._absolute(named, "launch.profile")
        if not profile_file.is_name(named.encode("utf-8")):
            raise self.error(
                "launch.profile",
                "is neither the name of a profile nor a path",
                hint="a name has letters, digits, . _ and -; a path has a slash, or ends in .json or .jsonc",
            )
        return named.encode("ascii")

    def _limits(self, table: Mapping[str, object]) -> tuple[tuple[str, int], ...]:
        if "limits" not in table:
            return ()
        from runtime.policy import limits  # noqa: PLC0415  # few users have any

        where = "launch.limits"
        given = self.table(table["limits"], where, limits.NAMES)
        try:
            found = limits.asked(given)
        except UsageError as error:
            raise self.error(where, str(error), hint=error.hint) from None
        if limits.TIMEOUT_GRACE in found and limits.TIMED.isdisjoint(found):
            raise self.error(where, "a timeout_grace without a timeout")
        return tuple(found.items())

    def _place(self, table: Mapping[str, object], key: str, what: str) -> bytes | None:
        path = self.text(table, "launch", key, what)
        return None if path is None else self._absolute(path, f"launch.{key}")

    def _absolute(self, path: str, where: str) -> bytes:
        if not path.startswith(("/", "~/")):
            raise self.error(
                where,
                f"{shown(os.fsencode(path))} is relative, and to what is not said",
                hint="start it with / or ~/",
            )
        try:
            return absolute(path.encode("utf-8"), workdir=b"/", home=next(iter(homes()), None))
        except UsageError as error:
            raise self.error(where, str(error), hint=error.hint) from None

    def _labels(self, table: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
        from runtime.policy.request import TOO_MANY_BYTES, require_labels  # noqa: PLC0415  # the launch has it already

        labels = table.get("labels", {})
        if not isinstance(labels, dict):
            raise self.mistyped("launch.labels", "a table", labels)
        for key, value in labels.items():
            if not isinstance(value, str):
                raise self.mistyped("launch.labels", "a table of texts", value)
            if not key:
                raise self.error("launch.labels", "an empty key")
        try:
            require_labels(labels)
        except UsageError as error:
            code = _TOO_LARGE if error.code == TOO_MANY_BYTES else None
            raise self.error("launch.labels", str(error), hint=error.hint, code=code) from None
        return tuple(labels.items())

    def redaction(self, value: object) -> Policy:
        table = self.table(value, "redaction", (*(_EXTRA + kind for kind in _KINDS), _UNSAFE_REMOVE))
        removed = self.table(table.get(_UNSAFE_REMOVE, {}), f"redaction.{_UNSAFE_REMOVE}", tuple(_KINDS))
        extra = {kind: self._names(table, "redaction", _EXTRA + kind) for kind in _KINDS}
        fewer = {kind: self._names(removed, f"redaction.{_UNSAFE_REMOVE}", kind) for kind in _KINDS}
        size = sum(len(name) for lists in (extra, fewer) for names in lists.values() for name in names)
        if size > MAX_NAMES_BYTES:
            raise self.error("redaction", f"more than {MAX_NAMES_BYTES} bytes of names", code=_TOO_LARGE)
        for kind, names in fewer.items():
            with self._named(f"redaction.{_UNSAFE_REMOVE}.{kind}"):
                DEFAULT.extended(**{_KINDS[kind]: names})  # what is no name is said first, wherever it is
        policy = DEFAULT
        for kind, names in extra.items():
            with self._named(f"redaction.{_EXTRA}{kind}"):
                policy = policy.extended(**{_KINDS[kind]: names})
        for kind, names in fewer.items():
            with self._named(f"redaction.{_UNSAFE_REMOVE}.{kind}"):
                policy = policy.unsafe_without(**{_KINDS[kind]: names})
        return policy

    def _names(self, table: Mapping[str, object], inside: str, key: str) -> list[bytes]:
        value = table.get(key, [])
        where = f"{inside}.{key}"
        if not isinstance(value, list):
            raise self.mistyped(where, "a list of names", value)
        if len(value) > MAX_NAMES:
            raise self.error(where, f"more than {MAX_NAMES} names")
        for number, name in enumerate(value):
            if not isinstance(name, str):
                raise self.mistyped(f"{where}[{number}]", "a name", name)
        return [name.encode("utf-8") for name in value]

    @contextlib.contextmanager
    def _named(self, where: str) -> Iterator[None]:
        """Say in which list a name stands that the policy refuses."""
        try:
            yield
        except UsageError as error:
            code = _CONTRADICTION if error.code == NOT_REMOVED else None
            raise self.error(where, str(error), hint=error.hint, code=code) from None
