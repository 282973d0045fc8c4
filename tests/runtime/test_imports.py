"""What a launch imports, and that it imports nothing once the command could have written something."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]

# Runs in an interpreter of its own, which has nothing but this loaded.
PROLOGUE = f"""\
import os, sys
sys.path.insert(0, {str(ROOT)!r})
bare = set(sys.modules)

def launch(command, *, profile=None, workdir=None, ports=(), unix=(), credentials=None, **held):
    # As ``nono run`` does it: in a process that does nothing else.
    from runtime.launcher.launch import Launch
    from runtime.policy.request import LaunchRequest
    sockets, limited = (), {{}}
    plain = {{name: held.pop(name) for name in list(held) if name in LaunchRequest._fields}}
    if unix:
        from runtime.capability.grant_request import SOCKET_KEYS, SocketRequest
        sockets = [SocketRequest(os.fsencode(path), *SOCKET_KEYS["unix_socket"]) for path in unix]
    if held:
        from runtime.policy import limits
        limited = limits.asked(held)
    request = LaunchRequest(
        command=tuple(map(os.fsencode, command)), variables=dict(os.environb),
        profile=None if profile is None else os.fsencode(profile),
        workdir=None if workdir is None else os.fsencode(workdir),
        open_ports=tuple(ports), unix_sockets=tuple(sockets),
        credentials=credentials or {{}}, limits=limited, **plain,
    )
    return Launch(request, notify=lambda _: None).run()
