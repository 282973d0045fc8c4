"""What ``nono run`` exits with, and what stands in the record for it (design 3)."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from attest import canonical
from tests.system.conftest import IS_ROOT, NONO, VERIFY

if TYPE_CHECKING:
    from tests.system.conftest import Site

LAUNCH = ["launch.intent", "launch.start", "launch.outcome", "launch.attestation"]
REFUSAL = ["launch.intent", "launch.outcome", "launch.attestation"]


def assert_refused(site: Site, code: str) -> None:
    """Assert that the last launch has an intent, says that and why it did not start, and is closed."""
    record = site.record()
    assert record.kinds == REFUSAL
    assert record.outcome["not_started"]["code"] == code
    assert record.statement["predicate"]["summary"]["executable"] is None
    assert record.statement["subject"][0]["name"] == f"launch:{record.session}"


@pytest.mark.parametrize("code", [0, 1, 42, 125, 126, 127, 255])
def test_the_exit_code_is_the_commands_own(site: Site, code: int) -> None:
    ended, status = site.status("--", "/bin/sh", "-c", f"echo out; echo err >&2; exit {code}")
    assert ended.status == code
    assert ended.stdout == b"out\n"
    assert "err" in ended.lines
    record = site.record()
    assert record.kinds == LAUNCH
    assert record.outcome["exit"] == code
    assert record.outcome["executed_image"] == "same"
    assert record.statement["predicate"]["summary"]["outcome"] == {"exit": code}
    # A command's own 125 is told apart by what a machine reads.
    assert status["exit"] == code
    assert status["exit_status"] == code
    assert status["session"] == record.session
    assert status["entries"] == [1, 2, 3, 4]
    assert status["ledger"] == str(site.ledger())
    assert "not_started" not in status


@pytest.mark.parametrize("number", [1, 2, 3, 6, 9, 11, 13, 14, 15, 34, 64])
def test_a_signal_gives_128_and_its_number(site: Site, number: int) -> None:
    ended, status = site.status("--", "/bin/sh", "-c", f"ulimit -c 0; kill -{number} $$")
    assert ended.status == 128 + number
    assert site.record().outcome["signal"] == number
    assert site.record().outcome["core_dumped"] is False
    assert (status["signal"], status["exit_status"]) == (number, 128 + number)
    assert "exit" not in status


def test_the_last_line_says_what_was_recorded_and_how_to_check_it(site: Site) -> None:
    ended = site.run("--", "/bin/true")
    record = site.record()
    *_, last = ended.lines
    assert last == (
        f"nono: recorded launch {record.session} (entries 1-4); check it: nono-verify {site.ledger()}"
    )
    words = last.partition("check it: ")[2].split()
    done = subprocess.run(
        [NONO.parent / words[0], *words[1:]], env=site.environment, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert done.stdout.startswith(b"verified: 1 launch, 5 entries, key ")


def test_the_last_line_names_the_public_half_of_the_key_that_was_named(site: Site) -> None:
    key = site.key()
    ended = site.run("--audit-sign-key", key, "--", "/bin/true")
    assert ended.lines[-1].endswith(f"nono-verify {site.ledger()} -k {site.base / 'key.pub'}")


def test_silent_says_nothing_whatever_happens(site: Site) -> None:
    for arguments, status in (
        (["--", "/bin/sh", "-c", "exit 3"], 3),
        (["--", "/no/such/file"], 127),
        (["--read", "/no/such/directory", "--", "/bin/true"], 0),
        (["--allow", "/", "--", "/bin/true"], 125),
        (["--audit-sign-key", "/no/such/key", "--", "/bin/true"], 125),
    ):
        ended = site.run("--silent", *arguments)
        assert (ended.status, ended.stdout, ended.stderr) == (status, b"", "")


def test_the_host_key_is_made_once_and_said_once(site: Site) -> None:
    first = site.run("--", "/bin/true")
    again = site.run("--", "/bin/true")
    assert sum("made the host key" in line for line in first.lines) == 1
    assert "made the host key" not in again.stderr
    assert (site.config / "keys" / "default.pem").stat().st_mode & 0o777 == 0o600


# --- 127 and 126 ---------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["no-such-command", "/no/such/file", "./no-such-file", "a\nb"])
def test_what_is_not_there_gives_127(site: Site, command: str) -> None:
    ended, status = site.status("--", command)
    assert ended.status == 127
    assert status["exit_status"] == 127
    assert status["not_started"]["code"] == "executable.missing"
    assert ended.lines[-2].startswith("nono: ") or ended.lines[-1].startswith("nono: ")
    assert_refused(site, "executable.missing")


def test_what_may_not_be_executed_gives_126(site: Site) -> None:
    site.script("plain", "exit 0", mode=0o644)
    assert site.run("--", "./plain").status == 126
    assert_refused(site, "executable.unusable")


def test_a_directory_gives_126(site: Site) -> None:
    assert site.run("--", "/usr").status == 126
    assert_refused(site, "executable.unusable")


def test_what_is_neither_program_nor_script_gives_126(site: Site) -> None:
    site.file("text", "echo hello\n", 0o755)
    assert site.run("--", "./text").status == 126
    assert_refused(site, "executable.unusable")


@pytest.mark.skipif(IS_ROOT, reason="root reads everything")
def test_what_cannot_be_hashed_gives_126(site: Site) -> None:
    program = site.file("secret-program", Path("/bin/true").read_bytes(), 0o111)
    outside = subprocess.run([program], check=False)
    assert outside.returncode == 0  # it can be executed, only not read
    ended = site.run("--", "./secret-program")
    assert ended.status == 126
    assert "cannot be hashed" in ended.stderr
    assert_refused(site, "executable.unusable")


def test_what_somebody_is_writing_gives_126(site: Site) -> None:
    program = site.file("program", Path("/bin/true").read_bytes(), 0o755)
    writer = os.open(program, os.O_WRONLY)
    try:
        ended = site.run("--", "./program")
    finally:
        os.close(writer)
    assert ended.status == 126
    assert "open for writing" in ended.stderr
    assert_refused(site, "executable.unusable")
    assert site.run("--", "./program").status == 0


# --- 125 -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ["--no-such-flag", "--", "/bin/true"],
        ["--read"],
        [],
        ["--"],
        ["--", ""],
        ["--label", "novalue", "--", "/bin/true"],
        ["--label", "=v", "--", "/bin/true"],
        ["--label", "a b=v", "--", "/bin/true"],
        ["--label", "a=1", "--label", "a=2", "--", "/bin/true"],
        ["--label", "a=" + 513 * "x", "--", "/bin/true"],
        ["--output", "", "--", "/bin/true"],
        ["--workdir", "/no/such/directory", "--", "/bin/true"],
        ["--workdir", "/etc/passwd", "--", "/bin/true"],
        ["--status-fd", "99", "--", "/bin/true"],
        ["--status-fd", "-1", "--", "/bin/true"],
        ["--status-fd", "x", "--", "/bin/true"],
        ["-p", "/no/such/profile", "--", "/bin/true"],
        ["--bypass-protection", "/usr", "--", "/bin/true"],
        ["--audit-sign-key", "/no/such/key", "--", "/bin/true"],
        ["--audit-sign-key", "env://NOT_SET", "--", "/bin/true"],
        ["--audit-sign-key", "env://", "--", "/bin/true"],
        ["--audit-sign-key", "keyring://a/b", "--", "/bin/true"],
        ["--audit-sign-key", "", "--", "/bin/true"],
        ["--ledger", "/proc/nowhere/l.db", "--", "/bin/true"],
        ["--ledger", "/", "--", "/bin/true"],
        ["--ledger", "", "--", "/bin/true"],
    ],
)
def test_what_makes_no_sense_gives_125_and_runs_nothing(site: Site, arguments: list[str]) -> None:
    command = site.script("command", 'touch "$TMPDIR/../ran"')
    ended = site.run(*[str(command) if argument == "/bin/true" else argument for argument in arguments])
    assert ended.status == 125, ended.stderr
    assert ended.stdout == b""
    assert ended.lines[0].startswith("nono: ")
    assert "Traceback" not in ended.stderr
    assert not (site.temporary / "ran").exists()
    assert all(record.kinds == REFUSAL for ledger in site.ledgers() for record in site.records(ledger))


@pytest.mark.parametrize(
    ("grant", "code"),
    [
        (["--allow", "/"], "grant.untouchable"),
        (["--read", "/dev"], "grant.untouchable"),
        (["--read", "~"], "grant.protected"),
        (["--read", "~/.ssh"], "grant.protected"),
        (["--read", "/etc/passwd"], "grant.kind"),
        (["--read-file", "/etc"], "grant.kind"),
        (["--write-file", "new"], "grant.missing"),
        (["--write", "/proc"], "grant.untouchable"),
        (["--read", 3000 * "a/"], "grant.unusable"),
    ],
)
def test_a_refused_grant_gives_125_with_a_way_out(site: Site, grant: list[str], code: str) -> None:
    (site.home / ".ssh").mkdir()
    ended, status = site.status(*grant, "--", "/bin/true")
    assert ended.status == 125
    assert status["not_started"]["code"] == code
    assert_refused(site, code)
    assert site.record().outcome["not_started"]["message"] in ended.stderr


def test_bad_keys_give_125_before_anything_is_launched(site: Site) -> None:
    site.verdict = None
    open_key = site.key("open")
    open_key.chmod(0o644)
    garbage = site.base / "garbage.pem"
    garbage.write_bytes(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    garbage.chmod(0o600)
    empty = site.base / "empty.pem"
    empty.touch(0o600)
    fifo = site.base / "fifo.pem"
    os.mkfifo(fifo, 0o600)
    for reference in (open_key, garbage, empty, fifo, site.base, f"file://{garbage}", "A" * 64):
        ended = site.run("--audit-sign-key", reference, "--", "/bin/true")
        assert ended.status == 125, ended.stderr
        assert "key" in ended.lines[0]
    assert site.ledgers() == []


def test_a_ledger_of_another_key_gives_125(site: Site) -> None:
    ledger = site.base / "l.db"
    assert site.run("--ledger", ledger, "--audit-sign-key", site.key("a"), "--", "/bin/true").status == 0
    before = ledger.read_bytes()
    ended = site.run("--ledger", ledger, "--audit-sign-key", site.key("b"), "--", "/bin/true")
    assert ended.status == 125
    assert "belongs to another key" in ended.stderr
    assert ledger.read_bytes() == before
    assert site.verify(ledger).status == 0


def test_a_status_descriptor_that_nobody_reads_ends_nothing(site: Site) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    ended = site.run("--status-fd", str(writer), "--", "/bin/sh", "-c", "exit 7", pass_fds=(writer,))
    os.close(writer)
    assert ended.status == 7
    assert "status cannot be written" in ended.stderr


def test_paths_that_are_not_utf_8_have_their_form_in_the_status(site: Site) -> None:
    key, ledger = site.key(), os.fsencode(site.base) + b"/l\xff.db"
    ended, status = site.status("--ledger", ledger, "--audit-sign-key", key, "--", "/bin/true")
    assert (ended.status, "status cannot be written" in ended.stderr) == (0, False)
    assert canonical.text_bytes(status["ledger"]) == ledger
    # A message is text, so what is not UTF-8 in it is replaced, not escaped.
    ended, status = site.status("--workdir", b"/no/such/\xff", "--", "/bin/true")
    assert (ended.status, "status cannot be written" in ended.stderr) == (125, False)
    assert "/no/such/\N{REPLACEMENT CHARACTER}" in status["not_started"]["message"]


def test_a_dry_run_has_a_status_too(site: Site) -> None:
    ended, status = site.status("--dry-run", "--", "/bin/true")
    assert (ended.status, status) == (0, {"dry_run": True, "exit_status": 0, "session": None})
    ended, status = site.status("--dry-run", "--", "no-such-command")
    assert ended.status == 127
    assert status["not_started"]["code"] == "executable.missing"
    assert {**status, "not_started": None} == {
        "dry_run": True,
        "exit_status": 127,
        "not_started": None,
        "session": None,
    }
    assert site.status("--", "/bin/true")[1]["dry_run"] is False


def test_a_plan_that_nobody_reads_to_its_end_is_no_reason_to_say_so(site: Site) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    ended = site.start("run", "--dry-run", "--", "/bin/true", stdout=writer).wait()
    os.close(writer)
    assert ended.status == 125
    assert all(line != "nono: " for line in ended.lines)
    with open("/dev/full", "wb") as full:
        ended = site.start("run", "--dry-run", "--", "/bin/true", stdout=full).wait()
    assert ended.status == 125
    assert "nono: cannot write to standard output: No space left on device" in ended.lines


def test_the_command_does_not_inherit_the_status_descriptor(site: Site) -> None:
    ended, status = site.status("--", "/bin/sh", "-c", "ls /proc/self/fd | wc -l")
    assert status["exit"] == 0
    assert ended.stdout.strip() == b"4"  # three, and the one that ls lists with


def test_a_closed_standard_error_does_not_end_the_launch(site: Site) -> None:
    ended = site.run("--", "/bin/sh", "-c", "exit 5", preexec=lambda: os.close(2))
    assert ended.status == 5
    assert site.record().outcome["exit"] == 5


def test_no_audit_writes_nothing(site: Site) -> None:
    ended, status = site.status("--no-audit", "--", "/bin/sh", "-c", "exit 4")
    assert ended.status == 4
    assert status["ledger"] is None
    assert status["entries"] == []
    assert ended.lines[-1] == "nono: nothing was recorded (--no-audit)"
    # Nothing but the place of the file that nono why --self reads inside.
    assert [path.name for path in site.state.rglob("*")] == ["capabilities"]
    assert not (site.config / "keys").exists()


def test_a_dry_run_launches_nothing_and_changes_nothing(site: Site) -> None:
    command = site.script("command", "touch ran")
    before = sorted(site.base.rglob("*"))
    ended = site.run("--dry-run", "--allow", site.project, "--allow-writable-script", "--", command, "a b")
    assert ended.status == 0
    assert b"would run  " in ended.stdout
    assert b"nothing was launched" in ended.stdout
    assert sorted(site.base.rglob("*")) == before


def test_a_dry_run_plans_what_is_then_enforced(site: Site) -> None:
    """Executable, directory, network, grants and variables: the plan's are those of the record."""
    (site.home / ".gitconfig").touch()
    site.file("one", "x")
    flags = ("-p", "python-dev", "--read-file", "one", "--allow-connect-port", "443")
    planned = site.run("--dry-run", *flags, "--", "/bin/sh", "-c", "exit 3")
    assert planned.status == 0, planned.stderr
    assert site.run(*flags, "--", "/bin/sh", "-c", "exit 3").status == 3
    start = site.record().start
    lines = planned.stdout.decode().splitlines()
    words = {line.partition(" ")[0]: line.partition(" ")[2].strip() for line in lines if line[0] != " "}
    assert words["file"] == f"{start['executable']['path']} (sha256 {start['executable']['sha256']})"
    assert words["directory"] == start["directory"] == str(site.project)
    assert words["network"] == "ports (connect to 443)"
    grants = {tuple(line.split()) for line in lines if line.startswith("  ")}
    recorded = {
        (grant["access"], grant["path"] + "/" * (grant["type"] == "directory"), f"({grant['source']})")
        for grant in start["capabilities"]["files"]
        if grant["source"] != "system"  # the private directory, which a plan does not make
    }
    assert grants == recorded
    made = {"TMPDIR", "TMP", "TEMP", "TMPPREFIX", "NONO_CAP_FILE"}  # they name what a plan does not make
    assert set(words["variables"].split()) - made == set(start["environment"]) - made


