"""What no grant may open: the user's secrets, and everything that nono itself stands on.

Two rules of design 3, "Capability set":

1. **Denied** (:mod:`runtime.capability.default_groups`): keys, tokens, histories, start-up files, browser
profiles.
   Landlock cannot subtract, so a directory grant that *contains* one of them is refused, and so is a
   grant *equal to* or *inside* one. ``--bypass-protection`` lifts exactly what it names; it grants nothing.
2. **Never grantable** (:class:`Untouchable`): ledger, key, state and configuration for every access;
   nono's own code, hooks and profiles for writing, since what is written there later runs, or
   decides, outside the sandbox. Nothing lifts these.

A grant is judged under each of its names: as asked, after every symbolic link, as the kernel says
that it ended, and as a second mount or a hard link of something protected (compared by device and
inode). The protected paths have all their names too, so a ``~/.ssh`` that is a link to elsewhere
protects both. Names are compared by component: ``.sshfoo`` is not ``.ssh``. Nothing need exist.

A symbolic link *inside* a granted directory that leads to something denied is harmless: Landlock
judges the file that the kernel arrives at, and no rule covers that. A *mount* inside of it is not: the
rule holds for what is mounted there as well, so each one is judged by what it shows
(``runtime.kernel.mounts``).
"""

from __future__ import annotations

import contextlib
import functools
import os
import stat
import sys
from typing import TYPE_CHECKING, TypeAlias

