"""What every command may read, asked for or not: the system that it is made of, and nothing of the user.

Design 3, "Capability set". No home, no ``/tmp``; the private temporary directory, the executable and
the standard streams are added by the launch itself. What does not exist is left out without a word.
"""

from __future__ import annotations

from runtime.capabilities import Access, group_source
from runtime.grant_request import GrantRequest

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


def _group(name: str, access: Access, paths: tuple[bytes, ...]) -> tuple[GrantRequest, ...]:
    # Whether a default is a file or a directory is decided by what is found there.
    return tuple(GrantRequest(access, path, directory=True, source=group_source(name)) for path in paths)


DEFAULT_GRANTS: tuple[GrantRequest, ...] = (
    *_group("system_paths", Access.READ, _SYSTEM_PATHS),
    *_group("system_configuration", Access.READ, _SYSTEM_CONFIGURATION),
    *_group("process_information", Access.READ, _PROCESS_INFORMATION),
    *_group("devices", Access.READWRITE, _DEVICES),
    *_group("devices", Access.READ, _RANDOM_DEVICES),
)
