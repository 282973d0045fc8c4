"""The configuration: exactly what the published schema says, trusted only when nobody else wrote it."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from attest.keys import SigningKey
from runtime.errors import ConfigurationError
from runtime.policy.configuration import read_configuration
from runtime.policy.configuration_file import MAX_BYTES
from runtime.policy.request import LaunchRequest
from runtime.secrets.redaction_policy import DEFAULT
from tests.runtime import limit_values
from tests.runtime.published_schema import validator

if TYPE_CHECKING:
    import jsonschema  # type: ignore[import-untyped]  # published without type information

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = ROOT / "runtime" / "schemas" / "configuration.schema.json"


@pytest.fixture(scope="module")
def schema() -> jsonschema.Draft202012Validator:
    return validator("configuration")


def toml(value: object) -> str:
    """Return a value as TOML writes it on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(key)} = {toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(toml(item) for item in value) + "]"
    if isinstance(value, datetime.date):
        return value.isoformat()
    return json.dumps(value).replace("\x7f", "\\u007f")


def write(directory: Path, content: object) -> bytes:
    path = directory / "config.toml"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        assert isinstance(content, dict)
        path.write_text("".join(f"{toml(key)} = {toml(value)}\n" for key, value in content.items()))
    path.chmod(0o600)
    return os.fsencode(directory)


def refused(directory: Path, content: object) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        read_configuration(write(directory, content))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000
    return caught.value


EVERYTHING = b"""\
[redaction]
extra_flags = ["--Pin", "*-ticket"]
extra_headers = ["X-Acme-Key"]
extra_query_keys = ["ticket"]
extra_env_vars = ["ACME_LICENSE", "*_CREDENTIAL"]

[redaction.unsafe_remove]
flags = ["--auth"]
headers = ["cookie"]
query_keys = ["code", "STATE"]
env_vars = ["_auth"]
"""


def test_everything_that_can_be_configured(tmp_path: Path) -> None:
    policy = read_configuration(write(tmp_path, EVERYTHING)).redaction
    assert policy.difference() == {
        "added": {
            "environment": ["*_credential", "acme_license"],
            "flags": ["*-ticket", "--pin"],
            "headers": ["x-acme-key"],
            "query_keys": ["ticket"],
        },
        "removed": {
            "environment": ["_auth"],
            "flags": ["--auth"],
            "headers": ["cookie"],
            "query_keys": ["code", "state"],
        },
    }


@pytest.mark.parametrize("content", [b"", b"# nothing\n", b"[redaction]\n", b"[redaction.unsafe_remove]\n"])
def test_a_file_that_says_nothing(content: bytes, tmp_path: Path) -> None:
    assert read_configuration(write(tmp_path, content)).redaction == DEFAULT


def test_no_file_and_no_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for directory in (tmp_path, tmp_path / "missing", tmp_path / "file"):
        assert read_configuration(os.fsencode(directory)).redaction == DEFAULT


def test_without_a_file_it_costs_one_system_call(tmp_path: Path) -> None:
    calls: list[str] = []
    probe = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "import runtime.policy.configuration as c\n"
        "before = set(sys.modules)\n"
        "sys.addaudithook(lambda event, _: event.startswith('open') and print(event))\n"
        f"c.read_configuration({os.fsencode(tmp_path)!r})\n"
        "print('imported', sorted(set(sys.modules) - before))"
    )
    out = subprocess.run([sys.executable, "-c", probe], check=True, capture_output=True, text=True).stdout
    calls += out.splitlines()
    assert calls == ["open", "imported []"]


