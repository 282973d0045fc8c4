"""What an entry says, as flat names and texts: the columns of a table, the keys of a log line.

Only what a reader of logs asks for; the entry itself stands beside. Texts are as they were recorded, with
every control character in them: each format makes them harmless in its own way. Several values in one text
are JSON, as they are recorded: no value can be taken for two, whatever it holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attest import canonical, entry
from attest.canonical import decode_base64
from attest.errors import NonoError
from attest.keys import PublicKey
from verify.exports.plain import ascii_json, command_line, shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from attest.canonical import Json

NAMES = (
    "command", "executable", "executable_sha256", "directory", "pid", "user", "host", "profile", "network",
    "labels", "outputs", "exit", "signal", "not_started", "started", "ended", "duration_us", "ended_by",
    "executed_image", "decision", "what", "subject", "by", "reason", "hook", "found", "key", "covers",
)  # fmt: skip
"""Every name, in the order in which they are written."""

OF_SEVERAL = frozenset({"profile", "labels", "outputs"})
"""Those whose text is JSON in printable ASCII: a list, or the labels by their keys."""


def facts(document: dict[str, Any]) -> dict[str, str]:
    """Return the facts of an entry that is of its schema; names that it says nothing about are not there."""
    find = _BY_KIND.get(document["kind"])
    if find is None:
        return {}
    return {name: text for name, value in find(document["data"]).items() if (text := _text(value))}


def _text(value: Json) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else shown(value)


def _several(values: Json) -> str:
    return ascii_json(canonical.encode(values)).decode("ascii") if values else ""


def _intent(data: dict[str, Any]) -> dict[str, Json]:
    return {
        "command": command_line(data["command"]),
        "user": str(data["user"]["uid"]),
        "host": shown(data["host"]["name"]),
        "profile": _several(data["profile"]),
        "network": network(data["network"]),
        "labels": _several(data["labels"]),
        "outputs": _several(data["outputs"]),
    }


def _start(data: dict[str, Any]) -> dict[str, Json]:
    executable = data["executable"]
    return {
        "executable": shown(executable["path"]),
        "executable_sha256": executable["sha256"],
        "directory": shown(data["directory"]),
        "pid": data["pid"],
    }


def _outcome(data: dict[str, Any]) -> dict[str, Json]:
    said = {
        name: data.get(name)
        for name in ("exit", "signal", "started", "ended", "duration_us", "ended_by", "executed_image")
    }
    refused = data.get("not_started")
    if refused is not None:
        said["not_started"] = refused["code"]
        said["reason"] = refused["message"]
    said["outputs"] = _several(data["outputs"])
    return said


def _decision(data: dict[str, Any]) -> dict[str, Json]:
    return {
        "decision": data["verdict"],
        "what": data["what"],
        "subject": shown(data["subject"]),
        "by": data["by"],
        "reason": data["reason"],
    }


def _hook_result(data: dict[str, Any]) -> dict[str, Json]:
    return {
        "hook": data["hook"],
        "exit": data.get("exit"),
        "signal": data.get("signal"),
        "reason": "timed out" if data["timed_out"] else data.get("error"),
        "duration_us": data["duration_us"],
    }


def _key(data: dict[str, Any]) -> dict[str, Json]:
    try:
        key = PublicKey.from_spki(decode_base64(data["public_key"])).fingerprint()
    except NonoError:  # none that can be used, in a ledger that does not hold
        key = ""
    return {"key": key, "reason": data.get("reason")}


def _attestation(data: dict[str, Any]) -> dict[str, Json]:
    return {"key": data["signatures"][0]["keyid"]}


def _anchor(data: dict[str, Any]) -> dict[str, Json]:
    covers = data["covers"]
    return {"what": data["type"], "covers": covers["leaf"] if "leaf" in covers else covers["size"]}


def _lost(data: dict[str, Any]) -> dict[str, Json]:
    return {"found": data["found"]}


def network(asked: dict[str, Any]) -> str:
    """Return in words which network was asked for."""
    if asked["mode"] != "ports":
        return str(asked["mode"])
    parts = [
        f"{words} {','.join(map(str, asked[name]))}"
        for name, words in (("connect", "connect"), ("listen", "listen"), ("listen_loopback", "loopback"))
        if asked[name]
    ]
    return "ports: " + "; ".join(parts)


_BY_KIND: dict[str, Callable[[dict[str, Any]], dict[str, Json]]] = {
    entry.GENESIS: _key,
    entry.KEY: _key,
    entry.INTENT: _intent,
    entry.HOOK_RESULT: _hook_result,
    entry.START: _start,
    entry.DECISION: _decision,
    entry.OUTCOME: _outcome,
    entry.ATTESTATION: _attestation,
    entry.LOST: _lost,
    entry.ANCHOR: _anchor,
}
