"""The system configuration: root's alone, or no launch; and what it makes of a request."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from attest.errors import NonoError
from runtime.capability.capabilities import NO_PORTS, Access, Network, Ports
from runtime.capability.grant_request import GrantRequest
from runtime.errors import ConfigurationError, SystemPolicyError
from runtime.policy.configuration import (
    SYSTEM_DIRECTORY,
    Configuration,
    read_configuration,
    read_system_configuration,
)
from runtime.policy.profile import BUILT_IN, Profile, read_profile
from runtime.policy.request import LaunchRequest
from runtime.policy.system_configuration import SystemConfiguration, read_form, require_path_of_roots
from runtime.policy.system_policy import Minimum, applied, require_redaction
from tests.runtime.published_schema import validator
from tests.runtime.test_configuration import toml

if TYPE_CHECKING:
    import jsonschema  # type: ignore[import-untyped]  # published without type information

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = ROOT / "runtime" / "schemas" / "system-configuration.schema.json"

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="the file must be root's")

EVERYTHING = b"""\
[policy]
require_audit = true
forbid_bypass = true
forbid_writable_script = true
forbid_unsafe_redaction = true
forbid_elevation = true
protect_metadata = true
trace_exec = true
key = "file:///etc/nono/key.pem"
ledger = "/var//lib/nono/./ci.db"
minimum_profile = "ci-strict"
grants = "profile-only"
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The directory in the place of /etc/nono."""
    directory = tmp_path / "nono"
    directory.mkdir(mode=0o755)
    return directory


def write(directory: Path, content: object) -> Path:
    path = directory / "config.toml"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        assert isinstance(content, dict)
        path.write_text("".join(f"{toml(key)} = {toml(value)}\n" for key, value in content.items()))
    path.chmod(0o644)
    return path


def read(directory: Path) -> SystemConfiguration | None:
    return read_system_configuration(os.fsencode(directory))


def refused(directory: Path, code: str = "configuration.untrusted") -> str:
    began = time.process_time()
    with pytest.raises(ConfigurationError) as caught:
        read(directory)
    assert time.process_time() - began < 2
    assert caught.value.exit_status == 125
    assert caught.value.code == code
    assert str(caught.value).isprintable()
    return f"{caught.value} hint: {caught.value.hint}"


# --- the file -------------------------------------------------------------------------------------


def test_the_place_is_a_constant_and_no_variable_moves_it() -> None:
    assert SYSTEM_DIRECTORY == b"/etc/nono"
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n" + (
        "opened = []\n"
        "sys.addaudithook(lambda event, args: event == 'open' and opened.append(args[0]))\n"
        "import runtime.policy.configuration as c\n"
        "del opened[:]\n"
        "assert c.read_system_configuration() is None\n"
        "print(opened)\n"
    )
    elsewhere = dict.fromkeys(("HOME", "ETC", "XDG_CONFIG_HOME", "XDG_CONFIG_DIRS", "NONO_CONFIG"), "/tmp")
    out = subprocess.run(
        [sys.executable, "-I", "-c", code], env=elsewhere, check=True, capture_output=True, text=True
    ).stdout
    assert out == "[b'/etc/nono']\n"


def test_no_directory_and_no_file(place: Path) -> None:
    assert read(place / "missing") is None
    if os.geteuid() == 0:
        assert read(place) is None


@as_root
def test_everything_that_can_be_configured(place: Path) -> None:
    path = write(place, EVERYTHING)
    found = read(place)
    assert found is not None
    assert found._asdict() == {
        "path": os.fsencode(path),
        "sha256": found.sha256,
        "require_audit": True,
        "forbid_bypass": True,
        "forbid_writable_script": True,
        "forbid_unsafe_redaction": True,
        "forbid_elevation": True,
        "protect_metadata": True,
        "trace_exec": True,
        "key": "/etc/nono/key.pem",
        "ledger": b"/var/lib/nono/ci.db",
        "minimum_profile": b"ci-strict",
        "profile_only": True,
    }
    write(place, b"")
    nothing = read(place)
    assert nothing is not None
    assert [value for value in nothing[2:] if value] == []


@as_root
@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666])
def test_a_file_that_others_can_write(place: Path, mode: int) -> None:
    write(place, EVERYTHING).chmod(mode)
    assert "can be written by others than root hint: chmod go-w" in refused(place)


@as_root
@pytest.mark.parametrize("mode", [0o775, 0o757, 0o1777])
def test_a_directory_that_others_can_write_though_there_is_no_file(place: Path, mode: int) -> None:
    """Whoever can write there could have taken the file away."""
    place.chmod(mode)
    assert "can be written by others than root" in refused(place)


@as_root
def test_a_file_or_a_directory_of_another_user(place: Path) -> None:
    path = write(place, EVERYTHING)
    os.chown(path, 12345, -1)
    assert "belongs to uid 12345, not to root" in refused(place)
    os.chown(path, 0, -1)
    os.chown(place, 12345, -1)
    assert "belongs to uid 12345, not to root" in refused(place)


def test_an_ordinary_users_own_file_is_none_of_roots(place: Path) -> None:
    if os.geteuid() == 0:
        os.chown(place, 12345, -1)
    write(place, EVERYTHING)
    assert "not to root" in refused(place)


@as_root
def test_symbolic_links_are_not_followed(place: Path) -> None:
    path = write(place, EVERYTHING)
    path.rename(place / "other.toml")
    path.symlink_to("other.toml")
    assert "it is a symbolic link" in refused(place, "configuration.unreadable")
    path.unlink()
    path.symlink_to("missing")
    assert "it is a symbolic link" in refused(place, "configuration.unreadable")
    link = place.parent / "link"
    link.symlink_to(place)
    assert "it is a symbolic link" in refused(link, "configuration.unreadable")
    link.unlink()
    link.symlink_to(place.parent / "missing")
    assert "it is a symbolic link" in refused(link, "configuration.unreadable")


@as_root
def test_what_is_no_regular_file_is_refused_at_once(place: Path) -> None:
    path = place / "config.toml"
    os.mkfifo(path, 0o600)
    assert "not a regular file" in refused(place, "configuration.unreadable")
    path.unlink()
    path.mkdir(mode=0o755)
    assert "not a regular file" in refused(place, "configuration.unreadable")
    path.rmdir()
    os.mknod(path, 0o600 | 0o020000, os.makedev(1, 5))  # /dev/zero
    assert "not a regular file" in refused(place, "configuration.unreadable")
    (place.parent / "file").touch()
    assert "not a directory" in refused(place.parent / "file", "configuration.unreadable")


@as_root
@pytest.mark.parametrize(
    ("content", "message", "code"),
    [
        (b"[policy]\n\0", "not TOML", "configuration.invalid"),
        (b"\xff", "not UTF-8", "configuration.invalid"),
        (b"[policy", "not TOML", "configuration.invalid"),
        (b"a = " + b"[" * 60_000, "nested too deeply", "configuration.invalid"),
        (b"a = " + b"{a=" * 20_000, "nested too deeply", "configuration.invalid"),
        (b"a" + b".a" * 30_000 + b" = 1", "nested too deeply", "configuration.invalid"),
        (b'"a"' + b' . "a"' * 10_000 + b" = 1", "nested too deeply", "configuration.invalid"),
        (b"[a" + b".a" * 30_000 + b"]", "nested too deeply", "configuration.invalid"),
        (b"\n".join(b"a%d" % n + b".a" * 99 for n in range(310)), "not TOML", "configuration.invalid"),
        (b"\n".join(b"a%d" % n + b".a" * 99 + b"=1" for n in range(310)), "unknown", "configuration.invalid"),
        (b"\n".join(b"[a%d]" % number for number in range(7_000)), "unknown key", "configuration.invalid"),
        (b"[[policy]]\n" * 5_000, "must be a table, not a list", "configuration.invalid"),
        (b'policy = "' + b"x" * 60_000 + b'"', "must be a table, not a string", "configuration.invalid"),
        (b"a = " + b"9" * 60_000, "not TOML", "configuration.invalid"),
        (b"#" * 65_537, "larger than 64 KiB", "configuration.unreadable"),
    ],
    ids=range(15),
)
def test_hostile_bytes(place: Path, content: bytes, message: str, code: str) -> None:
    write(place, content)
    assert message in refused(place, code)


@as_root
def test_a_huge_file_costs_no_more_than_a_large_one(place: Path) -> None:
    write(place, b"")
    subprocess.run(["truncate", "-s", "1G", place / "config.toml"], check=True)
    assert "larger than 64 KiB" in refused(place, "configuration.unreadable")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize(("mode", "said"), [(0o644, "require_audit=True"), (0o600, "permission denied")])
def test_an_ordinary_user_is_held_to_it_and_cannot_escape_by_not_reading_it(
    place: Path, mode: int, said: str
) -> None:
    write(place, b"[policy]\nrequire_audit = true\n").chmod(mode)
    opened = os.open(place, os.O_PATH | os.O_DIRECTORY)
    reader, writer = os.pipe()
    from runtime.policy import system_configuration  # whoever the child becomes may not read this checkout

    child = os.fork()
    if child == 0:
        try:
            os.setresuid(12345, 12345, 12345)
            # What read_system_configuration does with the directory, which lies below closed ones here.
            found = system_configuration.read(b"/etc/nono", opened)
            os.write(writer, repr(found).encode())
        except NonoError as error:
            os.write(writer, f"{error}: {error.hint}".encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)
    text = os.read(reader, 4096).decode()
    assert said in text
    assert mode == 0o644 or "inside of another sandbox it must be granted there" in text


@as_root
def test_no_descriptor_is_left_open(place: Path) -> None:
    before = os.listdir("/proc/self/fd")
    write(place, EVERYTHING)
    read(place)
    write(place, b"#" * 70_000)
    refused(place, "configuration.unreadable")
    write(place, b"").chmod(0o666)
    refused(place)
    place.chmod(0o777)
    refused(place)
    assert os.listdir("/proc/self/fd") == before


WRONG: list[tuple[dict[str, Any], str, str | None]] = [
    ({"launch": {}}, "at launch: unknown key", "known here: policy"),
    ({"policies": {}}, "at policies: unknown key", "did you mean policy?"),
    ({"policy": []}, "at policy: must be a table, not a list", None),
    (
        {"policy": {"require-audit": True}},
        "at policy.require-audit: unknown key",
        "did you mean require_audit?",
    ),
    ({"policy": {"require_audit": "yes"}}, "at policy.require_audit: must be true or false", None),
    ({"policy": {"forbid_bypass": 1}}, "at policy.forbid_bypass: must be true or false", None),
    ({"policy": {"ledger": "~/l.db"}}, "at policy.ledger: must be an absolute path", None),
    ({"policy": {"ledger": "l.db"}}, "at policy.ledger: must be an absolute path", None),
    ({"policy": {"ledger": ""}}, "at policy.ledger: must be the absolute path of a ledger", None),
    ({"policy": {"key": "~/k.pem"}}, "at policy.key: must be an absolute path", None),
    ({"policy": {"key": "keyring://"}}, "at policy.key: keyring:// names nothing", None),
    ({"policy": {"minimum_profile": "./x.json"}}, "minimum_profile: must be an absolute path", None),
    ({"policy": {"minimum_profile": "-"}}, "at policy.minimum_profile: is no built-in profile", None),
    ({"policy": {"minimum_profile": True}}, "must be the name or the path of a profile, not true", None),
    ({"policy": {"grants": "none"}}, "at policy.grants: must be any or profile-only", None),
    ({"policy": {"grants": []}}, "at policy.grants: must be any or profile-only, not a list", None),
]


@pytest.fixture(scope="module")
def schema() -> jsonschema.Draft202012Validator:
    return validator("system-configuration")


def meant(directory: Path, content: object) -> SystemConfiguration:
    """Read what a file says, whosever it is."""
    path = write(directory, content)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return read_form(os.fsencode(path), descriptor)
    finally:
        os.close(descriptor)


@pytest.mark.parametrize(("content", "message", "hint"), WRONG, ids=[message for _, message, _ in WRONG])
def test_a_mistake_is_named_with_its_place_and_the_schema_refuses_it_too(
    content: dict[str, Any],
    message: str,
    hint: str | None,
    place: Path,
    schema: jsonschema.Draft202012Validator,
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        meant(place, content)
    assert message in str(caught.value)
    assert caught.value.code == "configuration.invalid"
    assert hint is None or hint in (caught.value.hint or "")
    assert not schema.is_valid(content)


@pytest.mark.parametrize(
    "content", [{"policy": {"minimum_profile": "company"}}, {"policy": {"grants": "profile-only"}}]
)
def test_what_a_schema_cannot_say(
    content: dict[str, Any], place: Path, schema: jsonschema.Draft202012Validator
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        meant(place, content)
    assert caught.value.code == "configuration.contradiction"
    assert schema.is_valid(content)


VALUES = st.one_of(
    st.booleans(),
    st.sampled_from(
        ["/x", "~/x", "x", "env://K", "env://", "file:///x", "any", "profile-only", "ci-strict", "default"]
    ),
    st.sampled_from(["x.json", "/x.json", "none", "", "-", 1, 0.5]),
    st.text(st.characters(max_codepoint=127), max_size=3),
    st.just([]),
)
KEYS = (*SystemConfiguration._fields[2:-1], "grants", "other")
POLICIES = st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=4)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
@given(st.fixed_dictionaries({}, optional={"policy": st.one_of(POLICIES, POLICIES, VALUES)}))
def test_reader_and_schema_agree(place: Path, document: dict[str, Any]) -> None:
    try:
        meant(place, document)
        code = ""
    except ConfigurationError as error:
        code = error.code
    valid = validator("system-configuration").is_valid(document)
    assert valid == (code in {"", "configuration.contradiction"}), code


# --- what it makes of a request -------------------------------------------------------------------


NONE = SystemConfiguration(b"/etc/nono/config.toml", "0" * 64)
ASKED = LaunchRequest(command=(b"x",), variables={})


def refusal(system: SystemConfiguration, **asked: Any) -> SystemPolicyError:
    assert applied(NONE, ASKED._replace(**asked)) == ASKED._replace(**asked)
    with pytest.raises(SystemPolicyError) as caught:
        applied(system, ASKED._replace(**asked))
    assert caught.value.exit_status == 125
    assert "/etc/nono/config.toml" in str(caught.value)
    return caught.value


def test_what_is_forbidden() -> None:
    for rule, asked, code in (
        ({"require_audit": True}, {"audit": False}, "system.audit"),
        ({"forbid_bypass": True}, {"bypass_protection": (b"~/.ssh",)}, "system.bypass"),
        ({"forbid_writable_script": True}, {"allow_writable_script": True}, "system.script"),
        ({"key": "/k.pem"}, {"key": "/other.pem"}, "system.key"),
        ({"key": "/k.pem"}, {"key": "env://K"}, "system.key"),
        ({"key": "env://A"}, {"key": "env://B"}, "system.key"),
        ({"key": "env://A"}, {"key": "/A"}, "system.key"),
        ({"key": "env://A"}, {"key": "MC4CAQAwBQYDK2VwBCIEIA=="}, "system.key"),
        ({"ledger": b"/l.db"}, {"ledger": b"/m.db"}, "system.ledger"),
    ):
        system = NONE._replace(**rule)
        assert refusal(system, **asked).code == code
        assert applied(system, ASKED).command == ASKED.command


def test_a_fixed_key_and_ledger_are_taken_and_may_be_named() -> None:
    system = NONE._replace(key="/k.pem", ledger=b"/l.db")
    for asked in ({}, {"key": "/k.pem"}, {"key": "file:///k.pem"}, {"ledger": b"/x/../l.db"}):
        found = applied(system, ASKED._replace(**asked))
        assert (found.key, found.ledger) == ("/k.pem", b"/l.db")
    unrecorded = applied(system, ASKED._replace(audit=False))
    assert (unrecorded.key, unrecorded.ledger) == (None, None)


def test_what_each_launch_has_whatever_is_asked() -> None:
    system = NONE._replace(protect_metadata=True, trace_exec=True)
    for asked in ({}, {"config": b"m.json"}, {"protect_metadata": True}):
        found = applied(system, ASKED._replace(**asked))
        assert (found.protect_metadata, found.trace_exec) == (True, True)
        found._replace(command=(b"x",)).check()
    found = applied(NONE, ASKED)
    assert (found.protect_metadata, found.trace_exec) == (False, False)


def test_an_unsafe_redaction(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(b'[redaction]\nextra_flags = ["--pin"]\n')
    path.chmod(0o600)
    system = NONE._replace(forbid_unsafe_redaction=True)
    require_redaction(system, Configuration())
    require_redaction(system, read_configuration(os.fsencode(tmp_path)))
    path.write_bytes(b'[redaction]\nextra_flags = ["--auth2"]\nunsafe_remove = { flags = ["--auth"] }\n')
    require_redaction(NONE, read_configuration(os.fsencode(tmp_path)))
    with pytest.raises(SystemPolicyError) as caught:
        require_redaction(system, read_configuration(os.fsencode(tmp_path)))
    assert caught.value.code == "system.redaction"
    assert str(path) in str(caught.value)


# --- the minimum profile --------------------------------------------------------------------------


class Desk:
    """A user's directory of profiles, under a minimum profile."""

    def __init__(self, base: Path) -> None:
        self.config = base / "config"
        (self.config / "profiles").mkdir(parents=True)
        self.base = base

    def profile(self, name: str, **parts: Any) -> Profile:
        """Write a profile of the user's and read it by its name."""
        path = self.config / "profiles" / f"{name}.json"
        path.write_text(json.dumps(parts))
        path.chmod(0o600)
        return read_profile(name.encode(), os.fsencode(self.config))

    def minimum(self, *, grants: str = "any", of: str = "ci-strict", **parts: Any) -> Minimum:
        """Return a minimum profile: a built-in one, or, were it root's, one that says this."""
        system = NONE._replace(minimum_profile=of.encode(), profile_only=grants == "profile-only")
        minimum = Minimum(system)
        if parts:
            path = self.base / "minimum.json"
            path.write_text(json.dumps(parts))
            minimum.profile = read_profile(os.fsencode(path), None)
        return minimum

    def extending(self, name: str = "mine", **parts: Any) -> Profile:
        """Write a profile of the user's that extends the minimum one that was written."""
        return self.profile(name, extends=str(self.base / "minimum.json"), **parts)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def upheld(minimum: Minimum, profile: Profile, **asked: Any) -> str:
    """Return the code with which a launch is refused, or an empty text."""
    try:
        minimum.require_upheld(profile, ASKED._replace(**asked))
    except SystemPolicyError as error:
        where = "each launch keeps to a profile (/etc/nono/config.toml: minimum_profile = ci-strict)"
        return error.code if str(error).startswith(where) else str(error)
    return ""


