"""What reaches the child's environment, and what must not."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import given
from hypothesis import strategies as st

from runtime.capability import environment
from runtime.capability.capabilities import USER, Reach, SocketGrant
from runtime.capability.environment_lists import Lists, is_pattern
from runtime.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


def build(inherited: dict[bytes, bytes] | None = None, **changes: Any) -> environment.Environment:
    arguments: dict[str, Any] = {
        "hook": {},
        "secrets": {},
        "own": {},
        "key_names": (),
        "temporary": None,
        "unix_sockets": (),
        "names_over_tcp": False,
        "git_configuration": True,
    }
    return environment.build(inherited or {}, **(arguments | changes))


# Design 3, "Environment", name by name; vault tokens as of HashiCorp, 1Password and Bitwarden.
DANGEROUS = (
    "LD_PRELOAD LD_LIBRARY_PATH LD_AUDIT LD_ DYLD_INSERT_LIBRARIES BASH_ENV ENV CDPATH GLOBIGNORE "
    "BASH_FUNC_ls%% PROMPT_COMMAND IFS PYTHONSTARTUP PYTHONPATH PYTHONHOME NODE_OPTIONS NODE_PATH "
    "PERL5OPT PERL5LIB RUBYOPT RUBYLIB GEM_PATH GEM_HOME JAVA_TOOL_OPTIONS _JAVA_OPTIONS "
    "DOTNET_STARTUP_HOOKS GOFLAGS VAULT_TOKEN OP_SERVICE_ACCOUNT_TOKEN OP_CONNECT_TOKEN BW_SESSION"
)
SOCKETS = "SSH_AUTH_SOCK DBUS_SESSION_BUS_ADDRESS DOCKER_HOST WAYLAND_DISPLAY XDG_RUNTIME_DIR"


@pytest.mark.parametrize("name", DANGEROUS.encode().split())
@pytest.mark.parametrize("source", ["inherited", "hook"])
def test_dangerous_names_are_dropped_from_every_source(name: bytes, source: str) -> None:
    given_variables = {name: b"x", b"KEPT": b"y"}
    built = build(given_variables) if source == "inherited" else build(hook=given_variables)
    assert built.variables == {b"KEPT": b"y"}
    assert built.dropped == (name,)


@pytest.mark.parametrize("name", DANGEROUS.encode().split())
def test_no_secret_goes_into_a_dangerous_name(name: bytes) -> None:
    with pytest.raises(UsageError) as caught:
        build(secrets={name: b"hunter2"})
    assert caught.value.hint
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("name", [b"", b"1A", b"A B", b"A=B", b"A\0", b"\xff", b"A-B", b"A" * 257, b"NONO_X"])
def test_what_is_no_name_for_a_secret(name: bytes) -> None:
    with pytest.raises(UsageError):
        build(secrets={name: b"x"})


@pytest.mark.parametrize("name", [b"LDAP", b"ENVIRONMENT", b"XIFS", b"PYTHON", b"ld_preload", b"DOCKER"])
def test_names_that_only_look_alike_stay(name: bytes) -> None:
    assert build({name: b"x"}).variables == {name: b"x"}


@pytest.mark.parametrize("name", SOCKETS.encode().split())
def test_names_of_sockets_need_a_grant(name: bytes) -> None:
    without = build({name: b"x"})
    assert (without.variables, without.dropped) == ({}, (name,))


def granted(path: bytes, reach: Reach = Reach.SOCKET) -> SocketGrant:
    return SocketGrant(path, path, reach, bind=False, source=USER)


@pytest.mark.parametrize(
    ("name", "value", "grant", "stays"),
    [
        (b"SSH_AUTH_SOCK", b"/nono/s", granted(b"/nono/s"), True),
        (b"SSH_AUTH_SOCK", b"/nono/../nono//s", granted(b"/nono/s"), True),
        (b"SSH_AUTH_SOCK", b"/nono/s", granted(b"/nono", Reach.DIRECTORY), True),
        (b"SSH_AUTH_SOCK", b"/nono/a/s", granted(b"/nono", Reach.DIRECTORY), False),
        (b"SSH_AUTH_SOCK", b"/nono/a/s", granted(b"/nono", Reach.SUBTREE), True),
        (b"SSH_AUTH_SOCK", b"/nono/st", granted(b"/nono/s"), False),
        (b"SSH_AUTH_SOCK", b"nono/s", granted(b"/nono/s"), False),
        (b"SSH_AUTH_SOCK", b"/nono/s\0", granted(b"/nono/s"), False),
        (b"SSH_AUTH_SOCK", b"", granted(b"/nono/s"), False),
        (b"DOCKER_HOST", b"unix:///nono/s", granted(b"/nono/s"), True),
        (b"DOCKER_HOST", b"tcp://nono/s", granted(b"/nono/s"), False),
        (b"DOCKER_HOST", b"/nono/s", granted(b"/nono/s"), False),
        (b"DBUS_SESSION_BUS_ADDRESS", b"unix:path=/nono/s,guid=1", granted(b"/nono/s"), True),
        (b"DBUS_SESSION_BUS_ADDRESS", b"tcp:host=x;unix:guid=1,path=/%6eono/s", granted(b"/nono/s"), True),
        (b"DBUS_SESSION_BUS_ADDRESS", b"unix:abstract=/nono/s", granted(b"/nono/s"), False),
        (b"DBUS_SESSION_BUS_ADDRESS", b"unix:path=/nono/%zz", granted(b"/nono/s"), False),
        (b"WAYLAND_DISPLAY", b"/nono/s", granted(b"/nono/s"), True),
        (b"WAYLAND_DISPLAY", b"s", granted(b"/nono/s"), False),
        (b"XDG_RUNTIME_DIR", b"/nono", granted(b"/nono/s"), True),
        (b"XDG_RUNTIME_DIR", b"/nono", granted(b"/nono", Reach.DIRECTORY), True),
        (b"XDG_RUNTIME_DIR", b"/nono/a", granted(b"/nono", Reach.SUBTREE), True),
        (b"XDG_RUNTIME_DIR", b"/nono/a", granted(b"/nono", Reach.DIRECTORY), False),
        (b"XDG_RUNTIME_DIR", b"/other", granted(b"/nono/s"), False),
    ],
)
def test_a_name_stays_where_what_it_names_is_granted(
    name: bytes, value: bytes, grant: SocketGrant, stays: bool
) -> None:
    built = build({name: value}, unix_sockets=(grant,))
    assert (name in built.variables, name in built.dropped) == (stays, not stays)


def test_a_compositor_is_found_in_the_runtime_directory(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    inherited = {b"WAYLAND_DISPLAY": b"wayland-0", b"XDG_RUNTIME_DIR": os.fsencode(tmp_path / "link")}
    real = os.fsencode(os.path.realpath(tmp_path))
    assert build(inherited, unix_sockets=(granted(real + b"/wayland-0"),)).variables == inherited
    assert build(inherited, unix_sockets=(granted(b"/other/wayland-0"),)).variables == {}


@pytest.mark.parametrize(
    ("inherited", "wanted"),
    [
        (None, b"use-vc"),
        (b"", b"use-vc"),
        (b"use-vc", b"use-vc"),
        (b"timeout:1  use-vc ndots:3", b"timeout:1 ndots:3 use-vc"),
    ],
)
def test_names_are_asked_for_over_tcp_beside_what_was_said(inherited: bytes | None, wanted: bytes) -> None:
    given_variables = {} if inherited is None else {b"RES_OPTIONS": inherited}
    assert build(given_variables, names_over_tcp=True).variables == {b"RES_OPTIONS": wanted}
    assert build(given_variables).variables == given_variables


def test_the_last_source_wins() -> None:
    inherited = dict.fromkeys((b"A", b"B", b"C", b"TMPDIR", b"D"), b"inherited")
    built = build(
        inherited,
        hook={b"B": b"hook", b"C": b"hook", b"TMPDIR": b"hook"},
        secrets={b"C": b"secret"},
        own={b"D": b"own", b"NONO_SESSION_ID": b"s"},
        temporary=b"/private",
    )
    assert built.variables == {
        b"A": b"inherited",
        b"B": b"hook",
        b"C": b"secret",
        b"D": b"own",
        b"NONO_SESSION_ID": b"s",
        b"TMPDIR": b"/private",
        b"TMP": b"/private",
        b"TEMP": b"/private",
        b"TMPPREFIX": b"/private/zsh",
    }
    assert built.dropped == ()
    assert inherited[b"B"] == b"inherited"


def test_what_a_secret_was_taken_from_is_not_inherited() -> None:
    built = build({b"SOURCE": b"v", b"KEPT": b"w"}, secrets={b"A": b"v"}, taken=(b"SOURCE",))
    assert built.variables == {b"A": b"v", b"KEPT": b"w"}
    assert built.dropped == (b"SOURCE",)
    built = build({b"SOURCE": b"v"}, secrets={b"SOURCE": b"v"}, taken=(b"SOURCE",))
    assert (built.variables, built.dropped) == ({b"SOURCE": b"v"}, ())
    built = build({b"SOURCE": b"v"}, hook={b"SOURCE": b"h"}, taken=(b"SOURCE",))
    assert (built.variables, built.dropped) == ({b"SOURCE": b"h"}, ())


def test_an_environment_does_not_show_itself() -> None:
    assert "hunter2" not in repr(build({b"A": b"hunter2"}, secrets={b"B": b"hunter2"}))


@pytest.mark.parametrize("name", [b"PATH", b"RES_OPTIONS", b"GIT_CONFIG_GLOBAL", b"TMPDIR", b"TMP", b"TEMP"])
def test_no_secret_goes_where_nono_itself_looks_or_writes(name: bytes) -> None:
    with pytest.raises(UsageError) as caught:
        build(secrets={name: b"hunter2"})
    assert caught.value.code == "credential.name"
    assert "hunter2" not in str(caught.value)


def test_an_outer_nono_and_a_hook_do_not_speak_for_this_one() -> None:
    built = build(
        {b"NONO_CAP_FILE": b"/outer"}, hook={b"NONO_SESSION_ID": b"lie"}, own={b"NONO_SESSION_ID": b"s"}
    )
    assert built.variables == {b"NONO_SESSION_ID": b"s"}
    assert built.dropped == (b"NONO_CAP_FILE",)


def test_the_signing_key_never_passes() -> None:
    built = build({b"CI_KEY": b"x"}, hook={b"CI_KEY": b"x"}, key_names=[b"CI_KEY"])
    assert (built.variables, built.dropped) == ({}, (b"CI_KEY",))
    with pytest.raises(UsageError, match="CI_KEY"):
        build(secrets={b"CI_KEY": b"x"}, key_names=[b"CI_KEY"])


@pytest.mark.parametrize("encryption", [None, b"passphrase"])
@pytest.mark.parametrize("kind", ["ed25519", "ec"])
def test_private_keys_are_known_by_their_value(kind: str, encryption: bytes | None) -> None:
    key = (
        ed25519.Ed25519PrivateKey.generate() if kind == "ed25519" else ec.generate_private_key(ec.SECP256R1())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(encryption) if encryption else serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    built = build({b"A": pem, b"B": public, b"C": pem.replace(b"\n", b"\\n")})
    assert (built.variables, built.dropped) == ({b"B": public}, (b"A", b"C"))


def test_a_bare_ed25519_key_is_known_by_its_value() -> None:
    for _ in range(20):
        pem = ed25519.Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        body = b"".join(pem.splitlines()[1:-1])
        assert build({b"A": body}).dropped == (b"A",)


def test_git_ignores_a_configuration_that_it_cannot_read() -> None:
    assert build({b"GIT_CONFIG_GLOBAL": b"/mine"}).variables == {b"GIT_CONFIG_GLOBAL": b"/mine"}
    without = build({b"GIT_CONFIG_GLOBAL": b"/mine"}, git_configuration=False)
    assert without.variables == {b"GIT_CONFIG_GLOBAL": b"/dev/null"}


def test_names_are_recorded_and_values_are_not() -> None:
    built = build({b"B": b"value", b"A": b"value", b"\xff": b"value"})
    assert built.names() == ["A", "B", {"base64": "/w=="}]
    assert built.path is None
    assert build({b"PATH": b"/bin"}).path == b"/bin"


def test_what_was_dropped_but_is_set_again_is_not_called_dropped() -> None:
    pem = b"-----BEGIN PRIVATE KEY-----"
    built = build({b"DEPLOY": pem}, secrets={b"DEPLOY": b"token"})
    assert (built.variables, built.dropped) == ({b"DEPLOY": b"token"}, ())


def test_a_real_loader_is_not_reached() -> None:
    # The variable does harm in a real process: the loader complains about what it cannot preload.
    hostile = {b"LD_PRELOAD": b"/no/such/library.so", b"PATH": b"/usr/bin:/bin"}
    bare = subprocess.run(["/bin/true"], env=hostile, capture_output=True, check=False)
    clean = subprocess.run(["/bin/true"], env=build(hostile).variables, capture_output=True, check=False)
    assert b"/no/such/library.so" in bare.stderr
    assert clean.stderr == b""


NAMES = st.one_of(
    st.binary(min_size=1, max_size=12).filter(lambda name: b"=" not in name and b"\0" not in name),
    st.sampled_from((DANGEROUS + " " + SOCKETS + " NONO_X A B").encode().split()),
)


@given(st.dictionaries(NAMES, st.binary(max_size=8)), st.dictionaries(NAMES, st.binary(max_size=8)))
def test_whatever_comes_in_nothing_dangerous_comes_out(
    inherited: dict[bytes, bytes], hook: dict[bytes, bytes]
) -> None:
    built = build(inherited, hook=hook, unix_sockets=())
    assert not any(
        environment.is_dangerous(name) or environment.is_reserved(name) for name in built.variables
    )
    assert not set(SOCKETS.encode().split()) & built.variables.keys()
    assert set(built.dropped) | built.variables.keys() == inherited.keys() | hook.keys()
    assert not set(built.dropped) & built.variables.keys()


# --- what a profile says -------------------------------------------------------------------------


INHERITED = {b"PATH": b"/bin", b"LC_ALL": b"C", b"LC": b"x", b"GITHUB_TOKEN": b"t", b"LD_PRELOAD": b"/x.so"}


def test_with_a_list_of_what_is_allowed_nothing_else_is_inherited() -> None:
    built = build(INHERITED, lists=Lists(allow=(b"PATH", b"LC_*", b"LD_PRELOAD")))
    assert built.variables == {b"PATH": b"/bin", b"LC_ALL": b"C"}
    assert built.filtered == (b"GITHUB_TOKEN", b"LC")
    assert built.dropped == (b"GITHUB_TOKEN", b"LC", b"LD_PRELOAD")
    assert build(INHERITED, lists=Lists(allow=())).variables == {}
    everything = build(INHERITED, lists=Lists(allow=(b"*",)))
    assert everything.variables == build(INHERITED).variables
    assert everything.filtered == ()


def test_what_is_denied_is_not_inherited_whatever_is_allowed() -> None:
    built = build(INHERITED, lists=Lists(allow=(b"*",), deny=(b"GITHUB_*", b"LC")))
    assert built.variables == {b"PATH": b"/bin", b"LC_ALL": b"C"}
    assert built.filtered == (b"GITHUB_TOKEN", b"LC")
    assert build(INHERITED, lists=Lists(deny=(b"*",))).variables == {}


def test_a_profile_sets_what_it_says_even_a_dangerous_name() -> None:
    built = build(
        {b"GOFLAGS": b"inherited", b"A": b"inherited", b"B": b"inherited"},
        lists=Lists(allow=(), set_vars={b"GOFLAGS": b"-mod=vendor", b"A": b"set"}),
    )
    assert built.variables == {b"GOFLAGS": b"-mod=vendor", b"A": b"set"}
    assert (built.dropped, built.filtered) == ((b"B",), (b"B",))


def test_the_last_one_wins() -> None:
    """Inherited, profile, hook, secrets, nono's own."""
    layers = {b"A": b"1", b"B": b"1", b"C": b"1", b"D": b"1", b"E": b"1"}
    built = build(
        layers,
        lists=Lists(set_vars=dict.fromkeys((b"B", b"C", b"D", b"E"), b"2")),
        hook={b"C": b"3", b"D": b"3", b"E": b"3"},
        secrets={b"D": b"4", b"E": b"4"},
        own={b"E": b"5"},
    )
    assert built.variables == {b"A": b"1", b"B": b"2", b"C": b"3", b"D": b"4", b"E": b"5"}


