"""How long a launch may last: it is told to end, then ended, and the record says which."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.system.conftest import is_alive, wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from tests.system.conftest import Argument, Site

SHORT = ("--timeout", "300ms")
PREPARED = ("--timeout", "3s")
"""Of a command that has to be ready when it is told: on a busy machine that takes a while."""
# Each turn is short: a shell acts on a signal when what it waits for has ended.
FOR_EVER = "while :; do sleep 0.02; done"


def read(path: Path) -> str:
    """Return what stands in a file once there is a whole line."""
    wait_for(lambda: path.exists() and path.read_text().endswith("\n"), path.name)
    return path.read_text()


def test_a_command_that_takes_too_long_is_told_to_end(site: Site) -> None:
    ended, status = site.status(*SHORT, "--", "/bin/sh", "-c", FOR_EVER)
    assert ended.status == 128 + signal.SIGTERM
    assert (status["signal"], status["ended_by"]) == (signal.SIGTERM, "time-out")
    assert "nono: the command was ended: it had run for 300 ms (--timeout)" in ended.lines
    record = site.record()
    assert record.start["limits"] == status["limits"] == {"timeout_ms": 300}
    assert record.outcome["ended_by"] == "time-out"
    site.tidy = False  # who reads the ledger leaves files beside it
    shown = site.nono("audit", "show", record.session).stdout.decode()
    assert "300 ms until it is told to end" in shown
    assert "ended by time-out" in shown


def test_how_it_exits_then_is_its_own_affair(site: Site) -> None:
    script = f"trap 'echo told; exit 7' TERM; {FOR_EVER}"
    ended, status = site.status(*PREPARED, "--", "/bin/sh", "-c", script)
    assert (ended.status, ended.stdout) == (7, b"told\n")
    assert (status["exit"], status["ended_by"]) == (7, "time-out")
    assert site.record().outcome["ended_by"] == "time-out"


def test_who_is_in_time_is_not_told(site: Site) -> None:
    ended, status = site.status("--timeout", "1h", "--", "/bin/sh", "-c", "exit 3")
    assert ended.status == 3
    assert "ended_by" not in status
    assert status["limits"] == {"timeout_ms": 3_600_000}
    assert "ended_by" not in site.record().outcome


STUBBORN = {
    "ignores": "trap '' TERM; echo $$ > pid; while :; do sleep 0.02; done",
    "ignores-with-children": (
        "trap '' TERM; (while :; do sleep 0.02; done) & (setsid sleep 600 &) ; echo $$ > pid;"
        " while :; do sleep 0.02; done"
    ),
    "stopped": "trap '' TERM; echo $$ > pid; (sleep 0.1; kill -CONT $$) & while :; do kill -STOP $$; done",
    "forks": "trap '' TERM; echo $$ > pid; while :; do (sleep 600 &); sleep 0.01; done",
}


@pytest.mark.parametrize("script", STUBBORN.values(), ids=STUBBORN)
def test_who_does_not_end_is_ended_with_all_that_it_left(site: Site, script: str) -> None:
    flags = (*PREPARED, "--timeout-grace", "200ms", "--allow", str(site.project))
    ended, status = site.status(*flags, "--", "/bin/sh", "-c", script)
    assert ended.status == 128 + signal.SIGKILL
    assert (status["signal"], status["ended_by"]) == (signal.SIGKILL, "time-out")
    assert site.record().start["limits"] == {"timeout_grace_ms": 200, "timeout_ms": 3_000}
    assert site.record().outcome["counts"]["survivors_left"] == 0
    assert site.processes() == []


def test_all_that_it_started_is_told_wherever_it_went(site: Site) -> None:
    """Of a session of its own, and an orphan; what is told can put things in order."""
    script = (
        f"(setsid /bin/sh -c 'trap \"echo told > orphan; exit\" TERM; echo > there; {FOR_EVER}' &)\n"
        "while [ ! -e there ]; do sleep 0.02; done\n"
        "trap 'while [ ! -s orphan ]; do sleep 0.02; done; exit 0' TERM\n" + FOR_EVER
    )
    ended, status = site.status(
        *PREPARED, "--timeout-grace", "1m", "--allow", site.project, "--", "/bin/sh", "-c", script
    )
    assert (ended.status, status["ended_by"]) == (0, "time-out")
    assert read(site.project / "orphan") == "told\n"


def test_what_is_stopped_is_told_too(site: Site) -> None:
    ended, status = site.status(*SHORT, "--", "/bin/sh", "-c", "kill -STOP $$; sleep 600")
    assert ended.status == 128 + signal.SIGTERM
    assert status["ended_by"] == "time-out"


def test_it_holds_while_nono_is_stopped(site: Site) -> None:
    launch = site.start("run", "--timeout", "2s", "--allow", site.project, "--",
                        "/bin/sh", "-c", f"echo $$ > pid; {FOR_EVER}")  # fmt: skip
    pid = int(read(site.project / "pid"))
    launch.process.send_signal(signal.SIGSTOP)
    wait_for(lambda: not is_alive(pid), "the end of the command")
    launch.process.send_signal(signal.SIGCONT)
    assert launch.wait().status == 128 + signal.SIGTERM
    assert site.record().outcome["ended_by"] == "time-out"


def test_it_holds_when_the_monitor_does_nothing(site: Site) -> None:
    """Such as one that reads from a file system that does not answer."""
    code = (
        "import sys\nfrom runtime import launch; from runtime.processes import supervision\n"
        # How long it may do nothing before it is noticed, and then before it is given up.
        "supervision._PATIENCE_SECONDS = 0.5\n"
        "supervision._END_SECONDS = 1.0\n"
        "result = launch(['/bin/sh', '-c', sys.argv[1]], timeout='3s', timeout_grace='1ms', allow=['.'])\n"
        "print(result.exit_status, result.ended_by, flush=True)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-I", "-c", code, f"echo $PPID > monitor; {FOR_EVER}"],
        env=site.environment, cwd=site.project, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    monitor = int(read(site.project / "monitor"))
    os.kill(monitor, signal.SIGSTOP)
    out, err = process.communicate(timeout=60)
    assert out.decode().split() == [str(128 + signal.SIGKILL), "time-out"], err
    assert site.record().outcome["ended_by"] == "time-out"


def test_the_lowest_holds_and_a_flag_takes_the_place_of_a_default(site: Site) -> None:
    site.config.mkdir(parents=True, exist_ok=True)
    config = site.config / "config.toml"
    config.write_text('[launch]\nlimits = { timeout = "2h", timeout_grace = "3s" }\n')

    def held(*flags: Argument) -> object:
        assert site.run(*flags, "--", "/bin/true").status == 0
        return site.record().start["limits"]

    assert held() == {"timeout_grace_ms": 3_000, "timeout_ms": 7_200_000}
    assert held("--timeout", "3h") == {"timeout_grace_ms": 3_000, "timeout_ms": 10_800_000}
    profile = site.profile(limits={"timeout": 60, "timeout_grace": "1500ms"})
    assert held("-p", profile) == {"timeout_grace_ms": 1_500, "timeout_ms": 60_000}
    assert held("-p", profile, "--timeout", "1m", "--timeout-grace", "1ms") == {
        "timeout_grace_ms": 1,
        "timeout_ms": 60_000,
    }
    config.unlink()
    graceful = site.profile(limits={"timeout_grace": 1})
    assert held("-p", graceful) == {}


def test_a_grace_needs_a_time_out(site: Site) -> None:
    ended, status = site.status("--timeout-grace", "5s", "--", "/bin/true")
    assert (ended.status, status["not_started"]["code"]) == (125, "usage.limit")
    assert "--timeout DURATION" in ended.stderr
    site.config.mkdir(parents=True, exist_ok=True)
    (site.config / "config.toml").write_text('[launch]\nlimits = { timeout_grace = "3s" }\n')
    ended = site.run("--", "/bin/true")
    assert ended.status == 125
    assert "a timeout_grace without a timeout" in ended.stderr
    (site.config / "config.toml").unlink()


@pytest.mark.parametrize("value", ["0", "0ms", "1.5", "1.5s", "-1", "", "10000d", "inf", "1w"])
@pytest.mark.parametrize("flag", ["--timeout", "--timeout-grace"])
def test_what_is_no_time(site: Site, flag: str, value: str) -> None:
    ended, status = site.status(f"{flag}={value}", "--", "/bin/true")
    assert (ended.status, status["not_started"]["code"]) == (125, "usage.limit")
    assert ended.stderr.startswith(f"nono: {flag}: ")


def test_a_dry_run_and_its_manifest_have_it(site: Site) -> None:
    ended = site.run("--dry-run", "--json", "--timeout", "90s", "--", "/bin/sh")
    document = json.loads(ended.stdout)
    assert document["manifest"]["limits"] == {"timeout_ms": 90_000}
    said = site.run("--dry-run", "--timeout", "90", "--", "/bin/sh").stdout.decode()
    assert "limit      90 s until it is told to end" in said


def test_nothing_of_it_is_seen_by_who_is_killed_by_someone_else(site: Site) -> None:
    launch = site.start("run", "--timeout", "1h", "--", "/bin/sh", "-c", f"echo $$; {FOR_EVER}")
    assert launch.process.stdout is not None
    pid = int(launch.process.stdout.readline())
    wait_for(lambda: "launch.start" in site.record().kinds, "its start")
    os.kill(pid, signal.SIGKILL)
    assert launch.wait().status == 128 + signal.SIGKILL
    assert "ended_by" not in site.record().outcome