def test_the_profile_itself_and_what_builds_upon_it(desk: Desk) -> None:
    minimum = desk.minimum()
    assert upheld(minimum, minimum.profile) == ""
    assert upheld(minimum, read_profile(b"ci-strict", None)) == ""
    assert upheld(minimum, desk.profile("mine", extends="ci-strict", filesystem={"read": ["/opt"]})) == ""
    assert upheld(minimum, desk.profile("deep", extends="mine")) == ""
    assert upheld(minimum, desk.profile("both", extends=["python-dev", "ci-strict"])) == ""


def test_names_and_copies_and_fragments_do_not_stand_for_it(desk: Desk) -> None:
    minimum = desk.minimum()
    for profile in (
        desk.profile("other"),
        desk.profile("ci-strict.2", extends="python-dev"),
        read_profile(b"python-dev", None),
        read_profile(b"default", None),
    ):
        assert upheld(minimum, profile) == "system.profile"
    fake = desk.base / "ci-strict.json"
    fake.write_text('{"network": {"block": true}}')
    assert upheld(minimum, read_profile(os.fsencode(fake), None)) == "system.profile"
    # Its own bytes are it, wherever they lie: nothing can be changed in them.
    copy = desk.base / "copy.jsonc"
    copy.write_bytes(Path(os.fsdecode(BUILT_IN), "ci-strict.jsonc").read_bytes())
    assert upheld(minimum, read_profile(os.fsencode(copy), None)) == ""


