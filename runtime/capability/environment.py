"""The child's environment: one dictionary, the last one wins (design 3, "Environment").

``inherited (filtered) < profile < hook < secrets < nono's own``. Names that let whoever sets them run code
in somebody else's program are stripped from what is inherited or exported and refused as the name of a
secret; a profile may set one, on purpose. A variable that a secret was taken from is not inherited. Then a
profile's lists say what of the rest is inherited: what it denies is not, and where it has a list of what it
allows, nothing else is. Values are never printed and never recorded; names are.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from attest import canonical
from attest.named_tuples import NamedTuple
from runtime.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from attest.canonical import Json
    from runtime.capability.capabilities import SocketGrant
    from runtime.capability.environment_lists import Lists

MAX_NAME_BYTES = 256

_COERCED = frozenset((b"C.UTF-8", b"C.utf8", b"UTF-8"))

# The loader, the shells and the language runtimes execute what these say, before the program's own
# first line; vault tokens open every other secret.
_DANGEROUS_PREFIXES = (b"LD_", b"DYLD_", b"BASH_FUNC_")
_DANGEROUS = frozenset(
    {
        b"BASH_ENV",
        b"ENV",
        b"CDPATH",
        b"GLOBIGNORE",
        b"PROMPT_COMMAND",
        b"IFS",
        b"PYTHONSTARTUP",
        b"PYTHONPATH",
        b"PYTHONHOME",
        b"NODE_OPTIONS",
        b"NODE_PATH",
        b"PERL5OPT",
        b"PERL5LIB",
        b"RUBYOPT",
        b"RUBYLIB",
        b"GEM_PATH",
        b"GEM_HOME",
        b"JAVA_TOOL_OPTIONS",
        b"_JAVA_OPTIONS",
        b"DOTNET_STARTUP_HOOKS",
        b"GOFLAGS",
        # vault tokens: HashiCorp Vault, 1Password, Bitwarden
        b"VAULT_TOKEN",
        b"OP_SERVICE_ACCOUNT_TOKEN",
        b"OP_CONNECT_TOKEN",
        b"OP_CONNECT_HOST",
        b"BW_SESSION",
    }
)

# They name sockets of the user's own services, which are unreachable without a grant.
_UNIX_SOCKETS = frozenset(
    {
        b"SSH_AUTH_SOCK",
        b"DBUS_SESSION_BUS_ADDRESS",
        b"DOCKER_HOST",
        b"WAYLAND_DISPLAY",
        b"XDG_RUNTIME_DIR",
    }
)

# Ours: an outer nono's are about its own launch, and a hook's would be lies about this one.
_RESERVED_PREFIX = b"NONO_"

_RESOLVER_OPTIONS = b"RES_OPTIONS"

_TEMPORARY = (b"TMPDIR", b"TMP", b"TEMP")
# zsh writes its here-documents to files that begin so, and knows none of the above.
_ZSH_TEMPORARY = b"TMPPREFIX"

_GIT_CONFIGURATION = b"GIT_CONFIG_GLOBAL"

# They decide what runs, or nono adds to them: a value in them is not only the command's.
_SHARED = frozenset({b"PATH", _RESOLVER_OPTIONS, _GIT_CONFIGURATION})

# PEM, and the base64 of what every PKCS#8 Ed25519 key has before its secret (RFC 8410, section 7), whatever
# its version: the two forms in which a key is put into a variable.
_KEY_MARKS = (b"PRIVATE KEY-----", b"BQYDK2VwBCIEI")


class Environment(NamedTuple):
    """What the child will have.

    Attributes:
        variables: names and values.
        dropped: the names that were inherited or exported and that the child does not have, sorted.
        filtered: those of them that a profile's lists keep from it.
    """

    variables: dict[bytes, bytes]
    dropped: tuple[bytes, ...]
    filtered: tuple[bytes, ...] = ()

    def __repr__(self) -> str:
        return "Environment(…)"  # values can be secrets

    @property
    def path(self) -> bytes | None:
        """The PATH on which the command is searched, None when there is none."""
        return self.variables.get(b"PATH")

    def with_own(self, name: bytes, value: bytes) -> Environment:
        """Return the same with one more variable of nono's own."""
        dropped = tuple(other for other in self.dropped if other != name)
        return Environment({**self.variables, name: value}, dropped, self.filtered)

    def names(self) -> list[Json]:
        """Return the names of all variables, sorted by their bytes, as ``launch.start`` writes them."""
        return [canonical.text(name) for name in sorted(self.variables)]


def is_dangerous(name: bytes) -> bool:
    """Return whether a variable of this name makes other programs run something, or opens a vault."""
    return name in _DANGEROUS or name.startswith(_DANGEROUS_PREFIXES)


def given() -> dict[bytes, bytes]:
    """Return the variables that this program was given.

    In the C locale Python adds LC_CTYPE to its own (PEP 538), which would change how the command behaves.
    """
    variables = dict(os.environb)
    if variables.get(b"LC_CTYPE") in _COERCED:
        with suppress(OSError), open("/proc/self/environ", "rb") as file:
            if not any(entry.startswith(b"LC_CTYPE=") for entry in file.read().split(b"\0")):
                del variables[b"LC_CTYPE"]
    return variables


def is_reserved(name: bytes) -> bool:
    """Return whether only nono itself sets a variable of this name."""
    return name.startswith(_RESERVED_PREFIX)


