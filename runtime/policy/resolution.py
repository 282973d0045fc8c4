"""What a request comes to: profile, network, grants, environment, and the command that would run.

Everything here only reads. A launch goes on from it to a record and a process; a dry run and ``nono why``
stop here, so that what they say is about the very objects that are enforced.
"""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING

from attest import canonical
from attest.named_tuples import NamedTuple
from runtime.capability import environment, executable
from runtime.capability.capabilities import (
    DNS_PORT,
    NO_PORTS,
    PROFILE,
    SYSTEM,
    SYSV,
    USER,
    Access,
    CapabilitySet,
    FileGrant,
    socket_document,
)
from runtime.capability.capability_file import Judged
from runtime.capability.default_groups import DEFAULT_DENIALS, DEFAULT_GRANTS
from runtime.capability.grant_request import GrantRequest
from runtime.capability.grants import (
    Grants,
    OpenGrant,
    network_asked,
    private_directory_grant,
    resolve,
    standard_stream_grants,
    workdir_expanded,
)
from runtime.capability.protected import Guard, Untouchable, own_code_paths
from runtime.errors import GrantError, LaunchError, UsageError
from runtime.kernel.path_names import absolute, homes, shown
from runtime.policy import blocked_commands
from runtime.policy.configuration import SYSTEM_DIRECTORY, configured, links
from runtime.secrets.redaction import Redactor
from store import locations

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable, Mapping, Sequence

    from attest.canonical import Json
    from runtime.capability import hooks
    from runtime.capability.capabilities import Network, Ports
    from runtime.capability.exec_rules import ExecRules
    from runtime.capability.grant_request import SocketRequest
    from runtime.policy.configuration import InForce
    from runtime.policy.manifest import Manifest
    from runtime.policy.profile import Profile
    from runtime.policy.request import LaunchRequest

# Programs that a built-in profile is made for.
_MADE_FOR = {b"claude": "claude-code", b"codex": "codex", b"opencode": "opencode"}

# Agents without one: a profile that a user begins with what agents have in common.
_LIKE_AGENTS = frozenset({b"openclaw", b"swival"})

_MAX_SOCKETS = 512
_MAX_SOCKETS_BYTES = 8_192


class Places(NamedTuple):
    """Where nono keeps things; none of them is ever grantable."""

    state: bytes
    config: bytes
    cache: bytes

    @classmethod
    def of_user(cls) -> Places:
        """Return the user's own."""
        return cls(locations.state_directory(), locations.config_directory(), locations.cache_directory())