WRONG: list[tuple[object, str, str | None]] = [
    ({"redactions": {}}, "at redactions: unknown key", "did you mean redaction?"),
    ({"network": {}}, "at network: unknown key", "known here: launch, redaction"),
    ({"policy": {}}, "at policy: unknown key", None),
    ({"launch": []}, "at launch: must be a table, not a list", None),
    ({"launch": {"block-net": True}}, "at launch.block-net: unknown key", "did you mean block_net?"),
    ({"launch": {"bypass_protection": []}}, "at launch.bypass_protection: unknown key", None),
    ({"launch": {"no_audit": True}}, "at launch.no_audit: unknown key", None),
    ({"launch": {"block_net": 1}}, "at launch.block_net: must be true or false, not a number", None),
    ({"launch": {"silent": "yes"}}, "at launch.silent: must be true or false, not a string", None),
    ({"launch": {"ledger": ""}}, "at launch.ledger: must be the path of a ledger, of 1 to 4095", None),
    ({"launch": {"ledger": "l.db"}}, "at launch.ledger: l.db is relative", "start it with / or ~/"),
    ({"launch": {"ledger": "~ann/l.db"}}, "at launch.ledger: ", None),
    ({"launch": {"ledger": "/a\0"}}, "without NUL", None),
    ({"launch": {"ledger": "/" + "a" * 4095}}, "of 1 to 4095 characters", None),
    ({"launch": {"profile": "-x"}}, "at launch.profile: is neither the name of a profile nor a path", None),
    ({"launch": {"profile": "a.json"}}, "at launch.profile: a.json is relative", None),
    ({"launch": {"profile": 1}}, "at launch.profile: must be the name or the path of a profile", None),
    ({"launch": {"key": "key.pem"}}, "at launch.key: key.pem is relative", None),
    ({"launch": {"key": "env://"}}, "at launch.key: env:// names nothing", None),
    ({"launch": {"key": "https://x"}}, "at launch.key: https://x is relative", None),
    ({"launch": {"key_passphrase_env": "A-B"}}, "key_passphrase_env: not the name of a variable", None),
    ({"launch": {"labels": []}}, "at launch.labels: must be a table, not a list", None),
    ({"launch": {"labels": {"a": 1}}}, "at launch.labels: must be a table of texts, not a number", None),
    ({"launch": {"labels": {"a=b": "c"}}}, "at launch.labels: not a label: 'a=b'", None),
    ({"launch": {"labels": {"": "c"}}}, "at launch.labels: an empty key", None),
    ({"launch": {"labels": {"a": "b" * 513}}}, "at launch.labels: the label a is longer than 512", None),
    ({"launch": {"limits": 1}}, "at launch.limits: must be a table, not a number", None),
    ({"launch": {"limits": {"memroy": "1G"}}}, "limits.memroy: unknown key", "did you mean memory?"),
    ({"launch": {"limits": {"memory": "1GB"}}}, "at launch.limits: memory: '1GB' is not a limit", "512M"),
    ({"launch": {"limits": {"cpu_time": 0}}}, "limits: cpu_time: out of its bounds", "from 1 to"),
    ({"redaction": []}, "at redaction: must be a table, not a list", None),
    ({"redaction": True}, "at redaction: must be a table, not true", None),
    (
        {"redaction": {"extra-flags": []}},
        "at redaction.extra-flags: unknown key",
        "did you mean extra_flags?",
    ),
    ({"redaction": {"extra_environment": []}}, "unknown key", "did you mean extra_env_vars?"),
    ({"redaction": {"remove": {}}}, "at redaction.remove: unknown key", "unsafe_remove"),
    (
        {"redaction": {"extra_flags": "--x"}},
        "at redaction.extra_flags: must be a list of names, not a string",
        None,
    ),
    ({"redaction": {"extra_flags": {}}}, "extra_flags: must be a list of names, not a table", None),
    (
        {"redaction": {"extra_flags": ["--x", 1]}},
        "at redaction.extra_flags[1]: must be a name, not a number",
        None,
    ),
    (
        {"redaction": {"extra_flags": [datetime.date(2024, 1, 1)]}},
        "must be a name, not a date or a time",
        None,
    ),
    (
        {"redaction": {"extra_flags": ["pin"]}},
        "at redaction.extra_flags: not a name",
        "a flag starts with a dash",
    ),
    ({"redaction": {"extra_headers": [""]}}, "at redaction.extra_headers: not a name", None),
    ({"redaction": {"extra_headers": ["a b"]}}, "at redaction.extra_headers: not a name", None),
    ({"redaction": {"extra_headers": ["a\n"]}}, "at redaction.extra_headers: not a name", None),
    ({"redaction": {"extra_headers": ["ä"]}}, "at redaction.extra_headers: not a name", None),
    ({"redaction": {"extra_env_vars": ["*"]}}, "at redaction.extra_env_vars: not a name", None),
    ({"redaction": {"extra_env_vars": ["A*"]}}, "at redaction.extra_env_vars: not a name", None),
    ({"redaction": {"extra_env_vars": ["A" * 257]}}, "at redaction.extra_env_vars: not a name", None),
    ({"redaction": {"extra_env_vars": ["A"] * 65}}, "at redaction.extra_env_vars: more than 64 names", None),
    ({"redaction": {"unsafe_remove": []}}, "at redaction.unsafe_remove: must be a table, not a list", None),
    ({"redaction": {"unsafe_remove": {"extra_flags": []}}}, "unknown key", "did you mean flags?"),
    (
        {"redaction": {"unsafe_remove": {"flags": ["x"]}}},
        "at redaction.unsafe_remove.flags: not a name",
        None,
    ),
]


