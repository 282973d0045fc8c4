"""Profiles that build upon each other: which file a name means, what they say together, and attacks."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from runtime.capability.capabilities import PROFILE, Access
from runtime.capability.default_groups import DEFAULT_DENIALS, DEFAULT_GRANTS, DEFAULT_GROUPS
from runtime.capability.grant_request import GrantRequest
from runtime.capability.tool_groups import GROUPS, TOOL_GROUPS
from runtime.errors import ProfileError
from runtime.kernel.path_names import is_beneath
from runtime.policy.profile import BUILT_IN, Profile, built_in_names, find, named_profiles, read_profile
from runtime.policy.profile_file import MAX_BYTES, read_profile_file

PROFILES = (
    *("agent", "ci-strict", "claude-code", "codex", "default", "go-dev", "java-dev", "node-dev"),
    *("opencode", "python-dev", "rust-dev"),
)


class Desk:
    """A directory with profiles in it, and a configuration directory with more of them."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.config = base / "config" / "nono"
        self.users = self.config / "profiles"
        self.users.mkdir(parents=True)
        self.files = base / "repository"
        self.files.mkdir()

    def write(self, name: str, *, user: bool = False, **parts: Any) -> Path:
        path = (self.users if user else self.files) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(parts))
        path.chmod(0o644)
        return path

    def read(self, named: str | Path) -> Profile:
        return read_profile(os.fsencode(named), os.fsencode(self.config))

    def refused(self, named: str | Path) -> ProfileError:
        with pytest.raises(ProfileError) as caught:
            self.read(named)
        assert str(caught.value).isprintable()
        return caught.value


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    made = Desk(tmp_path)
    monkeypatch.chdir(made.files)
    return made


def names(found: Profile) -> list[str]:
    return [os.fsdecode(file.name) for file in found.chain]


def asks(*paths: str) -> dict[str, Any]:
    return {"filesystem": {"read": list(paths)}}


def paths(found: Profile) -> list[bytes]:
    return [request.path for request in found.filesystem]


# --- which file a name means ---------------------------------------------------------------------


def test_a_name_is_the_users_profile_before_a_built_in_one(desk: Desk) -> None:
    own = desk.write("mine.jsonc", user=True, **asks("/mine"))
    assert desk.read("mine").chain[-1].path == os.fsencode(own)
    assert desk.read("python-dev").chain[-1].path == BUILT_IN + b"/python-dev.jsonc"
    shadow = desk.write("python-dev.json", user=True, extends="python-dev", **asks("/mine"))
    found = desk.read("python-dev")
    assert [file.path for file in found.chain] == [BUILT_IN + b"/python-dev.jsonc", os.fsencode(shadow)]


def test_what_has_a_slash_or_an_ending_is_a_path(desk: Desk) -> None:
    desk.write("python-dev", **asks("/here"))
    desk.write("mine.json", **asks("/here"))
    desk.write("mine.json.json", user=True, **asks("/there"))
    assert paths(desk.read("./python-dev")) == [b"/here"]
    assert paths(desk.read("mine.json")) == [b"/here"]
    assert paths(desk.read(desk.files / "mine.json")) == [b"/here"]
    assert paths(desk.read("python-dev")) == [b"$WORKDIR"]


@pytest.mark.parametrize(
    "name", ["pyton-dev", "no", "PYTHON-DEV", "a b", "..", "python-dev\n", "p\u0443thon-dev"]
)
def test_a_name_that_nothing_has(desk: Desk, name: str) -> None:
    error = desk.refused(name)
    assert error.code == "profile.missing"
    assert str(error).startswith("no profile is called ")
    assert error.hint is not None
    if name in ("pyton-dev", "PYTHON-DEV"):
        assert error.hint == "did you mean python-dev?"


def test_a_file_that_is_named_without_its_path_is_found_in_the_hint(desk: Desk) -> None:
    desk.write("build")
    assert desk.refused("build").hint == "a file is named by a path: ./build"


@pytest.mark.parametrize(
    ("named", "why"),
    [("", "an empty path"), ("~nobody/x", "only ~ itself is expanded"), ("./none.json", "no such file")],
)
def test_a_path_that_cannot_be_meant(desk: Desk, named: str, why: str) -> None:
    error = desk.refused(named)
    assert "cannot read the profile" in str(error)
    assert why in str(error)


