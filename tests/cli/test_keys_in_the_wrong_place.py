"""A private key typed where the name of one is wanted: refused, and nothing of it is shown or kept."""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING

import pytest

from attest.keys import SigningKey, is_key_text, unarmour, without_key_text
from runtime import cli
from runtime.secrets.pkcs8 import encrypted_pem
from verify import cli as verify_cli

if TYPE_CHECKING:
    from pathlib import Path

KEY = SigningKey(b"\x07" * 32)
PEM = KEY.pem().decode()
DER = unarmour(KEY.pem(), b"PRIVATE KEY")
ENCRYPTED = encrypted_pem(KEY, b"secret").decode()
SECRETS = {
    "PEM": PEM,
    "PEM without its newline": PEM.strip(),
    "PEM behind white space": f"\n  {PEM}",
    "PEM behind other text": f"Bag Attributes: none\n{PEM}",
    "PEM without its first dash": PEM[1:],
    "base64": base64.b64encode(DER).decode(),
    "base64 and a newline": base64.b64encode(DER).decode() + "\n",
    "base64 in two lines": "\n".join(
        (base64.b64encode(DER).decode()[:40], base64.b64encode(DER).decode()[40:])
    ),
    "encrypted PEM": ENCRYPTED,
    "encrypted base64": "".join(ENCRYPTED.splitlines()[1:-1]),
}
LINES = (
    ("run", "--audit-sign-key", "{}", "--", "true"),
    ("run", "--dry-run", "--audit-sign-key", "{}", "--", "true"),
    ("ledger", "init", "--audit-sign-key", "{}"),
    ("ledger", "roll", "--audit-sign-key", "{}"),
    ("key", "rotate", "--audit-sign-key", "{}"),
    ("key", "rotate", "--new", "{}"),
    ("key", "rotate", "--out", "{}"),
    ("key", "show", "{}"),
    ("key", "show", "x", "{}"),
    ("keygen", "--out", "{}"),
    ("keygen", "{}"),
    ("audit", "show", "{}"),
    ("{}",),
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    for variable in ("CACHE", "CONFIG", "STATE"):
        monkeypatch.setenv(f"XDG_{variable}_HOME", str(tmp_path / variable.lower()))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def assert_nothing_leaks(secret: str, said: str) -> None:
    compact = "".join(line for line in secret.split() if "-----" not in line)
    for start in range(0, len(compact) - 12, 4):
        if "KEY" not in compact[start : start + 12]:  # the words of a PEM's first line are no secret
            assert compact[start : start + 12] not in said


@pytest.mark.parametrize("form", SECRETS)
@pytest.mark.parametrize("line", LINES, ids=" ".join)
def test_nono_echoes_no_key(
    home: Path, capfd: pytest.CaptureFixture[str], line: tuple[str, ...], form: str
) -> None:
    status = cli_status([word.format(SECRETS[form]) for word in line])
    said = "".join(capfd.readouterr())
    assert status not in (0, None)
    assert "Traceback" not in said
    assert said.startswith("nono: ")
    assert_nothing_leaks(SECRETS[form], said)
    assert not [path for path in home.rglob("*") if "MC4" in str(path) or "BEGIN" in str(path)]


def cli_status(arguments: list[str]) -> object:
    try:
        return cli.main(arguments)
    except SystemExit as stop:
        return stop.code


@pytest.mark.parametrize("scheme", ["env://", "file://", "keyring://", "foo://"])
@pytest.mark.parametrize("form", SECRETS)
def test_a_key_behind_a_scheme_is_refused_as_the_key_that_it_is(
    capfd: pytest.CaptureFixture[str], scheme: str, form: str
) -> None:
    for line in (
        ("run", "--audit-sign-key", scheme + SECRETS[form], "--", "true"),
        ("ledger", "init", "--audit-sign-key", scheme + SECRETS[form]),
        ("key", "show", scheme + SECRETS[form]),
    ):
        assert cli.main(list(line)) in (1, 2, 125)
        said = "".join(capfd.readouterr())
        assert_nothing_leaks(SECRETS[form], said)
        assert "a signing key on the command line can be read by every process" in said
        assert "env://NAME" in said


@pytest.mark.parametrize("flag", ["--key-passphrase-env", "--new-key-passphrase-env"])
def test_a_passphrase_in_the_place_of_its_variable_is_not_echoed(
    home: Path, capfd: pytest.CaptureFixture[str], flag: str
) -> None:
    assert cli.main(["key", "rotate", flag, "hunter2"]) == 1
    said = "".join(capfd.readouterr())
    assert "the variable that is to hold the passphrase is not set" in said
    assert "hunter2" not in said


@pytest.mark.parametrize("form", SECRETS)
@pytest.mark.parametrize(
    "line",
    [
        ("x.db", "-k", "{}"),
        ("x.db", "-k", "{}", "--format", "json"),
        ("x.db", "{}"),
        ("proof", "a", "b", "-k", "{}"),
        ("trust", "add", "{}"),
        ("trust", "remove", "{}"),
    ],
    ids=" ".join,
)
def test_nono_verify_echoes_no_key(
    capfd: pytest.CaptureFixture[str], line: tuple[str, ...], form: str
) -> None:
    assert verify_cli.main([word.format(SECRETS[form]) for word in line]) == 2
    assert_nothing_leaks(SECRETS[form], "".join(capfd.readouterr()))


@pytest.mark.parametrize("form", SECRETS)
def test_nor_does_it_when_the_key_is_in_its_variable(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setenv("NONO_VERIFY_KEY", SECRETS[form])
    assert verify_cli.main(["x.db"]) == 2
    assert_nothing_leaks(SECRETS[form], "".join(capfd.readouterr()))


@pytest.mark.parametrize(
    "name",
    [
        "",
        "M",
        "ci.pem",
        "/home/user/keys/MC4CAQAwBQYDK2VwBCIEI.pem",
        "M" * 64,
        "MD/" + "ab/" * 40,
        os.path.join("MyProject", *["directory"] * 10),
        "env://KEY",
    ],
)
def test_a_name_is_no_key(name: str) -> None:
    assert not is_key_text(name)
    assert without_key_text(f"cannot open {name}: no") == f"cannot open {name}: no"


def test_a_public_key_is_known_too() -> None:
    assert is_key_text(KEY.public.pem().decode())
    assert is_key_text(base64.b64encode(KEY.public.spki()).decode())
