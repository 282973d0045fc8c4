"""One recorded launch as text for people: who, what, when, where, inside what, and how it ended.

Facts come only from entries that are of their schema; one that is not is named instead.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

from attest import canonical
from attest import entry as entries
from attest.errors import MalformedError
from runtime.capability.capabilities import SYSV_WORDS, network_words, socket_words
from runtime.cli.ago import ago
from runtime.cli.grants_tree import grants_tree
from runtime.cli.terminal import columns, shorten
from runtime.kernel.path_names import shown
from runtime.policy import limits
from store.index import wording

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from attest.canonical import Json
    from attest.entry import Entry
    from store.index import LaunchRecord, RecordedLaunch

MAX_TEXT = 65_536
"""Characters of one value; ``--json`` has all of it."""
MAX_ROWS = 500
"""Lines of one kind, decisions for example; ``--json`` has all of them."""

WITHHELD = "withheld: its blob is not in the ledger, or is another"

# What a line says, and its name, which is left out where it repeats the line above.
_DIGEST_SHOWN = 16
_Row = tuple[str, str]


def show(recorded: RecordedLaunch, path: bytes, *, tree: bool = False, relative: bool = False) -> list[str]:
    """Return the lines that describe a launch.

    Args:
        recorded: the launch, from the ledger.
        path: the ledger.
        tree: whether the grants on files are drawn as a tree of directories, else one a line.
        relative: whether it is said how long ago it was.
    """
    rows = [("session", recorded.launch.session), ("state", recorded.launch.state)]
    data: dict[str, list[dict[str, Any]]] = {}
    for item in recorded.entries:
        if item.fault is None:
            data.setdefault(item.entry.kind, []).append(item.entry.data)
    rows += _limited(
        row for intent in data.get(entries.INTENT, ()) for row in _intent(intent, recorded, relative=relative)
    )
    rows += _limited(
        row for start in data.get(entries.START, ()) for row in _start(start, recorded, tree=tree)
    )
    rows += _limited(("hook ran", _hook_result(result)) for result in data.get(entries.HOOK_RESULT, ()))
    rows += _limited(("decision", _decision(decision)) for decision in data.get(entries.DECISION, ()))
    rows += _limited(row for outcome in data.get(entries.OUTCOME, ()) for row in _outcome(outcome))
    rows += [("lost", f"its supervisor was gone: {lost['found']}") for lost in data.get(entries.LOST, ())]
    rows += [("entries", _positions(recorded))]
    rows += _limited(
        ("unreadable", f"entry {item.index} ({shorten(item.entry.kind, 64)}): {item.fault}")
        for item in recorded.entries
        if item.fault is not None
    )
    rows.append(("check with", f"nono-verify {shown(path)}"))
    return _aligned(rows)


def event(entry: Entry, resolved: Callable[[Json], Json]) -> str:
    """Return in one line what an entry says.

    Args:
        entry: the entry, of its schema.
        resolved: what gives the value of a field that may lie beside the entry; None when withheld.
    """
    data: dict[str, Any] = entry.data
    text = entry.kind
    if entry.kind == entries.INTENT:
        text = wording.command(resolved(data["command"]))
    elif entry.kind == entries.START:
        text = f"{_path(data['executable']['path'])}  pid {data['pid']}"
    elif entry.kind == entries.HOOK_RESULT:
        text = _hook_result(data)
    elif entry.kind == entries.DECISION:
        text = _decision(data)
    elif entry.kind == entries.OUTCOME:
        reason = data.get("not_started")
        text = _ending(data) if reason is None else f"not started: {reason['message']} [{reason['code']}]"
    elif entry.kind == entries.LOST:
        text = f"its supervisor was gone: {data['found']}"
    elif entry.kind == entries.ATTESTATION:
        text = "signed"
    elif entry.kind == entries.GENESIS:
        text = data["origin"]
    return shorten(text, MAX_TEXT)


def result(launch: LaunchRecord) -> str:
    """Return in a few words how a launch ended; empty when that is not known."""
    if launch.not_started is not None:
        return f"not started: {launch.not_started}"
    if launch.signal is not None:
        return signal_words(launch.signal)
    return "" if launch.exit is None else f"exit {launch.exit}"


def duration(microseconds: int) -> str:
    """Return a duration in the unit that suits it."""
    if microseconds < 1_000:
        return f"{microseconds} µs"
    if microseconds < 1_000_000:
        return f"{microseconds / 1_000:.1f} ms"
    if microseconds < 60_000_000:
        return f"{microseconds / 1_000_000:.1f} s"
    minutes, seconds = divmod(microseconds // 1_000_000, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"


def _aligned(rows: list[_Row]) -> list[str]:
    previous = ""
    named: list[_Row] = []
    for name, text in rows:
        named.append(("" if name == previous else name, shorten(text, MAX_TEXT)))
        previous = name
    return columns(named)


def _limited(rows: Iterator[_Row]) -> list[_Row]:
    kept: list[_Row] = []
    left = 0
    for row in rows:
        if len(kept) < MAX_ROWS:
            kept.append(row)
        else:
            left += 1
    if left:
        kept.append(("", f"and {left} more; --json has all"))
    return kept


# --- one kind of entry after another ------------------------------------------------------------


def _intent(intent: dict[str, Any], recorded: RecordedLaunch, *, relative: bool) -> Iterator[_Row]:
    command = recorded.value(intent["command"])
    yield "command", WITHHELD if command is None else wording.command(command)
    user, host, supervisor = intent["user"], intent["host"], intent["supervisor"]
    groups = ", ".join(str(group) for group in user["groups"])
    yield "who", f"uid {user['uid']}, gid {user['gid']}, groups {groups or 'none'}"
    yield (
        "host",
        f"{wording.text(host['name'])}, kernel {host['kernel']}, Landlock ABI {host['landlock_abi']}",
    )
    yield "asked at", recorded.launch.time + (f" ({ago(recorded.launch.time)})" if relative else "")
    yield "supervisor", f"nono {supervisor['version']}, pid {supervisor['pid']}, {intent['strategy']}"
    if "outer_session" in intent:
        yield "inside", f"session {intent['outer_session']}"
    for profile in intent["profile"]:
        yield "profile", f"{_path(profile['name'])}  sha256 {profile['sha256']}"
    for name, hook in intent["hooks"].items():
        need = "required" if hook["required"] else "not required"
        limit = f"at most {hook['timeout_seconds']} s"
        yield "hook", f"{name}: {_path(hook['path'])}  sha256 {hook['sha256']}  {need}, {limit}"
    yield "network", f"{network_words(intent['network'])} (as asked)"
    asked = recorded.value(intent["grants"])
    for grant in _list(asked):
        yield (
            "asked for",
            f"{grant['access']} {grant['type']} {_path(grant['asked'])} ({grant['source']})",
        )
    if asked is None:
        yield "asked for", WITHHELD
    yield from (("asked for", _socket_grant(each, each["asked"])) for each in intent.get("unix_sockets", ()))
    if "ipc" in intent:
        yield "asked for", SYSV_WORDS
    yield from _asked_besides(intent)
    for path in intent["bypass_protection"]:
        yield "bypass", f"protection lifted: {_path(path)}"
    for name, value in intent["labels"].items():
        yield "label", f"{name}={value}"
    for rule, names in intent["redaction"]["added"].items():
        yield from (("redaction", f"also {rule}: {name}") for name in names)
    for rule, names in intent["redaction"]["removed"].items():
        yield from (("redaction", f"not {rule}: {name}") for name in names)


def _asked_besides(intent: dict[str, Any]) -> Iterator[_Row]:
    """Yield what is there only where something was asked, or configured."""
    if "manifest" in intent:
        manifest = intent["manifest"]
        yield "manifest", f"{_path(manifest['path'])}  sha256 {manifest['sha256']}"
    for whose, sha256 in sorted(intent.get("configuration", {}).items()):
        yield "config", f"the {whose}'s  sha256 {sha256}"
    for secret in intent.get("credentials", ()):
        yield "secret", f"{secret['variable']} from {_path(secret['reference'])} ({secret['source']})"
    for rule, names in intent.get("commands", {}).items():
        yield from (("commands", f"{rule} {wording.text(name)}") for name in names)


def _start(start: dict[str, Any], recorded: RecordedLaunch, *, tree: bool) -> Iterator[_Row]:
    yield "executable", _image(start["executable"])
    for image in start["interpreters"]:
        yield "interpreter", _image(image)
    yield "directory", _path(start["directory"])
    capabilities: Any = recorded.value(start["capabilities"])
    if capabilities is None:
        yield "granted", WITHHELD
    else:
        yield "granted", f"network {network_words(capabilities['network'])}"
        files = capabilities["files"]
        if tree:
            named = (
                (
                    canonical.text_bytes(grant["path"]),
                    f"{grant['access']} {grant['type']} ({grant['source']})",
                )
                for grant in files
            )
            yield from (("granted", line) for line in grants_tree(named))
        else:
            for grant in files:
                yield (
                    "granted",
                    f"{grant['access']} {grant['type']} {_path(grant['path'])} ({grant['source']})",
                )
        for grant in capabilities.get("unix_sockets", ()):
            yield "granted", _socket_grant(grant, grant["path"])
        if "ipc" in capabilities:
            yield "granted", SYSV_WORDS
    yield "granted", f"capability set sha256 {start['capabilities_sha256']}"
    yield "environment", _names(recorded.value(start["environment"]))
    for name, value in start["limits"].items():
        yield "limit", limits.words(name, value)
    yield from _enforcement(start["enforcement"])
    yield from _execs(start.get("execs", {"tracing": "none"}))
    yield "pid", str(start["pid"])


def _socket_grant(grant: dict[str, Any], path: Json) -> str:
    done, where = socket_words(grant)
    return f"{done} {where} {_path(path)} ({grant['source']})"


def _enforcement(enforcement: dict[str, Any]) -> Iterator[_Row]:
    achieved, required = enforcement["achieved"], enforcement["required"]
    yield "enforced", ", ".join(name for name in sorted(achieved) if achieved[name]) or "nothing"
    missing = [name for name in sorted(required) if required[name] and not achieved[name]]
    if missing:
        yield "NOT enforced", ", ".join(missing)
    if enforcement["waived"]:
        yield "waived", ", ".join(enforcement["waived"])
    yield "filter", f"sha256 {enforcement['filter_sha256']}, Landlock ABI {enforcement['landlock_abi']}"


def _execs(execs: dict[str, Any]) -> Iterator[_Row]:
    if execs["tracing"] != "none":
        limited = ", and only some programs allowed" if execs["tracing"] == "allow" else ""
        yield "execs", f"every exec seen{limited}"
    for rule in execs.get("allow", ()):
        path = _path(rule["path"]) if "path" in rule else "whatever its path"
        digest = f"  sha256 {rule['sha256']}" if "sha256" in rule else "  and all beneath it"
        yield "", f"allowed {path}{digest}"


def _hook_result(hook: dict[str, Any]) -> str:
    how = hook.get("error") or ("timed out" if hook["timed_out"] else _ending(hook))
    exported = f", exported {_names(hook['exported'])}" if hook["exported"] else ""
    dropped = f", dropped {_names(hook['dropped'])}" if hook["dropped"] else ""
    return f"{hook['hook']}: {how} after {duration(hook['duration_us'])}{exported}{dropped}"


def _decision(decision: dict[str, Any]) -> str:
    subject = wording.text(decision["subject"])
    if subject.startswith(("/", "@")):  # else a port, an address or a name, which are words of their own
        subject = _path(decision["subject"])
    if (about := decision.get("exec")) is not None:
        digest = f" sha256 {about['sha256'][:_DIGEST_SHOWN]}…" if "sha256" in about else ""
        by = f" by {_path(about['parent']['path'])}" if "parent" in about else ""
        return f"{decision['verdict']} {decision['what']} {subject}{digest}{by}: {decision['reason']}"
    return f"{decision['verdict']} {decision['what']} {subject} by {decision['by']}: {decision['reason']}"


def _outcome(outcome: dict[str, Any]) -> Iterator[_Row]:
    reason = outcome.get("not_started")
    if reason is not None:
        yield "outcome", f"not started: {reason['message']} [{reason['code']}]"
        yield "ended", outcome["ended"]
    else:
        dumped = ", core dumped" if outcome.get("core_dumped") else ""
        by = f", ended by {outcome['ended_by']}" if "ended_by" in outcome else ""
        yield "outcome", _ending(outcome) + dumped + by
        yield "started", outcome["started"]
        yield "ended", f"{outcome['ended']}, after {duration(outcome['duration_us'])}"
        yield "image", f"{outcome['executed_image']} as hashed"
        used = outcome["resources"]
        yield (
            "resources",
            f"user {duration(used['user_us'])}, system {duration(used['system_us'])},"
            f" at most {used['max_rss_bytes']:,} bytes of memory",
        )
    counts = outcome["counts"]
    yield "counts", ", ".join(f"{name.replace('_', ' ')} {counts[name]}" for name in sorted(counts))
    for output in outcome["outputs"]:
        what = (
            f"not hashed: {output['unhashed']}"
            if "unhashed" in output
            else f"sha256 {output['sha256']}  {output['size']:,} bytes"
        )
        yield "output", f"{_path(output['path'])}  {what}"


def _positions(recorded: RecordedLaunch) -> str:
    kinds = ", ".join(f"{item.entry.kind} {item.index}" for item in recorded.entries[:MAX_ROWS])
    left = len(recorded.entries) - MAX_ROWS
    return kinds + (f" and {left} more" if left > 0 else "")


# --- values -------------------------------------------------------------------------------------


def _path(value: Json) -> str:
    """Return a path as messages have it: where it ends, and each blank in it, can be seen."""
    try:
        return shown(canonical.text_bytes(value))
    except MalformedError:
        return wording.UNREADABLE


def _image(image: dict[str, Any]) -> str:
    return (
        f"{_path(image['path'])}  sha256 {image['sha256']}  {image['size']:,} bytes, held by {image['held']}"
    )


def _ending(data: dict[str, Any]) -> str:
    return signal_words(data["signal"]) if "signal" in data else f"exit {data['exit']}"


def signal_words(number: int) -> str:
    """Return a signal by its number, and its name where it has one here."""
    try:
        return f"signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return f"signal {number}"


def _names(values: Json) -> str:
    if values is None:
        return WITHHELD
    return ", ".join(wording.text(value) for value in _list(values)) or "none"


def _list(values: Json) -> list[Any]:
    return values if isinstance(values, list) else []
