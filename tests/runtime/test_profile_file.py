"""Profile files: exactly what the published schema says, every mistake named with its place."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.capability.capabilities import PROFILE, Access, Ports
from runtime.capability.environment_lists import Lists
from runtime.capability.grant_request import GrantRequest
from runtime.capability.hook_request import Hook
from runtime.capability.tool_groups import GROUPS
from runtime.errors import ProfileError
from runtime.policy.jsonc import without_comments
from runtime.policy.profile_file import MAX_BYTES, ProfileFile, read_profile_file
from tests.runtime import limit_values
from tests.runtime.published_schema import validator

if TYPE_CHECKING:
    import jsonschema  # type: ignore[import-untyped]  # published without type information


@pytest.fixture
def schema() -> jsonschema.Draft202012Validator:
    return validator("profile")


def write(directory: Path, content: object) -> bytes:
    path = directory / "strict.json"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(json.dumps(content))
    return os.fsencode(path)


def read_profile(path: bytes) -> ProfileFile:
    return read_profile_file(os.path.abspath(path), called=path)


def refused(directory: Path, content: object) -> ProfileError:
    with pytest.raises(ProfileError) as caught:
        read_profile(write(directory, content))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000
    return caught.value


FULL = {
    "$schema": "./profile.schema.json",
    "description": "all that can be said",
    "extends": ["base", "./other.jsonc"],
    "groups": {"include": ["git_configuration"], "exclude": ["devices"]},
    "environment": {"allow": ["PATH", "LC_*"], "deny": ["*"], "set_vars": {"GOFLAGS": "-mod=mod", "E": ""}},
    "filesystem": {
        "allow": ["$WORKDIR", "~/.cache/tool"],
        "read": ["/srv/data"],
        "write": ["/srv/out"],
        "allow_file": ["~/.tool.json"],
        "read_file": ["$WORKDIR/Makefile"],
        "write_file": ["/srv/log"],
    },
    "network": {"block": True, "allow_connect_port": [443, 53], "listen_port": [80], "open_port": [80, 99]},
    "env_credentials": {"API_KEY": "keyring://nono/a/b", "T": "file:///run/t", "U": "env://CI_TOKEN"},
    "commands": {"allow": ["rm"], "block": ["npm", "kubectl"]},
    "security": {"protect_metadata": True, "capability_elevation": True},
    "limits": {
        "memory": "2GiB",
        "max_processes": 64,
        "cpu_time": "10m",
        "max_file_size": 4096,
        "nofile": 256,
    },
    "session_hooks": {
        "before": {"script": "/opt/before.sh", "timeout_secs": 5, "required": True},
        "after": {"script": "~/after.sh"},
    },
}


def test_everything_that_a_profile_can_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, schema: jsonschema.Draft202012Validator
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    path = write(tmp_path, FULL)
    profile = read_profile(path)
    assert profile.name == b"strict"
    assert profile.path == path
    assert profile.sha256 == hashlib.sha256(Path(os.fsdecode(path)).read_bytes()).hexdigest()
    assert profile.filesystem == (
        GrantRequest(Access.READWRITE, b"$WORKDIR", True, PROFILE),
        GrantRequest(Access.READWRITE, b"~/.cache/tool", True, PROFILE),
        GrantRequest(Access.READ, b"/srv/data", True, PROFILE),
        GrantRequest(Access.WRITE, b"/srv/out", True, PROFILE),
        GrantRequest(Access.READWRITE, b"~/.tool.json", False, PROFILE),
        GrantRequest(Access.READ, b"$WORKDIR/Makefile", False, PROFILE),
        GrantRequest(Access.WRITE, b"/srv/log", False, PROFILE),
    )
    assert profile.block_network is True
    assert profile.ports == Ports((53, 80, 99, 443), (80,), (99,))
    assert profile.description == "all that can be said"
    assert profile.extends == (b"base", b"./other.jsonc")
    assert (profile.include, profile.exclude) == (("git_configuration",), ("devices",))
    assert profile.credentials == FULL["env_credentials"]
    assert (profile.allow_commands, profile.block_commands) == ((b"rm",), (b"npm", b"kubectl"))
    assert (profile.protect_metadata, profile.capability_elevation) == (True, True)
    assert profile.limits == {
        "cpu_seconds": 600, "file_size_bytes": 4096, "memory_bytes": 2 << 30, "open_files": 256,
        "processes": 64,
    }  # fmt: skip
    assert profile.variables == Lists(
        allow=(b"PATH", b"LC_*"), deny=(b"*",), set_vars={b"GOFLAGS": b"-mod=mod", b"E": b""}
    )
    assert profile.hooks == {
        "before": Hook("before", b"/opt/before.sh", 5, required=True),
        "after": Hook("after", b"/home/me/after.sh", 30, required=False),
    }
    schema.validate(FULL)


def test_an_empty_profile_asks_for_nothing(tmp_path: Path) -> None:
    profile = read_profile(write(tmp_path, {}))
    assert (profile.filesystem, profile.block_network, profile.hooks) == ((), False, {})
    assert (profile.extends, profile.include, profile.exclude) == ((), (), ())
    assert (profile.protect_metadata, profile.capability_elevation) == (False, False)
    assert profile.variables == Lists()


HOOK = {"script": "/x"}
WRONG: list[tuple[object, str, str | None]] = [
    ([], "must be an object, not a list", None),
    (None, "must be an object, not null", None),
    ({"filesytem": {}}, "at filesytem: unknown key", "did you mean filesystem?"),
    ({"security": {"protect_metadata": "yes"}}, "at security.protect_metadata: must be true or false", None),
    ({"security": {"capability_elevation": 1}}, "at security.capability_elevation: must be true", None),
    ({"security": {"elevation": True}}, "at security.elevation: unknown key", None),
    ({"security": True}, "at security: must be an object", None),
    ({"meta": {}}, "at meta: unknown key", "known here: $schema, description, extends, filesystem"),
    ({"f\u0456lesystem": {}}, "at f\u0456lesystem: unknown key", "did you mean filesystem?"),
    ({"Network": {}}, "at Network: unknown key", "did you mean network?"),
    ({"filesystem ": {}}, "at filesystem : unknown key", "did you mean filesystem?"),
    ({"extends": 1}, "at extends: must be a list of profiles, not a number", None),
    ({"extends": [["a"]]}, "at extends[0]: must be the name or the path of a profile, not a list", None),
    ({"extends": {}}, "at extends: must be a list of profiles, not an object", None),
    ({"extends": ""}, "at extends: must be a path of 1 to 4095", None),
    ({"extends": "b c"}, "at extends: 'b c' is neither the name of a profile nor a path", "letters, digits"),
    ({"extends": ".hidden"}, "at extends: .hidden is neither the name", None),
    ({"extends": "~"}, "at extends: ~ is neither the name", None),
    ({"extends": "pyth\u043en-dev"}, "is neither the name of a profile nor a path", None),
    ({"extends": ["a"] * 16}, "at extends: more than 15 profiles", None),
    ({"description": 1}, "at description: must be a string", None),
    ({"description": "x" * 201}, "at description: must be one line of at most 200", None),
    ({"description": "a\nb"}, "at description: must be one line", None),
    ({"$schema": None}, "at $schema: must be a string, not null", None),
    ({"groups": []}, "at groups: must be an object, not a list", None),
    ({"groups": {"add": []}}, "at groups.add: unknown key", "known here: include, exclude"),
    ({"groups": {"include": "devices"}}, "at groups.include: must be a list of groups", None),
    ({"groups": {"include": [1]}}, "at groups.include[0]: must be the name of a group", None),
    ({"groups": {"include": ["rust-caches"]}}, "[0]: no group rust-caches", "did you mean rust_caches?"),
    (
        {"groups": {"exclude": ["deny_credentials"]}},
        "exclude[0]: the group deny_credentials is required",
        "--by",
    ),
    ({"environment": {"alow": []}}, "at environment.alow: unknown key", "did you mean allow?"),
    ({"environment": {"allow": "PATH"}}, "at environment.allow: must be a list of names, not a string", None),
    ({"environment": {"allow": [None]}}, "at environment.allow[0]: must be the name of a variable", None),
    ({"environment": {"allow": [""]}}, "at environment.allow[0]: '' is neither the name", "at most one *"),
    (
        {"environment": {"allow": ["*X"]}},
        "at environment.allow[0]: '*X' is neither the name",
        "at most one *",
    ),
    ({"environment": {"deny": ["A*B"]}}, "at environment.deny[0]: 'A*B' is neither the name", "at the end"),
    ({"environment": {"deny": ["A**"]}}, "at environment.deny[0]: 'A**' is neither", None),
    ({"environment": {"deny": ["1A"]}}, "at environment.deny[0]: 1A is neither", None),
    ({"environment": {"deny": ["A=B"]}}, "at environment.deny[0]: A=B is neither", None),
    ({"environment": {"deny": ["\u0410"]}}, "at environment.deny[0]: '\u0410' is neither", None),
    ({"environment": {"set_vars": []}}, "at environment.set_vars: must be an object", None),
    ({"environment": {"set_vars": {"A": 1}}}, "at environment.set_vars.A: must be a string", None),
    ({"environment": {"set_vars": {"A-B": ""}}}, "set_vars.A-B: not the name of a variable", "letters"),
    ({"environment": {"set_vars": {"A": "x\0"}}}, "at environment.set_vars.A: must be at most 32768", None),
    ({"environment": {"set_vars": {"NONO_SESSION_ID": "x"}}}, "SESSION_ID: nono sets this one itself", None),
    ({"environment": {"set_vars": {"TMPDIR": "/x"}}}, "set_vars.TMPDIR: nono sets this one itself", None),
    ({"filesystem": {"allow-file": []}}, "at filesystem.allow-file: unknown key", "did you mean allow_file?"),
    (
        {"network": {"allow": True}},
        "at network.allow: unknown key",
        "known here: block, allow_connect_port, listen_port",
    ),
    ({"network": {"block": 1}}, "at network.block: must be true or false, not a number", None),
    ({"network": {"block": "true"}}, "at network.block: must be true or false, not a string", None),
    ({"network": {"block": None}}, "at network.block: must be true or false, not null", None),
    ({"network": {"listen_port": 80}}, "at network.listen_port: must be a list of ports, not a number", None),
    ({"network": {"open_port": [80, 0]}}, "at network.open_port[1]: must be a whole number from 1 to", None),
    ({"network": {"open_port": [65_536]}}, "at network.open_port[0]: must be a whole number", None),
    ({"network": {"open_port": [True]}}, "at network.open_port[0]: must be a whole number", None),
    ({"network": {"open_port": ["80"]}}, "at network.open_port[0]: must be a whole number", None),
    ({"network": {"open_port": [1] * 257}}, "at network.open_port: more than 256 ports", None),
    ({"network": True}, "at network: must be an object, not true", None),
    ({"filesystem": {"read": "/x"}}, "at filesystem.read: must be a list of paths, not a string", None),
    ({"filesystem": {"read": ["/x", 1]}}, "at filesystem.read[1]: must be a path, not a number", None),
    ({"filesystem": {"read": [""]}}, "at filesystem.read[0]: must be a path of 1 to 4095", None),
    ({"filesystem": {"read": ["/a\0b"]}}, "at filesystem.read[0]: must be a path of 1 to 4095", None),
    ({"filesystem": {"read": ["/" * 4096]}}, "at filesystem.read[0]: must be a path of 1 to 4095", None),
    ({"filesystem": {"read": ["src"]}}, "at filesystem.read[0]: src is relative", "$WORKDIR/src"),
    ({"filesystem": {"read": ["."]}}, "at filesystem.read[0]: . is relative", "$WORKDIR/."),
    ({"filesystem": {"read": ["$HOME/x"]}}, "at filesystem.read[0]: cannot expand", "only ~ and $WORKDIR"),
    ({"filesystem": {"read": ["$WORKDIRX"]}}, "at filesystem.read[0]: cannot expand", "only ~ and $WORKDIR"),
    ({"filesystem": {"read": ["~root/x"]}}, "at filesystem.read[0]: cannot expand", "write the full path"),
    ({"filesystem": {"read": ["/x"] * 1025}}, "at filesystem.read: more than 1024 paths", None),
    ({"env_credentials": []}, "at env_credentials: must be an object, not a list", None),
    ({"env_credentials": {"A": 1}}, "at env_credentials.A: must be a reference, not a number", None),
    ({"env_credentials": {"A-B": "env://X"}}, "A-B: a secret is to be put into what is not the name", None),
    ({"env_credentials": {"LD_PRELOAD": "env://X"}}, "a secret must not be put into LD_PRELOAD", "another"),
    ({"env_credentials": {"PATH": "env://X"}}, "a secret must not be put into PATH", "another"),
    ({"env_credentials": {"NONO_X": "env://X"}}, "a secret must not be put into NONO_X", None),
    ({"env_credentials": {"TMPDIR": "env://X"}}, "a secret must not be put into TMPDIR", None),
    ({"env_credentials": {"A": "hunter2"}}, "A: a reference is keyring://", "never the secret"),
    ({"env_credentials": {"A": "env://$X"}}, "A: env:// names a variable, without $", None),
    ({"env_credentials": {"A": "file://x"}}, "A: file:// names an absolute path", None),
    ({"env_credentials": {"A": "file:///a\nb"}}, "A: a reference has neither control characters", None),
    ({"env_credentials": {"A": "keyring://nono"}}, "A: keyring:// names a service and a user", None),
    ({"env_credentials": {"A": "file:///" + "x" * 512}}, "A: a reference has at most 512 characters", None),
    ({"env_credentials": {f"A{n}": "env://X" for n in range(65)}}, "more than 64 variables", None),
    ({"commands": ["rm"]}, "at commands: must be an object, not a list", None),
    ({"commands": {"deny": []}}, "at commands.deny: unknown key", "known here: allow, block"),
    ({"commands": {"allow": "rm"}}, "at commands.allow: must be a list of names, not a string", None),
    ({"commands": {"allow": [1]}}, "at commands.allow[0]: must be the name of a command", None),
    (
        {"commands": {"block": ["/bin/rm"]}},
        "at commands.block[0]: /bin/rm is not the name of a command",
        None,
    ),
    ({"commands": {"block": [""]}}, "at commands.block[0]: '' is not the name", None),
    ({"commands": {"block": [".."]}}, "at commands.block[0]: .. is not the name", None),
    ({"commands": {"block": ["a\x1b"]}}, "commands.block[0]: $'a\\x1b' is not the name", None),
    ({"commands": {"block": ["a"] * 65}}, "at commands.block: more than 64 names", None),
    ({"limits": []}, "at limits: must be an object, not a list", None),
    ({"limits": {"memori": 1}}, "at limits.memori: unknown key", "did you mean memory?"),
    ({"limits": {"memory": None}}, "at limits: memory: must be a number of bytes", None),
    ({"limits": {"memory": "0"}}, "at limits: memory: '0' is not a limit", "512M"),
    ({"limits": {"max_processes": "8"}}, "at limits: max_processes: must be a whole number", None),
    ({"limits": {"nofile": 3}}, "at limits: nofile: out of its bounds", "from 4"),
    ({"limits": {"cpu_time": "1w"}}, "at limits: cpu_time: '1w' is not a limit", "s, m, h or d"),
    (
        {"session_hooks": {"during": HOOK}},
        "at session_hooks.during: unknown key",
        "known here: before, after",
    ),
    ({"session_hooks": {"before": {}}}, "at session_hooks.before: script is missing", None),
    ({"session_hooks": {"before": "/x"}}, "at session_hooks.before: must be an object, not a string", None),
    ({"session_hooks": {"before": {"script": "x.sh"}}}, "before.script: must be an absolute path", "/ or ~/"),
    ({"session_hooks": {"before": {"script": "./x.sh"}}}, "before.script: must be an absolute path", None),
    ({"session_hooks": {"before": {"script": "$WORKDIR/x"}}}, "script: must be an absolute path", None),
    ({"session_hooks": {"before": {**HOOK, "timeout": 3}}}, "before.timeout: unknown key", "timeout_secs?"),
    (
        {"session_hooks": {"before": {**HOOK, "timeout_secs": 0}}},
        "timeout_secs: must be a whole number",
        None,
    ),
    ({"session_hooks": {"before": {**HOOK, "timeout_secs": 86401}}}, "timeout_secs: must be a whole", None),
    ({"session_hooks": {"before": {**HOOK, "timeout_secs": True}}}, "timeout_secs: must be a whole", None),
    ({"session_hooks": {"before": {**HOOK, "timeout_secs": 1.5}}}, "timeout_secs: must be a whole", None),
    ({"session_hooks": {"before": {**HOOK, "required": 1}}}, "before.required: must be true or false", None),
    (
        {"session_hooks": {"after": {**HOOK, "required": True}}},
        "after.required: an after-hook cannot be",
        "leave",
    ),
    ({"session_hooks": {"after": {**HOOK, "required": 1}}}, "after.required: must be true or false", None),
]


@pytest.mark.parametrize(("content", "message", "hint"), WRONG)
def test_a_mistake_is_named_with_its_place_and_the_schema_refuses_it_too(
    content: object, message: str, hint: str | None, tmp_path: Path, schema: jsonschema.Draft202012Validator
) -> None:
    error = refused(tmp_path, content)
    assert message in str(error)
    assert str(error).startswith(f"profile {tmp_path}/strict.json")
    if hint is not None:
        assert hint in str(error.hint)
    assert not schema.is_valid(content)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "at line 1, column 1: not JSON"),
        (b'{"network": }', "at line 1, column 13: not JSON"),
        (b'{} {}', "not JSON (extra data)"),
        (b'{"network": {"block": false, "block": true}}', "the key block is there twice"),
        (b'{"network": {}, "network": {"block": true}}', "the key network is there twice"),
        (b'{"network": {"block": false, "\\u0062lock": true}}', "the key block is there twice"),
        (b'{"network": NaN}', "not JSON (NaN)"),
        (b'{"network": -Infinity}', "not JSON (-Infinity)"),
        (b"\xff{}", "at byte 0: not UTF-8"),
        (b"\xef\xbb\xbf{}", "begins with a byte order mark"),
        ("{}".encode("utf-16"), "not UTF-8"),
        (b"// comment\n{}", "at line 1, column 1: not JSON"),
        (b'{"network": {},}', "not JSON"),
        ('{"network": {}, "\u202e": 1}'.encode(), "at line 1, column 18: U+202E stands there"),
        (b"{\n \x1b}", "at line 2, column 2: U+001B stands there"),
        (b'{"network": {},\r"description": ""}', "at line 1, column 16: U+000D stands there"),
        ('{"description": "\U000e0041"}'.encode(), "U+E0041 stands there"),
        ('{"filesystem": {"read": ["/a\u3164b"]}}'.encode(), "U+3164 stands there"),
        (b'{"environment": {"set_vars": {"A": "\\ud800"}}}', "a lone surrogate is no character"),
        (b'{"environment": {"set_vars": {"A": "-----BEGIN PRIVATE KEY-----"}}}', "holds a private key"),
        (b"[" * 200_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b'{"network": ' + b"9" * 100_000 + b"}", "is too large"),
        (b'{"filesystem": {"read": ["/\\ud800"]}}', "a lone surrogate is no character"),
        (b'{"\\ud800": 1}', "at \\ud800: unknown key"),
        (b'{"\\u001b[2J\\n": 1}', "at \\x1b[2J\\x0a: unknown key"),
        (b'{"' + b"k" * 100_000 + b'": 1}', "unknown key"),
        (b'{"\\ud800": 1, "\\ud800": 2}', "is there twice"),
    ],
)  # fmt: skip
def test_bytes_that_are_no_profile(data: bytes, message: str, tmp_path: Path) -> None:
    assert message in str(refused(tmp_path, data))


def test_a_mebibyte_is_the_bound(tmp_path: Path) -> None:
    assert read_profile(write(tmp_path, b"{}" + b" " * (MAX_BYTES - 2))).filesystem == ()
    assert "larger than 1 MiB" in str(refused(tmp_path, b"{}" + b" " * (MAX_BYTES - 1)))


def test_what_cannot_be_read_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path, why in [
        (os.fsencode(tmp_path / "fifo"), "not a regular file"),
        (os.fsencode(tmp_path), "not a regular file"),
        (b"/dev/zero", "not a regular file"),
        (os.fsencode(tmp_path / "none"), "no such file or directory"),
    ]:
        with pytest.raises(ProfileError, match="cannot read the profile") as caught:
            read_profile(path)
        assert why in str(caught.value)


def test_what_is_no_file_is_not_even_opened(tmp_path: Path) -> None:
    """To open a device is to do something with it; of a FIFO it is heard by whoever waits to write."""
    fifo = tmp_path / "fifo.json"
    os.mkfifo(fifo)
    opened = threading.Event()

    def write_to_it() -> None:
        os.close(os.open(fifo, os.O_WRONLY))
        opened.set()

    writer = threading.Thread(target=write_to_it)
    writer.start()
    refused_at = os.fsencode(fifo)
    for _ in range(200):
        with pytest.raises(ProfileError, match="not a regular file"):
            read_profile(refused_at)
    assert not opened.wait(0.05)
    os.close(os.open(fifo, os.O_RDONLY | os.O_NONBLOCK))
    assert opened.wait(5)
    writer.join()


def test_names_are_bytes_and_relative_to_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = b"odd \xff\n.json"
    with open(os.fsencode(tmp_path) + b"/" + name, "wb") as file:
        file.write(b"{}")
    profile = read_profile(name)
    assert (profile.name, profile.path) == (b"odd \xff\n", os.fsencode(tmp_path) + b"/" + name)
    with open(name, "wb") as file:
        file.write(b"[]")
    with pytest.raises(ProfileError) as caught:
        read_profile(name)
    assert str(caught.value).isprintable()


def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    read_profile(write(tmp_path, FULL))
    refused(tmp_path, b"[")
    refused(tmp_path, b" " * (MAX_BYTES + 1))
    assert os.listdir("/proc/self/fd") == before


PATHS = st.one_of(
    st.sampled_from(
        ["/a", "~", "~/x", "~x", "$WORKDIR", "$WORKDIR/x", "$WORKDIRx", "$X", "", "rel", "/a\n", "~\n"]
    ),
    st.text(st.characters(codec="utf-8"), max_size=6).map(lambda text: "/" + text),
)
NAMES = st.lists(st.sampled_from(["PATH", "LC_*", "*", "a*b", "", "1", "X" * 257]), max_size=2)
GROUP_NAMES = st.lists(st.sampled_from([*sorted(GROUPS), "no_such_group"]), max_size=2)
EXTENDED = st.sampled_from(["base", "./x", "x.json", "a b", "", "~/x.jsonc", "x" * 65, "\u0430"])
JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 5), st.floats(0.1, 0.9), PATHS, st.just([]), st.just({})
)


def _maybe(keys: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    """Objects with some of the keys, now and then a value or a key that is wrong."""
    right = st.fixed_dictionaries({}, optional=keys)
    wrong = st.dictionaries(st.sampled_from([*keys, "other"]), JUNK, max_size=2)
    return st.one_of(right, right, right, st.builds(lambda a, b: {**a, **b}, right, wrong))


HOOKS = _maybe({"script": PATHS, "timeout_secs": st.integers(-1, 86_402), "required": st.booleans()})
PROFILES = _maybe(
    {
        "filesystem": _maybe(
            {
                key: st.lists(PATHS, max_size=2)
                for key in ("allow", "read", "write", "allow_file", "write_file")
            }
        ),
        "network": _maybe({"block": st.booleans()}),
        "description": st.sampled_from(["", "text", "x" * 200, "x" * 201, "a\n"]),
        "extends": st.one_of(EXTENDED, st.lists(EXTENDED, max_size=2)),
        "groups": _maybe({"include": GROUP_NAMES, "exclude": GROUP_NAMES}),
        "environment": _maybe(
            {
                "allow": NAMES,
                "deny": NAMES,
                "set_vars": st.dictionaries(
                    st.sampled_from(["A", "GOFLAGS", "NONO_X", "TEMP", "TEMPER", "A-B", ""]),
                    st.sampled_from(["", "x"]),
                    max_size=2,
                ),
            }
        ),
        "env_credentials": st.dictionaries(
            st.sampled_from(["A", "LD_X", "LDX", "NONO_X", "PATH", "ENV", "TEMP", "A-B", ""]),
            st.one_of(
                st.sampled_from(
                    ["env://A", "env://", "env://A-B", "file:///x", "file://", "keyring://a", "keyring:////x"]
                ),
                st.text(st.characters(codec="ascii"), max_size=4).map(lambda text: f"keyring://{text}x"),
                st.text(st.characters(codec="utf-8"), max_size=4).map(lambda text: f"file:///{text}x"),
                JUNK,
            ),
            max_size=2,
        ),
        "commands": _maybe(
            {
                key: st.lists(st.sampled_from(["rm", "a b", "", ".", "..", "...", "a/b", "\x7f"]), max_size=2)
                for key in ("allow", "block")
            }
        ),
        "limits": _maybe(
            {
                key: st.one_of(st.sampled_from(limit_values.WRITTEN), JUNK)
                for key in ("memory", "max_processes", "cpu_time", "max_file_size", "nofile")
            }
        ),
        "session_hooks": _maybe({"before": HOOKS, "after": HOOKS}),
    }
)


def test_a_byte_order_mark_is_called_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="begins with a byte order mark") as caught:
        read_profile(write(tmp_path, b"\xef\xbb\xbf{}"))
    assert caught.value.hint == "save it as UTF-8 without one"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300, deadline=None)
@given(PROFILES)
def test_reader_and_schema_agree(
    tmp_path: Path, schema: jsonschema.Draft202012Validator, document: Any
) -> None:
    try:
        read_profile(write(tmp_path, document))
        readable = True
    except ProfileError:
        readable = False
    assert readable == schema.is_valid(document)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
@given(st.one_of(st.binary(max_size=60), st.text(alphabet='{}[]",:\\u0deflsytmnwork ~/$', max_size=60)))
def test_any_bytes_are_a_profile_or_one_kind_of_error(tmp_path: Path, content: bytes | str) -> None:
    path = write(tmp_path, content.encode() if isinstance(content, str) else content)
    with contextlib.suppress(ProfileError):
        read_profile(path)


# --- comments ------------------------------------------------------------------------------------

COMMENTED = b"""\
// what it is for
{
  /* a block: * ** / // */
  "filesystem": {
    "read": ["/a//b", "/c/*d*/", /* "/secret", */ "/e",],  // "/f"
  },
  "network": {"block": true,},
}
"""


def commented(directory: Path, data: bytes) -> ProfileFile:
    path = directory / "notes.jsonc"
    path.write_bytes(data)
    return read_profile(os.fsencode(path))


def test_a_file_called_jsonc_has_comments_and_trailing_commas(tmp_path: Path) -> None:
    profile = commented(tmp_path, COMMENTED)
    assert profile.name == b"notes"
    assert [request.path for request in profile.filesystem] == [b"/a//b", b"/c/*d*/", b"/e"]
    assert profile.block_network is True
    assert profile.sha256 == hashlib.sha256(COMMENTED).hexdigest()


def test_a_file_called_json_has_none_and_is_told_where_they_are_allowed(tmp_path: Path) -> None:
    error = refused(tmp_path, COMMENTED)
    assert "at line 1, column 1: not JSON" in str(error)
    assert ".jsonc" in str(error.hint)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"network": {"block": true} // x', "line 1, column 33: not JSON"),
        (b'{\n  /* no end \n "network": {}}', "line 2, column 3: the comment is not closed"),
        (b"{,}", "not JSON"),
        (b'{"network": {},,}', "not JSON"),
        (b'{"filesystem": {"read": [,]}}', "not JSON"),
        (b'{"filesystem": {"read": ["/a",,]}}', "not JSON"),
        (b'{"network":,}', "not JSON"),
        (b'{"network": {}},', "not JSON"),
        (b'{"network" /* : */ {}}', "line 1, column 20: not JSON"),
        (b'{"net/* */work": {}}', "unknown key"),
        (b'{"network": {}} /', "not JSON"),
        (b'{"network: {}}', "not JSON"),
        (b"# a comment of something else\n{}", "not JSON"),
        ("{} // \u2028 {".encode(), "U+2028 stands there"),
        ("{ // \u202e } \u2066".encode(), "U+202E stands there"),
        (b"{} // \x00", "U+0000 stands there"),
    ],
)
def test_what_is_not_quite_json_with_comments(data: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(ProfileError) as caught:
        commented(tmp_path, data)
    assert message in str(caught.value)


JSON_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.text('a/*,"\\ ]}\n', max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text('k/*,"', max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(JSON_VALUES, st.data())
def test_comments_and_commas_change_nothing_of_what_is_said(value: Any, data: st.DataObject) -> None:
    """Between all pieces of a JSON text comments are put, and commas where the last value ends."""
    fillers: st.SearchStrategy[str] = st.sampled_from(
        ["", " ", "\n", '// a ]}",\n', '/* ,] " */', "/**/", "/***/"]
    )

    def text(item: Any) -> str:
        def gap() -> str:
            return data.draw(fillers)

        if isinstance(item, list | dict):
            pairs = item.items() if isinstance(item, dict) else ((None, each) for each in item)
            parts = [
                (gap() + json.dumps(key) + gap() + ":" if key is not None else "")
                + gap()
                + text(each)
                + gap()
                for key, each in pairs
            ]
            last = "," if parts and data.draw(st.sampled_from(["", ","])) else ""
            opening, closing = "[]" if isinstance(item, list) else "{}"
            return opening + ",".join(parts) + last + gap() + closing
        return json.dumps(item)

    written = text(value)
    without = without_comments(written)
    assert json.loads(without) == value
    assert len(without) == len(written)
    assert [i for i, c in enumerate(without) if c == "\n"] == [i for i, c in enumerate(written) if c == "\n"]


@given(st.text('/*",]}[{:\\\n a', max_size=40))
def test_what_is_json_already_is_left_as_it_is(text: str) -> None:
    with contextlib.suppress(ValueError):
        json.loads(text)
        assert without_comments(text) == text


@pytest.mark.parametrize("piece", ['"', "/*", "/", ",", '\\"', "a", "[", "]", "*/", ' "', ",]"])
def test_a_mebibyte_of_anything_takes_no_minute(piece: str) -> None:
    began = time.process_time()
    with contextlib.suppress(ValueError):
        without_comments(piece * (MAX_BYTES // len(piece)))
    assert time.process_time() - began < 20


def test_the_schema_names_the_groups_that_there_are() -> None:
    document = validator("profile").schema
    assert document["$defs"]["groups"]["items"]["enum"] == sorted(GROUPS)
    excluded = document["properties"]["groups"]["properties"]["exclude"]
    required = sorted(name for name, group in GROUPS.items() if group.required)
    assert excluded["allOf"][1]["items"]["not"]["enum"] == required
    assert len(required) == 7


@pytest.mark.parametrize("document", ["README.md", "docs/profiles.md"])
def test_what_the_documents_show_can_be_used(document: str, tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / document).read_text(encoding="utf-8")
    shown = [block.partition("```")[0] for block in text.split("```jsonc\n")[1:]]
    assert shown
    for block in shown:
        assert commented(tmp_path, block.encode()).sha256
