"""Each entry is durable before what follows it happens, seen from outside (design 3, "Order")."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.system.conftest import Record, text_bytes, wait_for

if TYPE_CHECKING:
    from tests.system.conftest import Site

LAUNCH = ["launch.intent", "launch.start", "launch.outcome", "launch.attestation"]


def copying_hook(site: Site, name: str, more: str = "") -> Path:
    """Write a hook that copies the ledger, with its log, as it is while the hook runs."""
    ledgers = site.state / "ledgers"
    return site.hook(
        name, f"mkdir {site.base}/{name} && cp {ledgers}/*.db* {site.base}/{name}/ || exit 9\n{more}"
    )


def seen_by_hook(site: Site, name: str) -> Record:
    (ledger,) = (site.base / name).glob("*.db")
    return site.record(ledger)


def test_each_entry_is_there_before_the_next_step(site: Site) -> None:
    before, after = copying_hook(site, "before"), copying_hook(site, "after")
    profile = site.profile(session_hooks={"before": {"script": str(before)}, "after": {"script": str(after)}})
    ended = site.run("-p", profile, "--", "/bin/true")
    assert ended.status == 0, ended.stderr
    whole = site.record()
    assert whole.kinds == [
        "launch.intent", "hook.result", "launch.start", "launch.outcome", "hook.result", "launch.attestation",
    ]  # fmt: skip
    first = seen_by_hook(site, "before")
    assert first.entries == whole.entries[:1]
    second = seen_by_hook(site, "after")
    assert second.entries == whole.entries[:4]
    assert [entry["data"]["exit"] for entry in whole.entries if entry["kind"] == "hook.result"] == [0, 0]


def test_the_intent_names_each_hook_with_its_digest(site: Site) -> None:
    hook = site.script("hook", "exit 3")
    profile = site.profile(session_hooks={"before": {"script": str(hook), "timeout_secs": 7}})
    ended = site.run("-p", profile, "--", "/bin/true")
    assert ended.status == 0
    assert any("before-hook failed: exit code 3" in line for line in ended.lines)
    digest = hashlib.sha256(hook.read_bytes()).hexdigest()
    record = site.record()
    assert record.intent["hooks"] == {
        "before": {"path": str(hook), "required": False, "sha256": digest, "timeout_seconds": 7}
    }
    assert record.intent["profile"] == [
        {"name": "profile", "sha256": hashlib.sha256(profile.read_bytes()).hexdigest()}
    ]
    assert record.statement["predicate"]["summary"]["hooks"] == {
        "before": {"path": str(hook), "sha256": digest}
    }


def test_a_required_hook_that_fails_is_a_refusal_with_a_closed_record(site: Site) -> None:
    before = site.script("before", "exit 1")
    after = site.script("after", f'echo "$NONO_EXIT_CODE" > {site.base}/code')
    profile = site.profile(
        session_hooks={
            "before": {"script": str(before), "required": True},
            "after": {"script": str(after)},
        }
    )
    command = site.script("command", f"touch {site.base}/ran")
    ended = site.run("-p", profile, "--", command)
    assert ended.status == 125
    assert not (site.base / "ran").exists()
    record = site.record()
    assert record.kinds == [
        "launch.intent", "hook.result", "launch.outcome", "hook.result", "launch.attestation",
    ]  # fmt: skip
    assert record.outcome["not_started"]["code"] == "hook.refused"
    assert (site.base / "code").read_text().strip() == "125"


def test_the_after_hook_learns_the_exit_code_and_changes_nothing(site: Site) -> None:
    after = site.script("after", f'echo "$NONO_EXIT_CODE" > {site.base}/code; exit 9')
    profile = site.profile(session_hooks={"after": {"script": str(after)}})
    ended = site.run("-p", profile, "--", "/bin/sh", "-c", "kill -9 $$")
    assert ended.status == 137
    assert (site.base / "code").read_text().strip() == "137"


@pytest.fixture
def gate(site: Site) -> tuple[Path, Path]:
    """Two FIFOs in the project: the command opens one when it runs, and waits at the other."""
    up, go = site.project / "up", site.project / "go"
    os.mkfifo(up)
    os.mkfifo(go)
    return up, go


def test_the_start_is_durable_before_the_command_runs(site: Site, gate: tuple[Path, Path]) -> None:
    up, go = gate
    launch = site.start("run", "--allow", site.project, "--", "/bin/sh", "-c", "echo up > up; cat go")
    assert up.read_bytes() == b"up\n"
    record = site.record()
    assert record.kinds == LAUNCH[:2]
    go.write_bytes(b"gone\n")
    ended = launch.wait()
    assert (ended.status, ended.stdout) == (0, b"gone\n")
    assert site.record().kinds == LAUNCH
    assert site.record().entries[:2] == record.entries


def test_the_start_names_the_process_that_runs(site: Site, gate: tuple[Path, Path]) -> None:
    up, go = gate
    launch = site.start("run", "--allow", site.project, "--", "/bin/sh", "-c", "echo $$ > up; cat go")
    pid = int(up.read_bytes())
    start = site.record().start
    assert start["pid"] == pid
    assert os.readlink(f"/proc/{pid}/exe") == start["executable"]["path"]
    assert os.readlink(f"/proc/{pid}/cwd") == start["directory"] == str(site.project)
    supervisor = site.record().intent["supervisor"]
    assert supervisor["pid"] == launch.pid
    assert supervisor["pid_namespace"] == str(os.stat(f"/proc/{launch.pid}/ns/pid").st_ino)
    fields = Path(f"/proc/{launch.pid}/stat").read_text().rpartition(")")[2].split()
    assert supervisor["start_time"] == int(fields[19])
    go.write_bytes(b"")
    assert launch.wait().status == 0


def test_the_outcome_does_not_wait_for_the_after_hook(site: Site) -> None:
    after = site.script(
        "after", f"touch {site.base}/waiting; until [ -e {site.base}/go ]; do sleep 0.02; done"
    )
    profile = site.profile(session_hooks={"after": {"script": str(after)}})
    launch = site.start("run", "-p", profile, "--", "/bin/sh", "-c", "exit 6")
    wait_for((site.base / "waiting").exists, "the after-hook runs")
    assert site.record().kinds == LAUNCH[:3]
    assert site.record().outcome["exit"] == 6
    (site.base / "go").touch()
    assert launch.wait().status == 6


def test_the_record_says_what_was_asked_by_whom_and_what_came_of_it(site: Site) -> None:
    output = site.project / "made"
    before = time.time()
    ended = site.run(
        "--allow", site.project, "--label", "run=7", "--label", "why=a = b", "--output", "made",
        "--block-net", "--", "sh", "-c", "echo content > made; sleep 0.1",
    )  # fmt: skip
    assert ended.status == 0, ended.stderr
    record = site.record()
    intent, start, outcome = record.intent, record.start, record.outcome
    assert intent["command"] == ["sh", "-c", "echo content > made; sleep 0.1"]
    assert intent["labels"] == {"run": "7", "why": "a = b"}
    assert intent["outputs"] == [str(output)]
    assert intent["network"] == {"mode": "blocked"}
    assert intent["grants"] == [
        {"access": "readwrite", "asked": str(site.project), "source": "user", "type": "directory"}
    ]
    assert intent["user"] == {"uid": os.geteuid(), "gid": os.getegid(), "groups": sorted(os.getgroups())}
    assert intent["strategy"] == "supervised"
    shell = os.path.realpath("/bin/sh")
    assert start["executable"]["path"] == shell
    assert start["executable"]["sha256"] == hashlib.sha256(Path(shell).read_bytes()).hexdigest()
    assert start["executable"]["size"] == Path(shell).stat().st_size
    assert start["interpreters"] == []
    assert start["capabilities"]["network"] == {"mode": "blocked"}
    assert record.files()[os.fsencode(site.project)]["access"] == "readwrite"
    achieved, required = start["enforcement"]["achieved"], start["enforcement"]["required"]
    assert all(achieved[feature] for feature, needed in required.items() if needed)
    assert required["network"] is True
    assert start["environment"] == sorted(start["environment"])
    assert {"HOME", "PATH", "NONO_SESSION_ID", "TMPDIR"} <= set(start["environment"])
    digest = hashlib.sha256(b"content\n").hexdigest()
    assert outcome["outputs"] == [{"path": str(output), "sha256": digest, "size": 8}]
    assert 100_000 <= outcome["duration_us"] < 20_000_000
    assert outcome["started"] < outcome["ended"]
    assert outcome["counts"]["survivors"] == 0
    assert outcome["resources"]["max_rss_bytes"] > 100_000
    subjects = record.statement["subject"]
    assert subjects[0] == {"name": shell, "digest": {"sha256": start["executable"]["sha256"]}}
    assert subjects[1:] == [{"name": str(output), "digest": {"sha256": digest}}]
    assert abs(before - time.time()) < 60
    assert record.session[12] == "7"


def test_arguments_that_are_no_text_are_recorded_as_they_are(site: Site) -> None:
    odd = [b"\xff\xfe", b"caf\xc3\xa9", b"", b"a b\nc\t", b"-- --read", b"\x1b[31m"]
    ended = site.run("--", "/usr/bin/printf", "%s|", *odd)
    assert ended.stdout == b"".join(argument + b"|" for argument in odd)
    recorded = site.record().intent["command"]
    assert [text_bytes(argument) for argument in recorded[2:]] == odd
    assert recorded[2] == {"base64": "//4="}
    assert recorded[3] == "caf\u00e9"


def test_a_command_line_that_is_too_large_for_an_entry_lies_beside_it(site: Site) -> None:
    large = ["x" * 100_000, "y" * 100_000]
    ended = site.run("--", "/bin/true", *large)
    assert ended.status == 0, ended.stderr
    command = site.record().intent["command"]
    assert set(command) == {"blob"}
    assert site.blob(command) == ["/bin/true", *large]


def test_the_largest_argument_that_a_program_can_be_given(site: Site) -> None:
    limit = 128 * 1024 - 1  # MAX_ARG_STRLEN, without the NUL
    assert site.run("--", "/bin/true", "x" * limit).status == 0
    assert site.blob(site.record().intent["command"]) == ["/bin/true", "x" * limit]


def test_secrets_on_the_command_line_do_not_reach_the_record(site: Site) -> None:
    secrets = {
        "--token=hunter2hunter2": "hunter2hunter2",
        "--password": "",
        "s3cretS3cret": "s3cretS3cret",
        "https://bob:swordfish@example.org/?api_key=openSesame9": "swordfish",
        "Authorization: Bearer abcdefABCDEF": "abcdefABCDEF",
    }
    ended = site.run("--", "/bin/echo", *secrets)
    assert ended.stdout.decode().split() == " ".join(secrets).split()  # the command itself gets them
    raw = site.ledger().read_bytes()
    for secret in ("hunter2hunter2", "s3cretS3cret", "swordfish", "openSesame9", "abcdefABCDEF"):
        assert secret.encode() not in raw
    assert "redacted" in str(site.record().intent["command"])


def test_launches_side_by_side_share_one_ledger(site: Site) -> None:
    site.run("--", "/bin/true")
    running = [site.start("run", "--", "/bin/sh", "-c", f"exit {n}") for n in range(6)]
    assert [launch.wait().status for launch in running] == list(range(6))
    records = site.records()
    assert len(records) == 7
    assert all(record.kinds == LAUNCH for record in records)


def test_first_launches_side_by_side_found_one_ledger(site: Site) -> None:
    """The race for the host key and for the ledger: whoever loses uses what the winner made."""
    running = [site.start("run", "--", "/bin/true") for _ in range(4)]
    ended = [launch.wait() for launch in running]
    assert [launch.status for launch in ended] == [0, 0, 0, 0], [launch.stderr for launch in ended]
    assert len(site.records()) == 4
