"""Kill -9 while a command runs: the command never outlives its record, and the record stays honest."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.system.conftest import PYTHON, Running, is_alive, wait_for

if TYPE_CHECKING:
    from tests.system.conftest import Site

DAEMON = """\
import os, sys, time
for number in range(int(sys.argv[1])):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            with open(f"daemon-{number}.new", "w") as file:
                file.write(str(os.getpid()))
            os.rename(f"daemon-{number}.new", f"daemon-{number}")
            time.sleep(600)
        os._exit(0)
while sum(name.startswith("daemon-") and name[-1] != "w" for name in os.listdir()) < int(sys.argv[1]):
    time.sleep(0.01)
with open("command.new", "w") as file:
    file.write(str(os.getpid()))
os.rename("command.new", "command")
if len(sys.argv) > 2:
    time.sleep(600)
"""


def start_family(site: Site, daemons: int = 3) -> tuple[Running, list[int]]:
    """Start a command with daemons in sessions of their own; return it and the pids of them all."""
    launch = site.start(
        "run", "--allow", site.project, *site.python_grants(), "--",
        PYTHON, "-I", "-c", DAEMON, str(daemons), "stay",
    )  # fmt: skip
    pids = []
    for name in ["command", *(f"daemon-{number}" for number in range(daemons))]:
        path = site.project / name
        wait_for(path.exists, name)
        pids.append(int(path.read_text()))
    assert all(map(is_alive, pids))
    return launch, pids


def gone_within(pids: list[int], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while any(map(is_alive, pids)):
        assert time.monotonic() < deadline, [pid for pid in pids if is_alive(pid)]
        time.sleep(0.005)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_when_nono_dies_everything_that_it_started_dies_within_a_second(
    site: Site, number: signal.Signals
) -> None:
    site.tidy, site.verdict = False, 3
    launch, pids = start_family(site)
    monitor = launch.monitor()
    launch.process.send_signal(number)
    gone_within([*pids, monitor], 1.0)
    assert launch.wait().status == -number
    lost = site.record()
    assert lost.kinds == ["launch.intent", "launch.start"]
    # The ledger goes on; what was lost stays visible.
    again = site.run("--", "/bin/true")
    assert again.status == 0, again.stderr
    assert site.record().outcome["exit"] == 0
    verdict = site.verify()
    assert verdict.status == 3
    assert lost.session in verdict.stdout.decode()


def test_when_nono_is_stopped_and_killed_everything_dies(site: Site) -> None:
    site.tidy, site.verdict = False, 3
    launch, pids = start_family(site)
    launch.process.send_signal(signal.SIGSTOP)
    launch.kill()
    gone_within(pids, 1.0)


def test_when_the_monitor_dies_the_command_dies_and_its_outcome_says_so(site: Site) -> None:
    launch, pids = start_family(site, daemons=0)
    os.kill(launch.monitor(), signal.SIGKILL)
    ended = launch.wait()
    assert ended.status == 128 + signal.SIGKILL
    assert "the monitor was lost" in ended.stderr
    gone_within(pids, 1.0)
    outcome = site.record().outcome
    assert outcome["signal"] == signal.SIGKILL
    assert outcome["executed_image"] == "same"
    assert outcome["resources"]["user_us"] > 0
    assert outcome["counts"]["survivors_left"] == 0
    assert site.record().kinds[-1] == "launch.attestation"
    assert site.run("--", "/bin/true").status == 0


def test_the_status_of_a_command_that_ran_does_not_say_that_it_was_not_started(site: Site) -> None:
    site.verdict = 3
    reader, writer = os.pipe()
    launch = site.start(
        "run",
        "--status-fd",
        str(writer),
        "--",
        "/bin/sh",
        "-c",
        "echo up; exec sleep 600",
        pass_fds=(writer,),
    )
    os.close(writer)
    assert launch.process.stdout is not None
    assert launch.process.stdout.readline() == b"up\n"
    # Somebody outside takes the ledger away, so that the record cannot be finished.
    ledger = site.ledger()
    ledger.rename(site.base / "away.db")
    launch.process.send_signal(signal.SIGTERM)
    assert launch.wait().status == 125
    with open(reader, "rb") as file:
        status = json.loads(file.read())
    assert status["failed"]["code"] == "ledger.replaced"
    assert "not_started" not in status
    (site.base / "away.db").rename(ledger)
    assert status["session"] == site.record().session
    assert site.run("--", "/bin/true").status == 0


def test_when_the_monitor_dies_nothing_that_the_command_left_survives(site: Site) -> None:
    launch, pids = start_family(site)
    os.kill(launch.monitor(), signal.SIGKILL)
    assert launch.wait().status == 128 + signal.SIGKILL
    gone_within(pids, 1.0)
    assert site.record().outcome["counts"]["survivors"] == 3


def test_when_the_monitor_dies_the_after_hook_still_runs(site: Site) -> None:
    hook = site.hook("after", "exit 0")
    profile = site.profile(session_hooks={"after": {"script": str(hook)}})
    launch = site.start("run", "-p", profile, "--", "/bin/sh", "-c", "echo up; exec sleep 600")
    assert launch.process.stdout is not None
    assert launch.process.stdout.readline() == b"up\n"
    os.kill(launch.monitor(), signal.SIGKILL)
    assert launch.wait().status == 128 + signal.SIGKILL
    assert site.record().kinds[-3:] == ["launch.outcome", "hook.result", "launch.attestation"]


def test_a_command_cannot_end_the_monitor(site: Site) -> None:
    """The monitor runs outside of the sandbox, and Landlock's scope keeps signals inside."""
    ended = site.python(
        "import os\n"
        "for number in (9, 15, 19, 2):\n"
        "    try:\n"
        "        os.kill(os.getppid(), number)\n"
        "    except PermissionError:\n"
        "        print('refused')\n"
    )
    assert ended.stdout.split() == [b"refused"] * 4
    assert ended.status == 0