def test_a_copy_that_extends_something_else_beside_it(desk: Desk) -> None:
    (desk.base / "base.json").write_text('{"environment": {"deny": ["SECRET"]}}')
    minimum = desk.minimum(extends="./base.json")
    assert [file.name for file in minimum.profile.chain] == [b"base", b"minimum"]
    elsewhere = desk.base / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "minimum.json").write_bytes((desk.base / "minimum.json").read_bytes())
    (elsewhere / "base.json").write_text("{}")
    assert upheld(minimum, read_profile(os.fsencode(elsewhere / "minimum.json"), None)) == "system.profile"
    (elsewhere / "base.json").write_bytes((desk.base / "base.json").read_bytes())
    assert upheld(minimum, read_profile(os.fsencode(elsewhere / "minimum.json"), None)) == ""


def test_a_users_profile_of_the_name_that_the_minimum_extends_is_no_part_of_it(desk: Desk) -> None:
    desk.profile("python-dev", extends="python-dev", environment={"set_vars": {"A": "1"}})
    minimum = desk.minimum(extends="python-dev")
    assert minimum.profile.chain[0].path.startswith(BUILT_IN)
    assert minimum.profile.variables.set_vars == {}


def test_what_it_blocks_cannot_be_opened(desk: Desk) -> None:
    minimum = desk.minimum(
        network={"block": True},
        groups={"exclude": ["process_information"]},
        environment={"deny": ["SECRET", "AWS_*"], "set_vars": {"AWS_REGION": "x"}},
    )
    blocked = desk.extending(network={"block": False}, groups={"include": ["process_information"]})
    assert blocked.block_network
    assert "process_information" not in {group.name for group in blocked.groups}
    assert upheld(minimum, blocked) == ""
    allowing = desk.extending(environment={"allow": ["SECRET"]})
    assert not allowing.variables.passing()(b"SECRET")
    assert upheld(minimum, allowing) == ""
    for name in ("SECRET", "AWS_PROFILE", "AWS_REGION"):
        setting = desk.extending(environment={"set_vars": {name: "y"}})
        assert upheld(minimum, setting) == "system.profile"
    assert upheld(minimum, desk.extending(environment={"set_vars": {"AWS_REGION": "x", "B": "y"}})) == ""
    assert minimum.permitted({b"SECRET": b"1", b"B": b"2"}, blocked) == {b"B": b"2"}
    for name, code in (("SECRET", "system.profile"), ("AWS_KEY", "system.profile"), ("OTHER", "")):
        secret = {name: "env://ELSEWHERE"}
        assert upheld(minimum, minimum.profile, credentials=secret) == code
        assert upheld(minimum, desk.extending(env_credentials=secret)) == code


