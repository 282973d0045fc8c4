"""What commands write for programs is of a published form, and a command prints that form."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.runtime.published_schema import DIRECTORY, validator

if TYPE_CHECKING:
    from tests.system.conftest import Site

WRITERS = {
    ("audit", "tail", "--json"): ("audit", "schema", "tail"),
    ("config", "show", "--json"): ("config", "schema", "show"),
    ("doctor", "--json"): ("doctor", "--schema"),
    ("key", "show", "--json"): ("key", "schema", "show"),
    ("key", "show", "--json", "--origin", "a/0123456789abcdef0123456789abcdef"): ("key", "schema", "show"),
    ("ledger", "info", "--json"): ("ledger", "schema", "info"),
    ("ledger", "list", "--json"): ("ledger", "schema", "list"),
    ("profile", "list", "--json"): ("profile", "schema", "list"),
    ("profile", "show", "claude-code", "--json"): ("profile", "schema", "show"),
    ("profile", "show", "./all.jsonc", "--json"): ("profile", "schema", "show"),
    ("profile", "validate", "./all.jsonc", "./none.jsonc", "default", "--json"): (
        "profile",
        "schema",
        "validate",
    ),
    ("profile", "diff", "python-dev", "./all.jsonc", "--json"): ("profile", "schema", "diff"),
    ("profile", "groups", "--json"): ("profile", "schema", "groups"),
}
EVERYTHING = {
    "description": "one of each",
    "extends": "python-dev",
    "filesystem": {"read": ["~/data"], "unix_socket": ["/run/x.sock"], "unix_socket_dir_bind": ["~/run"]},
    "network": {"allow_connect_port": [443], "open_port": [3000]},
    "groups": {"include": ["go_runtime"], "exclude": ["python_caches"]},
    "environment": {"allow": ["PATH"], "deny": ["LC_*"], "set_vars": {"A": "b"}},
    "env_credentials": {"NPM_TOKEN": "keyring://nono/npm"},
    "commands": {"allow": ["rm"], "block": ["npm"]},
    "execs": {"trace": True, "allow": ["/usr/bin"]},
    "limits": {"memory": "2G", "nofile": 99},
    "session_hooks": {"before": {"script": "/usr/bin/true", "required": True}},
}


@pytest.fixture
def place(site: Site) -> Site:
    """Return a site with launches in two ledgers, of which one continues the other, and a configuration."""
    site.tidy = False  # the configuration is left
    site.file("all.jsonc", json.dumps(EVERYTHING))
    assert site.run("--", "/bin/true").status == 0
    assert site.nono("ledger", "roll").status == 0
    assert site.run("--", "/bin/false").status == 1
    (site.config / "config.toml").write_text(
        '[launch]\nallow_cwd = true\nlabels = { a = "b" }\nlimits = { nofile = 500 }\n'
        '[redaction]\nextra_flags = ["--pin"]\n'
    )
    (site.config / "config.toml").chmod(0o600)
    return site


@pytest.mark.parametrize("command", WRITERS, ids=" ".join)
def test_what_is_written_is_of_the_form_that_is_printed(place: Site, command: tuple[str, ...]) -> None:
    ended = place.nono(*command)
    assert ended.stderr == "", ended.stderr
    printed = place.nono(*WRITERS[command])
    assert (printed.status, printed.stderr) == (0, "")
    form = json.loads(printed.stdout)
    judge = validator(form["$id"].rpartition(":")[2])
    assert judge.schema == form
    documents = [json.loads(line) for line in ended.stdout.splitlines()]
    assert documents
    for document in documents:
        judge.validate(document)
        for member in document:
            assert not judge.is_valid({name: value for name, value in document.items() if name != member})
        assert not judge.is_valid({**document, "more": 1})


def test_every_published_form_is_one_that_a_command_prints(place: Site) -> None:
    names = {path.name.removesuffix(".schema.json") for path in DIRECTORY.glob("*.json")}
    printed = set()
    for command in ("audit", "config", "key", "ledger", "profile"):
        shown = place.nono(command, "schema", "--help").stdout.decode()
        listed = " ".join(shown.split()).partition("one of ")[2].partition(" options:")[0]
        for name in listed.partition(" (default")[0].split(", "):
            printed.add(json.loads(place.nono(command, "schema", name).stdout)["$id"])
    for command in ("doctor", "why"):
        printed.add(json.loads(place.nono(command, "--schema").stdout)["$id"])
    assert printed == {f"urn:nono-attest:schema:v1:{name}" for name in names}


def test_an_unreadable_ledger_and_a_profile_that_is_none_have_their_forms(place: Site) -> None:
    place.verdict = None
    (place.state / "ledgers" / "broken.db").write_text("no ledger")
    lines = place.nono("ledger", "list", "--json").stdout.splitlines()
    documents = [json.loads(line) for line in lines]
    assert [sorted(each) for each in documents if "error" in each] == [["error", "path"]]
    for document in documents:
        validator("ledger-list").validate(document)
    (place.config / "profiles").mkdir(mode=0o700)
    (place.config / "profiles" / "broken.json").write_text("{")
    ended = place.nono("profile", "list", "--json")
    assert ended.status == 1
    document = json.loads(ended.stdout)
    validator("profile-list").validate(document)
    assert [each["name"] for each in document["profiles"] if each["error"]] == ["broken"]


def test_the_status_of_each_ending_is_of_its_form(site: Site) -> None:
    judge = validator("status")
    site.verdict = 3  # an output is missing
    told: list[dict[str, Any]] = [
        site.status("--output", "none", "--nofile", "99", "--trace-exec", "--", "/bin/sh", "-c", "exit 3")[1],
        site.status("--timeout", "100ms", "--", "/bin/sleep", "60")[1],
        site.status("--no-audit", "--", "/bin/true")[1],
        site.status("--", "no-such-program")[1],
        site.status("--dry-run", "--", "/bin/true")[1],
        site.status("--dry-run", "--", "no-such-program")[1],
    ]
    for status in told:
        judge.validate(status)
        for member in ("dry_run", "exit_status", "session"):
            assert not judge.is_valid({name: value for name, value in status.items() if name != member})
    for one, other in ((told[0], "signal"), (told[1], "exit"), (told[3], "exit")):
        assert not judge.is_valid({**one, other: 1})
    assert not judge.is_valid({name: value for name, value in told[0].items() if name != "exit"})
