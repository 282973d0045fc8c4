"""The groups of every launch: the system that a command is made of, and the secrets that it must not see.

A *group* is a named set of grants and denials (design 3, "Capability set"). These hold with and without a
profile. Granted is nothing of the user: no home, no ``/tmp``; the private temporary directory, the executable
and the standard streams are added by the launch itself. What does not exist is left out without a word.
Denied are the places in a home where keys, tokens, histories, start-up files and browser profiles lie.

A profile may leave out a group of grants. A *required* one, each of those that deny, stays in force
(:mod:`runtime.policy.profile`). They are Python, since each launch loads them: parsing them would cost it
time.
"""

from __future__ import annotations

from runtime.capability.capabilities import Access, group_source
from runtime.capability.grant_request import GrantRequest


class Group:
    """A named set of grants and denials.

    Attributes:
        name: lower-case letters, digits, ``_``.
        description: what it is for, in one line.
        grants: what it grants; the source of each is ``group:NAME``.
        denies: paths below a home; a star stands at one end of the last component, nowhere else.
        required: whether no profile can leave it out.
    """

    # Written out: to make a class of named tuples costs each launch a tenth of a millisecond.
    __slots__ = ("denies", "description", "grants", "name", "required")

    def __init__(
        self,
        name: str,
        description: str,
        grants: tuple[GrantRequest, ...] = (),
        denies: tuple[bytes, ...] = (),
        *,
        required: bool = False,
    ) -> None:
        self.name = name
        self.description = description
        self.grants = grants
        self.denies = denies
        self.required = required


def granting(name: str, description: str, *grants: tuple[Access, tuple[bytes, ...]]) -> Group:
    """Return a group of grants: accesses, each with absolute paths or such as begin with ``~/``."""
    # Whether it is a file or a directory is decided by what is found there.
    source = group_source(name)
    return Group(
        name,
        description,
        grants=tuple(
            GrantRequest(access, path, directory=True, source=source)
            for access, paths in grants
            for path in paths
        ),
    )


def _denying(name: str, description: str, *paths: bytes) -> Group:
    return Group(name, description, denies=paths, required=True)


# Programs, libraries and their data.
_SYSTEM_PATHS = (b"/usr", b"/bin", b"/sbin", b"/lib", b"/lib32", b"/lib64", b"/libx32")

# What programs die, or misbehave, without. Single files wherever /etc mixes them with secrets:
# certificates, but not /etc/ssl/private; no shadow, no host keys, no configuration with passwords.
_SYSTEM_CONFIGURATION = (
    # the dynamic loader
    b"/etc/ld.so.cache",
    b"/etc/ld.so.conf",
    b"/etc/ld.so.conf.d",
    b"/etc/ld.so.preload",
    # users, names, the network
    b"/etc/passwd",
    b"/etc/group",
    b"/etc/nsswitch.conf",
    b"/etc/hosts",
    b"/etc/host.conf",
    b"/etc/hostname",
    b"/etc/resolv.conf",
    b"/etc/gai.conf",
    b"/etc/services",
    b"/etc/protocols",
    b"/etc/networks",
    # time and language
    b"/etc/localtime",
    b"/etc/timezone",
    b"/etc/locale.alias",
    b"/etc/locale.conf",
    b"/etc/default/locale",
    # TLS
    b"/etc/ssl/certs",
    b"/etc/ssl/cert.pem",
    b"/etc/ssl/openssl.cnf",
    b"/etc/ca-certificates",
    b"/etc/ca-certificates.conf",
    b"/etc/pki/ca-trust/extracted",
    b"/etc/pki/tls/certs",
    b"/etc/pki/tls/cert.pem",
    b"/etc/pki/tls/openssl.cnf",
    b"/etc/crypto-policies",
    # what the system is
    b"/etc/os-release",
    b"/etc/lsb-release",
    b"/etc/debian_version",
    b"/etc/redhat-release",
    b"/etc/alternatives",
    # tools and languages
    b"/etc/gitconfig",
    b"/etc/mime.types",
    b"/etc/magic",
    b"/etc/terminfo",
    b"/etc/inputrc",
    b"/etc/profile",
    b"/etc/profile.d",
    b"/etc/bash.bashrc",
    b"/etc/bashrc",
    b"/etc/zsh",
    b"/etc/zshenv",
    b"/etc/zshrc",
    b"/etc/fish",
    b"/etc/fonts",
    b"/etc/perl",
    b"/etc/python3",
    b"/etc/java",
    b"/etc/java-8-openjdk",
    b"/etc/java-11-openjdk",
    b"/etc/java-17-openjdk",
    b"/etc/java-21-openjdk",
    b"/etc/java-25-openjdk",
)