def test_commands_that_it_blocks_stay_blocked(desk: Desk) -> None:
    minimum = desk.minimum(commands={"block": ["curl", "git"], "allow": ["git"]})
    for names, code in ((["curl"], "system.profile"), (["git"], ""), (["rm"], "")):
        assert upheld(minimum, desk.extending(commands={"allow": names})) == code
        allowed = tuple(name.encode() for name in names)
        assert upheld(minimum, minimum.profile, allow_commands=allowed) == code


def test_its_denials_and_hooks_stay(desk: Desk) -> None:
    hook = {"script": "/usr/bin/true", "timeout_secs": 5, "required": True}
    denying = _a_denying_group()
    minimum = desk.minimum(groups={"include": [denying]}, session_hooks={"before": hook})
    assert upheld(minimum, desk.extending()) == ""
    assert upheld(minimum, desk.extending(groups={"exclude": [denying]})) == "system.profile"
    other = desk.extending(session_hooks={"before": {**hook, "required": False}})
    assert upheld(minimum, other) == "system.profile"
    after = desk.extending(session_hooks={"after": {"script": "/usr/bin/false"}})
    assert upheld(minimum, after) == ""
    # What its own hook exports is its own word.
    assert minimum.permitted({b"A": b"1"}, after) == {b"A": b"1"}


