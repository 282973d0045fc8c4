"""No secret of a command line is in anything that a launch leaves behind, however large it is."""

from __future__ import annotations

import base64
import contextlib
import hashlib
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.system.conftest import Site

SECRET = "open-Sesame-9f3c"
OTHER = "swordfish-77a1"
NONE: dict[str, list[str]] = {name: [] for name in ("environment", "flags", "headers", "query_keys")}


@contextlib.contextmanager
def configured(site: Site, content: str, mode: int = 0o600) -> Iterator[Path]:
    """Write a configuration, and take it away again: a launch leaves no such file."""
    site.config.mkdir(parents=True, exist_ok=True)
    path = site.config / "config.toml"
    path.write_text(content, encoding="utf-8")
    path.chmod(mode)
    yield path
    path.unlink()


def left_behind(site: Site) -> bytes:
    """Return all bytes of all files that nono keeps: the ledger, its log, the memory of its heads."""
    kept = [
        path.read_bytes()
        for directory in (site.state, site.cache, site.temporary)
        for path in directory.rglob("*")
        if path.is_file()
    ]
    assert len(kept) > 1
    return b"\n".join(kept)


def forms(secret: str) -> list[bytes]:
    """Return the secret, and what a digest without salt of it would look like."""
    data = secret.encode()
    digests = [
        hashlib.new(name, data).digest() for name in ("sha256", "sha1", "md5", "sha512", "blake2b")
    ] + [hashlib.sha256(b"\0" + data).digest()]
    return [
        data,
        base64.b64encode(data).rstrip(b"="),
        data.hex().encode(),
        *digests,
        *(digest.hex().encode() for digest in digests),
        *(base64.b64encode(digest).rstrip(b"=") for digest in digests),
    ]


def require_gone(site: Site, *secrets: str) -> None:
    kept = left_behind(site)
    for secret in secrets:
        for form in forms(secret):
            assert form not in kept, (secret, form)


def test_the_value_of_a_variable_is_taken_out_wherever_it_stands(site: Site) -> None:
    argument = f"prefix-{SECRET}-suffix"
    ended = site.run("--", "/bin/echo", argument, env={"SITE_TOKEN": SECRET})
    assert ended.stdout.decode().strip() == argument
    assert site.record().intent["command"] == [
        "/bin/echo",
        {"parts": ["prefix-", {"redacted": "environment"}, "-suffix"]},
    ]
    require_gone(site, SECRET, argument)


def test_no_secret_and_no_digest_of_one_is_in_the_record(site: Site) -> None:
    arguments = [f"--token={SECRET}", "-u", f"ann:{OTHER}", f"GITHUB_TOKEN={SECRET}", "ghp_" + "4f7Kq" * 8]
    assert site.run("--", "/bin/echo", *arguments).status == 0
    command = site.record().intent["command"]
    assert str(command).count("redacted") == 4
    require_gone(site, SECRET, OTHER, *arguments[::2], arguments[3], " ".join(["/bin/echo", *arguments]))


def test_a_command_line_beside_its_entry_is_redacted_too(site: Site) -> None:
    assert site.run("--", "/bin/true", "x" * 100_000, f"--token={SECRET}").status == 0
    command = site.record().intent["command"]
    assert set(command) == {"blob"}
    value = site.blob(command)
    assert isinstance(value, list)
    assert value[2] == {"parts": ["--token=", {"redacted": "flag"}]}
    require_gone(site, SECRET)


def test_a_variable_that_was_meant_for_a_shell(site: Site) -> None:
    site.verdict = None
    ended = site.run("--", f"GITHUB_TOKEN={SECRET}", "gh", "pr", "list")
    assert ended.status == 127
    assert SECRET not in ended.stderr
    assert "a variable, not a command: GITHUB_TOKEN=…" in ended.stderr
    assert "env GITHUB_TOKEN=VALUE COMMAND" in ended.stderr
    require_gone(site, SECRET)


def test_a_message_in_the_record_quotes_no_secret(site: Site) -> None:
    site.verdict = None
    assert site.run("--", f"./https://ann:{SECRET}@host/tool").status == 127
    message = site.record().outcome["not_started"]["message"]
    assert "\u2039redacted\u203a" in message
    require_gone(site, SECRET)


@pytest.mark.parametrize("value", ["ghp_" + "4f7Kq" * 8, SECRET, f"--token {OTHER}"])
def test_a_label_that_holds_a_secret_is_refused(site: Site, value: str) -> None:
    site.verdict = None
    ended = site.run("--label", f"run={value}", "--", "/bin/true", env={"SITE_TOKEN": SECRET})
    assert ended.status == 125
    assert "the label run holds a secret, or what looks like one" in ended.stderr
    assert value not in ended.stderr
    assert not site.ledgers()


def test_what_is_configured_is_taken_out_and_the_intent_says_so(site: Site) -> None:
    content = '[redaction]\nextra_flags = ["--Pin"]\nunsafe_remove = { query_keys = ["state"] }\n'
    with configured(site, content):
        assert site.run("--", "/bin/echo", "--pin", SECRET, "/?state=open").status == 0
    intent = site.record().intent
    assert intent["command"] == ["/bin/echo", "--pin", {"redacted": "flag"}, "/?state=open"]
    assert intent["redaction"] == {
        "added": {**NONE, "flags": ["--pin"]},
        "removed": {**NONE, "query_keys": ["state"]},
    }
    require_gone(site, SECRET)
    site.tidy = False  # whoever reads leaves an index
    shown = site.nono("audit", "show", "last").stdout.decode()
    assert "also flags: --pin" in shown
    assert "not query_keys: state" in shown


@pytest.mark.parametrize("flags", [(), ("--no-audit",), ("--dry-run",)])
@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [
        ("[redaction]\nextra_flag = []\n", 0o600, "did you mean extra_flags?"),
        ("[redaction", 0o600, "not TOML"),
        ("", 0o666, "can be written by others"),
    ],
)
def test_a_configuration_that_cannot_be_meant_refuses_the_launch(
    site: Site, content: str, mode: int, said: str, flags: tuple[str, ...]
) -> None:
    site.verdict = None
    with configured(site, content, mode):
        ended = site.run(*flags, "--", "/bin/touch", site.project / "ran")
    assert ended.status == 125
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not site.ledgers()


def test_the_command_can_neither_read_nor_write_the_configuration(site: Site) -> None:
    with configured(site, "") as path:
        assert site.run("--allow", site.config.parent, "--", "/bin/true").status == 125
        assert site.run("--read-file", path, "--", "/bin/true").status == 125
        ended = site.shell(f"cat {path} || echo '[redaction]' > {path}")
        assert ended.status != 0
        assert path.read_text() == ""
