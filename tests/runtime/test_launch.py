"""``from runtime import launch``: the launch as a function, in interpreters of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from attest import canonical, schema
from store.ledger_file import connect_for_reading

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
PROLOGUE = f"""\
import json, os, signal, sys, threading, time
sys.path.insert(0, {str(ROOT)!r})
from runtime import LaunchError, LaunchResult, launch
def say(value): print(json.dumps(value, default=repr))
"""


@pytest.fixture
def host(tmp_path: Path) -> Callable[..., Any]:
    """Run code of a host program and return the JSON that it says last."""
    work = tmp_path / "work"
    work.mkdir()
    environment = {
        "HOME": str(tmp_path / "home"),
        "PATH": "/usr/bin:/bin",
        "TMPDIR": str(tmp_path),
        **{f"XDG_{name}_HOME": str(tmp_path / name) for name in ("CACHE", "CONFIG", "STATE")},
    }

    def run(code: str, **options: Any) -> Any:  # whatever JSON has, and what subprocess.run takes
        done = subprocess.run(
            [sys.executable, "-I", "-c", PROLOGUE + code],
            env={**environment, **options.pop("env", {})},
            cwd=work,
            capture_output=True,
            check=False,
            timeout=60,
            **options,
        )
        assert done.returncode == 0, done.stderr.decode()
        assert b"Traceback" not in done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


def entries(ledger: str) -> list[dict[str, Any]]:
    connection = connect_for_reading(os.fsencode(ledger), "immutable=1")
    bodies = [row[0] for row in connection.execute("SELECT body FROM entry ORDER BY idx")]
    connection.close()
    documents = [canonical.decode_object(body) for body in bodies]
    for document in documents:
        schema.check_entry(document)
    return [dict(document) for document in documents]


FIELDS = """
result = launch({command}, labels={{"run": "7"}}, outputs=["out"], allow=["."])
names = ["session", "exit", "signal", "exit_status", "executed_image", "duration_us", "survivors", "outputs"]
assert isinstance(result, LaunchResult)
said = {{name: getattr(result, name) for name in [*names, "entries"]}}
say(said | {{"ledger": os.fsdecode(result.ledger)}})
"""


def test_a_result_says_how_it_ended_and_where_that_is_recorded(
    host: Callable[..., Any], tmp_path: Path
) -> None:
    result = host(FIELDS.format(command=["/bin/sh", "-c", "printf x > out; sleep 600 & exit 3"]))
    assert (result["exit"], result["signal"], result["exit_status"]) == (3, None, 3)
    assert result["executed_image"] == "same"
    assert result["survivors"] == 1
    assert result["entries"] == [1, 2, 3, 4]
    assert result["duration_us"] > 0
    (output,) = result["outputs"]
    assert (output["path"], output["size"]) == (str(tmp_path / "work" / "out"), 1)
    written = entries(result["ledger"])
    assert [entry["kind"] for entry in written[1:]] == [
        "launch.intent", "launch.start", "launch.outcome", "launch.attestation",
    ]  # fmt: skip
    assert {entry["session"] for entry in written[1:]} == {result["session"]}
    assert written[1]["data"]["labels"] == {"run": "7"}
    assert written[3]["data"]["outputs"] == result["outputs"]


def test_a_signal_is_told_apart(host: Callable[..., Any]) -> None:
    result = host(FIELDS.format(command=["/bin/sh", "-c", "kill -TERM $$"]))
    assert (result["exit"], result["signal"], result["exit_status"]) == (None, 15, 143)


def test_a_refusal_is_an_error_with_a_code(host: Callable[..., Any]) -> None:
    found = host(
        "said = []\n"
        "for command, grants in (('/no/such/file', []), ('/bin/true', ['/']), ('', []), ('/usr', [])):\n"
        "    try: launch([command], allow=grants)\n"
        "    except LaunchError as error: said.append([error.code, error.exit_status])\n"
        "say(said)"
    )
    assert found == [
        ["executable.missing", 127],
        ["grant.untouchable", 125],
        ["usage.command", 125],
        ["executable.unusable", 126],
    ]


def test_launches_leave_nothing_in_the_host(host: Callable[..., Any]) -> None:
    """Children, signal handling, working directory, umask: all as before, after each way out.

    What stays is opened by the first launch: the control socket of the zygote, and the ledger.
    """
    found = host(
        "def state():\n"
        "    handlers = [repr(signal.getsignal(n)) for n in signal.valid_signals()]\n"
        "    mask = sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ()))\n"
        "    umask = os.umask(0); os.umask(umask)\n"
        "    with open('/proc/self/task/%d/children' % os.getpid()) as file: children = file.read()\n"
        "    descriptors = sorted(os.listdir('/proc/self/fd'))\n"
        "    return [handlers, mask, os.getcwd(), umask, children, descriptors, dict(os.environ)]\n"
        "launch(['/bin/true'])\n"
        "before = state(); said = []\n"
        "for command in (['/bin/true'], ['/no/such/file'], ['/bin/sh', '-c', 'kill -9 $$'], []):\n"
        "    try: launch(command)\n"
        "    except LaunchError: pass\n"
        "    said.append(state() == before)\n"
        "say(said)"
    )
    assert found == [True, True, True, True]


def test_the_hosts_limits_are_its_own_afterwards(host: Callable[..., Any]) -> None:
    found = host(
        "import resource\n"
        "asked = {1: (1 << 26, 1 << 27), 7: (99, 999)}\n"
        "for number, pair in asked.items(): resource.setrlimit(number, pair)\n"
        "launch(['/bin/true'])\n"
        "say([list(resource.getrlimit(number)) == list(pair) for number, pair in asked.items()])"
    )
    assert found == [True, True]


def test_keyboard_interrupt_comes_after_the_record(host: Callable[..., Any]) -> None:
    found = host(
        "pid = os.getpid()\n"
        "helper = os.fork()\n"
        "if helper == 0:\n"
        "    while not os.path.exists('ready'): time.sleep(0.01)\n"
        "    os.kill(pid, signal.SIGINT); os._exit(0)\n"
        "try:\n"
        "    launch(['/bin/sh', '-c', ': > ready; exec sleep 60'], allow=['.'], ledger='../l.db')\n"
        "except KeyboardInterrupt:\n"
        "    os.waitpid(helper, 0); say('interrupted')\n"
    )
    assert found == "interrupted"


@pytest.mark.parametrize("subreaper", [False, True])
def test_a_hosts_handler_that_raises_ends_the_command_and_not_its_record(
    host: Callable[..., Any], subreaper: bool
) -> None:
    found = host(
        f"from runtime import syscalls\nsyscalls.prctl(36, {subreaper:d})\n"
        "def late(*_): raise TimeoutError('too late')\n"
        "signal.signal(signal.SIGALRM, late)\n"
        "signal.setitimer(signal.ITIMER_REAL, 1.5)\n"
        "script = 'sleep 600 & echo $$ > pid; exec sleep 600'\n"
        "try:\n"
        "    launch(['/bin/sh', '-c', script], allow=['.'], outputs=['pid'], ledger='../l.db')\n"
        "except TimeoutError:\n"
        "    say([os.path.exists('/proc/' + open('pid').read().strip()), os.path.abspath('../l.db')])\n"
    )
    assert found[0] is False
    *_, outcome, attestation = entries(found[1])
    assert attestation["kind"] == "launch.attestation"
    assert (outcome["data"]["signal"], outcome["data"]["ended_by"]) == (signal.SIGTERM, "cancelled")
    assert outcome["data"]["outputs"][0]["size"] > 0
    assert outcome["data"]["counts"]["survivors"] == 1


def test_what_is_said_goes_to_notify(host: Callable[..., Any]) -> None:
    found = host("said = []\nlaunch(['/bin/true'], notify=said.append)\nlaunch(['/bin/true'])\nsay(said)")
    assert any("made the host key" in line for line in found)
    assert any("the network is open" in line for line in found)


def test_without_a_record_there_is_none(host: Callable[..., Any], tmp_path: Path) -> None:
    found = host(
        "result = launch(['/bin/true'], audit=False)\nsay([result.ledger, result.entries, result.exit])"
    )
    assert found == [None, [], 0]
    assert [path for path in (tmp_path / "STATE").rglob("*") if not path.is_dir()] == []
    assert not (tmp_path / "CONFIG").exists()


def test_paths_of_every_kind_are_taken(host: Callable[..., Any], tmp_path: Path) -> None:
    found = host(
        "import pathlib\n"
        "os.makedirs(b'd\\xff'); os.makedirs('e'); open('f', 'w').close()\n"
        "here = os.getcwdb()\n"
        "listed = [here + b'/d\\xff', here + b'/e', os.path.join(os.getcwd(), 'f')]\n"
        "result = launch([pathlib.Path('/bin/ls'), *listed],\n"
        "    read=[b'd\\xff', pathlib.Path('e')],\n"
        "    read_file=['f'], workdir=pathlib.Path('.'), ledger=pathlib.Path('../l.db'))\n"
        "say([result.exit, os.fsdecode(result.ledger)])"
    )
    assert found == [0, str(tmp_path / "l.db")]
    grants = entries(found[1])[1]["data"]["grants"]
    assert [grant["asked"] for grant in grants] == [{"base64": "ZP8="}, "e", "f"]


def test_a_host_that_ignores_its_children(host: Callable[..., Any]) -> None:
    code = (
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        "say([launch(['/bin/sh', '-c', 'printf x > o; exit 5'], allow=['.'], outputs=['o']).exit])"
    )
    assert host(code) == [5]


def test_a_host_that_reaps_its_children(host: Callable[..., Any]) -> None:
    """A handler that waits for any child takes the monitor's status; the command's comes by its pipe."""
    code = (
        "def reap(*_):\n"
        "    try:\n"
        "        while os.waitpid(-1, os.WNOHANG)[0]: pass\n"
        "    except ChildProcessError: pass\n"
        "signal.signal(signal.SIGCHLD, reap)\n"
        "command = ['/bin/sh', '-c', 'printf x > o; exit 5']\n"
        "say([launch(command, allow=['.'], outputs=['o']).exit for _ in range(3)])"
    )
    assert host(code) == [5, 5, 5]


def test_many_launches_in_one_process(host: Callable[..., Any]) -> None:
    found = host(
        "results = [launch(['/bin/sh', '-c', f'exit {n}'], block_net=True) for n in range(20)]\n"
        "sessions = {result.session for result in results}\n"
        "say([[result.exit for result in results], results[-1].entries, len(sessions)])"
    )
    assert found == [list(range(20)), [77, 78, 79, 80], 20]