class Resolution:
    """What one request comes to.

    Args:
        request: what is asked.
        places: where nono keeps things.
        notify: told, in one line each, what the user should know.
        cleanup: closes, at the end, every descriptor that is opened here.

    Attributes:
        request: what is asked, as the configuration completed it.
        configuration: the user's.
        configured: what the intent says of the configuration's files; empty without any.
        workdir: the canonical working directory.
        outputs: the declared outputs, absolute.
        profile: the profile, None without one.
        manifest: the capability manifest, None without one.
        hooks: the hooks that the profile names, loaded, by their kind.
        redactor: keeps secrets from the record.
        credentials: references of secrets by variable; read by :meth:`take_credentials`.
        secrets: those, by variable.
        allow_commands: names of commands that are not blocked.
        block_commands: names of commands that are blocked besides the usual ones.
        limits: what the launch is held to, by the names of the record: the lowest that is said of each.
        is_timed: whether one of them is how long it may last, or be silent at its start.
        must_begin: whether the latter.
        traces_execs: whether every exec is seen.
        exec_allow: digests, programs and directories, of which one has to cover an image that runs.
        protects_metadata: whether mode, owner, times and attributes of files are changed by the grants alone.
        elevates: whether a person is asked about files that no grant covers.
        network: the network mode.
        ports: which, where that is ``ports``.

    Raises:
        LaunchError: the request, the configuration or the profile makes no sense, or the system configuration
            refuses it.
    """

    def __init__(
        self,
        request: LaunchRequest,
        places: Places,
        *,
        notify: Callable[[str], None],
        cleanup: contextlib.ExitStack,
    ) -> None:
        self._places = places
        self._notify = notify
        self._cleanup = cleanup
        self.hooks: dict[str, hooks.LoadedHook] = {}
        in_force = configured(request, places.config)
        self.request, self._minimum = in_force.request, in_force.minimum
        self.configuration, self.configured = in_force.user, in_force.digests
        self.request.check()
        self.workdir = self.request.working_directory()
        self.outputs = self.request.declared_outputs(self.workdir)
        self.profile = self._take_profile()
        self.manifest = self._take_manifest()
        variables = self.request.variables
        if self.profile is not None:
            variables = {**variables, **self.profile.variables.set_vars}
        self.redactor = Redactor(self.configuration.redaction, variables)
        self._refuse_secret_labels()
        self._take_commands_and_references()
        self.is_timed = self.must_begin = False
        self.limits = self._lowest_limits()
        self._take_execs()
        self._take_security(in_force)
        self._require_recordable_sockets()
        self.network, self.ports = self._asked_network()
        if self._minimum is not None:
            self._minimum.require_network(self.network, self.ports)

    def _take_commands_and_references(self) -> None:
        """Take which commands are blocked, and where secrets lie, of user and profile together."""
        request, profile = self.request, self.profile
        self.credentials: Mapping[str, str] = request.credentials
        if profile is not None:
            self.credentials = {**profile.credentials, **request.credentials}
        if self.credentials:
            from runtime.policy import credentials  # noqa: PLC0415  # most launches have none

            credentials.check(self.credentials, key=request.key, key_names=self.key_names())
        self.secrets: Mapping[bytes, bytes] = {}
        self.allow_commands = blocked_commands.united(
            request.allow_commands, () if profile is None else profile.allow_commands
        )
        self.block_commands = blocked_commands.united(
            request.block_commands, () if profile is None else profile.block_commands
        )

    def _lowest_limits(self) -> Mapping[str, int]:
        asked = self.request.limits
        around = [said.limits for said in (self.profile, self.manifest) if said is not None and said.limits]
        if not asked and not around:
            return asked
        from runtime.policy import limits  # noqa: PLC0415  # most launches have none

        held = limits.lowest([asked, *around])
        self.is_timed = not limits.TIMED.isdisjoint(held)
        self.must_begin = limits.STARTUP_TIMEOUT in held
        if not self.is_timed:
            if limits.TIMEOUT_GRACE in asked:
                raise UsageError(
                    "there is no time-out that a grace could follow (--timeout-grace)",
                    code="usage.limit",
                    hint="add --timeout DURATION",
                )
            held.pop(limits.TIMEOUT_GRACE, None)  # a profile's, for launches that have one
        for member, value in asked.items():
            if held[member] < value:
                what = "the profile's" if self.manifest is None else "the manifest's"
                self._notify(f"{what} limit is lower, and holds: {limits.words(member, held[member])}")
        return held

    def _take_execs(self) -> None:
        """Take what is asked of execs by user and profile together: of rules each one counts."""
        request, profile = self.request, self.profile
        self.exec_allow = request.exec_allow
        traced = request.trace_exec
        if profile is not None:
            said = (workdir_expanded(rule, self.workdir) for rule in profile.exec_allow)
            self.exec_allow = tuple(dict.fromkeys((*said, *request.exec_allow)))
            traced = traced or profile.trace_exec
        self.traces_execs = traced or bool(self.exec_allow)
        if self.exec_allow:
            from runtime.capability import exec_rules  # noqa: PLC0415  # few launches have rules

            exec_rules.check(self.exec_allow)

    def _take_security(self, in_force: InForce) -> None:
        """Take what user and profile ask for of who supervises: it holds once one of them does."""
        request, profile = self.request, self.profile
        self.protects_metadata, self.elevates = request.protect_metadata, request.capability_elevation
        if profile is not None:
            self.protects_metadata = self.protects_metadata or profile.protect_metadata
            self.elevates = self.elevates or profile.capability_elevation
        if self.elevates:
            in_force.require_elevation()

    def exec_rules(self, capabilities: CapabilitySet) -> ExecRules | None:
        """Return what is asked of each exec; None where they are not seen.

        Raises:
            LaunchError: a rule leads to no program, or the command could change what it covers.
        """
        if not self.traces_execs:
            return None
        from runtime.capability import exec_rules  # noqa: PLC0415  # few launches are traced

        rules = exec_rules.resolve(self.exec_allow, workdir=self.workdir, capabilities=capabilities)
        return exec_rules.ExecRules(rules if self.exec_allow else None)

    def _take_manifest(self) -> Manifest | None:
        if self.request.config is None:
            return None
        from runtime.policy.manifest import read_manifest  # noqa: PLC0415  # few launches have one

        return read_manifest(self.request.config)

    def _take_profile(self) -> Profile | None:
        """Read the profile, which is the minimum one where no other is asked for, and load its hooks."""
        if self.request.profile is not None:
            from runtime.policy import profile  # noqa: PLC0415  # 3 ms, and most launches have none

            taken = profile.read_profile(self.request.profile, self._places.config)
        elif self._minimum is not None:
            taken = self._minimum.profile
        else:
            return None
        if self._minimum is not None:
            self._minimum.require_upheld(taken, self.request)
        for kind, asked in taken.hooks.items():
            from runtime.capability import hooks  # noqa: PLC0415  # few profiles have any

            loaded = hooks.load(asked)
            self._cleanup.callback(loaded.close)
            self.hooks[kind] = loaded
        return taken

    def _asked_network(self) -> tuple[Network, Ports]:
        if self.manifest is not None:
            return self.manifest.network, self.manifest.ports
        return network_asked(
            block_net=bool(self.request.block_net),
            profile_blocks=self.profile is not None and self.profile.block_network,
            user=self.request.asked_ports(),
            profile=NO_PORTS if self.profile is None else self.profile.ports,
        )

    @property
    def asks_no_names(self) -> bool:
        """Whether the command cannot look up names of hosts, though it may connect to some."""
        return bool(self.ports.connect) and DNS_PORT not in self.ports.connect

    @property
    def suggestion(self) -> str | None:
        """What to say about a profile where a program that is known for one is launched without any."""
        program = os.path.basename(self.request.command[0])
        if self.profile is not None or self.manifest is not None:
            return None
        name = program.decode("ascii", "replace")
        if program in _MADE_FOR:
            return f"there is a profile for {name}: nono run -p {_MADE_FOR[program]} -- …"
        if program in _LIKE_AGENTS:
            return f"there is no profile for {name} yet; begin one: nono profile init {name} --extends agent"
        return None

    def asked_besides(self) -> dict[str, Json]:
        """Return what else is asked, as ``launch.intent`` writes it: only members that say something."""
        besides: dict[str, Json] = {}
        if asked := self.asked_sockets():
            besides["unix_sockets"] = [
                socket_document(each.path, each.reach, each.source, bind=each.bind) for each in asked
            ]
        if self.sysv_ipc:
            besides["ipc"] = SYSV
        if self.elevates:
            besides["capability_elevation"] = True
        if self.allow_commands or self.block_commands:
            besides["commands"] = {
                "allow": [canonical.text(name) for name in self.allow_commands],
                "block": [canonical.text(name) for name in self.block_commands],
            }
        if self.traces_execs:
            besides["execs"] = {"tracing": "allow" if self.exec_allow else "trace"} | (
                {"allow": [canonical.text(each) for each in self.exec_allow]} if self.exec_allow else {}
            )
        if self.credentials:
            besides["credentials"] = [
                {
                    "reference": canonical.text(os.fsencode(reference)),
                    "source": self.source_of(variable),
                    "variable": variable,
                }
                for variable, reference in sorted(self.credentials.items())
            ]
        return besides

    def asked(self) -> tuple[GrantRequest, ...]:
        """Return the grants that user and profile ask for, or a manifest alone."""
        if self.manifest is not None:
            return self.manifest.grants
        asked = self.request.asked_grants(self.workdir)
        return asked if self.profile is None else (*asked, *self.profile.filesystem)

    def asked_sockets(self) -> tuple[SocketRequest, ...]:
        """Return the grants on UNIX sockets that user and profile ask for."""
        if self.manifest is not None:
            return self.manifest.unix_sockets
        asked = self.request.unix_sockets
        return asked if self.profile is None else (*asked, *self.profile.unix_sockets)

    @property
    def sysv_ipc(self) -> bool:
        """Whether user or profile ask for System V memory, semaphores and queues, or a manifest does."""
        if self.manifest is not None:
            return self.manifest.sysv_ipc
        return self.request.sysv_ipc or (self.profile is not None and self.profile.sysv_ipc)

    def _require_recordable_sockets(self) -> None:
        asked = self.asked_sockets()
        if len(asked) > _MAX_SOCKETS or sum(len(request.path) for request in asked) > _MAX_SOCKETS_BYTES:
            raise UsageError(
                "more grants on UNIX sockets than the record takes",
                code="usage.unix_socket",
                hint="--allow-unix-socket-dir and --allow-unix-socket-subtree are for many in one place",
            )

    def key_names(self) -> tuple[bytes, ...]:
        """Return the variables that hold the key or its passphrase, whether or not they were read yet."""
        reference, passphrase = self.request.key or "", self.request.key_passphrase_env
        named = [reference.removeprefix("env://")] if reference.startswith("env://") else []
        return tuple(os.fsencode(name) for name in (*named, passphrase) if name is not None)

    def take_credentials(self, *, closed: Sequence[bytes], looking: bool = False) -> None:
        """Read the secrets, and keep them from the record.

        Args:
            closed: see :meth:`grants`.
            looking: changes nothing, and asks no keyring.

        Raises:
            CredentialError: one cannot be had, or must not be given away.
            UsageError: a label holds one.
        """
        if not self.credentials:
            return
        from runtime.policy import credentials  # noqa: PLC0415  # imported above, with the first look at them

        judged = self.judged(closed)

        def judge(variable: str, path: bytes, canonical_path: bytes) -> None:
            source = self.source_of(variable)
            # A user names a file of their own on purpose; a profile opens nothing protected.
            protects = source != USER
            denials = DEFAULT_DENIALS if self.profile is None else self.profile.denials
            guard = Guard(
                self._untouchable(judged),
                bypass=judged.bypass if protects else (),
                denials=denials if protects else {},
            )
            asked = GrantRequest(Access.READ, path, directory=False, source=source)
            guard.judge(asked, canonical_path, path=path)

        self.secrets = credentials.load(self.credentials, judge=judge, looking=looking)
        self.redactor.add_secrets(self.secrets.values())
        self._refuse_secret_labels()

    def source_of(self, credential: str) -> str:
        """Return who asks for the credential in this variable: ``user`` or ``profile``."""
        return USER if credential in self.request.credentials else PROFILE

    def taken_variables(self) -> tuple[bytes, ...]:
        """Return the variables that credentials were taken from; neither command nor hook inherits them."""
        if not self.credentials:
            return ()
        from runtime.policy import credentials  # noqa: PLC0415  # imported above, with the first look at them

        return credentials.variables(self.credentials)

    def hook_variables(self) -> Mapping[bytes, bytes]:
        """Return the environment that hooks inherit; of a signing key they are relieved where they run."""
        taken = self.taken_variables()
        variables = self.request.variables
        return {n: v for n, v in variables.items() if n not in taken} if taken else variables

    def require_unblocked(self, *paths: bytes) -> None:
        """Refuse a command that is blocked by its name; see :mod:`runtime.policy.blocked_commands`.

        Args:
            paths: what it leads to, beside what was typed.
        """
        names = (self.request.command[0], *paths)
        if self._minimum is not None:
            self._minimum.require_unblocked(*names)
        blocked_commands.require_unblocked(self.allow_commands, self.block_commands, *names)

    def capabilities(self, grants: Grants) -> CapabilitySet:
        """Return the capability set that the grants and the network make."""
        return CapabilitySet(
            grants.files,
            self.network,
            self.ports,
            tuple(opened.grant for opened in grants.sockets),
            sysv_ipc=self.sysv_ipc,
        )

    def guard(self, closed: Sequence[bytes], *, lifted: Sequence[bytes] = ()) -> Guard:
        """Return who judges grants.

        Args:
            closed: what is never grantable beside nono's own directories: ledger, key.
            lifted: absolute paths whose protection is lifted beside what the request lifts.

        Raises:
            UsageError: a bypass names nothing that is protected, or something that nothing lifts.
        """
        judged = self.judged(closed)
        return Guard(
            self._untouchable(judged),
            bypass=(*judged.bypass, *lifted),
            denials=DEFAULT_DENIALS if self.profile is None else self.profile.denials,
        )

    def judged(self, closed: Sequence[bytes]) -> Judged:
        """Return what of this request decides about the grants; ``closed`` is as in :meth:`guard`."""
        return Judged(
            bypass=tuple(self._absolute(path) for path in self.request.bypass_protection),
            closed=tuple(closed),
            obeyed=self._obeyed,
            denied_by=tuple(DEFAULT_DENIALS if self.profile is None else self.profile.denials),
            elevates=self.elevates,
        )

    def grants(
        self,
        guard: Guard,
        *,
        private: bytes | None = None,
        capability_file: OpenGrant | None = None,
        streams: Sequence[int] = (),
    ) -> Grants:
        """Open, judge and merge what is granted.

        Args:
            guard: what judges it.
            private: the launch's own temporary directory, None where there is none.
            capability_file: the grant of its capability state file, likewise.
            streams: the descriptors that become the command's standard streams.

        Raises:
            GrantError: a grant that must not, or cannot, be given.
        """
        profile = self.profile
        extra = [] if capability_file is None else [capability_file]
        try:
            extra += standard_stream_grants(guard, streams)
            if private is not None:
                extra.append(private_directory_grant(private))
        except BaseException:
            for opened in extra:
                os.close(opened.descriptor)
            raise
        defaults = DEFAULT_GRANTS if profile is None else profile.group_grants
        if self.manifest is not None:
            defaults = ()
        grants = resolve(
            [*self.asked(), *defaults],
            workdir=self.workdir,
            guard=guard,
            warn=self._notify,
            extra=extra,
        )
        self._cleanup.callback(grants.close)
        if asked := self.asked_sockets():
            from runtime.capability import unix_sockets  # noqa: PLC0415  # most launches ask for none

            unix_sockets.require_mediation()
            grants.sockets = unix_sockets.resolve(asked, workdir=self.workdir, guard=guard, warn=self._notify)
        if self.manifest is not None:
            _require_same_places(grants)
        return grants

    def _absolute(self, path: bytes) -> bytes:
        return absolute(path, workdir=self.workdir, home=next(iter(homes()), None))

    def _untouchable(self, judged: Judged) -> Untouchable:
        own = (self._places.state, self._places.config, self._places.cache)
        return Untouchable((*own, *judged.closed), own_code_paths(), judged.obeyed)

    @functools.cached_property
    def _obeyed(self) -> tuple[bytes, ...]:
        """What decides what is launched, found once: what the command changes meanwhile does not count."""
        scripts = [loaded.hook.script for loaded in self.hooks.values()]
        obeyed = [*scripts, *(path for script in scripts for path in self._interpreters(script))]
        if self.profile is not None:
            obeyed += [file.path for file in self.profile.chain]
        if self.manifest is not None:
            obeyed.append(self.manifest.path)
        return (*obeyed, *links(self._places.config), SYSTEM_DIRECTORY)

    def _interpreters(self, script: bytes) -> list[bytes]:
        """Return what the kernel, and ``env``, would run a hook with: it decides as much as the script."""
        try:
            here = os.getcwdb()
            path = self.request.variables.get(b"PATH")
            held = executable.hold(script, [script], path_variable=path, directory=here)
        except (LaunchError, OSError):  # it does not run, and that is said when it is tried
            return []
        held.release()
        return [image.opened_as for image in held.images[1:]]

    def start_directory(self, grants: Grants) -> bytes:
        """Return the working directory if a grant covers it, for whatever access, else the root."""
        given = self.capabilities(grants)
        covered = any(given.covers(self.workdir, access) for access in (Access.READ, Access.WRITE))
        if not covered:
            self._notify("the command starts in /, since no grant covers the working directory (--allow-cwd)")
        return self.workdir if covered else b"/"

    def variables(
        self, grants: Grants, *, session: str, exported: Mapping[bytes, bytes], private: bytes | None
    ) -> environment.Environment:
        """Return the command's variables.

        Args:
            grants: what it may read decides what it is told about git.
            session: the launch's.
            exported: what the before-hook exported.
            private: the launch's own temporary directory.
        """
        readable = self.capabilities(grants)
        if self._minimum is not None and self.profile is not None:
            exported = self._minimum.permitted(exported, self.profile)
        return environment.build(
            self.request.variables,
            hook=exported,
            secrets=self.secrets,
            own={b"NONO_SESSION_ID": session.encode()},
            key_names=self.key_names(),
            temporary=private,
            unix_sockets=readable.unix_sockets,
            names_over_tcp=DNS_PORT in self.ports.connect,
            git_configuration=self._git_can_read(readable),
            lists=None if self.profile is None else self.profile.variables,
            taken=self.taken_variables(),
        )

    def _git_can_read(self, capabilities: CapabilitySet) -> bool:
        """Return whether git finds the user's configuration, and none that it may not read."""
        general = os.path.join(os.path.dirname(self._places.config), b"git/config")
        files = (os.path.join(locations.home_directory(), b".gitconfig"), general)
        readable = [capabilities.covers(os.path.realpath(path), Access.READ) for path in files]
        return any(readable) and all(
            able or not os.path.lexists(path) for able, path in zip(readable, files, strict=True)
        )

    def hold(self, variables: environment.Environment, directory: bytes) -> executable.Held:
        """Find the command, and open and lease what would run.

        Raises:
            ExecutableError: there is none, or it cannot be executed or hashed.
        """
        command = self.request.command[0]
        if b"/" in command and directory != self.workdir:
            command = os.path.join(self.workdir, command)
        path = executable.resolve(command, variables.path, directory)
        held = executable.hold(path, self.request.command, path_variable=variables.path, directory=directory)
        self._cleanup.callback(held.release)
        return held

    def with_executable(self, grants: Grants, held: executable.Held) -> Grants:
        """Add a rule for each image: Landlock checks the path of a descriptor again when it is executed."""
        known = self.capabilities(grants)
        added = [
            OpenGrant(
                FileGrant(image.path, image.opened_as, Access.READ, directory=False, source=SYSTEM),
                os.dup(image.descriptor),
            )
            for image in {image.path: image for image in held.images}.values()
            if not known.covers(image.path, Access.READ)
        ]
        grants.opened = tuple(sorted([*grants.opened, *added], key=lambda opened: opened.grant.path))
        return grants

    def require_unwritable_script(self, held: executable.Held, capabilities: CapabilitySet) -> None:
        """Refuse a script that the command can rewrite, unless that was accepted.

        Raises:
            LaunchError: it can.
        """
        if self.request.allow_writable_script:
            return
        found = executable.writable_script(held, capabilities)
        if found is not None:
            script, grant = found
            raise LaunchError(
                f"the command can rewrite the script that runs: {os.fsdecode(script)} lies in the write grant"
                f" on {os.fsdecode(grant.path)}",
                code="executable.writable",
                hint="grant less for writing, or accept it with --allow-writable-script",
            )

    def _refuse_secret_labels(self) -> None:
        """Refuse a label that would have to be redacted: intent and statement say it as it is."""
        for key, value in self.request.labels.items():
            if self.redactor.finds_in(value.encode("utf-8")):
                raise UsageError(
                    f"the label {key} holds a secret, or what looks like one",
                    code="usage.label",
                    hint="labels are recorded and signed as they are; name the secret, do not give it",
                )


def _require_same_places(grants: Grants) -> None:
    """Refuse a manifest's path that leads elsewhere by now: what was looked at would not be what is granted.

    Raises:
        GrantError: one does.
    """
    places = [(grant.source, grant.asked, grant.path) for grant in grants.files]
    places += [(opened.grant.source, opened.grant.asked, opened.grant.path) for opened in grants.sockets]
    for source, asked, path in places:
        if source == USER and path != asked:
            raise GrantError(
                f"the manifest grants {shown(asked)}, which leads to {shown(path)}",
                code="manifest.moved",
                hint="write there what it leads to, if that is what is meant",
            )