def test_two_files_of_one_name_are_one_too_many(desk: Desk) -> None:
    desk.write("mine.json", user=True)
    desk.write("mine.jsonc", user=True)
    assert "two profiles are called mine" in str(desk.refused("mine"))
    with pytest.raises(ProfileError):
        find(b"mine", os.fsencode(desk.config))


def test_a_profile_called_like_a_built_in_one_must_extend_it(desk: Desk) -> None:
    """Else ``ci-strict`` in a script would mean whatever lies in a directory of the user."""
    desk.write("ci-strict.jsonc", user=True, **asks("/everything"))
    error = desk.refused("ci-strict")
    assert error.code == "profile.shadows"
    assert '"extends": "ci-strict"' in str(error.hint)
    desk.write("mine.json", user=True, extends="ci-strict")
    assert desk.refused("mine").code == "profile.shadows"
    desk.write("ci-strict.jsonc", user=True, extends=["default", "ci-strict"], network={"block": False})
    found = desk.read("mine")
    assert names(found) == ["default", "ci-strict", "ci-strict", "mine"]
    assert found.block_network is True


@pytest.mark.parametrize("mode", [0o664, 0o646])
def test_a_named_profile_that_others_can_write_is_not_trusted(desk: Desk, mode: int) -> None:
    path = desk.write("mine.json", user=True)
    path.chmod(mode)
    error = desk.refused("mine")
    assert error.code == "profile.untrusted"
    assert error.hint == f"chmod go-w {path}"
    assert names(desk.read(path)) == ["mine"]  # whoever names a path has chosen the file


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_named_profile_of_somebody_else_is_not_trusted(desk: Desk) -> None:
    os.chown(desk.write("mine.json", user=True), 12345, 12345)
    assert desk.refused("mine").code == "profile.untrusted"


def test_the_names_that_there_are(desk: Desk) -> None:
    desk.write("mine.jsonc", user=True)
    desk.write("python-dev.json", user=True)
    desk.write("no profile.json", user=True)
    desk.write("notes.txt", user=True)
    found = named_profiles(os.fsencode(desk.config))
    assert [(place.name.decode(), place.built_in) for place in found if not place.built_in] == [
        ("mine", False),
        ("python-dev", False),
    ]
    assert [place.name.decode() for place in found if place.built_in] == list(PROFILES)


# --- what they say together ----------------------------------------------------------------------


def test_files_are_merged_from_left_to_right_and_the_child_last(desk: Desk) -> None:
    hook = {"script": "/opt/base", "timeout_secs": 5}
    desk.write(
        "base.json",
        filesystem={"read": ["/a", "/b"], "allow": ["/w"]},
        network={"block": True},
        groups={"include": ["go_runtime"], "exclude": ["devices"]},
        environment={"allow": ["A", "B*"], "deny": ["X"], "set_vars": {"V": "base", "W": "base"}},
        session_hooks={"before": hook, "after": hook},
    )
    desk.write("side.json", environment={"set_vars": {"V": "side", "S": "side"}}, **asks("/b", "/c"))
    desk.write(
        "child.json",
        extends=["base.json", "./side.json"],
        filesystem={"read": ["/d", "/a"]},
        network={"block": False},
        groups={"include": ["devices", "rust_runtime"]},
        environment={"allow": ["C"], "set_vars": {"W": "child"}},
        session_hooks={"before": {"script": "/opt/child"}},
    )
    found = desk.read("child.json")
    assert names(found) == ["base", "side", "child"]
    assert found.filesystem == tuple(
        GrantRequest(access, path, directory=True, source=PROFILE)
        for access, path in [
            (Access.READ, b"/a"), (Access.READ, b"/b"), (Access.READWRITE, b"/w"), (Access.READ, b"/c"),
            (Access.READ, b"/d"),
        ]
    )  # fmt: skip
    assert found.block_network is True
    defaults = [group.name for group in DEFAULT_GROUPS if group.name != "devices"]
    assert [group.name for group in found.groups] == [*defaults, "go_runtime", "rust_runtime"]
    assert found.variables.allow == (b"A", b"B*", b"C")
    assert found.variables.deny == (b"X",)
    assert found.variables.set_vars == {b"V": b"side", b"W": b"child", b"S": b"side"}
    assert found.hooks["before"].script == b"/opt/child"
    assert found.hooks["before"].timeout_seconds == 30
    assert found.hooks["after"].script == b"/opt/base"


