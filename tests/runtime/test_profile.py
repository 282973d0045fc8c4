"""Profiles: exactly what the published schema says, every mistake named with its place."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # published without type information
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.capabilities import NO_PORTS, PROFILE, Access, Ports
from runtime.errors import ProfileError
from runtime.grant_request import GrantRequest
from runtime.hooks import Hook
from runtime.profile import MAX_BYTES, read_profile

SCHEMA = Path(__file__).resolve().parents[2] / "runtime" / "schemas" / "profile.schema.json"


@pytest.fixture
def schema() -> jsonschema.Draft202012Validator:
    document = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(document)
    return jsonschema.Draft202012Validator(document)


def write(directory: Path, content: object) -> bytes:
    path = directory / "strict.json"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(json.dumps(content))
    return os.fsencode(path)


def refused(directory: Path, content: object) -> ProfileError:
    with pytest.raises(ProfileError) as caught:
        read_profile(write(directory, content))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000
    return caught.value


FULL = {
    "filesystem": {
        "allow": ["$WORKDIR", "~/.cache/tool"],
        "read": ["/srv/data"],
        "write": ["/srv/out"],
        "allow_file": ["~/.tool.json"],
        "read_file": ["$WORKDIR/Makefile"],
        "write_file": ["/srv/log"],
    },
    "network": {"block": True, "allow_connect_port": [443, 53], "listen_port": [80], "open_port": [80, 99]},
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
    assert profile.hooks == {
        "before": Hook("before", b"/opt/before.sh", 5, required=True),
        "after": Hook("after", b"/home/me/after.sh", 30, required=False),
    }
    schema.validate(FULL)


def test_an_empty_profile_asks_for_nothing(tmp_path: Path) -> None:
    profile = read_profile(write(tmp_path, {}))
    assert (profile.filesystem, profile.block_network, profile.hooks) == ((), False, {})
    assert profile.ports == NO_PORTS


HOOK = {"script": "/x"}
WRONG: list[tuple[object, str, str | None]] = [
    ([], "must be an object, not a list", None),
    (None, "must be an object, not null", None),
    ({"filesytem": {}}, "at filesytem: unknown key", "did you mean filesystem?"),
    ({"meta": {}}, "at meta: unknown key", "known here: filesystem, network, session_hooks"),
    ({"filesystem": {"allow-file": []}}, "at filesystem.allow-file: unknown key", "did you mean allow_file?"),
    (
        {"network": {"allow": True}},
        "at network.allow: unknown key",
        "known here: block, allow_connect_port, listen_port",
    ),
    ({"network": {"listen_port": 80}}, "at network.listen_port: must be a list of ports, not a number", None),
    ({"network": {"open_port": [80, 0]}}, "at network.open_port[1]: must be a whole number from 1 to", None),
    ({"network": {"open_port": [65_536]}}, "at network.open_port[0]: must be a whole number", None),
    ({"network": {"open_port": [True]}}, "at network.open_port[0]: must be a whole number", None),
    ({"network": {"open_port": ["80"]}}, "at network.open_port[0]: must be a whole number", None),
    ({"network": {"open_port": [1] * 257}}, "at network.open_port: more than 256 ports", None),
    ({"network": {"block": 1}}, "at network.block: must be true or false, not a number", None),
    ({"network": {"block": "true"}}, "at network.block: must be true or false, not a string", None),
    ({"network": {"block": None}}, "at network.block: must be true or false, not null", None),
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
        (b"// comment\n{}", "not JSON"),
        (b"[" * 200_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b'{"network": ' + b"9" * 100_000 + b"}", "is too large"),
        (b'{"filesystem": {"read": ["/\\ud800"]}}', "a lone surrogate is no character"),
        (b'{"\\ud800": 1}', "at ?: unknown key"),
        (b'{"\\u001b[2J\\n": 1}', "at ?[2J?: unknown key"),
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
        (b"", "an empty path"),
        (b"a\0b", "a path with a NUL byte"),
        (b"~nobody/x", "only ~ itself is expanded"),
    ]:
        with pytest.raises(ProfileError, match="cannot read the profile") as caught:
            read_profile(path)
        assert why in str(caught.value)


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
        "network": _maybe(
            {
                "block": st.booleans(),
                **{
                    key: st.lists(st.integers(-1, 65_536), max_size=3)
                    for key in ("allow_connect_port", "listen_port", "open_port")
                },
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