def _a_denying_group() -> str:
    from runtime.capability.tool_groups import GROUPS

    return next(name for name, group in GROUPS.items() if group.denies and not group.required)


@pytest.mark.parametrize(
    ("minimum", "network", "ports", "wider"),
    [
        ({"block": True}, Network.BLOCKED, NO_PORTS, False),
        ({"block": True}, Network.PORTS, Ports(connect=(443,)), True),
        ({"block": True}, Network.ALL, NO_PORTS, True),
        ({}, Network.ALL, NO_PORTS, False),
        ({}, Network.PORTS, Ports(connect=(1,)), False),
        ({"allow_connect_port": [443]}, Network.BLOCKED, NO_PORTS, False),
        ({"allow_connect_port": [443]}, Network.PORTS, Ports(connect=(443,)), False),
        ({"allow_connect_port": [443]}, Network.PORTS, Ports(connect=(443, 25)), True),
        ({"allow_connect_port": [443]}, Network.PORTS, Ports(listen=(443,)), True),
        ({"allow_connect_port": [443]}, Network.ALL, NO_PORTS, True),
        ({"listen_port": [80]}, Network.PORTS, Ports(listen_loopback=(80,)), False),
        ({"open_port": [80]}, Network.PORTS, Ports(listen=(80,)), True),
        ({"open_port": [80]}, Network.PORTS, Ports(connect=(80,), listen_loopback=(80,)), False),
    ],
)
def test_its_network_is_the_widest(
    desk: Desk, minimum: dict[str, Any], network: Network, ports: Ports, *, wider: bool
) -> None:
    held = desk.minimum(network=minimum, description="one")
    if not wider:
        held.require_network(network, ports)
        return
    with pytest.raises(SystemPolicyError) as caught:
        held.require_network(network, ports)
    assert caught.value.code == "system.profile"


