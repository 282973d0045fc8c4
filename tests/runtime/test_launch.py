"""``from runtime import launch``: the launch as a function, in interpreters of their own."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.runtime.host_program import Host

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path, "from runtime import LaunchError, LaunchResult, launch\n")


FIELDS = """
result = launch({command}, labels={{"run": "7"}}, outputs=["out"], allow=["."])
names = ["session", "exit", "signal", "exit_status", "executed_image", "duration_us", "survivors", "outputs"]
assert isinstance(result, LaunchResult)
said = {{name: getattr(result, name) for name in [*names, "entries"]}}
say(said | {{"ledger": os.fsdecode(result.ledger)}})
"""


def test_a_result_says_how_it_ended_and_where_that_is_recorded(host: Host, tmp_path: Path) -> None:
    result = host.run(FIELDS.format(command=["/bin/sh", "-c", "printf x > out; sleep 600 & exit 3"]))
    assert (result["exit"], result["signal"], result["exit_status"]) == (3, None, 3)
    assert result["executed_image"] == "same"
    assert result["survivors"] == 1
    assert result["entries"] == [1, 2, 3, 4]
    assert result["duration_us"] > 0
    (output,) = result["outputs"]
    assert (output["path"], output["size"]) == (str(tmp_path / "work" / "out"), 1)
    written = host.entries(result["ledger"])
    assert [entry["kind"] for entry in written[1:]] == [
        "launch.intent", "launch.start", "launch.outcome", "launch.attestation",
    ]  # fmt: skip
    assert {entry["session"] for entry in written[1:]} == {result["session"]}
    assert written[1]["data"]["labels"] == {"run": "7"}
    assert written[3]["data"]["outputs"] == result["outputs"]


def test_a_signal_is_told_apart(host: Host) -> None:
    result = host.run(FIELDS.format(command=["/bin/sh", "-c", "kill -TERM $$"]))
    assert (result["exit"], result["signal"], result["exit_status"]) == (None, 15, 143)


def test_a_refusal_is_an_error_with_a_code(host: Host) -> None:
    found = host.run(
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


def test_launches_leave_nothing_in_the_host(host: Host) -> None:
    """Children, signal handling, working directory, umask: all as before, after each way out.

    What stays is opened by the first launch: the control socket of the zygote, and the ledger.
    """
    found = host.run(
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


def test_the_hosts_limits_are_its_own_afterwards(host: Host) -> None:
    found = host.run(
        "import resource\n"
        "asked = {1: (1 << 26, 1 << 27), 7: (99, 999)}\n"
        "for number, pair in asked.items(): resource.setrlimit(number, pair)\n"
        "launch(['/bin/true'])\n"
        "say([list(resource.getrlimit(number)) == list(pair) for number, pair in asked.items()])"
    )
    assert found == [True, True]


def test_keyboard_interrupt_comes_after_the_record(host: Host) -> None:
    found = host.run(
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
def test_a_hosts_handler_that_raises_ends_the_command_and_not_its_record(host: Host, subreaper: bool) -> None:
    found = host.run(
        f"from runtime.kernel import syscalls\nsyscalls.prctl(36, {subreaper:d})\n"
        "running = False\n"
        "def late(*_):\n"
        "    global running\n"
        "    if running: raise TimeoutError('too late')\n"
        "    running = os.path.exists('pid') and os.path.getsize('pid') > 0\n"  # on a busy machine not yet
        "    signal.setitimer(signal.ITIMER_REAL, 0.5)\n"
        "signal.signal(signal.SIGALRM, late)\n"
        "signal.setitimer(signal.ITIMER_REAL, 1)\n"
        "script = 'sleep 600 & echo $$ > pid; exec sleep 600'\n"
        "try:\n"
        "    launch(['/bin/sh', '-c', script], allow=['.'], outputs=['pid'], ledger='../l.db')\n"
        "except TimeoutError:\n"
        "    say([os.path.exists('/proc/' + open('pid').read().strip()), os.path.abspath('../l.db')])\n"
    )
    assert found[0] is False
    *_, outcome, attestation = host.entries(found[1])
    assert attestation["kind"] == "launch.attestation"
    assert (outcome["data"]["signal"], outcome["data"]["ended_by"]) == (signal.SIGTERM, "cancelled")
    assert outcome["data"]["outputs"][0]["size"] > 0
    assert outcome["data"]["counts"]["survivors"] == 1


def test_what_is_said_goes_to_notify(host: Host) -> None:
    found = host.run("said = []\nlaunch(['/bin/true'], notify=said.append)\nlaunch(['/bin/true'])\nsay(said)")
    assert any("made the host key" in line for line in found)
    assert any("the network is open" in line for line in found)


def test_without_a_record_there_is_none(host: Host, tmp_path: Path) -> None:
    found = host.run(
        "result = launch(['/bin/true'], audit=False)\nsay([result.ledger, result.entries, result.exit])"
    )
    assert found == [None, [], 0]
    assert [path for path in (tmp_path / "STATE").rglob("*") if not path.is_dir()] == []
    assert not (tmp_path / "CONFIG").exists()


def test_paths_of_every_kind_are_taken(host: Host, tmp_path: Path) -> None:
    found = host.run(
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
    grants = host.entries(found[1])[1]["data"]["grants"]
    assert [grant["asked"] for grant in grants] == [{"base64": "ZP8="}, "e", "f"]


def test_a_host_that_ignores_its_children(host: Host) -> None:
    code = (
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        "say([launch(['/bin/sh', '-c', 'printf x > o; exit 5'], allow=['.'], outputs=['o']).exit])"
    )
    assert host.run(code) == [5]


def test_a_host_that_reaps_its_children(host: Host) -> None:
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
    assert host.run(code) == [5, 5, 5]


def test_many_launches_in_one_process(host: Host) -> None:
    found = host.run(
        "results = [launch(['/bin/sh', '-c', f'exit {n}'], block_net=True) for n in range(20)]\n"
        "sessions = {result.session for result in results}\n"
        "say([[result.exit for result in results], results[-1].entries, len(sessions)])"
    )
    assert found == [list(range(20)), [77, 78, 79, 80], 20]