# As a whole: a rule on the own pid would fail in every forked child. What that leaves visible of
# other processes is said in SECURITY.md; their memory and environment are not.
_PROCESS_INFORMATION = (b"/proc",)

_DEVICES = (b"/dev/null", b"/dev/zero", b"/dev/full", b"/dev/tty")
_RANDOM_DEVICES = (b"/dev/random", b"/dev/urandom")

DEFAULT_GROUPS: tuple[Group, ...] = (
    granting("system_paths", "programs, libraries and their data", (Access.READ, _SYSTEM_PATHS)),
    granting(
        "system_configuration",
        "what programs die, or misbehave, without",
        (Access.READ, _SYSTEM_CONFIGURATION),
    ),
    granting("process_information", "/proc, for reading", (Access.READ, _PROCESS_INFORMATION)),
    granting(
        "devices",
        "harmless devices",
        (Access.READWRITE, _DEVICES),
        (Access.READ, _RANDOM_DEVICES),
    ),
    _denying(
        "deny_credentials",
        "keys and tokens, and files that are called so",
        b".ssh",
        b".gnupg",
        b".netrc",
        b".git-credentials",
        b".config/git/credentials",
        b".vault-token",
        b".credentials",
        b".secrets",
        b".keys",
        b".pki",
        b".env",
        b".envrc",
    ),
    _denying(
        "deny_cloud_credentials",
        "credentials of clouds, clusters and code hosts",
        b".aws",
        b".azure",
        b".config/gcloud",
        b".gcloud",
        b".kube",
        b".docker",
        b".terraform.d",
        b".config/gh",
        b".config/hub",
        b".config/glab-cli",
        b".config/rclone",
        b".config/containers/auth.json",
    ),
    _denying(
        "deny_package_credentials",
        "tokens of package registries",
        b".npmrc",
        b".pypirc",
        b".cargo/credentials*",
        b".local/share/uv/credentials",
        b".rye/credentials",
        b".config/pypoetry/auth.toml",
        b".gem/credentials",
        b".ivy2/.credentials",
        b".sbt/.credentials",
        b".composer/auth.json",
        b".config/composer/auth.json",
    ),
    _denying(
        "deny_keychains",
        "password stores and keyrings",
        b".password-store",
        b".1password",
        b".op",
        b".config/op",
        b".local/share/keyrings",
    ),
    _denying(
        "deny_browser_data",
        "browser profiles",
        b".mozilla",
        b".config/mozilla",
        b".config/google-chrome*",
        b".config/chromium*",
        b".config/BraveSoftware",
        b".config/microsoft-edge*",
        b".config/vivaldi*",
        b".config/opera*",
        b".config/librewolf",
    ),
    _denying(
        "deny_shell_history",
        "histories of shells and other programs",
        b"*_history",
        b".history",
        b".local/share/fish/fish_history*",
    ),
    _denying(
        "deny_shell_configs",
        "what shells run when they start",
        b".bashrc",
        b".bash_profile",
        b".bash_login",
        b".bash_logout",
        b".bash_aliases",
        b".profile",
        b".zshrc",
        b".zshenv",
        b".zprofile",
        b".zlogin",
        b".zlogout",
        b".kshrc",
        b".mkshrc",
        b".cshrc",
        b".tcshrc",
        b".login",
        b".logout",
        b".xprofile",
        b".xsessionrc",
        b".config/fish",
    ),
)

DEFAULT_GRANTS: tuple[GrantRequest, ...] = tuple(grant for group in DEFAULT_GROUPS for grant in group.grants)

DEFAULT_DENIALS: dict[str, tuple[bytes, ...]] = {
    group.name: group.denies for group in DEFAULT_GROUPS if group.denies
}
"""What is denied in a home, by group."""