def test_a_file_that_two_others_extend_counts_once_and_undoes_neither(desk: Desk) -> None:
    desk.write("top.json", environment={"set_vars": {"V": "top"}})
    desk.write("left.json", extends="top.json", environment={"set_vars": {"V": "left"}})
    desk.write("right.json", extends="../repository/top.json")
    desk.write("both.json", extends=["left.json", "right.json"])
    found = desk.read("both.json")
    assert names(found) == ["top", "left", "right", "both"]
    assert found.variables.set_vars == {b"V": b"left"}


def test_an_empty_list_of_what_is_allowed_is_a_list(desk: Desk) -> None:
    desk.write("nothing.json", environment={"allow": []})
    assert desk.read("nothing.json").variables.allow == ()
    desk.write("child.json", extends=["nothing.json", "python-dev"])
    assert desk.read("child.json").variables.allow == ()


def test_an_extended_path_is_beside_the_file_that_says_it(desk: Desk) -> None:
    desk.write("deep/down/base.json", **asks("/deep"))
    desk.write("deep/child.json", extends="down/base.json")
    desk.write("base.json", **asks("/wrong"))
    assert paths(desk.read(desk.files / "deep" / "child.json")) == [b"/deep"]
    desk.write("mine.json", user=True, extends="./other.jsonc")
    desk.write("other.jsonc", user=True, **asks("/users"))
    assert paths(desk.read("mine")) == [b"/users"]


def test_each_file_is_recorded_by_the_bytes_that_were_used(desk: Desk) -> None:
    child = desk.write("child.json", extends=["claude-code"])
    digests = {file.name: file.sha256 for file in desk.read("child.json").chain}
    for name in ("agent", "claude-code"):
        shipped = Path(os.fsdecode(BUILT_IN)) / f"{name}.jsonc"
        assert digests[name.encode()] == hashlib.sha256(shipped.read_bytes()).hexdigest()
    assert digests[b"child"] == hashlib.sha256(child.read_bytes()).hexdigest()


# --- the built-in ones ---------------------------------------------------------------------------


def test_the_built_in_profiles_are_these() -> None:
    assert tuple(name.decode() for name in built_in_names()) == PROFILES


@pytest.mark.parametrize("name", PROFILES)
def test_a_built_in_profile_is_whole(desk: Desk, name: str) -> None:
    found = desk.read(name)
    assert found.chain[-1].description
    assert len({file.identity for file in found.chain}) == len(found.chain)
    # What can be missing stands in groups, which are silent about it.
    assert set(paths(found)) <= {b"$WORKDIR"}
    assert found.hooks == {}
    assert found.variables.set_vars == {}
    assert set(DEFAULT_DENIALS) <= set(found.denials)


def test_the_default_profile_is_what_every_launch_gets(desk: Desk) -> None:
    found = desk.read("default")
    assert found.group_grants == DEFAULT_GRANTS
    assert found.denials == DEFAULT_DENIALS
    assert (found.filesystem, found.block_network, found.variables.allow) == ((), False, None)


@pytest.mark.parametrize("name", ["claude-code", "codex", "opencode"])
def test_agents_inherit_no_token_of_somebody_else(desk: Desk, name: str) -> None:
    from runtime.capability.environment import build

    inherited = dict.fromkeys(
        [
            b"PATH",
            b"HOME",
            b"LC_ALL",
            b"TERM",
            b"GITHUB_TOKEN",
            b"AWS_SECRET_ACCESS_KEY",
            b"NPM_TOKEN",
            b"DB_PASSWORD",
        ],
        b"x",
    )
    built = build(
        inherited, hook={}, secrets={}, own={}, key_names=(), temporary=None, unix_sockets=(),
        names_over_tcp=False, git_configuration=True, lists=desk.read(name).variables,
    )  # fmt: skip
    assert set(built.variables) == {b"PATH", b"HOME", b"LC_ALL", b"TERM"}
    assert built.filtered == (b"AWS_SECRET_ACCESS_KEY", b"DB_PASSWORD", b"GITHUB_TOKEN", b"NPM_TOKEN")


def test_the_strict_one_has_no_network_and_nothing_of_a_home(desk: Desk) -> None:
    found = desk.read("ci-strict")
    assert found.block_network is True
    assert not [grant for grant in found.group_grants if grant.path.startswith((b"~", b"/home"))]
    assert found.filesystem == ()
    assert found.variables.allow is not None
    for secret in (b"TOKEN", b"SECRET", b"PASSWORD", b"KEY", b"*"):
        assert not [pattern for pattern in found.variables.allow if secret in pattern and pattern != b"LC_*"]


