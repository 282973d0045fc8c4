"""Credentials: where a secret may come from, what is refused, and that no message has its value."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from attest import canonical
from attest.keys import SigningKey
from runtime.errors import CredentialError, GrantError, UsageError
from runtime.policy import credentials
from runtime.secrets.redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
VALUE = b"v4lue-of-a-secret"
KEY = SigningKey(b"\x07" * 32)


@pytest.fixture(autouse=True)
def nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "_taken", {})


@pytest.fixture
def secret(tmp_path: Path) -> Callable[..., str]:
    """Write a secret's file and return its reference."""

    def write(content: bytes = VALUE + b"\n", mode: int = 0o600) -> str:
        path = tmp_path / "secret"
        path.write_bytes(content)
        path.chmod(mode)
        return f"file://{path}"

    return write


def allow(_variable: str, _path: bytes, _canonical: bytes) -> None:
    """Judge nothing."""


def load(reference: str) -> bytes:
    return credentials.load({"A": reference}, judge=allow)[b"A"]


def refused(reference: str) -> CredentialError:
    with pytest.raises(CredentialError) as caught:
        load(reference)
    said = f"{caught.value} {caught.value.hint}"
    assert VALUE.decode() not in said
    assert said.isprintable()
    assert "A" in said
    return caught.value


# --- files -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (VALUE, VALUE),
        (VALUE + b"\n", VALUE),
        (VALUE + b"\n\n", VALUE + b"\n"),
        (VALUE + b"\r\n", VALUE + b"\r"),
        (b" " + VALUE + b" ", b" " + VALUE + b" "),
        (b"a\nb\n", b"a\nb"),
        (b"\xff\xfe", b"\xff\xfe"),
        (b"x" * 65_536 + b"\n", b"x" * 65_536),
    ],
)
def test_a_file_is_its_bytes_without_one_newline(
    secret: Callable[..., str], content: bytes, value: bytes
) -> None:
    assert load(secret(content)) == value


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "credential.empty"),
        (b"\n", "credential.empty"),
        (VALUE + b"\0", "credential.value"),
        (VALUE * 5_000, "credential.size"),
        (b"x" * 65_537 + b"\n", "credential.size"),
    ],
)
def test_what_no_variable_should_hold(secret: Callable[..., str], content: bytes, code: str) -> None:
    assert refused(secret(content)).code == code


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o602, 0o610])
def test_a_file_that_is_open_to_others(secret: Callable[..., str], mode: int) -> None:
    error = refused(secret(mode=mode))
    assert error.code == "credential.mode"
    assert f"(mode {mode:04o})" in str(error)
    assert str(error.hint).startswith("chmod 600 /")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    error = refused(f"file://{tmp_path}/no")
    assert error.code == "credential.missing"
    assert f"the credential A is missing: there is no {tmp_path}/no" in str(error)


def test_a_link_is_not_followed(secret: Callable[..., str], tmp_path: Path) -> None:
    target = secret()
    (tmp_path / "link").symlink_to("secret")
    error = refused(f"file://{tmp_path}/link")
    assert error.code == "credential.link"
    assert str(error.hint).endswith(target.removeprefix("file://"))


def test_neither_a_directory_nor_a_fifo_nor_a_device_is_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o600)
    for path in (tmp_path, tmp_path / "fifo", Path("/dev/null"), Path("/dev/zero")):
        assert refused(f"file://{path}").code == "credential.not_regular"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_file_of_somebody_else(secret: Callable[..., str], tmp_path: Path) -> None:
    reference = secret()
    os.chown(tmp_path / "secret", 12_345, 12_345)
    assert refused(reference).code == "credential.owner"


def test_a_file_that_must_not_be_given_away(secret: Callable[..., str], tmp_path: Path) -> None:
    asked: list[tuple[str, bytes, bytes]] = []

    def judge(variable: str, path: bytes, opened: bytes) -> None:
        asked.append((variable, path, opened))
        raise GrantError("it is protected", hint="bypass it")

    with pytest.raises(
        CredentialError, match="the credential A must not be given away: it is protected"
    ) as c:
        credentials.load({"A": secret()}, judge=judge)
    assert (c.value.code, c.value.hint) == ("credential.protected", "bypass it")
    path = os.fsencode(tmp_path / "secret")
    assert asked == [("A", path, path)]


def test_what_is_judged_is_what_is_open(secret: Callable[..., str], tmp_path: Path) -> None:
    """The directory is exchanged while somebody looks: too late to matter."""
    secret()
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "file").write_bytes(VALUE)
    (tmp_path / "here" / "file").chmod(0o600)
    (tmp_path / "way").symlink_to("here")

    def exchange(_variable: str, path: bytes, opened: bytes) -> None:
        assert (path, opened) == (os.fsencode(tmp_path / "way/file"), os.fsencode(tmp_path / "here/file"))
        (tmp_path / "way").unlink()
        (tmp_path / "way").symlink_to("/etc")

    assert credentials.load({"A": f"file://{tmp_path}/way/file"}, judge=exchange) == {b"A": VALUE}