@pytest.mark.parametrize(("content", "message", "hint"), WRONG, ids=[message for _, message, _ in WRONG])
def test_a_mistake_is_named_with_its_place_and_the_schema_refuses_it_too(
    content: dict[str, Any],
    message: str,
    hint: str | None,
    tmp_path: Path,
    schema: jsonschema.Draft202012Validator,
) -> None:
    error = refused(tmp_path, content)
    assert message in str(error)
    assert str(tmp_path) in str(error)
    assert error.code == "configuration.invalid"
    if hint is not None:
        assert hint in (error.hint or "")
    assert not schema.is_valid(content)


@pytest.mark.parametrize(
    ("removed", "message"),
    [
        ({"flags": ["--unknown"]}, "not redacted anyway: --unknown"),
        ({"env_vars": ["GITHUB_TOKEN"]}, "*token still covers github_token"),
        ({"headers": ["x-auth-token"]}, "*-token still covers x-auth-token"),
    ],
)
def test_a_removal_that_removes_nothing_is_refused(
    removed: dict[str, list[str]], message: str, tmp_path: Path, schema: jsonschema.Draft202012Validator
) -> None:
    content = {"redaction": {"unsafe_remove": removed}}
    error = refused(tmp_path, content)
    assert message in str(error)
    assert error.code == "configuration.contradiction"
    assert schema.is_valid(content)  # its description says so; a schema cannot


def test_a_key_itself_is_refused_and_not_echoed(tmp_path: Path) -> None:
    key = SigningKey.generate().pem().decode()
    for reference in (key, "env://" + key, "file://" + key):
        error = refused(tmp_path, {"launch": {"key": reference}})
        assert "launch.key: is a key itself" in str(error)
        assert "PRIVATE" not in str(error)


EVERY_DEFAULT = b"""\
[launch]
allow_cwd = true
block_net = true
key = "file:///k/key.pem"
key_passphrase_env = "PASS"
labels = { team = "a", "run" = "1" }
ledger = "~/l.db"
limits = { memory = "2G", nofile = 64 }
profile = "~/p.json"
silent = true
"""


def test_every_default_of_a_launch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    read = read_configuration(write(tmp_path, EVERY_DEFAULT))
    assert read.launch is not None
    assert read.launch._asdict() == {
        "allow_cwd": True,
        "block_net": True,
        "key": "/k/key.pem",
        "key_passphrase_env": "PASS",
        "labels": (("team", "a"), ("run", "1")),
        "ledger": b"/home/ann/l.db",
        "limits": (("memory_bytes", 2 << 30), ("open_files", 64)),
        "profile": b"/home/ann/p.json",
        "silent": True,
    }
    assert (read.path, read.sha256) == (
        os.fsencode(tmp_path / "config.toml"),
        hashlib.sha256(EVERY_DEFAULT).hexdigest(),
    )


def test_flags_win_over_defaults(tmp_path: Path) -> None:
    defaults = read_configuration(write(tmp_path, EVERY_DEFAULT)).launch
    assert defaults is not None
    asked = LaunchRequest(command=(b"x",), variables={})
    full = defaults.complete(asked)
    assert (full.allow_cwd, full.block_net, full.key, full.key_passphrase_env) == (
        True,
        True,
        "/k/key.pem",
        "PASS",
    )
    assert full.labels == {"team": "a", "run": "1"}
    assert full.limits == {"memory_bytes": 2 << 30, "open_files": 64}
    more = {"memory_bytes": 4 << 30, "processes": 5}
    assert defaults.complete(asked._replace(limits=more)).limits == {**more, "open_files": 64}
    own = defaults.complete(
        asked._replace(
            allow_cwd=False,
            block_net=False,
            key="env://K",
            labels={"run": "2"},
            ledger=b"/other.db",
            profile=b"default",
        )
    )
    assert (own.allow_cwd, own.block_net, own.key, own.ledger, own.profile) == (
        False,
        False,
        "env://K",
        b"/other.db",
        b"default",
    )
    assert own.key_passphrase_env is None  # it is of the other key
    assert own.labels == {"team": "a", "run": "2"}