"""

OURS = {
    "attest", "attest.blob", "attest.canonical", "attest.checkpoint", "attest.entry", "attest.envelope",
    "attest.errors", "attest.hashing", "attest.instant", "attest.keys", "attest.ledger_format",
    "attest.named_tuples", "attest.note", "attest.origin", "attest.statement", "attest.tree",
    "runtime",
    "runtime.capability", "runtime.capability.capabilities", "runtime.capability.capability_file",
    "runtime.capability.default_groups", "runtime.capability.environment", "runtime.capability.executable",
    "runtime.capability.grant_request", "runtime.capability.grants", "runtime.capability.protected",
    "runtime.capability.session",
    "runtime.errors",
    "runtime.kernel", "runtime.kernel.binfmt_misc", "runtime.kernel.out_of_memory",
    "runtime.kernel.own_limits", "runtime.kernel.own_threads", "runtime.kernel.path_names",
    "runtime.kernel.shebang", "runtime.kernel.syscalls",
    "runtime.launcher", "runtime.launcher.host", "runtime.launcher.launch",
    "runtime.launcher.private_directory", "runtime.launcher.record", "runtime.launcher.recording",
    "runtime.policy", "runtime.policy.blocked_commands", "runtime.policy.configuration",
    "runtime.policy.request", "runtime.policy.resolution",
    "runtime.processes", "runtime.processes.child", "runtime.processes.monitor",
    "runtime.processes.offspring", "runtime.processes.outputs", "runtime.processes.own_process",
    "runtime.processes.supervision",
    "runtime.sandbox", "runtime.sandbox.enforcement", "runtime.sandbox.landlock_rules",
    "runtime.sandbox.privileges", "runtime.sandbox.seccomp_filter",
    "runtime.secrets", "runtime.secrets.argument_text", "runtime.secrets.redaction",
    "runtime.secrets.redaction_policy", "runtime.secrets.secret_options", "runtime.secrets.secret_places",
    "runtime.secrets.secret_shapes", "runtime.secrets.signing_key",
    "store", "store.errors", "store.file_identity", "store.head_memory",
    "store.key_history", "store.ledger", "store.ledger_file", "store.locations",
    "store.network_file_systems", "store.open_sessions",
    "store.private_directories", "store.reservation", "store.sqlite", "store.turn",
}  # fmt: skip
"""Every module of ours that a launch without a profile loads, with its key and its ledger there."""

OTHERS = {"_cffi_backend", "_openssl", "cryptography"}
"""The packages of others that it loads."""

SLOW = {
    "alembic", "apsw", "asyncio", "concurrent", "dataclasses", "datetime", "email", "hashlib", "http",
    "importlib.metadata", "inspect", "jsonschema_rs", "logging", "multiprocessing", "orjson", "pathlib",
    "platform", "pyseccomp", "random", "rich", "shutil", "socket", "sqlalchemy",
    "sqlite3", "subprocess", "tempfile", "threading", "urllib", "uuid", "verify", "xml", "zipfile",
}  # fmt: skip
"""What would cost each launch milliseconds, or does not belong to it at all."""


@pytest.fixture
def interpret(tmp_path: Path) -> Callable[[str], Any]:
    """Run Python code in an interpreter of its own and return the JSON that it prints last."""
    environment = {
        "HOME": str(tmp_path),
        "PATH": "/usr/bin:/bin",
        "TMPDIR": str(tmp_path),
        **{f"XDG_{name}_HOME": str(tmp_path / name) for name in ("CACHE", "CONFIG", "STATE")},
    }

    def run(code: str) -> Any:  # whatever JSON has
        done = subprocess.run(
            [sys.executable, "-I", "-c", PROLOGUE + code],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr.decode()
        return json.loads(done.stdout.splitlines()[-1])

    return run


LOADED = """
import json
print(json.dumps(sorted(set(sys.modules) - bare)))
"""


def top(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


def test_a_launch_imports_these_modules_and_no_others(interpret: Callable[[str], Any]) -> None:
    launch = "launch(['/bin/true'])\n"
    interpret(launch + LOADED)  # makes the key, the ledger and the filter
    loaded = set(interpret(launch + LOADED))
    ours = {name for name in loaded if name.partition(".")[0] in ("attest", "runtime", "store", "verify")}
    assert ours == OURS
    foreign = {name for name in top(loaded) - sys.stdlib_module_names if name not in top(OURS)}
    assert foreign <= OTHERS
    assert {"cryptography"} <= foreign
    slow = {name for name in loaded if name in SLOW or name.partition(".")[0] in SLOW}
    assert slow == set()


def test_the_command_imports_no_more_than_its_parser(interpret: Callable[[str], Any]) -> None:
    code = "from runtime.cli import main\nassert main(['run', '--silent', '--', '/bin/true']) == 0\n"
    interpret(code + LOADED)
    loaded = set(interpret(code + LOADED))
    ours = {name for name in loaded if name.partition(".")[0] in ("attest", "runtime", "store", "verify")}
    assert ours - OURS <= {"runtime.cli", "runtime.cli.run"}
    assert {name for name in loaded if name.partition(".")[0] in SLOW - {"shutil"}} == set()
    assert "argparse" in loaded
    assert "gettext" not in loaded


WITH_A_PROFILE = {
    "runtime.capability.environment_lists", "runtime.kernel.bounded_reading", "runtime.kernel.mounts",
    "runtime.policy.document_words", "runtime.policy.jsonc", "runtime.policy.profile",
    "runtime.policy.profile_file", "runtime.policy.strict_json",
}  # fmt: skip
"""What a launch with a profile that grants something loads besides."""

WITH_TOOLS = {"runtime.capability.tool_groups"}
"""And one with a profile that includes a group beside the defaults."""


@pytest.mark.parametrize(
    ("profile", "besides"),
    [
        ("default", WITH_A_PROFILE - {"runtime.policy.jsonc", "runtime.kernel.mounts"}),
        ("python-dev", WITH_A_PROFILE | WITH_TOOLS),
    ],
)
def test_a_profile_costs_its_own_modules_and_json(
    interpret: Callable[[str], Any], profile: str, besides: set[str]
) -> None:
    launch = "os.mkdir('w') if not os.path.exists('w') else None\n"
    launch += f"launch(['/bin/true'], profile='{profile}', workdir='w')\n"
    interpret(launch + LOADED)
    loaded = set(interpret(launch + LOADED))
    ours = {name for name in loaded if name.partition(".")[0] in ("attest", "runtime", "store", "verify")}
    assert ours == OURS | besides
    assert {name for name in loaded if name in SLOW or name.partition(".")[0] in SLOW} == set()


# Each process of a launch says what it has loaded since the fork, as late as it can.
WATCHED = """
import json
launch(["/bin/true"], profile=profile)
first, fork, execve, leave = set(sys.modules), os.fork, os.execve, os._exit
reader, writer = os.pipe()
os.dup2(writer, 2)
before = None
def report(who):
    os.write(2, json.dumps([who, sorted(set(sys.modules) - before)]).encode() + b"\\n")
