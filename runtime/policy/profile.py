"""Profiles: what a kind of command needs, said once, in files that build upon each other.

**Which file a name means.** What has a slash, or ends in ``.json`` or ``.jsonc``, is a path; in ``extends``
a relative one is in the directory of the file that says it. Any other word is the name of a profile: first
``$XDG_CONFIG_HOME/nono/profiles/NAME.jsonc`` or ``.json``, then a built-in one. A user's profile that is
called like a built-in one must extend it, so that a name such as ``ci-strict`` never means something else;
there, its own name means the built-in one.

**What files say together.** The files of a chain stand in the order in which they are needed, each once, the
one that was named last. They are merged in this order: lists are united, of maps the later value wins,
``network.block`` and what ``security`` says hold once one says so, of each limit the lowest. Groups are *the
defaults and those that any file includes, without those that any file excludes*. An ``environment.allow`` of
one file is a list for all of them.

Nothing of a chain may be granted for writing, and each file is recorded by its digest.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from attest.named_tuples import NamedTuple
from runtime.capability.capabilities import MAX_PORTS, ports
from runtime.capability.default_groups import DEFAULT_GROUPS
from runtime.capability.environment_lists import Lists
from runtime.errors import ProfileError, UsageError
from runtime.kernel.path_names import absolute, from_here, homes, shown
from runtime.policy.document_words import did_you_mean
from runtime.policy.profile_file import SUFFIXES, ProfileFile, is_name, is_path, read_profile_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runtime.capability.capabilities import Ports
    from runtime.capability.default_groups import Group
    from runtime.capability.grant_request import GrantRequest, SocketRequest
    from runtime.capability.hook_request import Hook

MAX_DEPTH = 10
"""Profiles that build upon each other, from the one that was named to the last."""
MAX_FILES = 16
"""Files of one chain; the record takes no more."""

BUILT_IN = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(os.fsencode(__file__)))), b"profiles")
"""The directory of the built-in profiles."""

_USERS = b"profiles"
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


class Profile(NamedTuple):
    """What the files of a chain say together.

    Attributes:
        chain: the files, in the order in which they were merged; the one that was named last.
        filesystem: the grants that they ask for.
        block_network: whether one of them blocks the network; a profile cannot open it.
        ports: the TCP ports that they ask for together.
        unix_sockets: the grants on UNIX sockets that they ask for.
        sysv_ipc: whether one of them asks for System V memory, semaphores and queues.
        groups: the groups that are in force, the defaults first.
        variables: what they say about the environment.
        hooks: ``before`` and ``after``, where given.
        credentials: references of secrets, by the variable that each is put into.
        allow_commands: names of commands that are not blocked.
        block_commands: names of commands that are blocked.
        trace_exec: whether every exec is seen.
        exec_allow: digests, programs and directories, beside which no program may run.
        protect_metadata: whether mode, owner, times and attributes of files are changed by the grants alone.
        capability_elevation: whether a person is asked about files that no grant covers.
        limits: what a launch is held to, by the names of the record: the lowest that a file says of each.
    """

    chain: tuple[ProfileFile, ...]
    filesystem: tuple[GrantRequest, ...]
    block_network: bool
    ports: Ports
    unix_sockets: tuple[SocketRequest, ...]
    sysv_ipc: bool
    groups: tuple[Group, ...]
    variables: Lists
    hooks: Mapping[str, Hook]
    credentials: Mapping[str, str]
    allow_commands: tuple[bytes, ...]
    block_commands: tuple[bytes, ...]
    trace_exec: bool
    exec_allow: tuple[bytes, ...]
    protect_metadata: bool
    capability_elevation: bool
    limits: Mapping[str, int]

    @property
    def group_grants(self) -> tuple[GrantRequest, ...]:
        """What the groups grant, in the place of :data:`runtime.capability.default_groups.DEFAULT_GRANTS`."""
        return tuple(grant for group in self.groups for grant in group.grants)

    @property
    def denials(self) -> dict[str, tuple[bytes, ...]]:
        """What the groups deny, in the place of :data:`runtime.capability.default_groups.DEFAULT_DENIALS`."""
        return {group.name: group.denies for group in self.groups if group.denies}


class Place(NamedTuple):
    """Where a profile lies that has a name.

    Attributes:
        name: its name.
        path: its absolute path.
        built_in: whether it is one of nono's own.
    """

    name: bytes
    path: bytes
    built_in: bool


def users_directory(config: bytes) -> bytes:
    """Return where a user's profiles lie, in nono's configuration directory."""
    return os.path.join(config, _USERS)


def read_profile(named: bytes, config: bytes | None) -> Profile:
    """Read the profile that a command line names, with all that it builds upon.

    Args:
        named: a name, or a path; ``~`` expands in one, a relative one is in the *current* directory, as any
            file that a command line names.
        config: nono's configuration directory; None where a name means a built-in profile and nothing else.

    Raises:
        ProfileError: there is none, one of the chain cannot be read, is not to be trusted or is no profile,
            or they build upon each other without end.
    """
    chain = _Chain(config)
    chain.add(named, beside=None)
    return merge(tuple(chain.files))


def merge(chain: tuple[ProfileFile, ...]) -> Profile:
    """Return what the files of a chain say together.

    Raises:
        ProfileError: that is more ports than a launch takes.
    """
    included = dict.fromkeys(name for file in chain for name in file.include)
    excluded = {name for file in chain for name in file.exclude}
    groups = {group.name: group for group in DEFAULT_GROUPS}
    if included:
        from runtime.capability.tool_groups import GROUPS  # noqa: PLC0415  # the defaults alone need none of it

        groups |= {name: GROUPS[name] for name in included}
    lists = [file.variables.allow for file in chain if file.variables.allow is not None]
    set_vars: dict[bytes, bytes] = {}
    hooks: dict[str, Hook] = {}
    credentials: dict[str, str] = {}
    for file in chain:
        credentials |= file.credentials
        set_vars |= file.variables.set_vars
        hooks |= file.hooks
    asked = ports(
        (port for file in chain for port in file.ports.connect),
        (port for file in chain for port in file.ports.listen),
        (port for file in chain for port in file.ports.listen_loopback),
    )
    if max(map(len, asked)) > MAX_PORTS:
        raise ProfileError(
            f"the files of the profile {shown(chain[-1].name)} ask for more than {MAX_PORTS} ports"
        )
    return Profile(
        chain=chain,
        filesystem=tuple(dict.fromkeys(request for file in chain for request in file.filesystem)),
        block_network=any(file.block_network for file in chain),
        ports=asked,
        unix_sockets=tuple(dict.fromkeys(request for file in chain for request in file.unix_sockets)),
        sysv_ipc=any(file.sysv_ipc for file in chain),
        groups=tuple(group for name, group in groups.items() if name not in excluded),
        variables=Lists(
            allow=tuple(dict.fromkeys(name for names in lists for name in names)) if lists else None,
            deny=tuple(dict.fromkeys(name for file in chain for name in file.variables.deny)),
            set_vars=set_vars,
        ),
        hooks=hooks,
        credentials=credentials,
        allow_commands=tuple(dict.fromkeys(name for file in chain for name in file.allow_commands)),
        block_commands=tuple(dict.fromkeys(name for file in chain for name in file.block_commands)),
        trace_exec=any(file.trace_exec for file in chain),
        exec_allow=tuple(dict.fromkeys(rule for file in chain for rule in file.exec_allow)),
        protect_metadata=any(file.protect_metadata for file in chain),
        capability_elevation=any(file.capability_elevation for file in chain),
        limits=_lowest([file.limits for file in chain if file.limits]),
    )


def _lowest(said: list[Mapping[str, int]]) -> Mapping[str, int]:
    if not said:
        return {}
    from runtime.policy import limits  # noqa: PLC0415  # its file has been read with it

    return limits.lowest(said)


def built_in_names() -> tuple[bytes, ...]:
    """Return the names of the built-in profiles, sorted."""
    return tuple(place.name for place in _all_built_in())


def is_built_in_name(name: bytes) -> bool:
    """Return whether a built-in profile is called so."""
    return _built_in(name) is not None


def is_built_in_file(path: bytes) -> bool:
    """Return whether a file of a chain is a built-in profile, by its path as it was found."""
    return os.path.dirname(path) == BUILT_IN


def find(name: bytes, config: bytes) -> Place | None:
    """Return where the profile of this name lies, the user's before a built-in one; None if nowhere.

    Raises:
        ProfileError: the user has two files of this name.
    """
    found = [
        path
        for suffix in SUFFIXES
        if os.path.lexists(path := os.path.join(users_directory(config), name + suffix))
    ]
    if len(found) > 1:
        raise ProfileError(
            f"two profiles are called {shown(name)}: {shown(found[0])} and {shown(found[1])}",
            hint="remove or rename one of them",
        )
    if found:
        return Place(name, found[0], built_in=False)
    return _built_in(name)


def _built_in(name: bytes) -> Place | None:
    paths = (os.path.join(BUILT_IN, name + suffix) for suffix in SUFFIXES)
    path = next(filter(os.path.exists, paths), None) if is_name(name) else None
    return None if path is None else Place(name, path, built_in=True)


def _all_built_in() -> list[Place]:
    return sorted(_named_in(BUILT_IN, built_in=True))


def _named_in(directory: bytes, *, built_in: bool) -> list[Place]:
    return [
        Place(name.removesuffix(suffix), os.path.join(directory, name), built_in=built_in)
        for name in os.listdir(directory)
        for suffix in SUFFIXES
        if name.endswith(suffix) and is_name(name.removesuffix(suffix))
    ]


class _Chain:
    """Collects the files of a chain, what is extended before what extends it."""

    def __init__(self, config: bytes | None) -> None:
        self.files: list[ProfileFile] = []
        self._config = config
        # On the way to where we are: what each was called, and what it is.
        self._above: list[tuple[bytes, tuple[int, int]]] = []
        self._known: set[tuple[int, int]] = set()

    def add(self, named: bytes, *, beside: ProfileFile | None) -> None:
        """Add the profile that ``named`` means, said by ``beside``, after all that it extends."""
        place = self._place(named, beside)
        identity = _identity(place)
        if any(above == identity for _, above in self._above):
            raise ProfileError(
                f"profiles build upon each other in a circle: {self._way(place.name)}", code="profile.cycle"
            )
        if identity in self._known:  # each file once, as it was then
            return
        if len(self._above) == MAX_DEPTH:
            raise ProfileError(
                f"more than {MAX_DEPTH} profiles build upon each other: {self._way(place.name)}",
                code="profile.too_deep",
            )
        by_name = not place.built_in and not is_path(named)
        if by_name and self._config is not None:
            _require_trusted_directories(self._config)
        file = read_profile_file(place.path, called=place.name, trusted=by_name)
        if by_name and _built_in(named) is not None:
            _require_extension(named, file)
        self._above.append((place.name, file.identity))
        for extended in file.extends:
            self.add(extended, beside=file)
        self._above.pop()
        self._known.add(file.identity)
        self.files.append(file)
        if len(self.files) > MAX_FILES:
            raise ProfileError(f"a profile is made of more than {MAX_FILES} files", code="profile.too_deep")

    def _place(self, named: bytes, beside: ProfileFile | None) -> Place:
        if is_path(named) or not named:
            return Place(named, self._path(named, beside), built_in=False)
        found: Place | None = None
        if is_name(named):
            found = _built_in(named) if self._config is None else find(named, self._config)
            if beside is not None and found is not None and _identity(found) == beside.identity:
                found = _built_in(named)  # it is called like the built-in one that it extends
        if found is not None:
            return found
        raise _no_such_profile(named, self._config, beside)

    def _path(self, named: bytes, beside: ProfileFile | None) -> bytes:
        home = next(iter(homes()), None)
        try:
            if beside is not None:
                return absolute(named, workdir=os.path.dirname(beside.path), home=home)
            return absolute(named, workdir=b"/" if named[:1] in b"~/" else from_here(b"."), home=home)
        except UsageError as error:
            raise ProfileError(f"cannot read the profile: {error}", hint=error.hint) from None

    def _way(self, last: bytes) -> str:
        return ", which extends ".join(shown(name) for name in (*(name for name, _ in self._above), last))


def _identity(place: Place) -> tuple[int, int] | None:
    try:
        status = os.stat(place.path)
    except OSError:  # reading it will say why
        return None
    return status.st_dev, status.st_ino


def _require_trusted_directories(config: bytes) -> None:
    """Refuse directories in which somebody else could give a name to another file of this user's."""
    for directory in (config, users_directory(config)):
        try:
            status = os.stat(directory)
        except OSError:  # reading will say why
            return
        if status.st_uid not in {0, os.geteuid()} or status.st_mode & _WRITABLE_BY_OTHERS:
            raise ProfileError(
                f"others can write to {shown(directory)}, so a profile's name says nothing there",
                code="profile.untrusted",
                hint=f"chmod go-w {shown(directory)}, and see that it is yours",
            )


def _require_extension(name: bytes, file: ProfileFile) -> None:
    if name not in file.extends:
        raise ProfileError(
            f"the profile {shown(file.path)} is called like a built-in one and does not extend it",
            code="profile.shadows",
            hint=f'give it another name, or let it say "extends": "{name.decode("ascii")}"',
        )


def _no_such_profile(named: bytes, config: bytes | None, beside: ProfileFile | None) -> ProfileError:
    names = built_in_names() if config is None else (place.name for place in named_profiles(config))
    known = [name.decode("ascii") for name in names]
    where = "" if beside is None else f", which {shown(beside.path)} extends"
    hint = did_you_mean(named.decode("utf-8", "replace"), tuple(known))
    if os.path.lexists(named):
        hint = f"a file is named by a path: {shown(b'./' + named)}"
    return ProfileError(f"no profile is called {shown(named)}{where}", code="profile.missing", hint=hint)


def named_profiles(config: bytes) -> tuple[Place, ...]:
    """Return the profiles that have a name: the user's and the built-in ones, by name; not looked into."""
    try:
        users = _named_in(users_directory(config), built_in=False)
    except OSError:
        users = []
    return tuple(sorted([*users, *_all_built_in()]))