def test_no_descriptor_stays_open(secret: Callable[..., str]) -> None:
    before = os.listdir("/proc/self/fd")
    load(secret())
    refused(secret(mode=0o644))
    refused(secret(b""))
    assert os.listdir("/proc/self/fd") == before


# --- variables ---------------------------------------------------------------------------------------


def test_a_variable_is_taken_out_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE", VALUE.decode())
    asked = {"A": "env://SOURCE", "B": "env://SOURCE"}
    assert credentials.load(asked, judge=allow) == {b"A": VALUE, b"B": VALUE}
    assert "SOURCE" not in os.environ
    # A long-lived process launches again and again.
    assert credentials.load(asked, judge=allow) == {b"A": VALUE, b"B": VALUE}
    monkeypatch.setenv("SOURCE", "another")
    assert load("env://SOURCE") == b"another"


def test_where_one_is_missing_the_environment_stays_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE", VALUE.decode())
    monkeypatch.delenv("NO_SUCH", raising=False)
    with pytest.raises(CredentialError) as caught:
        credentials.load({"A": "env://SOURCE", "B": "env://NO_SUCH"}, judge=allow)
    assert str(caught.value) == "the credential B is missing: the variable NO_SUCH is not set"
    assert caught.value.code == "credential.missing"
    assert os.environ["SOURCE"] == VALUE.decode()


def test_an_empty_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE", "")
    assert refused("env://SOURCE").code == "credential.empty"


def test_looking_changes_nothing_and_asks_no_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE", VALUE.decode())
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "no.such.backend")
    found = credentials.load({"A": "env://SOURCE", "B": "keyring://a/b"}, judge=allow, looking=True)
    assert found == {b"A": VALUE, b"B": b""}
    assert os.environ["SOURCE"] == VALUE.decode()


# --- what is asked ------------------------------------------------------------------------------------


def check(asked: Any, **options: Any) -> None:
    credentials.check(asked, **{"key": None, "key_names": (), **options})


TOKEN = "ghp_" + "a1B2" * 9


@pytest.mark.parametrize(
    "reference",
    ["", "hunter2", "env://", "env://A B", "env://$A", "env://1A", "file://", "file://a", "file:/a", "keyring://",
     "keyring://a", "keyring:///a", "keyring://a/", "op://vault/item/field", "KEYRING://a/b", "env://A\n",
     "file:///a\0b", "file:///a\udcff", "file:///\x1b[2J", "file:///" + "x" * 600, TOKEN, f"env://{TOKEN}",
     f"keyring://nono/{TOKEN}"],
)  # fmt: skip
def test_what_is_no_reference_is_refused_and_never_quoted(reference: str) -> None:
    with pytest.raises(CredentialError) as caught:
        check({"API_KEY": reference})
    assert caught.value.code == "credential.reference"
    said = f"{caught.value} {caught.value.hint}"
    assert said.isprintable()
    for secret in ("hunter2", TOKEN, "vault"):
        assert secret not in said