@pytest.mark.parametrize("group", TOOL_GROUPS, ids=lambda group: str(group.name))
def test_a_group_of_tools_grants_nothing_that_is_protected(group: Any, tmp_path: Path) -> None:
    """Neither by itself, nor as a directory that holds something denied."""
    from runtime.capability.protected import Guard, Untouchable

    home = os.fsencode(tmp_path)
    guard = Guard(Untouchable(), home_directories=[home])
    for grant in group.grants:
        assert grant.source == f"group:{group.name}"
        if grant.access is not Access.READ:
            assert grant.path.startswith(b"~/")
        path = home + grant.path[1:] if grant.path.startswith(b"~/") else grant.path
        assert guard.is_open(grant, (path,)), grant
    assert group.grants or group.denies
    assert not group.required


def test_no_tool_group_grants_a_place_of_programs_or_of_daemons_for_writing() -> None:
    for group in TOOL_GROUPS:
        for grant in group.grants:
            if grant.access is not Access.READ:
                parts = grant.path.split(b"/")
                assert not {b"bin", b"daemon", b"shims", b"hooks", b"bazel"} & set(parts), grant
                assert grant.path not in (
                    b"~/.local",
                    b"~/.cache",
                    b"~/.config",
                    b"~/.cargo",
                    b"~/go",
                    b"~/.gradle",
                )
                for program in RUN_FROM_A_CACHE:
                    assert not is_beneath(program, grant.path), (program, grant)


RUN_FROM_A_CACHE = (
    *(b"~/.cache/pypoetry/virtualenvs", b"~/.cache/black", b"~/.cache/pylint", b"~/.cache/pre-commit"),
    *(b"~/.cache/node/corepack", b"~/.cache/prisma", b"~/.cache/esbuild", b"~/.cache/ms-playwright"),
    *(b"~/.m2/wrapper", b"~/.gradle/wrapper", b"~/.sbt/boot/scala", b"~/.cache/coursier/jvm"),
)
"""Programs, virtual environments and pickles among caches."""


def test_names_of_groups_have_the_form_that_the_record_demands() -> None:
    import re

    for name, group in GROUPS.items():
        assert re.fullmatch(r"[a-z0-9_-]{1,64}", name)
        assert group.description.isprintable()
        for path in group.denies:
            assert not path.startswith((b"/", b"~"))
            assert path.count(b"*") <= 1


# --- attacks -------------------------------------------------------------------------------------


def test_a_circle_is_named(desk: Desk) -> None:
    desk.write("a.json", extends="b.json")
    desk.write("b.json", extends="./a.json")
    error = desk.refused("a.json")
    assert error.code == "profile.cycle"
    assert "a.json, which extends b.json, which extends ./a.json" in str(error)
    desk.write("self.json", extends="self.json")
    assert desk.refused("self.json").code == "profile.cycle"
    desk.write("mine.json", user=True, extends="mine")
    assert (
        desk.refused("mine").code == "profile.missing"
    )  # its own name means a built-in one, and there is none
    desk.write("x.json", user=True, extends="y")
    desk.write("y.json", user=True, extends="x")
    assert desk.refused("x").code == "profile.cycle"


def test_a_circle_through_links_is_one(desk: Desk) -> None:
    (desk.files / "link.json").symlink_to("a.json")
    (desk.files / "there").symlink_to(".")
    desk.write("a.json", extends="link.json")
    assert desk.refused("a.json").code == "profile.cycle"
    desk.write("a.json", extends="there/there/a.json")
    assert desk.refused("a.json").code == "profile.cycle"
    os.link(desk.files / "a.json", desk.files / "hard.json")
    desk.write("a.json", extends="hard.json")
    assert desk.refused("a.json").code == "profile.cycle"
    (desk.files / "loop.json").symlink_to("loop.json")
    assert "too many levels of symbolic links" in str(desk.refused("loop.json"))


def test_a_chain_of_ten_is_long_enough(desk: Desk) -> None:
    for number in range(11):
        desk.write(f"{number}.json", extends=f"{number - 1}.json" if number else [])
    assert len(desk.read("9.json").chain) == 10
    error = desk.refused("10.json")
    assert error.code == "profile.too_deep"
    assert "more than 10 profiles build upon each other" in str(error)