def test_survivors_are_killed_and_counted(site: Site) -> None:
    ended, status = site.status(
        "--allow", site.project, *site.python_grants(), "--", PYTHON, "-I", "-c", DAEMON, "5"
    )
    assert ended.status == 0, ended.stderr
    pids = [int((site.project / f"daemon-{number}").read_text()) for number in range(5)]
    assert not any(map(is_alive, pids))  # before nono itself was done
    assert site.record().outcome["counts"]["survivors"] == 5
    assert site.record().outcome["counts"]["survivors_left"] == 0
    assert status["survivors"] == 5


def test_what_is_born_while_the_rest_is_killed_is_killed_as_well(site: Site) -> None:
    """A chain of processes, each of which forks the next and ends, runs away from whoever lists them."""
    chain = (
        "import os, time\n"
        "if os.fork(): os._exit(0)\n"
        "end = time.monotonic() + 600\n"
        "while time.monotonic() < end:\n"
        "    if os.fork(): os._exit(0)\n"
    )
    ended = site.python(chain)
    assert ended.status == 0
    assert site.record().outcome["counts"]["survivors_left"] == 0
    assert site.processes() == []


def test_a_stopped_survivor_is_killed(site: Site) -> None:
    ended = site.shell("sleep 600 & kill -STOP $!; echo $!")
    assert not is_alive(int(ended.stdout))
    assert site.record().outcome["counts"]["survivors"] == 1


def test_output_that_a_survivor_keeps_open_does_not_keep_nono(site: Site) -> None:
    began = time.monotonic()
    ended = site.shell("sleep 600 & echo done")
    assert ended.stdout == b"done\n"
    assert time.monotonic() - began < 30


def test_a_launch_that_was_killed_leaves_a_ledger_that_verifies_while_it_ran(site: Site) -> None:
    site.tidy, site.verdict = False, 3
    launch, _ = start_family(site, daemons=0)
    running = site.verify(None, "--format", "json")
    assert running.status == 3
    assert b"launch.running" in running.stdout
    assert site.verify(None, "--allow-running").status == 0
    launch.kill()
    dead = site.verify(None, "--format", "json", "--allow-running")
    assert dead.status == 3
    assert b"launch.lost" in dead.stdout or b"launch.unfinished" in dead.stdout


def test_the_supervisor_that_is_killed_leaves_its_temporary_directory_alone(site: Site) -> None:
    """Nobody is left to remove it; it is private and empty of anything of nono's."""
    site.tidy, site.verdict = False, 3
    launch, _ = start_family(site, daemons=0)
    (private,) = site.temporary.iterdir()
    assert private.stat().st_mode & 0o777 == 0o700
    launch.kill()
    assert list(Path(private).iterdir()) == []
