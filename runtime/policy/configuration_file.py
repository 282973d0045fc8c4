"""A configuration file, the user's or the system's: its bytes, and how its TOML is taken apart.

Every complaint names the file and the key, and refuses the launch.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from runtime.errors import ConfigurationError
from runtime.kernel.bounded_reading import read_bounded
from runtime.kernel.path_names import shown
from runtime.policy.document_words import bounded, kind_of, require_known_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_BYTES = 64 << 10
WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_MAX_WHY = 200
_PATH_MAX = 4096
_MOST_DOTS = 100


def read_file(path: bytes, descriptor: int, *, hint: str) -> bytes:
    """Return the bytes of a configuration file that is open.

    Args:
        path: its path, for messages.
        descriptor: it, open for reading.
        hint: what to do when it cannot be read.

    Raises:
        ConfigurationError: it is no regular file of at most 64 KiB, or cannot be read.
    """
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise unreadable(path, "not a regular file", hint=hint)
        data = read_bounded(descriptor, MAX_BYTES)
    except OSError as error:
        raise unreadable(path, os.strerror(error.errno or 0).lower(), hint=hint) from None
    if data is None:
        raise unreadable(path, "larger than 64 KiB", hint=hint)
    return data


def unreadable(path: bytes, why: str, *, hint: str) -> ConfigurationError:
    """Return the error that a file cannot be read."""
    return ConfigurationError(
        f"cannot read the configuration {shown(path)}: {why}", code="configuration.unreadable", hint=hint
    )


class Reader:
    """Takes a file apart.

    Args:
        path: the file, for messages.
    """

    def __init__(self, path: bytes) -> None:
        self._file = shown(path)

    def document(self, data: bytes, sections: tuple[str, ...]) -> Mapping[str, object]:
        """Return the table that the bytes are in TOML; each of its keys is one of ``sections``."""
        return self.table(self._parsed(data), "", sections)

    def _parsed(self, data: bytes) -> object:
        import tomllib  # noqa: PLC0415  # 5 ms, and most users have no file

        # tomllib takes 13 s for one dotted key that fills the file.
        if any(line.count(b".") > _MOST_DOTS for line in data.splitlines()):
            raise self.error("", f"a line with more than {_MOST_DOTS} dots: nested too deeply")
        try:
            return tomllib.loads(data.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise self.error(f"byte {error.start}", "not UTF-8") from None
        except RecursionError:
            raise self.error("", "nested too deeply") from None
        except ValueError as error:  # tomllib's own, and a number of too many digits
            text = str(error)
            raise self.error("", f"not TOML ({bounded(text[:1].lower() + text[1:_MAX_WHY])})") from None

    def table(self, value: object, where: str, known: tuple[str, ...]) -> Mapping[str, object]:
        """Return a value that must be a table with known keys alone."""
        if not isinstance(value, dict):
            raise self.mistyped(where, "a table", value)
        require_known_keys(value, where, known, self.error)
        return value

    def flag(self, table: Mapping[str, object], section: str, key: str) -> bool | None:
        """Return true, false, or None where a table has no such key."""
        value = table.get(key)
        if value is not None and not isinstance(value, bool):
            raise self.mistyped(f"{section}.{key}", "true or false", value)
        return value

    def text(self, table: Mapping[str, object], section: str, key: str, what: str) -> str | None:
        """Return a text of 1 to 4095 characters, or None where a table has no such key.

        Args:
            table: the section.
            section: its name.
            key: the key.
            what: what its value must be, with its article.
        """
        value = table.get(key)
        if value is None:
            return None
        if not isinstance(value, str):
            raise self.mistyped(f"{section}.{key}", what, value)
        if not 0 < len(value) < _PATH_MAX or "\0" in value:
            raise self.error(
                f"{section}.{key}", f"must be {what}, of 1 to {_PATH_MAX - 1} characters without NUL"
            )
        return value

    def key(self, table: Mapping[str, object], section: str, path: Callable[[str, str], bytes]) -> str | None:
        """Return the reference of a signing key, or None where a table has no key ``key``.

        Args:
            table: the section.
            section: its name.
            path: returns the path that a text means, given where it stands.
        """
        from runtime.secrets import signing_key  # noqa: PLC0415  # the launch has it already

        where = f"{section}.key"
        reference = self.text(table, section, "key", "the reference of a key")
        if reference is None:
            return None
        if signing_key.is_inline(reference):
            raise self.error(where, "is a key itself", hint="put it into a file, and name that")
        scheme, colon, rest = reference.partition("://")
        if colon and scheme in ("env", "keyring"):
            if not rest:
                raise self.error(where, f"{scheme}:// names nothing")
            return reference
        return os.fsdecode(path(reference.removeprefix("file://"), where))

    def mistyped(self, where: str, wanted: str, value: object) -> ConfigurationError:
        """Return the error that a value is of another type."""
        found = "a table" if isinstance(value, dict) else kind_of(value)
        return self.error(where, f"must be {wanted}, not {found}")

    def error(
        self, where: str, what: str, *, hint: str | None = None, code: str | None = None
    ) -> ConfigurationError:
        """Return the error that something in the file cannot be meant."""
        position = f" at {where}" if where else ""
        return ConfigurationError(f"configuration {self._file}{position}: {what}", hint=hint, code=code)