def test_a_hook_exports_what_the_lists_keep_back_but_nothing_dangerous() -> None:
    """The lists are about what is inherited by accident; a hook is asked for by the same profile."""
    built = build({b"A": b"1"}, lists=Lists(allow=(), deny=(b"A",)), hook={b"A": b"2", b"LD_PRELOAD": b"x"})
    assert built.variables == {b"A": b"2"}
    assert built.dropped == (b"LD_PRELOAD",)
    assert built.filtered == ()


def test_a_profile_does_not_set_a_variable_that_holds_the_key() -> None:
    with pytest.raises(UsageError, match="the profile sets CI_KEY"):
        build({}, lists=Lists(set_vars={b"CI_KEY": b"x"}), key_names=(b"CI_KEY",))


def test_git_is_told_what_the_profile_says() -> None:
    said = Lists(set_vars={b"GIT_CONFIG_GLOBAL": b"/etc/other"})
    assert build({}, lists=said, git_configuration=False).variables == {b"GIT_CONFIG_GLOBAL": b"/etc/other"}


@pytest.mark.parametrize("pattern", [b"A", b"_", b"A*", b"_*", b"*", b"a1_B*"])
def test_what_is_a_pattern(pattern: bytes) -> None:
    assert is_pattern(pattern)


@pytest.mark.parametrize(
    "pattern", [b"", b"**", b"A**", b"*A", b"A*B", b"1", b"A-", b"A\n", b"\xff*", b"A" * 257]
)
def test_what_is_no_pattern(pattern: bytes) -> None:
    assert not is_pattern(pattern)


@given(
    st.dictionaries(st.binary(min_size=1, max_size=4), st.just(b"v"), max_size=6),
    st.lists(st.binary(max_size=3), max_size=3),
    st.lists(st.binary(max_size=3), max_size=3),
)
def test_lists_by_another_way(inherited: dict[bytes, bytes], allow: list[bytes], deny: list[bytes]) -> None:
    import fnmatch

    def matches(name: bytes, patterns: list[bytes]) -> bool:
        escaped = [b"".join(b"[%c]" % c if c in b"*?[" else b"%c" % c for c in each) for each in patterns]
        return any(fnmatch.fnmatchcase(name, pattern + b"*") for pattern in escaped)

    built = build(
        inherited,
        lists=Lists(allow=tuple(each + b"*" for each in allow), deny=tuple(each + b"*" for each in deny)),
    )
    unlisted = build(inherited)
    expected = {name for name in unlisted.variables if matches(name, allow) and not matches(name, deny)}
    assert set(built.variables) == expected
    assert set(built.filtered) == unlisted.variables.keys() - expected
