"""Policies: what a ledger must show beside being intact, as TOML (``verify/schemas/policy.json``).

A policy has conditions for ``every`` launch, for at least one of each ``require``, and for the ``ledger``;
what it is to ``accept`` would not pass by itself. One that requires nothing is an error: everything would
pass it, and nobody writes such a file on purpose.
"""

from __future__ import annotations

import functools
import json
import os
import tomllib
from typing import Any

import jsonschema_rs

from attest import hashing
from attest.named_tuples import NamedTuple
from verify import regular_files
from verify.conditions import Conditions, FilePattern
from verify.errors import NotCheckedError
from verify.requirements import Accepted

MAX_BYTES = 1 << 20
"""The longest policy file."""

_SCHEMA_FILE = os.path.join(os.path.dirname(__file__), "schemas", "policy.json")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_MAX_MESSAGE = 300
_FORMS = {
    "path": "is no absolute path without parts . and .., and without a slash at the end; ~ is not expanded",
    "duration": "is no duration, such as 90s, 15m, 36h or 7d",
    "session": "is no whole session id, 32 small hex digits",
    "sha256": "is no SHA-256, 64 small hex digits",
}
"""What the patterns of the schema's definitions say, for people."""
_HINT = "nono-verify policy schema prints what a policy can say"


class Policy(NamedTuple):
    """What is required of a ledger.

    Attributes:
        source: the file that it came from.
        sha256: hex digest of that file's bytes.
        every: what holds for every launch, or None.
        require: for each of these, what at least one launch shows.
        accepted: what passes although it would not by itself.
        anchor_lag: how far behind the newest entry the newest word of others may be, in seconds, or None.
        head_age: how old the newest entry may be, in seconds, or None.
        remembered: whether a remembered checkpoint must have been given.
    """

    source: str
    sha256: str
    every: Conditions | None = None
    require: tuple[Conditions, ...] = ()
    accepted: Accepted = Accepted()
    anchor_lag: int | None = None
    head_age: int | None = None
    remembered: bool = False


def read(path: str) -> Policy:
    """Return the policy in a file.

    Raises:
        NotCheckedError: it cannot be read (``policy.unreadable``), is no policy (``policy.form``), or
            requires nothing (``policy.empty``).
    """
    data = regular_files.read_file(path, MAX_BYTES, "policy", "policy.unreadable")
    return parse(data, path)


def parse(data: bytes, source: str) -> Policy:
    """Return the policy that ``data`` spells; see :func:`read`."""
    if len(data) > MAX_BYTES:
        raise _form(source, f"it is longer than {MAX_BYTES} bytes")
    try:
        document = tomllib.loads(data.decode("utf-8"))
    except UnicodeDecodeError:
        raise _form(source, "it is not UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise _form(source, f"not TOML: {error}") from None
    except ValueError:  # of int(), which the parser leaves as it is
        raise _form(source, "it has a number of too many digits") from None
    except RecursionError:
        raise _form(source, "it is nested too deeply") from None
    _check(document, source)
    ledger, accept = document.get("ledger", {}), document.get("accept", {})
    if not document.keys() & {"every", "ledger", "require"}:
        raise NotCheckedError(
            f"the policy {source} requires nothing, so everything would pass",
            code="policy.empty",
            hint="[every] says what holds for each launch, [[require]] what at least one shows; " + _HINT,
        )
    return Policy(
        source=source,
        sha256=hashing.hexdigest(data),
        every=_conditions(document["every"]) if "every" in document else None,
        require=tuple(_conditions(each) for each in document.get("require", ())),
        accepted=Accepted(frozenset(accept.get("lost", ())), frozenset(accept.get("waived", ()))),
        anchor_lag=_seconds(ledger["anchor_lag"]) if "anchor_lag" in ledger else None,
        head_age=_seconds(ledger["head_age"]) if "head_age" in ledger else None,
        remembered="remembered" in ledger,
    )


def schema_text() -> str:
    """Return the JSON Schema of a policy, as it is published."""
    with open(_SCHEMA_FILE, encoding="utf-8") as file:
        return file.read()


def _check(document: dict[str, Any], source: str) -> None:
    try:
        error = next(iter(_validator().iter_errors(document)), None)
    except ValueError:  # a date, a time, or a float that JSON has not: no member takes one
        raise _form(
            source,
            "it is nested too deeply, or has a value of a type that no part of a policy has (a date, inf)",
        ) from None
    if error is None:
        return
    where = ".".join(str(part) for part in error.instance_path) or "the policy"
    raise _form(source, f"{where}: {_in_words(error)}")


def _in_words(error: jsonschema_rs.ValidationError) -> str:
    match error.schema_path:
        case ["$defs", str(name), "pattern"] if name in _FORMS:
            return f"{json.dumps(error.instance, ensure_ascii=False)[:_MAX_MESSAGE]} {_FORMS[name]}"
    return error.message[:_MAX_MESSAGE]


@functools.cache
def _validator() -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(json.loads(schema_text()))


def _form(source: str, what: str) -> NotCheckedError:
    return NotCheckedError(f"{source} is no policy: {what}", code="policy.form", hint=_HINT)


def _seconds(duration: str) -> int:
    return int(duration[:-1]) * _SECONDS[duration[-1]]


def _conditions(table: dict[str, Any]) -> Conditions:
    return Conditions(
        attested=table.get("attested", False),
        bypass=table.get("bypass"),
        executables=tuple(
            FilePattern(each.get("path"), each.get("sha256")) for each in table.get("executables", ())
        ),
        execs=table.get("execs"),
        exit=frozenset(map(int, table["exit"])) if "exit" in table else None,
        hooks=tuple(
            (name, FilePattern(each.get("path"), each.get("sha256")))
            for name, each in sorted(table.get("hooks", {}).items())
        ),
        labels=tuple(sorted(table.get("labels", {}).items())),
        network=table.get("network"),
        no_grant_under=tuple(table.get("no_grant_under", ())),
        no_write_under=tuple(table.get("no_write_under", ())),
        outputs=tuple(table.get("outputs", ())),
        profiles=tuple(
            FilePattern(each.get("name"), each.get("sha256")) for each in table.get("profiles", ())
        ),
        system_configurations=tuple(table.get("system_configurations", ())),
        sysv_ipc=table.get("sysv_ipc"),
        unix_sockets=table.get("unix_sockets"),
        write_only_under=tuple(table.get("write_only_under", ())),
    )