def test_grants_beyond_it_are_flags_and_profiles_own_matter_unless_there_may_be_none(desk: Desk) -> None:
    parts: dict[str, Any] = {
        "filesystem": {"read": ["/opt"]},
        "environment": {"allow": ["PATH"], "set_vars": {"A": "1"}},
        "groups": {"exclude": ["process_information"]},
        "session_hooks": {"after": {"script": "/usr/bin/true"}},
    }
    anything, nothing = desk.minimum(**parts), desk.minimum(grants="profile-only", **parts)
    grant = (GrantRequest(Access.READ, b"/srv", directory=True),)
    for asked in (
        {"grants": grant}, {"allow_cwd": True}, {"bypass_protection": (b"~/.ssh",)},
        {"credentials": {"A_TOKEN": "env://TOKEN"}}, {"allow_commands": (b"rm",)},
    ):  # fmt: skip
        assert upheld(anything, anything.profile, **asked) == ""
        assert upheld(nothing, nothing.profile, **asked) == "system.grants"
    for adding in (
        {"filesystem": {"read": ["/srv"]}},
        {"filesystem": {"allow": ["/opt"]}},
        {"groups": {"include": ["python_runtime"]}},
        {"environment": {"allow": ["HOME"]}},
        {"environment": {"set_vars": {"B": "1"}}},
        {"environment": {"set_vars": {"A": "2"}}},
        {"session_hooks": {"before": {"script": "/usr/bin/true"}}},
        {"env_credentials": {"A_TOKEN": "env://TOKEN"}},
        {"commands": {"allow": ["rm"]}},
        {"security": {"capability_elevation": True}},
    ):
        assert upheld(anything, desk.extending(**adding)) == "", adding
        assert upheld(nothing, desk.extending(**adding)) == "system.grants", adding
    narrowing = desk.extending(
        network={"block": True},
        environment={"deny": ["LANG"]},
        groups={"exclude": ["devices"]},
        filesystem={"read": ["/opt"]},
        commands={"block": ["curl"]},
        security={"protect_metadata": True},
        execs={"trace": True},
    )
    assert (
        upheld(nothing, narrowing, protect_metadata=True, block_net=True, labels={"a": "b"}, workdir=b"/")
        == ""
    )


