"""A policy in plain sentences, one for each thing that it asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from verify.conditions import Conditions, FilePattern
    from verify.policy import Policy

_ARTICLES = {"after": "an", "before": "a"}
_UNITS = ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


def sentences(policy: Policy) -> list[str]:
    """Return what a policy asks for, and what it accepts, without full stops."""
    return list(_sentences(policy))


def _sentences(policy: Policy) -> Iterator[str]:
    if policy.head_age is not None:
        yield f"the newest entry is at most {_duration(policy.head_age)} old"
    if policy.anchor_lag is not None:
        lag = _duration(policy.anchor_lag)
        yield f"a witness or a timestamp authority saw all entries, or all but those of the last {lag}"
    if policy.remembered:
        yield "a checkpoint that was kept outside is given (--checkpoint, --save-checkpoint) and continued"
    if policy.every is not None:
        for words in _conditions(policy.every):
            yield f"every launch {words}"
    for number, conditions in enumerate(policy.require, 1):
        yield f"at least one complete launch (require {number}) {', and '.join(_conditions(conditions))}"
    for session in sorted(policy.accepted.lost):
        yield f"accepted: that launch {session} was lost or has no end"
    for feature in sorted(policy.accepted.waived):
        yield f"accepted: a launch that waived the feature {feature} of the sandbox"


def _conditions(asked: Conditions) -> Iterator[str]:
    if asked.attested:
        yield "is closed by a signed statement"
    if asked.exit is not None:
        yield f"ran and ended with exit code {_or(map(str, sorted(asked.exit)))}"
    if asked.executables:
        yield f"has as its program, and as each interpreter of it, {_or(map(_file, asked.executables))}"
    if asked.execs is not None:
        limited = ", and limited to some programs" if asked.execs == "allow" else ""
        yield f"had every exec seen{limited}"
    if asked.profiles:
        yield f"had a profile, and each file of its chain is {_or(map(_file, asked.profiles))}"
    if asked.system_configurations:
        yield f"was under the host's configuration of sha256 {_or(asked.system_configurations)}"
    yield from _about_capabilities(asked)
    if asked.bypass is False:
        yield "bypassed no protection"
    for name, hook in asked.hooks:
        which = "" if hook.path is None and hook.sha256 is None else f", {_file(hook)},"
        yield f"had {_ARTICLES[name]} {name}-hook{which} that succeeded"
    for key, value in asked.labels:
        yield f"has the label {key}={value}"
    for pattern in asked.outputs:
        yield f"has a hashed output {pattern}"


def _about_capabilities(asked: Conditions) -> Iterator[str]:
    if asked.network is not None:
        yield "had no network"
    if asked.unix_sockets is False:
        yield "was granted no UNIX socket"
    if asked.sysv_ipc is False:
        yield "shared no System V memory, semaphores or queues"
    if asked.no_grant_under:
        places = asked.no_grant_under
        yield f"was granted nothing in {_or(places)}, nor what holds {_it(places)}"
    if asked.no_write_under:
        places = asked.no_write_under
        yield f"was granted nothing for writing in {_or(places)}, nor what holds {_it(places)}"
    if asked.write_only_under:
        yield f"was granted nothing for writing but what lies in {_or(asked.write_only_under)}"


def _file(pattern: FilePattern) -> str:
    by_digest = None if pattern.sha256 is None else f"sha256 {pattern.sha256}"
    if pattern.path is None:
        return f"the file of {by_digest}"
    return pattern.path if by_digest is None else f"{pattern.path} of {by_digest}"


def _it(places: tuple[str, ...]) -> str:
    return "it" if len(places) == 1 else "one of them"


def _or(words: Iterable[str]) -> str:
    *rest, last = words
    return f"{', '.join(rest)} or {last}" if rest else last


def _duration(seconds: int) -> str:
    size, unit = next((size, unit) for size, unit in _UNITS if seconds % size == 0)
    count = seconds // size
    return f"{count} {unit}{'s' * (count != 1)}"