def test_ports_and_a_manifest_and_no_record_leave_out_what_does_not_go_with_them(tmp_path: Path) -> None:
    defaults = read_configuration(write(tmp_path, EVERY_DEFAULT)).launch
    assert defaults is not None
    asked = LaunchRequest(command=(b"x",), variables={})
    assert defaults.complete(asked._replace(connect_ports=(443,))).block_net is None
    alone = defaults.complete(asked._replace(config=b"m.json"))
    assert (alone.profile, alone.block_net, alone.allow_cwd) == (None, None, None)
    assert alone.ledger is not None
    alone.check()
    unrecorded = defaults.complete(asked._replace(audit=False))
    assert (unrecorded.ledger, unrecorded.key, dict(unrecorded.labels)) == (None, None, {})
    unrecorded.check()


def test_names_are_bounded_together_since_the_intent_holds_them(tmp_path: Path) -> None:
    names = [f"{number:02}" + "a" * 126 for number in range(64)]
    read_configuration(write(tmp_path, {"redaction": {"extra_headers": names}}))
    error = refused(tmp_path, {"redaction": {"extra_headers": names, "extra_flags": ["--x"]}})
    assert (str(error).endswith("more than 8192 bytes of names"), error.code) == (
        True,
        "configuration.too_large",
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff", "byte 0: not UTF-8"),
        (b"redaction", "not TOML (expected '=' after a key"),
        (b"[redaction]\n[redaction]\n", "not TOML (cannot declare"),
        (b"a = " + b"9" * 5_000, "not TOML (exceeds the limit"),
        (b"a = " + b"[" * 5_000, "nested too deeply"),
        (b"#" * (MAX_BYTES + 1), "larger than 64 KiB"),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else value,
)
def test_what_is_no_configuration_at_all(content: bytes, message: str, tmp_path: Path) -> None:
    assert message in str(refused(tmp_path, content))


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_can_write(mode: int, tmp_path: Path) -> None:
    directory = write(tmp_path, EVERYTHING)
    (tmp_path / "config.toml").chmod(mode)
    with pytest.raises(ConfigurationError, match="can be written by others") as caught:
        read_configuration(directory)
    assert caught.value.hint == f"chmod go-w {tmp_path}/config.toml"
    assert caught.value.code == "configuration.untrusted"
    (tmp_path / "config.toml").chmod(0o644)
    assert read_configuration(directory).redaction != DEFAULT


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user(tmp_path: Path) -> None:
    directory = write(tmp_path, EVERYTHING)
    os.chown(tmp_path / "config.toml", 12345, 12345)
    with pytest.raises(ConfigurationError, match="belongs to another user"):
        read_configuration(directory)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_file_of_root_is_taken_by_a_user_and_an_unreadable_one_is_an_error(tmp_path: Path) -> None:
    directory = write(tmp_path, EVERYTHING)
    tmp_path.chmod(0o755)
    for mode, expected in ((0o644, "policy"), (0o600, "permission denied")):
        (tmp_path / "config.toml").chmod(mode)
        opened = os.open(tmp_path, os.O_PATH)  # its parents may be closed to others
        read, written = os.pipe()
        child = os.fork()
        if child == 0:
            with contextlib.suppress(BaseException):
                os.setresuid(12345, 12345, 12345)
                try:
                    said = (
                        "policy"
                        if read_configuration(b"/proc/self/fd/%d" % opened).redaction != DEFAULT
                        else "?"
                    )
                except ConfigurationError as error:
                    said = str(error)
                os.write(written, said.encode())
            os._exit(0)
        os.waitpid(child, 0)
        os.close(written)
        assert expected in os.read(read, 4096).decode()
        os.close(read)
        os.close(opened)
    assert directory


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "config.toml", 0o600)
    with pytest.raises(ConfigurationError, match="not a regular file"):
        read_configuration(os.fsencode(tmp_path))
    (tmp_path / "config.toml").unlink()
    (tmp_path / "config.toml").mkdir()
    with pytest.raises(ConfigurationError, match="not a regular file"):
        read_configuration(os.fsencode(tmp_path))