@pytest.mark.parametrize(
    "name",
    ["", "A-B", "1A", "A=B", "\u0410", "LD_PRELOAD", "PYTHONPATH", "NONO_X", "PATH", "TMPDIR", "\udcff",
     "GIT_CONFIG_GLOBAL", "RES_OPTIONS", "VAULT_TOKEN"],
)  # fmt: skip
def test_names_that_hold_no_secret(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        check({name: "env://SOURCE"})
    assert caught.value.code == "credential.name"


@pytest.mark.parametrize("reference", ["MY_TOKEN", "env://SOURCE"])
def test_a_secret_in_the_place_of_the_variable_is_never_quoted(reference: str) -> None:
    """The two arguments are easily exchanged, and a variable's name is shown and recorded."""
    with pytest.raises(UsageError) as caught:
        check({TOKEN: reference})
    assert caught.value.code == "credential.name"
    assert TOKEN not in f"{caught.value} {caught.value.hint}"


def test_what_is_no_text_and_too_many() -> None:
    for asked in ({"A": 1}, {b"A": "env://B"}, {"A": None}):
        with pytest.raises(UsageError, match="credentials are text by text"):
            check(asked)
    check({f"A{number}": "env://B" for number in range(64)})
    with pytest.raises(CredentialError, match="more than 16 KiB of references"):
        check({f"A{number}": "file:///" + "x" * 500 for number in range(33)})
    with pytest.raises(UsageError, match="more than 64 credentials"):
        check({f"A{number}": "env://B" for number in range(65)})


@pytest.mark.parametrize(
    ("asked", "options"),
    [
        ({"A": "env://KEY"}, {"key_names": (b"KEY",)}),
        ({"PASS": "env://B"}, {"key_names": (b"KEY", b"PASS")}),
        ({"A": "keyring://nono/ci"}, {"key": "keyring://nono/ci"}),
        ({"A": "file:///k.pem"}, {"key": "file:///k.pem"}),
    ],
)
def test_the_signing_key_is_no_credential_by_its_name(asked: Any, options: Any) -> None:
    with pytest.raises(CredentialError) as caught:
        check(asked, **options)
    assert caught.value.code == "credential.key"


def test_the_signing_key_is_no_credential_by_its_content() -> None:
    pem = KEY.pem()
    der = canonical.decode_base64(pem.split(b"\n")[1].decode())
    second_version = b"\x30\x51\x02\x01\x01" + der[5:] + b"\x81\x21\x00" + KEY.public.spki()[-32:]
    forms = [
        pem,
        pem.split(b"\n")[1],
        b"CI_KEY='" + pem.replace(b"\n", b"\r\n") + b"'",
        base64.b64encode(second_version),
    ]
    for form in forms:
        with pytest.raises(CredentialError) as caught:
            credentials.refuse_key({b"FINE": b"x", b"A": form}, KEY)
        assert caught.value.code == "credential.key"
        assert "the credential A would be the key" in str(caught.value)
    credentials.refuse_key({b"A": SigningKey(b"\x08" * 32).pem(), b"B": VALUE}, KEY)


def test_a_name_in_the_keyring_is_a_variable_in_upper_case() -> None:
    assert credentials.of_keyring("openai_api_key") == ("OPENAI_API_KEY", "keyring://nono/openai_api_key")
    assert credentials.of_keyring("GH_TOKEN") == ("GH_TOKEN", "keyring://nono/GH_TOKEN")
    for name in ("", "openai-api-key", "a b", "keyring://a/b", "1a", TOKEN):
        with pytest.raises(UsageError) as caught:
            credentials.of_keyring(name)
        assert caught.value.code == "credential.name"
        assert not name or name not in str(caught.value)


# --- what is kept from the record -------------------------------------------------------------------------


def test_a_credential_is_taken_out_of_a_command_wherever_it_stands() -> None:
    redactor = Redactor()
    redactor.add_secrets([b"postgres", b"abc", b"a line\n", b"b" * 70_000])
    assert redactor.command([b"psql", b"-dpostgres", b"abcdef", b"a line", b"b" * 70_000]) == [
        "psql",
        {"parts": ["-d", {"redacted": "environment"}]},
        "abcdef",
        {"redacted": "environment"},
        {"redacted": "environment"},
    ]
    assert redactor.finds_in(b"my postgres") is True
    assert redactor.sentence("cannot find postgres") == "cannot find \u2039redacted\u203a"


def test_what_the_environment_held_before_is_still_taken_out() -> None:
    redactor = Redactor(variables={b"MY_TOKEN": b"t0ken-of-mine"})
    redactor.add_secrets([VALUE])
    assert redactor.command([b"t0ken-of-mine", VALUE]) == [{"redacted": "environment"}] * 2


# --- the keyring, in a process of its own -----------------------------------------------------------


BACK_END = """
import os, threading
from keyring.backend import KeyringBackend

class Threaded(KeyringBackend):
    priority = 1
    def get_password(self, service, username):
        threading.Thread(target=lambda: __import__("time").sleep(60), daemon=True).start()
        os.write(int(os.environ["COUNT"]), b".")
        return {"a": "p1", "b": "caf\\u00e9", "empty": ""}.get(username)
    def set_password(self, *_): raise NotImplementedError
    def delete_password(self, *_): raise NotImplementedError
"""

CODE = """
import json, os, sys
sys.path[:0] = sys.argv[1:3]
from runtime.policy import credentials
from runtime.errors import CredentialError
try:
    found = credentials.load(json.loads(sys.argv[3]), judge=lambda *_: None)
    said = {name.decode(): value.decode() for name, value in found.items()}
except CredentialError as error:
    said = {"message": str(error), "code": error.code, "hint": error.hint}
threads = len(os.listdir("/proc/self/task"))
loaded = sorted({"keyring", "threading"} & set(sys.modules))
print(json.dumps({"said": said, "threads": threads, "loaded": loaded}))
"""


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ('{"A": "keyring://nono/a", "B": "keyring://x/y/b"}', {"A": "p1", "B": "caf\u00e9"}),
        (
            '{"A": "keyring://nono/a", "B": "keyring://nono/no"}',
            {
                "message": "a credential is missing: the keyring has no password for user no of service nono",
                "code": "credential.missing",
                "hint": "put it there: keyring set nono no",
            },
        ),
        ('{"A": "keyring://nono/empty"}', "credential.empty"),
    ],
)
def test_one_helper_asks_for_all_and_leaves_no_thread(tmp_path: Path, asked: str, said: Any) -> None:
    (tmp_path / "back_end.py").write_text(BACK_END)
    reader, writer = os.pipe()
    done = subprocess.run(
        [sys.executable, "-I", "-c", CODE, ROOT, tmp_path, asked],
        env={"COUNT": str(writer), "PATH": os.defpath, "PYTHON_KEYRING_BACKEND": "back_end.Threaded"},
        pass_fds=(writer,),
        capture_output=True,
        check=True,
        timeout=60,
    )
    os.close(writer)
    with open(reader, "rb") as file:
        assert len(file.read()) == asked.count("keyring://")
    found = json.loads(done.stdout)
    assert found["said"].get("code") == said if isinstance(said, str) else found["said"] == said
    assert found["threads"] == 1
    assert found["loaded"] == []