def test_a_broad_tree_is_bounded_and_quick(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of many files extends all of the ones before: by paths that are exponentially many."""
    for number in range(40):
        before = [f"./{'./' * extra}{max(number - 1 - extra, 0)}.json" for extra in range(15)]
        desk.write(f"{number}.json", extends=before if number else [])
    read = 0

    def counting(*arguments: Any, **named: Any) -> Any:
        nonlocal read
        read += 1
        return read_profile_file(*arguments, **named)

    monkeypatch.setattr("runtime.policy.profile.read_profile_file", counting)
    assert len(desk.read("9.json").chain) == 10
    assert read == 10
    for number in range(20):
        desk.write(f"flat-{number}.json")
    desk.write("wide.json", extends=[f"flat-{number}.json" for number in range(15)])
    assert len(desk.read("wide.json").chain) == 16
    desk.write("wider.json", extends=["wide.json"])
    assert "more than 16 files" in str(desk.refused("wider.json"))


@pytest.mark.parametrize(
    ("extended", "why"),
    [
        ("/etc/shadow", "not JSON"),
        ("/dev/zero", "not a regular file"),
        ("./fifo", "not a regular file"),
        ("..", "neither the name of a profile nor a path"),
        ("./large.json", "larger than 1 MiB"),
        ("./none.json", "no such file or directory"),
        ("/proc/self/mem", "input/output error"),
        ("~root/x", "only ~ itself is expanded"),
        ("$WORKDIR/x.json", "no such file or directory"),
        ("./a\u0000b", "without NUL"),
    ],
)
def test_a_hostile_profile_reaches_nothing_by_what_it_extends(desk: Desk, extended: str, why: str) -> None:
    os.mkfifo(desk.files / "fifo")
    (desk.files / "large.json").write_bytes(b"{}" + b" " * MAX_BYTES)
    secret = "root:$y$j9T$secret"
    (desk.base / "shadow").write_text(secret)
    desk.write("hostile.json", extends=str(desk.base / "shadow") if extended == "/etc/shadow" else extended)
    error = desk.refused("hostile.json")
    assert why in f"{error} {error.hint}"
    assert secret[5:] not in f"{error} {error.hint}"


def test_a_profile_that_changes_while_the_chain_is_read_is_recorded_as_it_was_used(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is hashed is what was parsed, and a second mention does not read it again."""
    base = desk.write("base.json", **asks("/before"))
    before = hashlib.sha256(base.read_bytes()).hexdigest()
    desk.write("left.json", extends="base.json")
    desk.write("child.json", extends=["left.json", "base.json"])

    def changing(path: bytes, **named: Any) -> Any:
        file = read_profile_file(path, **named)
        if path.endswith(b"/base.json"):
            base.write_text(json.dumps(asks("/after")))
        return file

    monkeypatch.setattr("runtime.policy.profile.read_profile_file", changing)
    found = desk.read("child.json")
    assert paths(found) == [b"/before"]
    assert [file.sha256 for file in found.chain if file.name == b"base"] == [before]


def test_a_profile_that_turns_into_a_circle_while_it_is_read_ends(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each look finds another file at the same path: identities never repeat, the bounds still hold."""
    desk.write("a.json", extends="./a.json")

    def replacing(path: bytes, **named: Any) -> Any:
        file = read_profile_file(path, **named)
        os.rename(path, path + b"." + os.urandom(4).hex().encode())
        desk.write("a.json", extends="./a.json")
        return file

    monkeypatch.setattr("runtime.policy.profile.read_profile_file", replacing)
    assert desk.refused("a.json").code == "profile.too_deep"


def test_files_that_ask_for_too_many_ports_together(desk: Desk) -> None:
    """Each is within bounds, and no launch could use them: that is said before one is tried."""
    desk.write("one.json", network={"listen_port": list(range(1, 200))})
    two = desk.write("two.json", extends="./one.json", network={"listen_port": list(range(300, 500))})
    assert "ask for more than 256 ports" in str(desk.refused(two))
    desk.write("one.json", network={"listen_port": list(range(300, 400))})
    assert len(desk.read(two).ports.listen) == 200


def test_no_descriptor_stays_open(desk: Desk) -> None:
    before = os.listdir("/proc/self/fd")
    desk.read("claude-code")
    desk.write("bad.json", extends=["agent", "./none.json"])
    desk.refused("bad.json")
    assert os.listdir("/proc/self/fd") == before
