"""Which OCSF 1.8.0 event an entry is, and what it says there.

================== ================================================================================
entry              event
================== ================================================================================
``launch.start``   Process Activity: Launch (100701)
``launch.outcome`` Process Activity: Terminate (100702); when the command never ran, Launch, a failure
``hook.result``    Process Activity: Terminate (100702), of the hook
``launch.lost``    Process Activity: Other (100799)
``decision``       of a file File System Activity: Open (100114); of an exec Process Activity: Launch; of
                   network, url and unix-socket Network Activity: Open (400101), Listen (400107), or
                   Refuse (400105) when denied; of an approval a Base Event
all others         Base Event: Other (99)
================== ================================================================================

Every entry is one event. One whose launch has no intent that can be read is a Base Event: who did what
where is not known. What OCSF has no place for stands under ``unmapped``.

Each text is bounded (:func:`verify.exports.plain.brief`): an event says things of its launch, and arguments
that fill an intent would otherwise be said by each of its refusals. The entries have all of it.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Any

from attest import entry
from attest.instant_reading import unix_microseconds
from verify.exports.plain import brief, brief_command, command_line, shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from verify.exports.records import Record

VERSION = "1.8.0"

_UNCATEGORIZED, _SYSTEM, _NETWORK = 0, 1, 4
_BASE_EVENT, _FILE_ACTIVITY, _PROCESS_ACTIVITY, _NETWORK_ACTIVITY = 0, 1001, 1007, 4001
_LAUNCH, _TERMINATE, _OPEN, _FILE_OPEN, _REFUSE, _LISTEN, _OTHER = 1, 2, 1, 14, 5, 7, 99
_SUCCESS, _FAILURE = 1, 2
INFORMATIONAL, LOW, MEDIUM, HIGH, CRITICAL = 1, 2, 3, 4, 5
_SHA_256 = 3
_REGULAR_FILE, _EXECUTABLE, _UNKNOWN = 1, 8, 0
_LINUX = 200
_SECURITY_CONTROL = ["host", "security_control"]
_HOST = ["host"]

_HOSTNAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_ENDPOINT = re.compile(r"(?P<host>[^ ]{1,255}):(?P<port>[0-9]{1,5})")


def event(record: Record) -> dict[str, Any]:
    """Return the event of an entry that is of its schema: class, activity, and what is said of it."""
    document = record.document
    assert document is not None
    intent = None if record.intent is None else record.intent.document
    if intent is None or document["kind"] not in _OF_LAUNCHES:
        return _base(document)
    found = _OF_LAUNCHES[document["kind"]](record, document, intent["data"])
    found["device"] = _device(intent["data"])
    found["type_uid"] = found["class_uid"] * 100 + found["activity_id"]
    return found


def opaque() -> dict[str, Any]:
    """Return the event of an entry that this version does not understand."""
    return {
        "class_uid": _BASE_EVENT,
        "category_uid": _UNCATEGORIZED,
        "activity_id": _OTHER,
        "type_uid": _BASE_EVENT * 100 + _OTHER,
        "severity_id": INFORMATIONAL,
        "message": "an entry that this version does not understand",
    }


_MESSAGES = {
    entry.GENESIS: "a ledger was founded",
    entry.KEY: "another key came into force",
    entry.INTENT: "a launch was asked for",
    entry.ATTESTATION: "a launch was attested",
    entry.ANCHOR: "a checkpoint was anchored",
}


def _base(document: dict[str, Any]) -> dict[str, Any]:
    found = opaque() | {"message": _MESSAGES.get(document["kind"], "an entry of a launch")}
    if document["kind"] == entry.INTENT:
        found["device"], found["metadata"] = _device(document["data"]), {"profiles": _HOST}
        found["message"] = brief(f"{found['message']}: {command_line(document['data']['command'])}")
    return found


def _start(_record: Record, document: dict[str, Any], intent: dict[str, Any]) -> dict[str, Any]:
    return {
        **_process_activity(_LAUNCH, intent, INFORMATIONAL),
        "launch_type_id": 3,  # exec
        "status_id": _SUCCESS,
        "process": _process(document["data"], intent, document["session"]),
        "message": brief(f"started: {command_line(intent['command'])}"),
        "metadata": {"profiles": _HOST},
    }


def _outcome(record: Record, document: dict[str, Any], intent: dict[str, Any]) -> dict[str, Any]:
    data, session = document["data"], document["session"]
    started = None if record.start is None else record.start.document
    refused = data.get("not_started")
    succeeded = data.get("exit") == 0
    found = _process_activity(_TERMINATE, intent, INFORMATIONAL if succeeded else LOW)
    found["process"] = (
        {"uid": session, "cmd_line": brief_command(intent["command"])}
        if started is None
        else _process(started["data"], intent, session)
    )
    found["status_id"] = _SUCCESS if succeeded else _FAILURE
    found["metadata"] = {"profiles": _HOST}
    if refused is not None:
        found["activity_id"] = _LAUNCH
        found["status_code"], found["status_detail"] = brief(refused["code"]), brief(refused["message"])
        found["message"] = brief(f"not started: {refused['message']}")
        return found
    found["start_time"], found["end_time"] = milliseconds(data["started"]), milliseconds(data["ended"])
    found["duration"] = data["duration_us"] // 1000
    if "exit" in data:
        found["exit_code"] = data["exit"]
        found["message"] = f"ended with exit code {data['exit']}"
    else:
        found["status_detail"] = f"signal {data['signal']}"
        found["message"] = f"ended by signal {data['signal']}"
    return found


def _hook_result(_record: Record, document: dict[str, Any], intent: dict[str, Any]) -> dict[str, Any]:
    data = document["data"]
    hook = intent["hooks"].get(data["hook"])
    succeeded = data.get("exit") == 0
    process: dict[str, Any] = {"uid": f"{document['session']}:{document['seq']}"}
    if hook is not None:
        process["file"] = _file(shown(hook["path"]), _EXECUTABLE, hook["sha256"])
        process["name"] = process["file"]["name"]
    found = _process_activity(_TERMINATE, intent, INFORMATIONAL if succeeded else MEDIUM)
    found |= {
        "process": process,
        "status_id": _SUCCESS if succeeded else _FAILURE,
        "duration": data["duration_us"] // 1000,
        "message": f"the {data['hook']}-hook ended",
        "metadata": {"profiles": _HOST},
    }
    if "exit" in data:
        found["exit_code"] = data["exit"]
    elif "error" in data:
        found["status_detail"] = brief(data["error"])
    return found


def _lost(record: Record, document: dict[str, Any], intent: dict[str, Any]) -> dict[str, Any]:
    started = None if record.start is None else record.start.document
    return {
        **_process_activity(_OTHER, intent, HIGH),
        "activity_name": "Lost",
        "process": {"uid": document["session"]}
        if started is None
        else _process(started["data"], intent, document["session"]),
        "status_id": 0,
        "status_detail": f"the supervisor was lost: {document['data']['found']}",
        "message": "how the launch ended is not recorded",
        "metadata": {"profiles": _HOST},
    }


def _decision(record: Record, document: dict[str, Any], intent: dict[str, Any]) -> dict[str, Any]:
    data = document["data"]
    what, subject, denied = data["what"], shown(data["subject"]), data["verdict"] == "denied"
    started = None if record.start is None else record.start.document
    session = document["session"]
    process = {"uid": session} if started is None else _process(started["data"], intent, session)
    found: dict[str, Any] = {
        "actor": {"process": process, "user": _user(intent)},
        "severity_id": LOW if denied else INFORMATIONAL,
        "status_id": _FAILURE if denied else _SUCCESS,
        "status_detail": brief(data["reason"]),
        "action_id": 2 if denied else 1,
        "disposition_id": 2 if denied else 1,
        "message": brief(f"{data['verdict']} by {data['by']}: {what} {subject}"),
        "metadata": {"profiles": _SECURITY_CONTROL},
    }
    if what == "file":
        return found | {
            "class_uid": _FILE_ACTIVITY,
            "category_uid": _SYSTEM,
            "activity_id": _FILE_OPEN,
            "file": _file(subject, _UNKNOWN),
        }
    if what == "exec":
        asked = {"uid": f"{session}:{document['seq']}", "file": _file(subject, _EXECUTABLE)}
        return found | {
            "class_uid": _PROCESS_ACTIVITY,
            "category_uid": _SYSTEM,
            "activity_id": _LAUNCH,
            "process": asked,
        }
    if what in {"network", "url", "unix-socket"}:
        return found | _network(what, subject, denied=denied)
    return found | {
        "class_uid": _BASE_EVENT,
        "category_uid": _UNCATEGORIZED,
        "activity_id": _OTHER,
    }


def _network(what: str, subject: str, *, denied: bool) -> dict[str, Any]:
    verb, _, address = subject.partition(" ")
    listens = verb in {"listen", "bind"} and bool(address)
    activity = _REFUSE if denied else _LISTEN if listens else _OPEN
    found: dict[str, Any] = {
        "class_uid": _NETWORK_ACTIVITY,
        "category_uid": _NETWORK,
        "activity_id": activity,
        "src_endpoint" if listens else "dst_endpoint": _endpoint(what, address or subject),
    }
    if what == "url":
        found["url"] = {"url_string": brief(subject)}
    return found


def _endpoint(what: str, address: str) -> dict[str, Any]:
    if what == "unix-socket":
        return {"svc_name": brief(address)}
    parts = _ENDPOINT.fullmatch(address) if what == "network" else None
    if parts is None or int(parts["port"]) > 65_535:
        return {"name": brief(address)}
    host = parts["host"].strip("[]")
    found: dict[str, Any] = {"name": host, "port": int(parts["port"])}
    try:
        found["ip"] = str(ipaddress.ip_address(host))
    except ValueError:
        if _HOSTNAME.fullmatch(host):
            found["hostname"] = host
    return found


# --- objects ---------------------------------------------------------------------------------------


def _process_activity(activity: int, intent: dict[str, Any], severity: int) -> dict[str, Any]:
    """Return what every process activity says; who acts is the supervisor, for the user who asked."""
    supervisor = intent["supervisor"]
    return {
        "class_uid": _PROCESS_ACTIVITY,
        "category_uid": _SYSTEM,
        "activity_id": activity,
        "severity_id": severity,
        "actor": {"process": {"name": "nono", "pid": supervisor["pid"]}, "user": _user(intent)},
    }


def _process(start: dict[str, Any], intent: dict[str, Any], session: str) -> dict[str, Any]:
    executable = start["executable"]
    file = _file(shown(executable["path"]), _EXECUTABLE, executable["sha256"])
    file["size"] = executable["size"]
    return {
        "pid": start["pid"],
        "uid": session,
        "name": file["name"],
        "file": file,
        "user": _user(intent),
        "cmd_line": brief_command(intent["command"]),
        "working_directory": brief(shown(start["directory"])),
        "sandbox": "nono",
    }


def _user(intent: dict[str, Any]) -> dict[str, Any]:
    uid = intent["user"]["uid"]
    return {"uid": str(uid), "type_id": 2 if uid == 0 else 1}


def _file(path: str, kind: int, sha256: str | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": brief(path.rpartition("/")[2] or path),
        "path": brief(path),
        "type_id": kind,
    }
    if sha256 is not None:
        found["hashes"] = [{"algorithm": "SHA-256", "algorithm_id": _SHA_256, "value": sha256}]
    return found


def _device(intent: dict[str, Any]) -> dict[str, Any]:
    host = intent["host"]
    name = shown(host["name"])
    found: dict[str, Any] = {
        "name": brief(name),
        "type_id": _UNKNOWN,
        "boot_uid": host["boot_id"],
        "os": {"name": "Linux", "type_id": _LINUX, "kernel_release": brief(host["kernel"])},
    }
    if _HOSTNAME.fullmatch(name):
        found["hostname"] = name
    return found


def milliseconds(time: str) -> int:
    """Return a time of an entry as OCSF has it: milliseconds since 1970."""
    return unix_microseconds(time) // 1_000


_OF_LAUNCHES: dict[str, Callable[[Record, dict[str, Any], dict[str, Any]], dict[str, Any]]] = {
    entry.START: _start,
    entry.OUTCOME: _outcome,
    entry.HOOK_RESULT: _hook_result,
    entry.LOST: _lost,
    entry.DECISION: _decision,
}