def test_a_dry_run_says_what_would_be_refused(site: Site) -> None:
    script = site.script("tool", "touch ran")
    refused = site.run("--dry-run", "--allow", ".", "--", script)
    assert (refused.status, refused.stdout) == (125, b"")
    assert "--allow-writable-script" in refused.stderr
    assert site.run("--dry-run", "--", "no-such-command").status == 127
    assert site.run("--dry-run", "--allow", "/", "--", "/bin/true").status == 125


@pytest.mark.parametrize("program", [(NONO, "run", "--", "/bin/true"), (VERIFY, "l.db")])
def test_a_directory_as_standard_input_keeps_python_from_starting(
    site: Site, program: tuple[str, ...]
) -> None:
    """Before anything of nono's: docs/status.md says so. Nothing is done, and nothing is called verified."""
    directory = os.open(site.project, os.O_RDONLY)
    try:
        ended = site.start(program=program, stdin=directory).wait()
    finally:
        os.close(directory)
    assert (ended.status, ended.stdout) == (1, b"")
    assert "<stdin> is a directory, cannot continue" in ended.stderr
    assert list(site.state.parent.glob("**/*.db")) == []


def test_signals_before_the_command_runs_end_the_launch(site: Site) -> None:
    """What comes while a hook runs is kept until it is over, and then nothing is launched."""
    hook = site.script("hook", f"touch {site.project}/hooked; sleep 1")
    profile = site.profile(session_hooks={"before": {"script": str(hook)}})
    launch = site.start("run", "-p", profile, "--", "/bin/touch", site.project / "ran")
    while not (site.project / "hooked").exists():
        assert launch.process.poll() is None
    launch.process.send_signal(signal.SIGTERM)
    ended = launch.wait()
    assert ended.status == 125
    record = site.record()
    assert record.kinds == ["launch.intent", "hook.result", "launch.outcome", "launch.attestation"]
    assert record.outcome["not_started"]["code"] == "launch.interrupted"
