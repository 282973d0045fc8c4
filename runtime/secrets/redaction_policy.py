"""Under which names a secret is expected on a command line, and how a user changes that.

Four kinds of names: options, header fields, query and form fields, environment variables. A name is
compared as a whole and without regard to case; one that begins with ``*`` stands for every name that ends
so (``*_token``). The difference from :data:`DEFAULT` is part of each launch's intent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attest import canonical
from runtime.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from attest.canonical import Json

MAX_NAME_BYTES = 256
MAX_NAMES = 256  # of each kind, as the schema of the intent has it

NOT_REMOVED = "usage.not_removed"
"""Code of the error about a name that cannot be removed from a policy."""

# Whatever ends a name, in a shell, a URL, JSON or a program text.
_FORBIDDEN = b" =:&?#;%\"'`,()<>[]{}|\\$"

_STAR = ord("*")
_KINDS = ("flags", "headers", "query_keys", "environment")

# `--no-password` and its like take no secret, they ask for one or do without.
_NO_SECRET_FOLLOWS = tuple(
    dashes + verb
    for dashes in (b"--", b"-")
    for verb in (b"no-", b"ask-", b"prompt-", b"show-", b"print-", b"gen-")
)


class Names:
    """Names in the form in which they are looked up, all of them lower case."""

    __slots__ = ("_endings", "_whole")

    def __init__(self, names: frozenset[bytes]) -> None:
        self._endings = tuple([name[1:] for name in names if name[0] == _STAR])
        self._whole = names  # no name that is looked up has a star

    def __contains__(self, name: bytes) -> bool:
        return name in self._whole or name.endswith(self._endings)

    def has_option(self, option: bytes) -> bool:
        """Return whether what follows ``option`` is secret."""
        if not option.startswith(b"-"):
            return False
        if option.startswith(b"--"):  # `--api_key` is the same option to many parsers
            option = option.replace(b"_", b"-")
        return option in self._whole or (
            option.endswith(self._endings) and not option.startswith(_NO_SECRET_FOLLOWS)
        )

    def end_attached(self, text: bytes) -> bool:
        """Return whether ``text`` is a one-letter option with one of the names attached (``-eTOKEN``)."""
        return text.endswith(tuple(self._whole), 1)


class Policy:
    """What counts as secret by the name under which it stands. All names are lower case.

    Attributes:
        flags: options, dashes included.
        headers: header field names.
        query_keys: names of query and form fields.
        environment: names of environment variables, and of whatever else is assigned with ``=`` or is a
            quoted member (``"password": "…"``).
    """

    # No NamedTuple and no dataclass: each launch would make the class anew, for 0.2 ms and more.
    __slots__ = ("environment", "flags", "headers", "query_keys")

    def __init__(
        self,
        *,
        flags: frozenset[bytes],
        headers: frozenset[bytes],
        query_keys: frozenset[bytes],
        environment: frozenset[bytes],
    ) -> None:
        self.flags = flags
        self.headers = headers
        self.query_keys = query_keys
        self.environment = environment

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Policy) and self.names() == other.names()

    def __hash__(self) -> int:
        return hash(tuple(self.names().values()))

    def names(self) -> dict[str, frozenset[bytes]]:
        """Return the names of each kind."""
        return {kind: getattr(self, kind) for kind in _KINDS}

    def extended(
        self,
        *,
        flags: Iterable[bytes] = (),
        headers: Iterable[bytes] = (),
        query_keys: Iterable[bytes] = (),
        environment: Iterable[bytes] = (),
    ) -> Policy:
        """Return this policy with more names.

        Raises:
            UsageError: a name is empty, too long, has characters that it cannot have, or is one too
                many.
        """
        added = _names(flags, headers, query_keys, environment)
        extended = Policy(**{kind: names | added[kind] for kind, names in self.names().items()})
        for kind, names in extended.names().items():
            if len(names) > MAX_NAMES:
                raise UsageError(f"more than {MAX_NAMES} {kind} to redact")
        return extended

    def unsafe_without(
        self,
        *,
        flags: Iterable[bytes] = (),
        headers: Iterable[bytes] = (),
        query_keys: Iterable[bytes] = (),
        environment: Iterable[bytes] = (),
    ) -> Policy:
        """Return this policy with fewer names: what they protected will be in the ledger for ever.

        Raises:
            UsageError: a name is not in the policy, or another one still covers it.
        """
        removed = _names(flags, headers, query_keys, environment)
        for kind, names in removed.items():
            for name in sorted(names - getattr(self, kind)):
                raise UsageError(f"not redacted anyway: {name.decode('ascii')}", code=NOT_REMOVED)
        narrowed = Policy(**{kind: names - removed[kind] for kind, names in self.names().items()})
        for kind, names in removed.items():
            for name in sorted(names):
                for ending in sorted(getattr(narrowed, kind)):
                    if ending.startswith(b"*") and name.endswith(ending[1:]):
                        raise UsageError(
                            f"{ending.decode('ascii')} still covers {name.decode('ascii')}",
                            code=NOT_REMOVED,
                            hint="remove that too",
                        )
        return narrowed

    def difference(self) -> dict[str, Json]:
        """Return how this policy differs from the default, as ``launch.intent`` writes it."""
        return {
            "added": _difference(self, DEFAULT),
            "removed": _difference(DEFAULT, self),
        }


def _lines(text: str) -> frozenset[bytes]:
    return frozenset(text.encode("ascii").split())


DEFAULT = Policy(
    flags=_lines("""
        --token --password --api-key --apikey --secret --auth --bearer --access-token --client-secret
        --passwd --passphrase --pass --proxy-pass --oauth2-bearer --jwt --pat
        --access-key --secret-key --account-key --connection-string
        *-access-key *-account-key *-secret-key *-api-key *-apikey
        *-token *-password *-passwd *-passphrase *-secret
    """),
    headers=_lines("""
        authorization proxy-authorization x-api-key x-auth-token cookie set-cookie
        api-key apikey x-auth-key x-functions-key ocp-apim-subscription-key
        *-authorization *-token *-api-key *-apikey *-secret *-auth-key *-access-key
    """),
    query_keys=_lines("""
        token access_token api_key apikey key secret password code state nonce client_secret
        passwd pwd pass passphrase auth jwt sig signature authtoken accesstoken
        x-amz-signature x-amz-credential x-goog-signature x-goog-credential
        *_token *-token *_secret *_password *_api_key *_apikey *_signature
    """),
    environment=_lines("""
        anthropic_api_key azure_openai_api_key cohere_api_key gemini_api_key google_api_key
        mistral_api_key openai_api_key together_api_key aws_secret_access_key aws_session_token gh_token
        github_token huggingface_api_token nono_proxy_token
        passphrase pgpass mysql_pwd _auth secret_key_base sshpass
        *token *password *passwd *_passphrase *_pass secret *_secret *api_key *apikey *secret_key
        *access_key *private_key *encryption_key *signing_key *master_key *app_key *auth_key *license_key
        *accountkey *_pat *authtoken *clientsecret
    """),
)


def _names(
    flags: Iterable[bytes],
    headers: Iterable[bytes],
    query_keys: Iterable[bytes],
    environment: Iterable[bytes],
) -> dict[str, frozenset[bytes]]:
    given = zip(_KINDS, (flags, headers, query_keys, environment), strict=True)
    return {kind: frozenset(_name(kind, name) for name in names) for kind, names in given}


def _name(kind: str, name: bytes) -> bytes:
    visible = name.isascii() and name.decode("ascii").isprintable()
    if (
        not 0 < len(name) <= MAX_NAME_BYTES
        or not visible
        or any(byte in _FORBIDDEN for byte in name)
        or b"*" in name[1:]
        or (kind == "flags" and not name.startswith((b"-", b"*-")))
        or name.strip(b"-*_") == b""
    ):
        raise UsageError(
            f"not a name that can be redacted: {canonical.text(name)!r} in {kind}",
            hint="a flag starts with a dash; no name holds blanks, quotes or separators; "
            "a * stands only in front",
        )
    return name.lower()


def _difference(ours: Policy, theirs: Policy) -> dict[str, Json]:
    return {
        kind: [name.decode("ascii") for name in sorted(names - theirs.names()[kind])]
        for kind, names in ours.names().items()
    }
