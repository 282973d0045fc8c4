"""What a profile comes to, fact by fact, each with the files that say it: for showing and for comparing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attest import canonical, hashing
from attest.named_tuples import NamedTuple
from runtime.capability.capabilities import SYSV, SYSV_WORDS, socket_words
from runtime.capability.default_groups import DEFAULT_GROUPS
from runtime.kernel.path_names import shown
from runtime.policy import limits
from runtime.policy.profile import BUILT_IN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from runtime.capability.default_groups import Group
    from runtime.capability.grant_request import GrantRequest, SocketRequest
    from runtime.policy.profile import Profile
    from runtime.policy.profile_file import ProfileFile

DEFAULT = "default"

_DEFAULTS = frozenset(group.name for group in DEFAULT_GROUPS)


class Fact(NamedTuple):
    """One thing that a profile says.

    Attributes:
        section: which part of it: ``grant``, ``group``, ``network``, …
        text: what is said; two profiles that say the same have the same text.
        said_by: the files that say it, or ``default``.
        value: what is not shown, but makes a difference: the digest of a variable's value.
    """

    section: str
    text: str
    said_by: tuple[str, ...]
    value: str = ""


_PORTS = {
    "connect": "connect to",
    "listen": "listen on",
    "listen_loopback": "listen, for this host alone, on",
}


def facts(profile: Profile) -> Iterator[Fact]:
    """Yield what ``profile`` comes to, in the order in which it is shown."""
    chain = ChainNames(profile.chain)
    yield Fact(
        "network",
        "blocked" if profile.block_network else "open, unless the command line blocks it",
        chain.that(lambda file: file.block_network) or (DEFAULT,),
    )
    for what, asked in zip(_PORTS, profile.ports, strict=True):
        for port in asked:
            by = chain.that(lambda file, it=(what, port): it[1] in getattr(file.ports, it[0]))
            yield Fact("port", f"{_PORTS[what]} {port}", by)
    yield from _grants(profile, chain)
    for group in profile.groups:
        by = _by_default(group.name) + chain.that(lambda file, it=group.name: it in file.include)
        yield Fact("group", f"{group.name}: {group.description}", by)
        if group.name not in _DEFAULTS:
            yield from (Fact("", f"  {_grant(grant)}", ()) for grant in group.grants)
            yield from (Fact("", f"  denied ~/{shown(path)}", ()) for path in group.denies)
    for name in excluded(profile):
        yield Fact("left out", name, chain.that(lambda file, it=name: it in file.exclude))
    yield from _environment(profile, chain)
    for name, reference in profile.credentials.items():
        by = chain.that(lambda file, it=name: it in file.credentials)[-1:]
        yield Fact("secret", f"{name} from {shown(reference.encode())}", by)
    for rule, names in (("allow", profile.allow_commands), ("block", profile.block_commands)):
        for called in names:
            by = chain.that(lambda file, it=(rule, called): it[1] in getattr(file, f"{it[0]}_commands"))
            yield Fact("command", f"{rule} {shown(called)}", by)
    yield from _execs(profile, chain)
    yield from _security(profile, chain)
    yield from _limits(profile, chain)
    for kind, hook in profile.hooks.items():
        required = ", required" if hook.required else ""
        text = f"{kind}: {shown(hook.script)}, at most {hook.timeout_seconds} s{required}"
        yield Fact(
            "hook", text, chain.that(lambda file, it=(kind, hook): file.hooks.get(it[0]) == it[1])[-1:]
        )


def _grants(profile: Profile, chain: ChainNames) -> Iterator[Fact]:
    for request in profile.filesystem:
        yield Fact("grant", _grant(request), chain.that(lambda file, it=request: it in file.filesystem))
    for wanted in profile.unix_sockets:
        by = chain.that(lambda file, it=wanted: it in file.unix_sockets)
        yield Fact("grant", f"{' '.join(socket_words(socket_facts(wanted)))} {shown(wanted.path)}", by)
    if profile.sysv_ipc:
        yield Fact("grant", SYSV_WORDS, chain.that(lambda file: file.sysv_ipc))


def _environment(profile: Profile, chain: ChainNames) -> Iterator[Fact]:
    variables = profile.variables
    if variables.allow is None:
        yield Fact("inherited", "all variables that are not dangerous", (DEFAULT,))
    for pattern in variables.allow or ():
        by = chain.that(lambda file, it=pattern: it in (file.variables.allow or ()))
        yield Fact("inherited", pattern.decode(), by)
    if variables.allow == ():
        yield Fact("inherited", "none", chain.that(lambda file: file.variables.allow == ()))
    for pattern in variables.deny:
        yield Fact(
            "not inherited", pattern.decode(), chain.that(lambda file, it=pattern: it in file.variables.deny)
        )
    for name, value in variables.set_vars.items():
        by = chain.that(lambda file, it=name: it in file.variables.set_vars)[-1:]
        yield Fact("set", name.decode(), by, hashing.hexdigest(value))


def _execs(profile: Profile, chain: ChainNames) -> Iterator[Fact]:
    if profile.trace_exec:
        yield Fact("execs", "traced", chain.that(lambda file: file.trace_exec))
    for rule in profile.exec_allow:
        yield Fact("execs", f"allow {shown(rule)}", chain.that(lambda file, it=rule: it in file.exec_allow))


_SECURITY = {
    "protect_metadata": "metadata of files changes only where the grants allow writing",
    "capability_elevation": "a person is asked about files that no grant covers",
}


def _security(profile: Profile, chain: ChainNames) -> Iterator[Fact]:
    for key, what in _SECURITY.items():
        if getattr(profile, key):
            yield Fact("security", what, chain.that(lambda file, it=key: getattr(file, it)))


def _limits(profile: Profile, chain: ChainNames) -> Iterator[Fact]:
    for member, value in profile.limits.items():
        by = chain.that(lambda file, it=(member, value): file.limits.get(it[0]) == it[1])
        yield Fact("limit", limits.words(member, value), by)


def excluded(profile: Profile) -> list[str]:
    """Return the names of the groups that a file of ``profile`` leaves out."""
    return list(dict.fromkeys(name for file in profile.chain for name in file.exclude))


def document(profile: Profile) -> dict[str, Any]:
    """Return what ``profile`` comes to, for JSON; of variables that it sets, the names alone."""
    chain = ChainNames(profile.chain)
    variables = profile.variables
    return {
        "name": canonical.text(profile.chain[-1].name),
        "description": profile.chain[-1].description,
        "chain": [
            {
                "built_in": is_built_in(file),
                "name": canonical.text(file.name),
                "path": canonical.text(file.path),
                "sha256": file.sha256,
            }
            for file in profile.chain
        ],
        "network": {
            "block": profile.block_network,
            **{what: [*asked] for what, asked in zip(_PORTS, profile.ports, strict=True)},
            "said_by": [*chain.that(lambda file: file.block_network)],
        },
        "filesystem": [
            {
                **grant_document(request),
                "said_by": [*chain.that(lambda file, it=request: it in file.filesystem)],
            }
            for request in profile.filesystem
        ],
        "unix_sockets": [
            {
                **socket_facts(asked),
                "said_by": [*chain.that(lambda file, it=asked: it in file.unix_sockets)],
            }
            for asked in profile.unix_sockets
        ],
        "ipc": {"said_by": [*chain.that(lambda file: file.sysv_ipc)], SYSV: profile.sysv_ipc},
        "groups": [
            {
                "name": group.name,
                "said_by": [
                    *_by_default(group.name),
                    *chain.that(lambda file, it=group.name: it in file.include),
                ],
            }
            for group in profile.groups
        ],
        "excluded_groups": [
            {"name": name, "said_by": [*chain.that(lambda file, it=name: it in file.exclude)]}
            for name in excluded(profile)
        ],
        "environment": {
            "allow": None
            if variables.allow is None
            else [
                {
                    "pattern": pattern.decode(),
                    "said_by": [*chain.that(lambda file, it=pattern: it in (file.variables.allow or ()))],
                }
                for pattern in variables.allow
            ],
            "deny": [
                {
                    "pattern": pattern.decode(),
                    "said_by": [*chain.that(lambda file, it=pattern: it in file.variables.deny)],
                }
                for pattern in variables.deny
            ],
            "set_vars": [
                {
                    "name": name.decode(),
                    "said_by": [*chain.that(lambda file, it=name: it in file.variables.set_vars)],
                }
                for name in variables.set_vars
            ],
        },
        "env_credentials": [
            {
                "name": name,
                "reference": reference,
                "said_by": [*chain.that(lambda file, it=name: it in file.credentials)],
            }
            for name, reference in profile.credentials.items()
        ],
        "commands": {
            rule: [
                {
                    "name": canonical.text(called),
                    "said_by": [
                        *chain.that(
                            lambda file, it=(rule, called): it[1] in getattr(file, f"{it[0]}_commands")
                        )
                    ],
                }
                for called in names
            ]
            for rule, names in (("allow", profile.allow_commands), ("block", profile.block_commands))
        },
        "execs": {
            "allow": [
                {
                    "rule": canonical.text(rule),
                    "said_by": [*chain.that(lambda file, it=rule: it in file.exec_allow)],
                }
                for rule in profile.exec_allow
            ],
            "trace": profile.trace_exec,
        },
        "security": {
            key: {
                "said_by": [*chain.that(lambda file, it=key: getattr(file, it))],
                "value": getattr(profile, key),
            }
            for key in _SECURITY
        },
        "limits": {
            member: {
                "said_by": [*chain.that(lambda file, it=(member, value): file.limits.get(it[0]) == it[1])],
                "value": value,
            }
            for member, value in profile.limits.items()
        },
        "session_hooks": {
            kind: {
                "required": hook.required,
                "said_by": [*chain.that(lambda file, it=(kind, hook): file.hooks.get(it[0]) == it[1])],
                "script": canonical.text(hook.script),
                "timeout_secs": hook.timeout_seconds,
            }
            for kind, hook in profile.hooks.items()
        },
    }


def group_document(group: Group) -> dict[str, Any]:
    """Return a group for JSON; ``sha256`` is over the canonical form of the rest."""
    said: dict[str, Any] = {
        "default": group.name in _DEFAULTS,
        "denies": [canonical.text(b"~/" + path) for path in group.denies],
        "description": group.description,
        "grants": [
            {"access": str(grant.access), "path": canonical.text(grant.path)} for grant in group.grants
        ],
        "name": group.name,
        "required": group.required,
    }
    return {**said, "sha256": hashing.hexdigest(canonical.encode(said))}


def grant_document(request: GrantRequest) -> dict[str, Any]:
    """Return a grant of a profile for JSON."""
    return {
        "access": str(request.access),
        "path": canonical.text(request.path),
        "type": "directory" if request.directory else "file",
    }


def socket_facts(request: SocketRequest) -> dict[str, Any]:
    """Return a grant of a profile on UNIX sockets for JSON."""
    return {
        "access": "bind" if request.bind else "connect",
        "path": canonical.text(request.path),
        "type": str(request.reach),
    }


def is_built_in(file: ProfileFile) -> bool:
    """Return whether ``file`` is one of nono's own."""
    return file.path.startswith(BUILT_IN + b"/")


def _grant(request: GrantRequest) -> str:
    return f"{request.access} {shown(request.path)}"


def _by_default(group: str) -> tuple[str, ...]:
    return (DEFAULT,) if group in _DEFAULTS else ()


class ChainNames:
    """What the files of a chain are called: by their names, or by their paths where two have the same."""

    def __init__(self, chain: Iterable[ProfileFile]) -> None:
        self._files = tuple(chain)
        names = [file.name for file in self._files]
        self._called = [
            shown(file.name if names.count(file.name) == 1 else file.path) for file in self._files
        ]

    def that(self, says: Callable[..., bool]) -> tuple[str, ...]:
        """Return the files of which ``says`` holds."""
        return tuple(name for name, file in zip(self._called, self._files, strict=True) if says(file))