def test_a_link_is_followed_and_what_it_leads_to_is_judged(tmp_path: Path) -> None:
    (tmp_path / "dotfiles").mkdir()
    write(tmp_path / "dotfiles", EVERYTHING)
    (tmp_path / "config.toml").symlink_to(tmp_path / "dotfiles" / "config.toml")
    assert read_configuration(os.fsencode(tmp_path)).redaction != DEFAULT
    (tmp_path / "dotfiles" / "config.toml").chmod(0o666)
    with pytest.raises(ConfigurationError, match="can be written by others"):
        read_configuration(os.fsencode(tmp_path))


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    read_configuration(write(tmp_path, EVERYTHING))
    refused(tmp_path, b"#" * (MAX_BYTES + 1))
    assert os.listdir("/proc/self/fd") == before


NAMES = st.one_of(
    st.sampled_from(
        ["--x", "-x", "*-x", "*x", "x", "X_Y", "*", "--", "", "a b", "x\n", "--x\n", "a=b", "ä", "*_", "x*"]
    ),
    st.text(st.characters(codec="utf-8"), max_size=4).map(lambda text: "-" + text),
    st.text(st.characters(max_codepoint=127), max_size=3),
)
JUNK = st.one_of(st.booleans(), st.integers(-5, 5), st.floats(0.1, 0.9), NAMES, st.just([]), st.just({}))


def _maybe(keys: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    """Tables with some of the keys, now and then a value or a key that is wrong."""
    right = st.fixed_dictionaries({}, optional=keys)
    wrong = st.dictionaries(st.sampled_from([*keys, "other"]), JUNK, max_size=2)
    return st.one_of(right, right, right, st.builds(lambda a, b: {**a, **b}, right, wrong))


KINDS = ("flags", "headers", "query_keys", "env_vars")
LISTS = st.lists(st.one_of(NAMES, NAMES, NAMES, NAMES, JUNK), max_size=3)
LABELS = st.dictionaries(
    st.text(st.characters(max_codepoint=127), max_size=3), st.one_of(st.text(max_size=3), JUNK), max_size=2
)
TEXTS = st.one_of(
    st.text(alphabet="/~.a\0\njson:", max_size=6),
    st.sampled_from(["/x", "~/x", "env://K", "keyring://a/b", "file:///x", "python-dev", "x.json", "./x"]),
    JUNK,
)
LIMITS = _maybe(
    {
        key: st.one_of(st.sampled_from(limit_values.WRITTEN), JUNK)
        for key in ("memory", "max_processes", "cpu_time", "max_file_size", "nofile")
    }
)
CONFIGURATIONS = _maybe(
    {
        "launch": _maybe(
            {
                **dict.fromkeys(("allow_cwd", "block_net", "silent"), st.one_of(st.booleans(), JUNK)),
                **dict.fromkeys(("key", "key_passphrase_env", "ledger", "profile"), TEXTS),
                "labels": LABELS,
                "limits": LIMITS,
            }
        ),
        "redaction": _maybe(
            {
                **{f"extra_{kind}": LISTS for kind in KINDS},
                "unsafe_remove": _maybe(dict.fromkeys(KINDS, LISTS)),
            }
        ),
    }
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300, deadline=None)
@given(CONFIGURATIONS)
def test_reader_and_schema_agree(tmp_path: Path, document: dict[str, Any]) -> None:
    try:
        read_configuration(write(tmp_path, document))
        code = ""
    except ConfigurationError as error:
        code = error.code
    # What a removal must not be is beyond a schema, and is looked at last.
    valid = validator("configuration").is_valid(document)
    assert valid == (code in {"", "configuration.contradiction"}), code


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
@given(st.one_of(st.binary(max_size=60), st.text(alphabet="[]redaction.xtr_flgs={}\"'#\n,- ", max_size=60)))
def test_any_bytes_are_a_configuration_or_one_kind_of_error(tmp_path: Path, content: bytes | str) -> None:
    with contextlib.suppress(ConfigurationError):
        read_configuration(write(tmp_path, content.encode() if isinstance(content, str) else content))
