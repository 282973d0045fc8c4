"""What a question is about: the launch that flags would make, or the launch in which it is asked.

Both have a capability set with the files that its grants stand on, and both can be asked what they would be
with one more flag: by the same judgement that a launch makes, so that what is suggested would be given.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Protocol

from attest.named_tuples import NamedTuple
from runtime.capability.capabilities import CapabilitySet, Network, merge, merge_sockets, ports
from runtime.capability.grants import resolve
from runtime.capability.protected import Guard, Untouchable, own_code_paths
from runtime.capability.tool_groups import GROUPS
from runtime.errors import LaunchError
from runtime.explanation.path_lookup import Identity
from runtime.explanation.why import Rule
from runtime.policy.resolution import Resolution

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.capability.capability_file import Layer
    from runtime.capability.capability_reading import LaunchState
    from runtime.capability.grant_request import GrantRequest, SocketRequest
    from runtime.capability.grants import Grants
    from runtime.policy.profile import Profile
    from runtime.policy.request import LaunchRequest
    from runtime.policy.resolution import Places


class Changes(NamedTuple):
    """Flags that are added to those of a launch, or left out.

    Attributes:
        grants: what is granted besides.
        bypass: whose protection is lifted besides.
        connect: a port to connect to besides.
        listen: a port to listen on besides.
        sockets: UNIX sockets that are granted besides.
        sysv_ipc: whether System V memory, semaphores and queues are granted besides.
        unblock: whether ``--block-net`` is left out.
    """

    grants: tuple[GrantRequest, ...] = ()
    bypass: tuple[bytes, ...] = ()
    connect: tuple[int, ...] = ()
    listen: tuple[int, ...] = ()
    sockets: tuple[SocketRequest, ...] = ()
    sysv_ipc: bool = False
    unblock: bool = False


class Subject(Protocol):
    """What is asked.

    Attributes:
        capabilities: the effective capability set.
        rules: its grants, each with the file that it stands on.
        guard: what judges a further grant.
        can_unblock: whether leaving out ``--block-net`` could open the network.
        elevates: whether a person is asked about files that no grant covers.
    """

    capabilities: CapabilitySet
    rules: tuple[Rule, ...]
    guard: Guard
    can_unblock: bool
    elevates: bool

    def with_changes(self, changes: Changes) -> Subject:
        """Return what it would be with these flags.

        Raises:
            LaunchError: such a launch would be refused.
        """


class AskedLaunch:
    """The launch that a request would make.

    Args:
        request: what is asked; of which command makes no difference.
        places: where nono keeps things.
        notify: told, in one line each, what the user should know.

    Attributes:
        request: the request.
        workdir: its canonical working directory.
        profile: its profile, None without one.

    Raises:
        LaunchError: it would be refused.
    """

    def __init__(self, request: LaunchRequest, places: Places, notify: Callable[[str], None]) -> None:
        self.request = request
        self._places = places
        with contextlib.ExitStack() as cleanup:
            resolution = Resolution(request, places, notify=notify, cleanup=cleanup)
            self.workdir = resolution.workdir
            self.profile: Profile | None = resolution.profile
            self.guard = resolution.guard(())
            # The streams of this process are not those that the launch will have.
            grants = resolution.grants(self.guard)
            self.capabilities = resolution.capabilities(grants)
            self.rules = _rules(grants)
            self.elevates = resolution.elevates
        self.can_unblock = bool(request.block_net)

    def with_changes(self, changes: Changes) -> AskedLaunch:
        """Return what it would be with these flags; see :class:`Subject`."""
        request = self.request
        changed = request._replace(
            grants=(*request.grants, *changes.grants),
            bypass_protection=(*request.bypass_protection, *changes.bypass),
            connect_ports=(*request.connect_ports, *changes.connect),
            listen_ports=(*request.listen_ports, *changes.listen),
            unix_sockets=(*request.unix_sockets, *changes.sockets),
            sysv_ipc=request.sysv_ipc or changes.sysv_ipc,
            block_net=request.block_net and not changes.unblock,
        )
        return AskedLaunch(changed, self._places, lambda _: None)


class LaunchAround:
    """The launch in which the question is asked.

    Args:
        state: what its state file says.
        places: where nono keeps things.
        workdir: the current directory.
    """

    def __init__(self, state: LaunchState, places: Places, workdir: bytes) -> None:
        self.state = state
        self.capabilities = state.own.capabilities
        self.rules = rules_of(state.own)
        self.elevates = state.judged.elevates
        self.can_unblock = False  # whether a flag or a profile blocks it is not known in here
        self._places = places
        self._workdir = workdir
        judged = state.judged
        denials = {name: GROUPS[name].denies for name in judged.denied_by if name in GROUPS}
        own = (places.state, places.config, places.cache)
        self.guard = Guard(
            Untouchable((*own, *judged.closed), own_code_paths(), judged.obeyed),
            bypass=judged.bypass,
            denials=denials,
        )

    def with_changes(self, changes: Changes) -> LaunchAround:
        """Return what it would be with these flags; see :class:`Subject`."""
        state = self.state
        given = self.capabilities
        if (changes.connect or changes.listen) and given.network is not Network.PORTS:
            raise LaunchError("which flags keep the network closed is not known inside of the launch")
        judged = state.judged._replace(bypass=(*state.judged.bypass, *changes.bypass))
        changed = LaunchAround(state._replace(judged=judged), self._places, self._workdir)
        with resolve(
            changes.grants, workdir=self._workdir, guard=changed.guard, warn=lambda _: None
        ) as grants:
            added = _rules(grants)
        sockets = given.unix_sockets
        if changes.sockets:
            from runtime.capability import unix_sockets  # noqa: PLC0415  # few questions are about one

            unix_sockets.require_mediation()
            found = unix_sockets.resolve(
                changes.sockets, workdir=self._workdir, guard=changed.guard, warn=lambda _: None
            )
            unix_sockets.close(found)
            sockets = merge_sockets((*sockets, *(each.grant for each in found)))
        known = {rule.grant.path: rule.identity for rule in (*self.rules, *added)}
        files = merge([*given.files, *(rule.grant for rule in added)])
        capabilities = given._replace(
            files=files,
            unix_sockets=sockets,
            sysv_ipc=given.sysv_ipc or changes.sysv_ipc,
            ports=ports(
                (*given.ports.connect, *changes.connect),
                (*given.ports.listen, *changes.listen),
                given.ports.listen_loopback,
            ),
        )
        identities = tuple(known[grant.path] for grant in files)
        own = state.own._replace(capabilities=capabilities, identities=identities)
        return LaunchAround(state._replace(own=own, judged=judged), self._places, self._workdir)


def rules_of(layer: Layer) -> tuple[Rule, ...]:
    """Return the rules by which a launch holds its command."""
    return tuple(
        Rule(grant, Identity(*identity))
        for grant, identity in zip(layer.capabilities.files, layer.identities, strict=True)
    )


def _rules(grants: Grants) -> tuple[Rule, ...]:
    found = []
    for opened in grants.opened:
        status = os.fstat(opened.descriptor)
        found.append(Rule(opened.grant, Identity(status.st_dev, status.st_ino)))
    return tuple(found)
