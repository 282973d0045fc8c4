"""What a user has configured for every launch: ``$XDG_CONFIG_HOME/nono/config.toml``.

No file means the defaults, and costs one system call. What the file says is part of what decides a
launch, so it is judged like a hook: it belongs to the user or to root, nobody else may write it, and what
is not known is refused by name. The form is published as ``runtime/schemas/config.schema.json``::

    [redaction]
    extra_flags = ["--pin"]
    extra_headers = ["X-Acme-Key"]
    extra_query_keys = ["ticket"]
    extra_env_vars = ["ACME_LICENSE", "*_CREDENTIAL"]
    unsafe_remove = { flags = ["--auth"], query_keys = ["code", "state"] }

What is removed will be in the ledger for ever, so it has to be called unsafe; either difference from the
default is part of each launch's intent.
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING

from runtime.errors import ConfigurationError, UsageError
from runtime.redaction_policy import DEFAULT, NOT_REMOVED, Policy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

FILE_NAME = b"config.toml"
MAX_BYTES = 64 << 10
MAX_NAMES = 64
"""Names in one list."""
MAX_NAMES_BYTES = 8_192
"""All names together: the intent holds them, and must not become too large for an entry."""

_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
# The names in the file, and those of the policy.
_KINDS = {"flags": "flags", "headers": "headers", "query_keys": "query_keys", "env_vars": "environment"}
_EXTRA = "extra_"
_UNSAFE_REMOVE = "unsafe_remove"
# What the published schema cannot say.
_TOO_LARGE = "configuration.too_large"
_CONTRADICTION = "configuration.contradiction"


class Configuration:
    """What is configured.

    Attributes:
        redaction: what counts as secret on a command line.
    """

    __slots__ = ("redaction",)

    def __init__(self, *, redaction: Policy = DEFAULT) -> None:
        self.redaction = redaction


def read_configuration(directory: bytes) -> Configuration:
    """Read the configuration in ``directory``; without a file it is the default.

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
        raise _unreadable(path, os.strerror(error.errno or 0).lower()) from None
    try:
        _require_trusted(path, os.fstat(descriptor))
        data = _read(path, descriptor)
    finally:
        os.close(descriptor)
    return _Reader(path).configuration(data)


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


def _require_trusted(path: bytes, status: os.stat_result) -> None:
    """Refuse a file that somebody else decides about."""
    if not stat.S_ISREG(status.st_mode):
        raise _unreadable(path, "not a regular file")
    if status.st_uid not in {0, os.geteuid()}:
        raise ConfigurationError(
            f"the configuration belongs to another user: {_shown(path)}",
            code="configuration.untrusted",
            hint="it must belong to you or to root",
        )
    if status.st_mode & _WRITABLE_BY_OTHERS:
        raise ConfigurationError(
            f"the configuration can be written by others: {_shown(path)}",
            code="configuration.untrusted",
            hint=f"chmod go-w {_shown(path)}",
        )


def _read(path: bytes, descriptor: int) -> bytes:
    data = bytearray()
    try:
        while len(data) <= MAX_BYTES:
            piece = os.read(descriptor, MAX_BYTES + 1 - len(data))
            if not piece:
                return bytes(data)
            data += piece
    except OSError as error:
        raise _unreadable(path, os.strerror(error.errno or 0).lower()) from None
    raise _unreadable(path, "larger than 64 KiB")


def _unreadable(path: bytes, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"cannot read the configuration {_shown(path)}: {why}",
        code="configuration.unreadable",
        hint="repair or remove it, or name another directory with XDG_CONFIG_HOME",
    )


def _shown(path: bytes) -> str:
    from runtime.path_names import shown  # noqa: PLC0415  # only a mistake pays for it

    return shown(path)


class _Reader:
    """Takes the file apart; every complaint names the file and the key."""

    def __init__(self, path: bytes) -> None:
        self._path = path

    def configuration(self, data: bytes) -> Configuration:
        sections: dict[str, Callable[[object], Policy]] = {"redaction": self._redaction}
        document = self._table(self._parsed(data), "", tuple(sections))
        return Configuration(**{name: sections[name](value) for name, value in document.items()})

    def _parsed(self, data: bytes) -> object:
        import tomllib  # noqa: PLC0415  # 5 ms, and most users have no file

        try:
            return tomllib.loads(data.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise self._error(f"byte {error.start}", "not UTF-8") from None
        except RecursionError:
            raise self._error("", "nested too deeply") from None
        except ValueError as error:  # tomllib's own, and a number of too many digits
            text = str(error)
            raise self._error("", f"not TOML ({text[:1].lower()}{text[1:]})") from None

    def _redaction(self, value: object) -> Policy:
        table = self._table(value, "redaction", (*(_EXTRA + kind for kind in _KINDS), _UNSAFE_REMOVE))
        removed = self._table(table.get(_UNSAFE_REMOVE, {}), f"redaction.{_UNSAFE_REMOVE}", tuple(_KINDS))
        extra = {kind: self._names(table, "redaction", _EXTRA + kind) for kind in _KINDS}
        fewer = {kind: self._names(removed, f"redaction.{_UNSAFE_REMOVE}", kind) for kind in _KINDS}
        size = sum(len(name) for lists in (extra, fewer) for names in lists.values() for name in names)
        if size > MAX_NAMES_BYTES:
            raise self._error("redaction", f"more than {MAX_NAMES_BYTES} bytes of names", code=_TOO_LARGE)
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
            raise self._mistyped(where, "a list of names", value)
        if len(value) > MAX_NAMES:
            raise self._error(where, f"more than {MAX_NAMES} names")
        for number, name in enumerate(value):
            if not isinstance(name, str):
                raise self._mistyped(f"{where}[{number}]", "a name", name)
        return [name.encode("utf-8") for name in value]

    def _table(self, value: object, where: str, known: tuple[str, ...]) -> Mapping[str, object]:
        if not isinstance(value, dict):
            raise self._mistyped(where, "a table", value)
        for key in value:
            if key not in known:
                from runtime.document_words import bounded, did_you_mean  # noqa: PLC0415  # only a mistake pays

                inside = f"{where}.{key}" if where else key
                raise self._error(bounded(inside), "unknown key", hint=did_you_mean(key, known))
        return value

    @contextlib.contextmanager
    def _named(self, where: str) -> Iterator[None]:
        """Say in which list a name stands that the policy refuses."""
        try:
            yield
        except UsageError as error:
            code = _CONTRADICTION if error.code == NOT_REMOVED else None
            raise self._error(where, str(error), hint=error.hint, code=code) from None

    def _mistyped(self, where: str, wanted: str, value: object) -> ConfigurationError:
        from runtime.document_words import kind_of  # noqa: PLC0415  # only a mistake pays for it

        found = "a table" if isinstance(value, dict) else kind_of(value)
        return self._error(where, f"must be {wanted}, not {found}")

    def _error(
        self, where: str, what: str, *, hint: str | None = None, code: str | None = None
    ) -> ConfigurationError:
        position = f" at {where}" if where else ""
        return ConfigurationError(
            f"configuration {_shown(self._path)}{position}: {what}", hint=hint, code=code
        )