def test_a_new_field_of_a_request_counts_as_a_grant(desk: Desk) -> None:
    """What is added to a request is refused under profile-only until somebody says that it grants nothing."""
    held = desk.minimum(grants="profile-only")
    harmless = {
        "command", "variables", "workdir", "profile", "block_net", "allow_writable_script", "audit", "ledger",
        "key", "key_passphrase_env", "labels", "outputs", "connect_ports", "listen_ports", "open_ports",
        "block_commands", "limits", "protect_metadata", "trace_exec",
    }  # fmt: skip
    for name in ASKED._fields:
        changed: dict[str, Any] = {name: {"A": "env://B"} if name == "credentials" else (b"1",)}
        request = ASKED._replace(**changed)
        try:
            held.require_upheld(held.profile, request)
            code = ""
        except SystemPolicyError as error:
            code = error.code
        assert code == ("" if name in harmless else "system.grants"), name


def test_a_manifest_has_nothing_of_a_profile(desk: Desk) -> None:
    minimum = desk.minimum()
    minimum.require_no_manifest(ASKED)
    with pytest.raises(SystemPolicyError) as caught:
        minimum.require_no_manifest(ASKED._replace(config=b"m.json"))
    assert caught.value.code == "system.manifest"


def test_a_file_on_the_way_to_which_others_can_write_is_not_taken(desk: Desk) -> None:
    """A directory that everybody can write to is no place for it, sticky or not."""
    (desk.base / "p.json").write_text("{}")
    desk.base.chmod(0o1777)
    with pytest.raises(ConfigurationError):
        Minimum(NONE._replace(minimum_profile=os.fsencode(desk.base / "p.json")))
    require_path_of_roots(b"/usr/bin/env")
    link = desk.base / "link"
    link.symlink_to("/usr/bin/env")
    with pytest.raises(ConfigurationError, match="symbolic link"):
        require_path_of_roots(os.fsencode(link))
    with pytest.raises(ConfigurationError, match="no such file"):
        require_path_of_roots(b"/usr/bin/no-such-program")