def watched_fork():
    global before
    before = before or set(sys.modules)
    return fork()
def watched_execve(*arguments):
    report("child")
    execve(*arguments)
def watched_exit(status):
    report("monitor")
    leave(status)
os.fork, os.execve, os._exit = watched_fork, watched_execve, watched_exit
result = launch(["/bin/sh", "-c", "sleep 600 & exit 3"], profile=profile)
report("launcher")
os.close(2), os.close(writer)
with open(reader) as file:
    said = dict(json.loads(line) for line in file)
print(json.dumps({"exit": result.exit, "said": said, "second": sorted(set(sys.modules) - first)}))
"""


@pytest.mark.parametrize("profile", [None, "ci-strict"])
def test_nothing_is_imported_after_the_fork(interpret: Callable[[str], Any], profile: str | None) -> None:
    """A module that is imported later could be one that the launched command has written."""
    found = interpret(f"profile = {profile!r}\n" + WATCHED)
    assert found["exit"] == 3
    assert found["said"]["child"] == []
    assert found["said"]["launcher"] == []
    assert found["said"]["monitor"] == []
    assert found["second"] == []


def test_importing_the_package_starts_nothing(interpret: Callable[[str], Any], tmp_path: Path) -> None:
    code = "import runtime, json\nprint(json.dumps(len(os.listdir('/proc/self/task'))))"
    assert interpret(code) == 1
    assert os.listdir(tmp_path) == []


def test_a_launch_that_listens_imports_nothing_after_the_fork(interpret: Callable[[str], Any]) -> None:
    """What mediates for the command is loaded before, and by such a launch alone."""
    listening = WATCHED.replace('["/bin/true"]', '["/bin/true"], ports=[3047]').replace(
        'sleep 600 & exit 3"]', 'sleep 600 & exit 3"], ports=[3047]'
    )
    assert listening.count("ports") == 2
    found = interpret("profile = None\n" + listening)
    assert found["exit"] == 3
    assert found["said"] == {"child": [], "launcher": [], "monitor": []}
    assert found["second"] == []


def test_a_launch_with_unix_sockets_imports_nothing_after_the_fork(interpret: Callable[[str], Any]) -> None:
    """Likewise, and what judges and waits besides."""
    granted = ", unix=['/tmp/nono-nobody-listens-here']"
    connecting = WATCHED.replace('["/bin/true"]', f'["/bin/true"]{granted}').replace(
        'sleep 600 & exit 3"]', f'sleep 600 & exit 3"]{granted}'
    )
    assert connecting.count("unix=") == 2
    found = interpret("profile = None\n" + connecting)
    assert found["exit"] == 3
    assert found["said"] == {"child": [], "launcher": [], "monitor": []}
    assert found["second"] == []


def test_a_launch_that_protects_metadata_imports_nothing_after_the_fork(
    interpret: Callable[[str], Any],
) -> None:
    """Likewise, and what changes files for the command."""
    protecting = WATCHED.replace('["/bin/true"]', '["/bin/true"], protect_metadata=True').replace(
        'sleep 600 & exit 3"]', 'chmod 600 . 2>/dev/null; sleep 600 & exit 3"], protect_metadata=True'
    )
    assert protecting.count("protect_metadata") == 2
    found = interpret("profile = None\n" + protecting)
    assert found["exit"] == 3
    assert found["said"] == {"child": [], "launcher": [], "monitor": []}
    assert found["second"] == []


# On a terminal at which another process says yes.
AT_A_TERMINAL = """
import fcntl, termios
os.setsid()
master, terminal = os.openpty()
if os.fork() == 0:
    os.close(terminal)
    try:
        while True:
            if b"[y/N" in os.read(master, 4096):
                os.write(master, b"y\\n")
    finally:
        os._exit(0)
os.close(master)
fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
with open("asked-\u00fc", "w") as file:
    file.write("given")