from attest.named_tuples import NamedTuple
from runtime.capability.capabilities import PROFILE, SYSTEM, USER, Access
from runtime.capability.default_groups import DEFAULT_DENIALS
from runtime.errors import GrantError, UsageError
from runtime.kernel.path_names import (
    every_name,
    homes,
    is_beneath,
    join,
    looks_the_same,
    moved,
    normalise,
    shown,
    upwards,
    walk,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from runtime.capability.grant_request import GrantRequest, SocketRequest
    from runtime.kernel.mounts import Mount, Mounts

    Request: TypeAlias = GrantRequest | SocketRequest

# Names of which a map remembers that they meet nothing; a program may ask for others all day.
_MOST_FREE = 1_024
_MOST_CODE_PATHS = 256

# What the dynamic loader reads before the first line of Python, for any interpreter.
_LOADER = (
    b"/lib",
    b"/lib64",
    b"/usr/lib",
    b"/usr/lib64",
    b"/etc/ld.so.preload",
    b"/etc/ld.so.cache",
    b"/etc/ld.so.conf",
    b"/etc/ld.so.conf.d",
)

# Variables that say from where the loader, the C library (for a locale that is not UTF-8), and OpenSSL
# beneath what hashes and signs, take code, with what parts the entries of each (ld.so(8), iconv(1)).
_LOADED_FROM = {
    b"LD_LIBRARY_PATH": b":;",
    b"LD_PRELOAD": b": ",
    b"LD_AUDIT": b":",
    b"GCONV_PATH": b":",
    b"OPENSSL_CONF": b"",
    b"OPENSSL_MODULES": b"",
    b"OPENSSL_ENGINES": b"",
}
# Those of which an entry without a slash is looked for where libraries lie.
_BY_NAME = frozenset({b"LD_PRELOAD", b"LD_AUDIT"})

# Kernel interfaces: a write there reaches other processes, nono's among them (oom_score_adj and
# autogroup of the supervisor, cgroup.kill and cgroup.freeze, as root also core_pattern).
_KERNEL_INTERFACES = (b"/proc", b"/sys")

# File systems of the same kind, wherever somebody mounts one once more: each mount of proc has a number
# of its own, so nothing but the type tells it.
_KERNEL_FILE_SYSTEMS = frozenset(
    {
        *(b"binfmt_misc", b"bpf", b"cgroup", b"cgroup2", b"configfs", b"cpuset", b"debugfs", b"efivarfs"),
        *(b"fusectl", b"nfsd", b"proc", b"pstore", b"resctrl", b"rpc_pipefs", b"securityfs", b"selinuxfs"),
        *(b"smackfs", b"sysfs", b"tracefs"),
    }
)

# Directories that are never granted as they are, for any access, and what they would open.
_WHOLE_TREES = {
    b"/": "everything, the ledger and its key included",
    b"/dev": "raw disks, and with them every file",
    b"/dev/mapper": "raw disks, and with them every file",
    b"/dev/pts": "the terminals of other sessions",
}

# How many narrower grants a refusal spells out.
_SUGGESTIONS = 3

_INSIDE = "lies at or inside"
_CONTAINS = "contains"


class Untouchable(NamedTuple):
    """What nothing lifts; absolute paths, each with everything inside it and its ancestors.

    Attributes:
        read_write: closed to every access: ledger (:func:`ledger_files`), key, state, configuration.
        write: closed to writing: own code (:func:`own_code_paths`).
        obeyed: likewise, but its place is the user's choice: the profile and the hooks of this launch.
    """

    read_write: tuple[bytes, ...] = ()
    write: tuple[bytes, ...] = ()
    obeyed: tuple[bytes, ...] = ()


class _Place(NamedTuple):
    """One name of something protected; with ``wild`` the leaf has a star at one of its ends."""

    parent: bytes
    leaf: bytes
    wild: bool = False

    @property
    def path(self) -> bytes:
        return join(self.parent, self.leaf)

    def matches(self, name: bytes) -> bool:
        if not self.wild:
            return name == self.leaf
        if self.leaf.startswith(b"*"):
            return name.endswith(self.leaf[1:])
        return name.startswith(self.leaf[:-1])


class Protected:
    """One protected path.

    Attributes:
        path: absolute, as written (in a denied one the last component may hold a star).
        places: every name of it, those that symbolic links lead to included.
        group: the group that denies it, None for what is never grantable.
        writing_only: whether reading it may be granted.
    """

    # Written out: some hundred are made for each launch.
    __slots__ = ("group", "path", "places", "writing_only")

    def __init__(
        self,
        path: bytes,
        places: tuple[_Place, ...],
        group: str | None = None,
        *,
        writing_only: bool = False,
    ) -> None:
        self.path = path
        self.places = places
        self.group = group
        self.writing_only = writing_only

    def exists(self) -> bool:
        """Return whether something is there now."""
        return any(
            next(_leaves(place), None) is not None if place.wild else os.path.lexists(place.path)
            for place in self.places
        )


class _Map:
    """Where protected things lie: finds those that a grant meets in as many steps as its name is deep."""

    def __init__(self, entries: Iterable[Protected]) -> None:
        self._at: dict[bytes, list[Protected]] = {}
        self._wild: dict[bytes, list[tuple[_Place, Protected]]] = {}
        self._in: dict[bytes, list[Protected]] = {}
        self._above: dict[bytes, list[bytes]] = {}
        for entry in entries:
            for place in entry.places:
                if place.wild:
                    self._wild.setdefault(place.parent, []).append((place, entry))
                else:
                    self._at.setdefault(place.path, []).append(entry)
                self._in.setdefault(place.parent, []).append(entry)
        self._free: set[tuple[bytes, bool]] = set()
        for parent in self._in:
            for ancestor in upwards(parent):
                self._above.setdefault(ancestor, []).append(parent)

    def paths(self) -> Iterator[bytes]:
        """Yield every literal place and every directory on the way to one."""
        yield from self._at
        yield from self._above

    def written_as(self, path: bytes) -> list[Protected]:
        """Return what is written exactly so, star included."""
        return [entry for entry in self._in.get(os.path.dirname(path), ()) if entry.path == path]

    def is_free(self, name: bytes, *, directory: bool) -> bool:
        """Return whether :meth:`meet` yields nothing: asked of what the groups grant, at each launch."""
        if (name, directory) in self._free:
            return True
        if next(self.meet(name, directory=directory), None) is not None:
            return False
        if len(self._free) < _MOST_FREE:
            self._free.add((name, directory))
        return True

    def meet(self, name: bytes, *, directory: bool) -> Iterator[tuple[Protected, str]]:
        """Yield what a grant on the normalised ``name`` would open, and how it lies to it."""
        if directory:
            for parent in self._above.get(name, ()):
                for entry in self._in[parent]:
                    yield entry, _CONTAINS
        for at in upwards(name):
            for entry in self._at.get(at, ()):
                yield entry, _INSIDE
            parent, _, leaf = at.rpartition(b"/")
            for place, entry in self._wild.get(parent or b"/", ()):
                if leaf and place.matches(leaf):
                    yield entry, _INSIDE


def denied_paths(
    home: bytes,
    seen: dict[bytes, bytes | None] | None = None,
    denials: Mapping[str, tuple[bytes, ...]] = DEFAULT_DENIALS,
) -> tuple[Protected, ...]:
    """Return what is denied in the absolute ``home``, with all names that it has at this moment.

    What XDG variables have moved out of it is denied there as well.

    ``seen`` is as in :func:`runtime.kernel.path_names.walk`, ``denials`` as :class:`Guard` has it.
    """
    seen = {} if seen is None else seen
    parents: dict[bytes, tuple[bytes, ...]] = {}
    found: list[Protected] = []
    for group, patterns in denials.items():
        for pattern in patterns:
            path = join(home, pattern)
            places: list[_Place] = []
            for place in dict.fromkeys((path, moved(pattern, home))):
                parent, _, leaf = place.rpartition(b"/")
                names = parents.get(parent)
                if names is None:
                    names = parents[parent] = every_name(parent or b"/", seen)
                places += [_Place(name, leaf, b"*" in leaf) for name in names]
                for link in _leaves(places[-1]):
                    if os.path.islink(link):  # its target holds what is protected
                        places += map(_literal, every_name(link, seen))
            found.append(Protected(path, tuple(places), group))
    return tuple(found)


def _leaves(place: _Place) -> Iterator[bytes]:
    """Yield the paths at ``place``: itself, there or not, or what matches its star."""
    if not place.wild:
        yield place.path
        return
    try:
        names = os.listdir(place.parent)
    except OSError:  # missing, or not ours to list
        return
    yield from (join(place.parent, name) for name in names if place.matches(name))


def _literal(path: bytes) -> _Place:
    parent, _, leaf = path.rpartition(b"/")
    return _Place(parent or b"/", leaf)


def _never(path: bytes, seen: dict[bytes, bytes | None], *, writing_only: bool) -> Protected:
    # Whoever replaces a link on the way decides what nono finds, so the links count as well.
    names, links = walk(path, seen)
    return Protected(path, tuple(map(_literal, (*names, *links))), writing_only=writing_only)


class _Looked(NamedTuple):
    """What is never grantable, and every look at the file system that this came from."""

    untouchable: Untouchable
    seen: dict[bytes, bytes | None]
    never: _Map


_looked: _Looked | None = None


def _never_granted(untouchable: Untouchable, seen: dict[bytes, bytes | None]) -> _Map:
    """Return where what is never grantable lies; where it lay the last time, if each look finds the same.

    A map follows from the paths and from where each link on their way leads, and from nothing else.
    """
    global _looked  # noqa: PLW0603  # a program launches again and again, nono run once
    last = _looked
    if last is not None and last.untouchable == untouchable and looks_the_same(last.seen):
        seen.update(last.seen)
        return last.never
    never = [_never(path, seen, writing_only=False) for path in untouchable.read_write]
    never += [
        _never(path, seen, writing_only=True)
        for path in (*untouchable.write, *untouchable.obeyed, *_KERNEL_INTERFACES)
    ]
    found = _Map(never)
    _looked = _Looked(untouchable, dict(seen), found)
    return found


def ledger_files(ledger: bytes) -> tuple[bytes, ...]:
    """Return the ledger's file and the files that SQLite keeps beside it.

    The directory needs no entry of its own: it is an ancestor, so no grant may contain it.
    """
    return (ledger, ledger + b"-wal", ledger + b"-shm", ledger + b"-journal")


def own_code_paths() -> tuple[bytes, ...]:
    """Return every path from which nono itself runs code, now or at its next start.

    The interpreter and its prefixes, each ``sys.path`` entry (an empty one is the current directory)
    whether it exists or not, those that the command ``nono`` took out of it (what Python loads before
    it begins, a ``sitecustomize`` or the standard library, still comes from there), the directories of our
    packages (an editable installation has them elsewhere) and of the library that hashes and signs, the
    program that was started, user site directories (read before a script can refuse them) and what the
    dynamic loader reads.
    """
    found = [sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix, sys.executable]
    looked_in: list[str] = getattr(sys.modules.get("__main__"), "nono_looked_in", [])
    found += [entry or os.curdir for entry in (*sys.path, *looked_in)]
    # Compiled modules are read from there, instead of from beside their sources.
    found += [sys.pycache_prefix or ""]
    for name in ("__main__", "attest", "runtime", "store", "verify", "cryptography", "_cffi_backend"):
        module = sys.modules.get(name)
        found += getattr(module, "__path__", None) or [getattr(module, "__file__", None) or ""]
    paths = [path for entry in found if (path := _code_path(entry)) is not None]
    version = b"python%d.%d" % sys.version_info[:2]
    bases = [join(home, b".local") for home in homes()]
    bases += _named_by(b"PYTHONUSERBASE", b"")
    paths += [join(base, b"lib/" + version) for base in bases if base.startswith(b"/")]
    for variable, separators in _LOADED_FROM.items():
        paths += _named_by(variable, separators)
    # A prefix of "/" would close the whole file system; its parts are listed anyway.
    return tuple(path for path in dict.fromkeys([*paths, *_LOADER]) if path != b"/")


def _code_path(entry: str) -> bytes | None:
    if not entry or entry.startswith("<"):  # a program on standard input has no file
        return None
    if entry.startswith("/"):
        return _normalised(entry)
    try:
        return os.path.abspath(os.fsencode(entry))
    except OSError:  # relative to a current directory that is gone: nothing is loaded from there either
        return None


def _named_by(variable: bytes, separators: bytes) -> dict[bytes, bytes]:
    """Return the absolute paths that a variable names, with the entries that they come from.

    One that is relative, or empty among others, is in the current directory.
    """
    value = os.environb.get(variable, b"")
    for separator in separators[1:]:
        value = value.replace(bytes((separator,)), separators[:1])
    entries = value.split(separators[:1]) if separators else [value]
    found: dict[bytes, bytes] = {}
    for entry in entries if value else ():
        if variable in _BY_NAME and b"/" not in entry:
            continue
        place = _loaders_place(entry) if variable.startswith(b"LD_") else entry
        with contextlib.suppress(OSError):  # relative to a current directory that is gone
            found.setdefault(os.path.abspath(place), entry)
    return found


def _loaders_place(entry: bytes) -> bytes:
    """Return where the loader looks for an entry, or, for $LIB and $PLATFORM, what lies above (ld.so(8))."""
    if b"$" not in entry:
        return entry
    origin = os.path.dirname(os.path.realpath(os.fsencode(sys.executable)))
    plain = entry.replace(b"$ORIGIN", origin).replace(b"${ORIGIN}", origin)
    before, token, _ = plain.partition(b"$")
    return os.path.dirname(before) if token else plain


def _out_of_variable(path: bytes) -> str:
    """Return what a hint says of the variable, if any, by which ``path`` is own code."""
    for variable, separators in (*_LOADED_FROM.items(), (b"PYTHONPATH", b":")):
        entry = _named_by(variable, separators).get(path)
        if entry is not None:
            why = "" if entry else ", where an empty entry stands for it"
            return f", or take {shown(entry or path)} out of {variable.decode()}{why}"
    return ""


@functools.lru_cache(_MOST_CODE_PATHS)
def _normalised(entry: str) -> bytes:
    return os.path.normpath(os.fsencode(entry))


class Guard:
    """Judges grants: one object for one launch, made before its grants are opened.

    Args:
        untouchable: what nothing lifts.
        bypass: what ``--bypass-protection`` names, absolute.
        home_directories: whose secrets are denied; by default those of this user.
        denials: what is denied in them, by group.

    Raises:
        UsageError: a bypass names nothing that is protected, or something that nothing lifts.
    """

    def __init__(
        self,
        untouchable: Untouchable,
        *,
        bypass: Sequence[bytes] = (),
        home_directories: Sequence[bytes] | None = None,
        denials: Mapping[str, tuple[bytes, ...]] = DEFAULT_DENIALS,
    ) -> None:
        self._denials_of_groups = denials
        self._seen: dict[bytes, bytes | None] = {}
        self._never = _never_granted(untouchable, self._seen)
        self._obeyed = frozenset(untouchable.obeyed)
        directories = homes() if home_directories is None else home_directories
        self._homes = {home: every_name(home, self._seen) for home in directories}
        self._above_homes = {
            above for names in self._homes.values() for name in names for above in upwards(name)
        }
        self._denied_map: _Map | None = None
        self._identities: dict[tuple[int, int], list[bytes]] | None = None
        self._mounts: Mounts | None = None
        self._lifted: set[bytes] = set()
        self._lifted_beneath: dict[bytes, list[bytes]] = {}
        for path in bypass:
            self._lift(normalise(path))

    @property
    def _denied(self) -> _Map:
        """What is denied, looked up when the first grant of a user or a profile is judged."""
        if self._denied_map is None:
            self._denied_map = _Map(
                entry
                for home in self._homes
                for entry in denied_paths(home, self._seen, self._denials_of_groups)
            )
        return self._denied_map

    def judge(self, request: Request, canonical: bytes | None, *, path: bytes) -> None:
        """Refuse ``request`` if it must not be granted.

        Args:
            request: what was asked.
            canonical: where the kernel says that it leads; None when there is nothing yet.
            path: the absolute path that the request means (``..`` and links in place).

        Raises:
            GrantError: with the way out as its hint.
        """
        names = list(every_name(path))
        if canonical is not None:
            names += [canonical, *self._aliases(canonical)]
        self.judge_names(request, tuple(dict.fromkeys(names)))
        # A file that is only read has nothing below it, and its aliases are judged above.
        opens_more = request.directory or request.access is not Access.READ
        if canonical is not None and opens_more and request.source != SYSTEM:
            self._judge_mounts(request, canonical)

    def judge_default(self, request: Request, canonical: bytes) -> None:
        """Refuse a grant that nobody asked for; judged by where it is, nobody chose its name.

        Raises:
            GrantError: something that is never grantable, or a denied file that exists, lies there.
        """
        if not self._never.is_free(canonical, directory=request.directory):
            self._judge_never(request, (canonical,))
        # A service account's home can lie in a system directory; that alone is no reason to refuse.
        if canonical in self._above_homes:
            for denial in self._denials(request, (canonical,)):
                if denial[0].exists():
                    raise self._denied_error(request, (canonical,), *denial)

    def judge_names(self, request: Request, names: tuple[bytes, ...]) -> None:
        """Refuse ``request`` if under any of the normalised ``names`` it must not be granted."""
        if request.directory:
            _refuse_whole_trees(request, names)
        self._judge_never(request, names)
        denials = self._denials(request, names)
        if denials:  # what exists goes first: the message should name what is really there
            first = next((denial for denial in denials if denial[0].exists()), denials[0])
            raise self._denied_error(request, names, *first)

    def _judge_never(self, request: Request, names: tuple[bytes, ...]) -> None:
        writing = request.access is not Access.READ
        for name in names:
            if self._never.is_free(name, directory=request.directory):
                continue
            for entry, relation in self._never.meet(name, directory=request.directory):
                if writing or not entry.writing_only:
                    raise self._never_error(request, names, entry, relation)

    def _denials(self, request: Request, names: tuple[bytes, ...]) -> list[tuple[Protected, str]]:
        return [
            denial
            for name in names
            for denial in self._denied.meet(name, directory=request.directory)
            if not self._is_lifted(denial[0], name)
        ]

    def is_open(self, request: Request, names: tuple[bytes, ...]) -> bool:
        """Return whether :meth:`judge_names` would let the request pass."""
        try:
            self.judge_names(request, names)
        except GrantError:
            return False
        return True

    def _is_lifted(self, entry: Protected, name: bytes) -> bool:
        return entry.path in self._lifted or any(
            is_beneath(name, lifted) for lifted in self._lifted_beneath.get(entry.path, ())
        )

    def _lift(self, path: bytes) -> None:
        named = False
        for entry, _ in self._denied.meet(path, directory=False):
            named = True
            if any(place.path == path for place in entry.places):
                self._lifted.add(entry.path)
            else:
                self._lifted_beneath.setdefault(entry.path, []).extend(_names_inside(entry, path))
        for entry in self._denied.written_as(path):
            named = True
            self._lifted.add(entry.path)
        if named:
            return
        if next(self._never.meet(path, directory=True), None) is not None:
            raise UsageError(f"cannot bypass the protection of {shown(path)}: nono itself stands on it")
        raise UsageError(
            f"nothing is protected at {shown(path)}, so there is nothing to bypass",
            hint="--bypass-protection names one protected path, such as ~/.ssh; it grants nothing by itself",
        )

    def _aliases(self, canonical: bytes) -> Iterator[bytes]:
        """Yield protected names of the same object: other mounts of its directories, hard links."""
        if self._identities is None:
            self._identities = {}
            for path in {*self._never.paths(), *self._denied.paths()}:
                identity = _identity(path)
                if identity is not None:
                    self._identities.setdefault(identity, []).append(path)
        for at in upwards(canonical):
            identity = _identity(at)
            if identity is not None:
                for name in self._identities.get(identity, ()):
                    yield normalise(name + b"/" + canonical[len(at) :])

    def _judge_mounts(self, request: Request, canonical: bytes) -> None:
        """Refuse a grant below which, or on which, something is mounted that must not be granted."""
        if self._mounts is None:
            from runtime.kernel.mounts import Mounts  # noqa: PLC0415  # not for a launch without such a grant

            try:
                self._mounts = Mounts.read()
            except OSError as error:
                raise GrantError(
                    f"cannot grant {request.wording()}: what is mounted in it cannot be seen:"
                    f" {os.strerror(error.errno or 0).lower()}",
                    code="grant.unusable",
                    hint="/proc/self/mountinfo must be readable",
                ) from None
        own = self._mounts.holding(canonical)
        if own is not None:
            self._judge_shown(request, own, own.inner(canonical), f"it lies on the mount {shown(own.at)}")
        for mount in self._mounts.beneath(canonical) if request.directory else ():
            _refuse_devices(request, mount)
            self._judge_shown(request, mount, mount.root, f"{shown(mount.at)} is mounted in it")
            if own is None:  # in a chroot the mount that holds what is protected is not listed
                self.judge_names(request, tuple(self._aliases(mount.at)))

    def _judge_shown(self, request: Request, mount: Mount, inner: bytes, through: str) -> None:
        """Refuse ``request`` if through ``mount``, of which it opens ``inner``, it opens what it must not."""
        assert self._mounts is not None
        writing = request.access is not Access.READ
        if writing and mount.kind in _KERNEL_FILE_SYSTEMS:
            kind = shown(mount.kind)
            raise _mount_error(request, f"{through} ({kind}), and a write there reaches other processes")
        for other, name in self._mounts.showing(mount.device, inner):
            if other.number != mount.number:  # by its own name it has been judged
                self._judge_elsewhere(request, name, through, other)
        if mount.at == b"/":  # what an overlay is made of lies outside of a root
            return
        for layer, written in mount.layers():
            name = normalise(layer + b"/" + inner)
            reading = request if written else request.with_access(Access.READ)
            for known in every_name(name):
                self._judge_elsewhere(reading, known, through, None)

    def _judge_elsewhere(self, request: Request, name: bytes, through: str, other: Mount | None) -> None:
        """Refuse what is at ``name``, as far as ``other`` shows it there; None stands for whatever does."""
        writing = request.access is not Access.READ
        for entry, relation in self._never.meet(name, directory=request.directory):
            if (writing or not entry.writing_only) and self._is_shown(entry, name, relation, other):
                reason = (
                    "and a write there reaches what nono itself runs or obeys"
                    if entry.writing_only
                    else "which no command may reach"
                )
                raise _mount_error(request, f"{through} and shows {shown(entry.path)}, {reason}")
        for entry, relation in self._denied.meet(name, directory=request.directory):
            if not self._is_lifted(entry, name) and self._is_shown(entry, name, relation, other):
                lift = f"--bypass-protection {shown(entry.path)} lifts this protection"
                reason = f"which is protected (group {entry.group})"
                raise _mount_error(request, f"{through} and shows {shown(entry.path)}, {reason}", lift)

    def _is_shown(self, entry: Protected, name: bytes, relation: str, other: Mount | None) -> bool:
        """Return whether ``entry`` is on the mount at whose ``name`` it was met, and not on one over it."""
        assert self._mounts is not None
        if other is None or relation == _INSIDE:
            return True
        held = (self._mounts.holding(place.path) for place in entry.places if is_beneath(place.path, name))
        return any(mount is not None and mount.number == other.number for mount in held)

    def _never_error(
        self, request: Request, names: tuple[bytes, ...], entry: Protected, relation: str
    ) -> GrantError:
        narrower = self._narrower(request, names, relation)
        where = f"it {relation} {shown(entry.path)}"
        if not entry.writing_only:
            hint = "keep ledger, key and state outside of every grant, as they are by default"
            return GrantError(
                f"cannot grant {request.wording()}: {where}, which no command may reach",
                code="grant.untouchable",
                hint=f"grant only {narrower}, or {hint}" if narrower else hint,
            )
        if request.access is not Access.WRITE:
            reading = request.with_access(Access.READ)
            if self.is_open(reading, names):
                narrower = f"{reading.wording()} {narrower}".rstrip()
        hint = f"grant only {narrower}" if narrower else "let it write somewhere else"
        if entry.path in self._obeyed:
            away = f"keep {shown(entry.path)} outside of everything that the command may write to"
            hint = f"{away}, or {hint}" if narrower else away
        if relation == _CONTAINS and entry.path == os.fsencode(sys.prefix):
            hint += f", or keep the virtual environment {shown(entry.path)} elsewhere"
        hint += _out_of_variable(entry.path)
        reaches = "other processes" if entry.path in _KERNEL_INTERFACES else "what nono itself runs or obeys"
        return GrantError(
            f"cannot grant {request.wording()} for writing: {where}, and a write there reaches {reaches}",
            code="grant.untouchable",
            hint=hint,
        )

    def _denied_error(
        self, request: Request, names: tuple[bytes, ...], entry: Protected, relation: str
    ) -> GrantError:
        narrower = self._narrower(request, names, relation)
        lift = f"--bypass-protection {shown(entry.path)} lifts this protection, and grants nothing itself"
        return GrantError(
            f"cannot grant {request.wording()}: it {relation} {shown(entry.path)},"
            f" which is protected (group {entry.group})",
            code="grant.protected",
            hint=f"grant only {narrower}; {lift}" if narrower else lift,
            protected=entry.path,
            group=entry.group,
        )

    def _narrower(self, request: Request, names: tuple[bytes, ...], relation: str) -> str:
        """Return the same grant on a few directories inside the one that was asked for, or nothing."""
        if relation != _CONTAINS or request.source not in (USER, PROFILE):
            return ""
        try:
            with os.scandir(names[-1]) as listing:
                inside = sorted(entry.name for entry in listing if entry.is_dir(follow_symlinks=False))
        except OSError:
            return ""
        fitting: list[str] = []
        for name in inside:
            narrower = request.with_path(join(request.path, name))
            beneath = tuple(join(within, name) for within in names)
            if not name.startswith(b".") and self.is_open(narrower, beneath):
                if len(fitting) == _SUGGESTIONS:
                    return f"{' '.join(fitting)} (for instance)"
                fitting.append(narrower.wording())
        return " ".join(fitting)


def _names_inside(entry: Protected, path: bytes) -> Iterator[bytes]:
    """Yield the names of ``path``, which lies inside ``entry``, under each name that the entry has."""
    bases = {(place.parent if place.wild else place.path): place.wild for place in entry.places}
    for base, wild in bases.items():
        if is_beneath(path, base):
            for other, other_wild in bases.items():
                if other_wild is wild:
                    # Inside a denied directory only the user places links, so where they lead counts.
                    yield from every_name(other + path[len(base) :])


def _identity(path: bytes) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _mount_error(request: Request, what: str, lift: str | None = None) -> GrantError:
    hint = "grant what lies beside it, or unmount it"
    return GrantError(
        f"cannot grant {request.wording()}: {what}",
        code="grant.untouchable" if lift is None else "grant.protected",
        hint=hint if lift is None else f"{hint}; {lift}",
    )


def _refuse_devices(request: Request, mount: Mount) -> None:
    """Refuse a grant in which disks or other sessions' terminals are mounted; one harmless device may be."""
    if mount.kind not in (b"devtmpfs", b"devpts"):
        return
    if mount.kind == b"devtmpfs":
        try:
            mode = os.stat(mount.at).st_mode
        except OSError:
            mode = stat.S_IFDIR  # what cannot be seen could be all of them
        if not stat.S_ISDIR(mode) and not stat.S_ISBLK(mode):
            return
    opens = _WHOLE_TREES[b"/dev" if mount.kind == b"devtmpfs" else b"/dev/pts"]
    raise _mount_error(
        request, f"{shown(mount.at)} is mounted in it ({shown(mount.kind)}), which opens {opens}"
    )


def _refuse_whole_trees(request: Request, names: tuple[bytes, ...]) -> None:
    for name in names:
        if name in _WHOLE_TREES:
            raise GrantError(
                f"cannot grant {request.wording()}: {shown(name)} as a whole opens {_WHOLE_TREES[name]}",
                code="grant.untouchable",
                hint="grant the directories or the single files that it needs",
            )