def is_name(name: bytes) -> bool:
    """Return whether ``name`` matches ``[A-Za-z_][A-Za-z0-9_]*`` and is at most 256 bytes long."""
    # The ASCII identifiers of Python are exactly these.
    return len(name) <= MAX_NAME_BYTES and name.isascii() and name.decode("ascii").isidentifier()


def is_own(name: bytes) -> bool:
    """Return whether nono itself sets a variable of this name, whatever anybody else says."""
    return is_reserved(name) or name in _TEMPORARY or name == _ZSH_TEMPORARY


def holds_private_key(value: bytes) -> bool:
    """Return whether ``value`` looks like a private key: any PEM one, or a base64 Ed25519 one."""
    return any(mark in value for mark in _KEY_MARKS)


def require_secret_name(name: bytes) -> None:
    """Check the name under which a secret is to be put into the environment.

    Raises:
        UsageError: it is no name, or one that must not be set (``LD_PRELOAD``, ``NONO_…``, ``PATH``).
    """
    if not is_name(name):
        raise UsageError(
            "a secret is to be put into what is not the name of an environment variable",
            code="credential.name",
            hint="letters, digits and _, no digit first",
        )
    if is_dangerous(name) or is_own(name) or name in _SHARED:
        raise UsageError(
            f"a secret must not be put into {name.decode('ascii')}",
            code="credential.name",
            hint="choose another variable",
        )


def build(
    inherited: Mapping[bytes, bytes],
    *,
    hook: Mapping[bytes, bytes],
    secrets: Mapping[bytes, bytes],
    own: Mapping[bytes, bytes],
    key_names: Collection[bytes],
    temporary: bytes | None,
    unix_sockets: Sequence[SocketGrant],
    names_over_tcp: bool,
    git_configuration: bool,
    lists: Lists | None = None,
    taken: Collection[bytes] = (),
) -> Environment:
    """Put the child's environment together.

    Args:
        inherited: nono's own environment (``os.environb``).
        hook: what the before-hook exported.
        secrets: secrets by the name of their variable; each name is checked.
        own: what nono itself tells the child (``NONO_SESSION_ID``, …); taken as it is.
        key_names: variables that hold a signing key or its passphrase.
        temporary: the private temporary directory, for TMPDIR and its like; None when there is none.
        unix_sockets: the grants on UNIX sockets; a variable that names one stays where it is granted.
        names_over_tcp: whether names of hosts can be asked for over TCP alone (resolv.conf(5), ``use-vc``); a
            C library other than glibc may not know how.
        git_configuration: whether the user's git configuration is readable inside; git dies on one
            that it cannot read.
        lists: what the profile says, None without one.
        taken: variables that secrets were taken from; what is inherited of that name stays outside.

    Raises:
        UsageError: a secret's name is not allowed, or the profile sets a variable that holds a key.
    """
    passes = None if lists is None else lists.passing()
    unreachable = _unreachable({**inherited, **hook}, unix_sockets)
    variables: dict[bytes, bytes] = {}
    dropped: set[bytes] = set()
    filtered: set[bytes] = set()
    for name, value in inherited.items():
        if name in taken or _is_unfit(name, value, key_names, unreachable):
            dropped.add(name)
        elif passes is not None and not passes(name):
            filtered.add(name)
        else:
            variables[name] = value
    set_vars = {} if lists is None else lists.set_vars
    for name in set_vars.keys() & set(key_names):
        raise UsageError(
            f"the profile sets {name.decode('ascii')}, which holds a signing key or its passphrase",
            hint="give the key by a variable of another name",
        )
    variables.update(set_vars)
    for name, value in hook.items():
        if _is_unfit(name, value, key_names, unreachable):
            dropped.add(name)
        else:
            variables[name] = value
    for name, value in secrets.items():
        require_secret_name(name)
        if name in key_names:
            raise UsageError(f"{name.decode('ascii')} holds a signing key, so it cannot be a secret's name")
        variables[name] = value
    if temporary is not None:
        variables.update(dict.fromkeys(_TEMPORARY, temporary))
        variables[_ZSH_TEMPORARY] = temporary + b"/zsh"
    if names_over_tcp:
        options = variables.get(_RESOLVER_OPTIONS, b"").split()
        variables[_RESOLVER_OPTIONS] = b" ".join((*(o for o in options if o != b"use-vc"), b"use-vc"))
    if not git_configuration and _GIT_CONFIGURATION not in set_vars:
        variables[_GIT_CONFIGURATION] = b"/dev/null"
    variables.update(own)
    filtered -= variables.keys()
    return Environment(
        variables, tuple(sorted((dropped | filtered) - variables.keys())), tuple(sorted(filtered - dropped))
    )


def _unreachable(variables: Mapping[bytes, bytes], grants: Sequence[SocketGrant]) -> frozenset[bytes]:
    """Return the names of the variables that would lead to sockets which are not granted."""
    if not grants:
        return _UNIX_SOCKETS
    from runtime.capability import socket_variables  # noqa: PLC0415  # most launches grant none

    return _UNIX_SOCKETS - socket_variables.reaching(variables, grants)


def _is_unfit(
    name: bytes, value: bytes, key_names: Collection[bytes], unreachable: Collection[bytes]
) -> bool:
    """Return whether a variable must reach the child by no accident."""
    return (
        is_dangerous(name)
        or is_reserved(name)
        or name in key_names
        or name in unreachable
        or holds_private_key(value)
    )
