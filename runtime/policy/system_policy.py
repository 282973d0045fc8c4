"""What the system configuration makes of a launch: refused, completed, or held to a minimum profile.

It wins over flags, parameters, the user's configuration and the user's profiles. It is a guard rail of nono's
commands: whoever runs something without nono is not held by it (SECURITY.md).

**The minimum profile.** Each launch uses it or builds upon it: every file of its chain, by digest, must be in
the chain of the launch's profile, so neither a name nor a path stands for it. What it blocks stays blocked
then: a closed network, or all but its ports; excluded groups; denials of groups; variables that it denies;
commands that it blocks; and its limits can only be lowered. Its hooks run. What it grants can be added to, by
flags and by profiles, unless ``grants = "profile-only"``.
A capability manifest stands alone and holds nothing of a profile, so there is none under a minimum profile.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runtime.capability.capabilities import Network
from runtime.capability.environment_lists import Lists
from runtime.errors import SystemPolicyError
from runtime.kernel.path_names import from_here, shown
from runtime.policy import profile as profiles
from runtime.policy.system_configuration import require_path_of_roots
from runtime.secrets import signing_key
from runtime.secrets.redaction_policy import DEFAULT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runtime.capability.capabilities import Ports
    from runtime.policy.configuration import Configuration
    from runtime.policy.profile import Profile
    from runtime.policy.request import LaunchRequest
    from runtime.policy.system_configuration import SystemConfiguration

# What a request may hold under "profile-only": whatever is not listed here would grant something.
_NO_GRANTS = frozenset(
    {
        *("command", "variables", "workdir", "profile", "block_net", "allow_writable_script"),
        *("block_commands", "limits", "protect_metadata", "trace_exec"),  # which take away
        *("audit", "ledger", "key", "key_passphrase_env", "labels", "outputs"),
        # They narrow a network, or are refused as wider than the profile's.
        *("connect_ports", "listen_ports", "open_ports"),
    }
)

_KINDS_OF_GRANTS = {
    "credentials": "secrets",
    "grants": "grants",
    "sysv_ipc": "--allow-sysv-ipc",
    "unix_sockets": "UNIX sockets",
}


def applied(system: SystemConfiguration, request: LaunchRequest) -> LaunchRequest:
    """Return the request with the key and the ledger that are fixed, and what each launch has.

    Args:
        system: the system configuration.
        request: what is asked, before the user's configuration completes it.

    Raises:
        SystemPolicyError: it asks for what is forbidden.
    """
    where = shown(system.path)
    if system.require_audit and not request.audit:
        raise SystemPolicyError(
            f"each launch is to be recorded ({where}: require_audit)",
            code="system.audit",
            hint="leave out --no-audit",
        )
    if system.forbid_bypass and request.bypass_protection:
        raise SystemPolicyError(
            f"no protection is to be bypassed ({where}: forbid_bypass)",
            code="system.bypass",
            hint="leave out --bypass-protection",
        )
    if system.forbid_writable_script and request.allow_writable_script:
        raise SystemPolicyError(
            f"no command is to be a script that it can rewrite ({where}: forbid_writable_script)",
            code="system.script",
            hint="leave out --allow-writable-script",
        )
    changes: dict[str, object] = {}
    if system.protect_metadata:
        changes["protect_metadata"] = True
    if system.trace_exec:
        changes["trace_exec"] = True
    if system.key is not None:
        if request.key is not None and not _is_same_key(request.key, system.key):
            raise SystemPolicyError(
                f"launches are signed with one key ({where}: key)",
                code="system.key",
                hint="leave out --audit-sign-key",
            )
        if request.audit:
            changes["key"] = system.key
    if system.ledger is not None:
        if request.ledger is not None and from_here(request.ledger) != system.ledger:
            raise SystemPolicyError(
                f"launches are recorded in one ledger ({where}: ledger), not in {shown(request.ledger)}",
                code="system.ledger",
                hint="leave out --ledger",
            )
        if request.audit:
            changes["ledger"] = system.ledger
    return request._replace(**changes)  # type: ignore[arg-type]  # each has the type of its field


def _is_same_key(reference: str, fixed: str) -> bool:
    if signing_key.is_inline(reference):
        return False
    file, other = signing_key.file_of(reference), signing_key.file_of(fixed)
    return reference == fixed if file is None or other is None else file == other


def require_redaction(system: SystemConfiguration, configuration: Configuration) -> None:
    """Refuse a user's configuration that takes names out of the redaction policy, where that is forbidden.

    Raises:
        SystemPolicyError: it does.
    """
    kept = configuration.redaction.names()
    removes = any(not names <= kept[kind] for kind, names in DEFAULT.names().items())
    if system.forbid_unsafe_redaction and removes:
        raise SystemPolicyError(
            f"what is secret is not to be recorded ({shown(system.path)}: forbid_unsafe_redaction), and"
            f" {shown(configuration.path or b'')} removes names from the redaction",
            code="system.redaction",
            hint="remove [redaction] unsafe_remove there",
        )


def require_elevation(system: SystemConfiguration) -> None:
    """Refuse elevation where it is forbidden.

    Raises:
        SystemPolicyError: it is.
    """
    if system.forbid_elevation:
        raise SystemPolicyError(
            f"nobody is to be asked about files beyond the grants ({shown(system.path)}: forbid_elevation)",
            code="system.elevation",
            hint="leave out --capability-elevation, or the profile that has it",
        )


class Minimum:
    """The minimum profile of a host, and what holds because of it.

    Args:
        system: the system configuration, which names one.

    Attributes:
        profile: it, read.

    Raises:
        ConfigurationError: a file of its chain is not root's alone.
        ProfileError: it cannot be read, or is no profile.
    """

    def __init__(self, system: SystemConfiguration) -> None:
        assert system.minimum_profile is not None
        self._named = system.minimum_profile
        self._where = f"{shown(system.path)}: minimum_profile = {shown(self._named)}"
        self._profile_only = system.profile_only
        # Without a directory of users' profiles: there, a name would mean what a user says.
        self.profile = profiles.read_profile(self._named, None)
        for file in self.profile.chain:
            if not profiles.is_built_in_file(file.path):
                require_path_of_roots(file.path)

    def require_no_manifest(self, request: LaunchRequest) -> None:
        """Refuse a manifest, which has nothing of any profile.

        Raises:
            SystemPolicyError: there is one.
        """
        if request.config is not None:
            raise SystemPolicyError(
                f"each launch uses a profile ({self._where}), and a capability manifest stands alone",
                code="system.manifest",
                hint="leave out --config",
            )

    def require_upheld(self, profile: Profile, request: LaunchRequest) -> None:
        """Refuse a profile that is not, or undoes, the minimum, and grants beyond it where there may be none.

        Args:
            profile: the launch's.
            request: what is asked.

        Raises:
            SystemPolicyError: it does.
        """
        minimum = self.profile
        if not {file.sha256 for file in minimum.chain} <= {file.sha256 for file in profile.chain}:
            name = profile.chain[-1].name
            extends = self._named.decode("utf-8", "replace")
            raise self._refusal(
                f"{shown(name)} neither is that profile nor builds upon it",
                hint=f'let it say "extends": "{extends}", or leave out --profile',
            )
        if left_out := sorted({group.name for group in minimum.groups if group.denies} - _names(profile)):
            raise self._refusal(f"the profile leaves out what it denies: {', '.join(left_out)}")
        excluded = {name for file in minimum.chain for name in file.exclude}
        if brought_back := sorted(excluded & _names(profile)):
            raise self._refusal(f"the profile includes what it excludes: {', '.join(brought_back)}")
        for kind, hook in minimum.hooks.items():
            if profile.hooks.get(kind) != hook:
                raise self._refusal(f"the profile has another {kind}-hook")
        allowed = {*request.allow_commands, *profile.allow_commands} - {*minimum.allow_commands}
        if unblocked := sorted(allowed.intersection(minimum.block_commands)):
            raise self._refusal(f"commands that it blocks are allowed: {', '.join(map(shown, unblocked))}")
        added = set(profile.variables.set_vars.items()) - set(minimum.variables.set_vars.items())
        secrets = {**profile.credentials, **request.credentials}.items() - minimum.credentials.items()
        names = {*(name for name, _ in added), *(name.encode("utf-8", "replace") for name, _ in secrets)}
        if denied := self._denied(dict.fromkeys(names, b"")):
            raise self._refusal(f"variables that it denies are set: {', '.join(map(shown, denied))}")
        if self._profile_only:
            self._require_no_grants(profile, request)

    def require_network(self, network: Network, ports: Ports) -> None:
        """Refuse a network that is wider than the minimum profile's.

        Raises:
            SystemPolicyError: it is.
        """
        minimum = self.profile
        if minimum.block_network:
            wider = network is not Network.BLOCKED
        elif not any(minimum.ports):
            wider = False
        elif network is Network.PORTS:
            # What can be listened on for anybody can be listened on for this host.
            listen = {*minimum.ports.listen, *minimum.ports.listen_loopback}
            wider = not (
                set(ports.connect) <= set(minimum.ports.connect)
                and set(ports.listen) <= set(minimum.ports.listen)
                and set(ports.listen_loopback) <= listen
            )
        else:
            wider = network is Network.ALL
        if wider:
            raise self._refusal("the network would be wider than it allows")

    def require_unblocked(self, *paths: bytes) -> None:
        """Refuse a command that the minimum blocks, under whatever other name it was allowed.

        Args:
            paths: the command as it was typed, and the file that it leads to where that is known.

        Raises:
            SystemPolicyError: it is one.
        """
        names = {os.path.basename(path) for path in paths}
        blocked = sorted(names.intersection(self.profile.block_commands))
        if blocked and names.isdisjoint(self.profile.allow_commands):
            raise self._refusal(f"the command {shown(blocked[0])} is blocked")

    def permitted(self, exported: Mapping[bytes, bytes], profile: Profile) -> Mapping[bytes, bytes]:
        """Return what a before-hook exported without what the minimum denies, unless the hook is its own."""
        if "before" in self.profile.hooks and profile.hooks.get("before") == self.profile.hooks["before"]:
            return exported
        denied = self._denied(exported)
        return {name: value for name, value in exported.items() if name not in denied}

    def _denied(self, variables: Mapping[bytes, bytes]) -> list[bytes]:
        passes = Lists(deny=self.profile.variables.deny).passing()
        return sorted(name for name in variables if not passes(name))

    def _require_no_grants(self, profile: Profile, request: LaunchRequest) -> None:
        """Refuse every grant beyond the minimum; what is of no known kind counts as one."""
        for name in request._fields:
            if name not in _NO_GRANTS and getattr(request, name):
                what = _KINDS_OF_GRANTS.get(name, f"--{name.replace('_', '-')}")
                raise self._refusal(
                    f"{what} on the command line, and nothing is to be granted beyond it"
                    ' (grants = "profile-only")',
                    code="system.grants",
                )
        minimum = self.profile
        of_groups = set(profile.group_grants) <= set(minimum.group_grants)
        allow, allowed = profile.variables.allow, minimum.variables.allow
        variables = allowed is None or (allow is not None and set(allow) <= set(allowed))
        sets = profile.variables.set_vars.items() <= minimum.variables.set_vars.items()
        within = {
            "chain": True,  # what its files say is compared here
            "block_network": True,  # with the network
            "ports": True,
            "filesystem": set(profile.filesystem) <= set(minimum.filesystem),
            "unix_sockets": set(profile.unix_sockets) <= set(minimum.unix_sockets),
            "sysv_ipc": minimum.sysv_ipc or not profile.sysv_ipc,
            "groups": of_groups,
            "variables": variables and sets,
            "hooks": profile.hooks.items() <= minimum.hooks.items(),
            "credentials": profile.credentials.items() <= minimum.credentials.items(),
            "allow_commands": set(profile.allow_commands) <= set(minimum.allow_commands),
            "block_commands": True,
            "trace_exec": True,
            "protect_metadata": True,
            "capability_elevation": minimum.capability_elevation or not profile.capability_elevation,
            "exec_allow": not minimum.exec_allow or set(profile.exec_allow) <= set(minimum.exec_allow),
            "limits": True,  # of a chain the lowest hold
        }
        for field in profile._fields:
            if not within.get(field, getattr(profile, field) == getattr(minimum, field)):
                raise self._refusal(
                    f"the profile adds to its {field}, and nothing is to be granted beyond it"
                    ' (grants = "profile-only")',
                    code="system.grants",
                )

    def _refusal(
        self, what: str, *, hint: str | None = None, code: str = "system.profile"
    ) -> SystemPolicyError:
        return SystemPolicyError(
            f"each launch keeps to a profile ({self._where}): {what}", code=code, hint=hint
        )


def _names(profile: Profile) -> set[str]:
    return {group.name for group in profile.groups}