"""


def test_a_launch_that_asks_a_person_imports_nothing_after_the_fork(interpret: Callable[[str], Any]) -> None:
    """Likewise, also when somebody has answered; about a name that is not ASCII."""
    asking = WATCHED.replace('["/bin/true"]', '["/bin/true"], capability_elevation=True').replace(
        '"sleep 600 & exit 3"]',
        '"grep -q given " + os.getcwd() + "/asked-\u00fc || exit 4; sleep 600 & exit 3"],'
        " capability_elevation=True",
    )
    assert asking.count("capability_elevation") == 2
    found = interpret("profile = None\n" + AT_A_TERMINAL + asking)
    assert found["exit"] == 3
    assert found["said"] == {"child": [], "launcher": [], "monitor": []}
    assert found["second"] == []


FAILING = """
from runtime.cli import main
os.dup2(os.open("log", os.O_CREAT | os.O_WRONLY), 2) if to_a_file else None
assert main(["run", *flags, "--", "/bin/sh", "-c", command]) == status
"""
OF_A_FOOTER = {
    "attest.printable_text",
    "runtime.capability.exec_obstacles", "runtime.capability.refusals",
    "runtime.cli.diagnosis_text", "runtime.cli.terminal",
    "runtime.explanation", "runtime.explanation.complaints", "runtime.explanation.diagnosis",
    "runtime.explanation.file_refusals", "runtime.explanation.network_refusals",
    "runtime.explanation.paths_in_text",
    "runtime.kernel.mounts",
}  # fmt: skip
"""What says why a command failed; it is loaded from where no command may write, when this one has ended."""


@pytest.mark.parametrize(
    ("to_a_file", "command", "status", "loads"),
    [
        (False, "exit 3", 3, set[str]()),
        (True, "exit 0", 0, {"runtime.processes.standard_error"}),
        (True, "exit 3", 3, {"runtime.processes.standard_error", *OF_A_FOOTER}),
    ],
)
def test_only_a_command_that_failed_and_was_seen_is_diagnosed(
    interpret: Callable[[str], Any], to_a_file: bool, command: str, status: int, loads: set[str]
) -> None:
    values = f"to_a_file, command, status, flags = {(to_a_file, command, status, ())!r}\n"
    interpret(values + FAILING + LOADED)
    loaded = set(interpret(values + FAILING + LOADED))
    ours = {name for name in loaded if name.partition(".")[0] in ("attest", "runtime", "store", "verify")}
    assert ours - OURS - {"runtime.cli", "runtime.cli.run"} == loads
    assert {name for name in loaded if name.partition(".")[0] in SLOW - {"shutil"}} == set()


def test_secrets_cost_their_own_module_and_nothing_is_imported_after_the_fork(
    interpret: Callable[[str], Any],
) -> None:
    prepared = "profile = None\nos.environ['SOURCE'] = 'secret'\n"
    prepared += "with open('secret', 'w') as file:\n    file.write('secret')\nos.chmod('secret', 0o600)\n"
    asked = "profile=profile, credentials={'A': 'env://SOURCE', 'B': 'file://' + os.path.abspath('secret')})"
    found = interpret(prepared + WATCHED.replace("profile=profile)", asked))
    assert found["exit"] == 3
    assert found["said"] == {"child": [], "launcher": [], "monitor": []}
    assert found["second"] == []
    asked = "launch(['/bin/true'], credentials={'B': 'file://' + os.path.abspath('secret')})\n"
    plain = set(interpret("launch(['/bin/true'])\n" + LOADED))
    assert set(interpret(asked + LOADED)) - plain == {
        "runtime.kernel.bounded_reading",
        "runtime.policy.credentials",
        "runtime.policy.document_words",
    }


def test_tracing_costs_its_own_modules_and_nothing_is_imported_after_the_fork(
    interpret: Callable[[str], Any],
) -> None:
    """The monitor looks at each image, and at those of a program that is found then."""
    command = "sleep 600 & /bin/true; /bin/cat /dev/null; exit 3"
    for asked in ("trace_exec=True", "exec_allow=(b'/usr/bin',)"):
        tracing = WATCHED.replace("profile=profile)", f"profile=profile, {asked})")
        found = interpret("profile = None\n" + tracing.replace("sleep 600 & exit 3", command))
        assert found["exit"] == 3
        assert found["said"] == {"child": [], "launcher": [], "monitor": []}
        assert found["second"] == []
    plain = set(interpret("launch(['/bin/true'])\n" + LOADED))
    traced = set(interpret("launch(['/bin/true'], trace_exec=True)\n" + LOADED))
    assert traced - plain == {
        "attest.printable_text",
        "runtime.broker",
        "runtime.broker.decisions",
        "runtime.capability.exec_obstacles",
        "runtime.capability.exec_rules",
        "runtime.broker.exec_tracing",
        "runtime.kernel.loaders",
        "runtime.capability.refusals",
        "runtime.capability.running_images",
    }


@pytest.mark.parametrize(
    "module",
    ["broker.approver", "capability.exec_rules", "broker.metadata_mediation", "broker.unix_mediation"],
)
def test_who_names_files_after_the_fork_has_the_words_for_it(
    interpret: Callable[[str], Any], module: str
) -> None:
    """``shown`` loads what it needs for a name that is not ASCII; in a monitor it is there already."""
    code = f"import json, runtime.{module}\nprint(json.dumps('attest.printable_text' in sys.modules))\n"
    assert interpret(code) is True


def test_limits_cost_their_own_modules_and_nothing_is_imported_after_the_fork(
    interpret: Callable[[str], Any],
) -> None:
    """Whichever hold here; the monitor looks at control groups, and says afterwards what they counted."""
    prepared = (
        "profile = None\nfrom runtime.sandbox.confinement import why_not\n"
        "asked = {'max_file_size': '1G', 'nofile': 64, 'timeout': '1h'}\n"
        "grouped = {'memory_bytes': ('memory', '512M'), 'processes': ('max_processes', 32),\n"
        "           'cpu_seconds': ('cpu_time', '1h')}\n"
        "asked |= dict(pair for member, pair in grouped.items() if why_not(member) is None)\n"
    )
    found = interpret(prepared + WATCHED.replace("profile=profile)", "profile=profile, **asked)"))
    assert found["exit"] == 3
    assert found["said"] == {"child": [], "launcher": [], "monitor": []}
    assert found["second"] == []
    plain = set(interpret("launch(['/bin/true'])\n" + LOADED))
    limited = set(interpret("launch(['/bin/true'], nofile=64)\n" + LOADED))
    assert limited - plain == {
        "runtime.sandbox.cgroups",
        "runtime.sandbox.confinement",
        "runtime.policy.document_words",
        "runtime.policy.limits",
        "runtime.kernel.mounts",
    }
    timed = set(interpret("launch(['/bin/true'], timeout=60)\n" + LOADED))
    assert timed - limited == {"runtime.processes.time_limit"}


def test_a_launch_with_a_terminal_imports_nothing_after_the_fork(interpret: Callable[[str], Any]) -> None:
    """Also when it is stopped, and somebody waits for its end meanwhile."""
    terminal = (
        "profile = None\nimport runtime.launcher.launch\nfrom runtime.processes import pseudo_terminal\n"
        "module = sys.modules['runtime.launcher.launch']\n"
        "os.setsid()\n"  # nobody else is to be stopped
        # Standard error is what the processes report to.
        "pseudo_terminal._STREAMS = (0, 1)\n"
        "printed = os.dup(1)\nleader, follower = os.openpty()\nos.dup2(follower, 0), os.dup2(follower, 1)\n"
        "class WithTerminal(module.Launch):\n"
        "    def __init__(self, *arguments, **options):\n"
        "        super().__init__(*arguments, **options, own_terminal=True)\n"
        "    def _finish(self, *arguments):\n"
        "        result = super()._finish(*arguments)\n"
        "        assert self._terminal is not None and self._terminal.has_shown\n"
        "        return result\n"
        "module.Launch = WithTerminal\n"
    )
    stopping = WATCHED.replace('"/bin/true"', '"/bin/echo"').replace(
        "sleep 600 & exit 3", "sleep 600 & tty; kill -TSTP $$; exit 3"
    )
    found = interpret(terminal + stopping.replace("print(json", "os.dup2(printed, 1); print(json"))
    assert found["exit"] == 3
    assert found["said"] == {"child": [], "launcher": [], "monitor": []}
    assert found["second"] == []
