"""The installed commands in the hands of somebody new: help, wrong command lines, streams that take nothing.

A traceback is never the answer, and a failure of a stream is never taken for the command's own exit code or
for tampering.
"""

from __future__ import annotations

import py_compile
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from attest import __version__
from tests.system.conftest import IS_ROOT, NONO, ROOT, VERIFY

if TYPE_CHECKING:
    from tests.system.conftest import Site

COMMANDS = ("run", "audit", "ledger", "keygen", "key", "doctor")


def shell(site: Site, script: str, *arguments: Path) -> subprocess.CompletedProcess[str]:
    """Run a shell script outside, in which ``nono`` and ``nono-verify`` are functions."""
    functions = f'nono() {{ "{NONO}" "$@"; }}\nnono_verify() {{ "{VERIFY}" "$@"; }}\n'
    done = subprocess.run(
        ["/bin/bash", "-c", functions + script, "bash", *arguments],
        env=site.environment,
        cwd=site.project,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    return done


# --- help ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_the_help_names_every_command(site: Site, flag: str) -> None:
    ended = site.nono(flag)
    assert (ended.status, ended.stderr) == (0, "")
    listed = [line.split()[0] for line in ended.stdout.decode().splitlines() if line.startswith("    ")]
    assert [name for name in listed if name in COMMANDS] == list(COMMANDS)


def test_the_version_is_that_of_the_package(site: Site) -> None:
    ended = site.nono("--version")
    assert (ended.status, ended.stdout, ended.stderr) == (0, f"nono {__version__}\n".encode(), "")


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help_with_examples(site: Site, command: str) -> None:
    ended = site.nono(command, "--help")
    assert (ended.status, ended.stderr) == (0, "")
    assert f"usage: nono {command} " in ended.stdout.decode()
    assert "example" in ended.stdout.decode()


@pytest.mark.parametrize(
    "arguments",
    [(), ("hlep",), ("",), ("--", "run"), ("--", "run", "--", "true"), ("ru\n",)],
)
def test_without_a_command_that_exists_the_help_is_named(site: Site, arguments: tuple[str, ...]) -> None:
    ended = site.nono(*arguments)
    assert (ended.status, ended.stdout) == (2, b"")
    assert ended.lines[0].startswith("nono: ")
    assert ended.lines[-1] == "nono: hint: nono --help"
    assert len(ended.lines) == 2


# --- streams ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        "nono --help",
        "nono run --help",
        "nono audit list",
        "nono audit show last",
        "nono ledger path",
        "nono ledger info",
        "nono doctor",
        "nono keygen --out key.pem",
        "nono audit snapshot copy.db",
    ],
)
def test_a_full_device_is_an_error_in_one_line(site: Site, command: str) -> None:
    site.tidy = False
    assert site.run("--", "/bin/true").status == 0
    failure = 125 if command.startswith("nono run") else 1
    done = shell(site, f"{command} > /dev/full")
    assert (done.returncode, done.stderr) == (
        failure,
        "nono: cannot write to standard output: No space left on device\n",
    )
    # Where the reader went away, nothing is said; where there never was one, nothing is wrong.
    done = shell(site, f"rm -f key.* copy.db; exec 3> >(exec true); wait $!; {command} >&3")
    assert (done.returncode, done.stderr) == (failure, "")
    done = shell(site, f"rm -f key.* copy.db; {command} >&- 2>/dev/null")
    assert done.returncode == 0


def test_a_dry_run_that_cannot_be_written_fails(site: Site) -> None:
    done = shell(site, "nono run --dry-run -- true > /dev/full")
    assert done.returncode == 125
    assert done.stderr.splitlines()[-1] == "nono: cannot write to standard output: No space left on device"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_do_not_change_the_exit_code(site: Site, closed: str) -> None:
    for code in (0, 3):
        assert shell(site, f"nono run -- sh -c 'exit {code}' {closed}").returncode == code
        assert site.record().outcome["exit"] == code


@pytest.mark.parametrize(
    ("redirection", "status", "said"),
    [
        (">/dev/full", 2, "not checked: standard output cannot be written: No space left on device\n"),
        (">&3", 2, ""),
        (">&-", 0, ""),
        (">&- 2>&-", 0, ""),
    ],
)
def test_a_verdict_that_nobody_can_read_is_neither_verified_nor_tampering(
    site: Site, redirection: str, status: int, said: str
) -> None:
    assert site.run("--", "/bin/true").status == 0
    for form in ("", "--format json"):
        script = f'exec 3> >(exec true); wait $!; nono_verify "$1" {form} {redirection}'
        done = shell(site, script, site.ledger())
        assert (done.returncode, done.stderr) == (status, said)


@pytest.mark.parametrize("arguments", ["--help", "--version", "trust --help", "trust list"])
def test_the_verifiers_help_on_a_full_device(site: Site, arguments: str) -> None:
    site.key()
    done = shell(site, f"nono_verify {arguments} > /dev/full")
    assert (done.returncode, done.stderr) == (
        2,
        "not checked: standard output cannot be written: No space left on device\n",
    )


@pytest.mark.parametrize("redirection", ["2>/dev/full", "2>&-"])
def test_a_usage_error_that_nobody_reads_still_exits_as_one(site: Site, redirection: str) -> None:
    assert shell(site, f"nono_verify {redirection}").returncode == 2
    assert shell(site, f"nono_verify trust remove nosuch {redirection}").returncode == 2
    assert shell(site, f"nono --nonsense {redirection}").returncode == 2
    assert shell(site, f"nono run --nonsense {redirection}").returncode == 125


# --- wrong command lines --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "flag",
    [
        "--allow",
        "--read",
        "--write",
        "--allow-file",
        "--read-file",
        "--write-file",
        "--audit-sign-key",
        "--bypass-protection",
        "--ledger",
        "--output",
        "--profile",
        "--workdir",
    ],
)
def test_an_empty_path_is_refused_by_the_name_of_its_flag(site: Site, flag: str) -> None:
    ended, status = site.status(flag, "", "--", "/bin/true")
    assert ended.status == 125
    assert ended.lines == [
        f"nono: {flag} is given an empty path",
        "nono: hint: is a variable not set?",
    ]
    assert status["exit_status"] == 125
    assert status["not_started"]["message"] == f"{flag} is given an empty path"
    assert status["session"] is None
    assert site.ledgers() == []


@pytest.mark.parametrize(
    "flags", [("--label", "x"), ("--allow", ""), ("--workdir", "/nonexistent"), ("--profile", "/nonexistent")]
)
def test_silent_is_silent_about_refusals_too(site: Site, flags: tuple[str, ...]) -> None:
    ended = site.run(*flags, "--", "/bin/true")
    assert ended.status == 125
    assert ended.stderr
    ended = site.run("--silent", *flags, "--", "/bin/true")
    assert (ended.status, ended.stdout, ended.stderr) == (125, b"", "")


@pytest.mark.parametrize("descriptor", ["99", "-1", "0", str(2**31), str(2**70)])
def test_a_status_descriptor_that_takes_nothing_is_refused_before_the_launch(
    site: Site, descriptor: str
) -> None:
    with site.file("input").open("rb") as reading:  # what 0 is
        ended = site.run("--status-fd", descriptor, "--", "/bin/true", stdin=reading.fileno())
    assert ended.status == 125
    assert ended.lines[0] == f"nono: --status-fd {descriptor} is not a descriptor that is open for writing"
    assert site.ledgers() == []


def test_an_output_without_a_digest_is_said_not_only_recorded(site: Site) -> None:
    site.verdict = 3
    site.file("there", "content")
    ended = site.run("--output", "a b", "--output", ".", "--output", "there", "--", "/bin/true")
    assert ended.status == 0
    assert [line for line in ended.lines if "digest" in line] == [
        f"nono: the output '{site.project}/a b' has no digest: missing (nono-verify exits 3 for it)",
        f"nono: the output {site.project} has no digest: not-regular (nono-verify exits 3 for it)",
    ]


@pytest.mark.parametrize("limit", ["-1", str(2**53), str(2**64), "9" * 40])
def test_a_limit_that_is_no_number_of_launches(site: Site, limit: str) -> None:
    site.tidy = False
    assert site.run("--", "/bin/true").status == 0
    ended = site.nono("audit", "list", "--recent", limit)
    assert (ended.status, ended.stdout) == (2, b"")
    assert ended.lines[0] == "nono: --recent is a number of launches"
    assert site.nono("audit", "list", "--limit", str(2**53 - 1)).status == 0


@pytest.mark.parametrize("command", ["audit list", "audit show last", "ledger path", "ledger info"])
def test_an_empty_ledger_path_names_no_directory(site: Site, command: str) -> None:
    ended = site.nono(*command.split(), "--ledger", "")
    assert ended.status == 2
    assert ended.lines == [
        "nono: --ledger is given an empty path",
        "nono: hint: is a variable not set?",
    ]


# --- keys ---------------------------------------------------------------------------------------------


def test_a_private_key_never_gets_the_name_of_a_public_one(site: Site) -> None:
    ended = site.nono("keygen", "--out", "ci.pub")
    assert (ended.status, ended.stdout) == (2, b"")
    assert ended.lines[0] == "nono: a private key is not called .pub"
    assert list(site.project.iterdir()) == []


@pytest.mark.parametrize("name", [".", "new/", "/"])
def test_a_key_needs_the_name_of_a_file(site: Site, name: str) -> None:
    ended = site.nono("keygen", "--out", name)
    assert (ended.status, ended.stdout) == (2, b"")
    assert ended.lines == ["nono: --out names a file", "nono: hint: for instance: nono keygen --out ci.pem"]
    assert list(site.project.iterdir()) == []


def test_commands_that_launch_nothing_fail_as_their_help_says(site: Site) -> None:
    """125 is a word of ``nono run``."""
    site.file("key.pem", "mine")
    assert site.nono("keygen", "--out", "key.pem").status == 1
    assert site.nono("doctor", env={"XDG_CACHE_HOME": "/proc"}).status == 1


def test_the_hint_about_an_open_key_can_be_pasted(site: Site) -> None:
    site.verdict = None
    key = site.key("it's; a 'key'")
    key.chmod(0o644)
    ended = site.run("--audit-sign-key", key, "--", "/bin/true")
    assert ended.status == 125
    hint = ended.lines[1].removeprefix("nono: hint: ")
    assert hint.startswith("chmod 600 ")
    assert shell(site, hint).returncode == 0
    assert site.run("--audit-sign-key", key, "--", "/bin/true").status == 0


def test_the_last_line_can_be_pasted(site: Site) -> None:
    key = site.key("it's; a 'key'")
    ledger = site.base / "$(ledger)\u202e.db"
    ended = site.run("--audit-sign-key", key, "--ledger", ledger, "--", "/bin/true")
    command = ended.lines[-1].partition("check it: ")[2]
    assert command.startswith("nono-verify ")
    done = shell(site, command.replace("nono-verify", "nono_verify", 1))
    assert done.returncode == 0
    assert done.stdout.startswith("verified: 1 launch, ")


@pytest.mark.skipif(IS_ROOT, reason="root may do everything")
def test_what_may_not_be_read_or_written_is_called_so(site: Site) -> None:
    """The hint must not send somebody to free space, or to make a key that is there."""
    site.tidy = False
    assert site.run("--", "/bin/true").status == 0
    ledger = site.ledger()
    ledger.chmod(0o400)
    ended = site.run("--", "/bin/true")
    ledger.chmod(0o600)
    assert ended.status == 125
    assert ended.lines[0].startswith(f"nono: {ledger} cannot be written: ")
    assert "-shm" in ended.lines[1]
    for beside in ledger.parent.iterdir():  # SQLite gave them the mode of the ledger
        beside.chmod(0o600)
    assert site.run("--", "/bin/true").status == 0
    key = site.config / "keys" / "default.pem"
    key.chmod(0)
    ended = site.run("--", "/bin/true")
    key.chmod(0o600)
    assert ended.lines == [f"nono: cannot open the signing key {key}: Permission denied"]
    inner = site.project / "inner" / "directory"
    inner.mkdir(parents=True)
    inner.parent.chmod(0)
    ended = site.run("--workdir", "inner/directory", "--", "/bin/true")
    inner.parent.chmod(0o700)
    assert ended.lines == ["nono: the working directory cannot be used: inner/directory: Permission denied"]


@pytest.mark.parametrize("program", [NONO, VERIFY])
def test_an_interrupt_while_the_program_loads_leaves_no_traceback(site: Site, program: Path) -> None:
    site.tidy = False  # doctor leaves what it found in the cache
    site.file("ledger", "")
    for milliseconds in range(5, 80, 5):
        running = site.start("doctor" if program == NONO else "ledger", program=(program,))
        time.sleep(milliseconds / 1_000)
        running.process.send_signal(signal.SIGINT)
        ended = running.wait()
        assert not any(f"/{package}/" in ended.stderr for package in ("attest", "runtime", "store", "verify"))
        # An interrupt before Python is ready ends it in Python's own ways, and with 1.
        early = "KeyboardInterrupt" in ended.stderr or "Fatal Python error" in ended.stderr
        assert early or ended.status in (-signal.SIGINT, 0, 2, 130)


@pytest.mark.parametrize(
    ("command", "status"),
    [("run", 125), ("shell", 125), ("wrap", 125), ("audit", 1), ("doctor", 1), ("", 1)],
)
def test_an_installation_without_its_packages_fails_as_the_help_says(
    site: Site, command: str, status: int
) -> None:
    words = [command] if command else []
    ended = site.nono(*words, program=(sys.executable, "-S", NONO))
    assert ended.status == status
    assert ended.lines[0].startswith("nono: nono cannot be loaded: ModuleNotFoundError: ")
    assert ended.lines[1].startswith("nono: hint: install it again")
    assert len(ended.lines) == 2


WITHOUT = """\
import sys
sys.modules[sys.argv[1]] = None
from runtime.cli import main
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize(
    ("missing", "command", "status"),
    [
        ("_sqlite3", ("run", "--", "true"), 125),
        ("runtime.launcher.launch", ("run", "--", "true"), 125),
        ("runtime.launcher.direct", ("wrap", "--", "true"), 125),
        ("_sqlite3", ("audit", "list"), 1),
    ],
)
def test_a_part_that_cannot_be_loaded_is_said_as_such(
    site: Site, missing: str, command: tuple[str, ...], status: int
) -> None:
    """A library, where memory is short, or a module of an installation that is not whole."""
    ended = site.nono(*command, program=(sys.executable, "-I", "-c", WITHOUT, missing))
    assert ended.status == status, ended.stderr
    assert ended.lines[0].startswith("nono: nono cannot be loaded: ")
    assert missing in ended.lines[0]
    assert ended.lines[1].startswith("nono: hint: install it again")
    assert len(ended.lines) == 2


WITH_FINDER = """\
import sys
sys.path.insert(0, sys.argv[1])
import runtime.compiled_finder
runtime.compiled_finder.install(frozenset({"attest", "runtime", "store"}))
from runtime.cli import main
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize("length", [0, 10, 16, 300])
def test_a_compiled_module_that_is_cut_off_is_no_fault_to_report(site: Site, length: int) -> None:
    """As a full disk leaves it; without its whole header it stands for nothing, and Python compiles anew."""
    packages = site.base / "packages"
    for name in ("attest", "runtime", "store"):
        shutil.copytree(ROOT / name, packages / name, ignore=shutil.ignore_patterns("__pycache__"))
    source = packages / "store" / "turn.py"
    compiled = Path(str(py_compile.compile(str(source), doraise=True)))
    compiled.write_bytes(compiled.read_bytes()[:length])
    program = (sys.executable, "-I", "-B", "-c", WITH_FINDER, packages)
    ended = site.run("--", "/bin/sh", "-c", "exit 9", program=program)
    if length < 16:
        assert ended.status == 9, ended.stderr
        return
    assert ended.status == 125
    assert ended.lines[0].startswith("nono: nono cannot be loaded: ")
    assert "EOFError" in ended.lines[0]
    assert ended.lines[1].startswith("nono: hint: install it again")
    assert len(ended.lines) == 2


def test_an_installation_that_goes_while_a_command_runs_does_not_change_its_exit_code(site: Site) -> None:
    packages = site.base / "packages"
    for name in ("attest", "runtime", "store"):
        shutil.copytree(ROOT / name, packages / name)
    program = (sys.executable, "-I", "-B", "-c", WITH_FINDER, packages)
    with open(site.base / "errors", "wb") as errors:
        words = ("--", "/bin/sh", "-c", "echo up; read line; exit 9")
        running = site.start("run", *words, program=program, stdin=subprocess.PIPE, stderr=errors)
        assert running.process.stdout is not None
        assert running.process.stdout.readline() == b"up\n"
        (packages / "runtime" / "cli" / "diagnosis_text.py").unlink()
        assert running.process.stdin is not None
        running.process.stdin.close()
        running.process.stdout.close()
        assert running.process.wait() == 9
    assert "why the command failed cannot be said" in (site.base / "errors").read_text()
    assert site.record().outcome["exit"] == 9


# --- programs that are none -----------------------------------------------------------------------------


@pytest.mark.parametrize("hooked", [False, True])
def test_a_program_that_the_kernel_refuses_leaves_a_ledger_that_holds(site: Site, hooked: bool) -> None:
    site.file("broken", b"\x7fELF", 0o755)
    flags: list[str | Path] = ["--allow-cwd", "--output", "never.txt"]
    if hooked:
        hook = {"script": str(site.hook("hook", "exit 0"))}
        flags += ["--profile", site.profile(session_hooks={"before": hook, "after": hook})]
    ended = site.run(*flags, "--", "./broken")
    assert ended.status == 126
    assert "nono: the command cannot be executed: Exec format error" in ended.lines
    record = site.record()
    assert "launch.start" in record.kinds
    assert record.outcome["not_started"]["code"] == "executable.exec"
    done = site.verify()
    assert (done.status, done.stdout.splitlines()[0][:19]) == (0, b"verified: 1 launch,")


# --- the README ---------------------------------------------------------------------------------------


def block(language: str) -> str:
    """Return the README's only block of code in a language."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (found,) = readme.split(f"```{language}\n")[1:]
    return found.partition("```")[0]


def test_the_profile_of_the_readme_is_one(site: Site) -> None:
    profile = site.base / "profile.jsonc"
    profile.write_text(block("jsonc"), encoding="utf-8")
    (site.home / ".gitconfig").write_text("", encoding="utf-8")
    (site.home / ".cache" / "pip").mkdir(parents=True)
    ended = site.run("-p", profile, "--", "/bin/sh", "-c", "pwd; touch made")
    assert (ended.status, ended.stdout.decode()) == (0, f"{site.project}\n"), ended.stderr
    assert (site.project / "made").exists()
    record = site.record()
    assert record.kinds.count("hook.result") == 2
    assert record.start["capabilities"]["network"] == {"mode": "blocked"}


def test_the_program_of_the_readme_runs(site: Site) -> None:
    program = site.base / "program.py"
    program.write_text(block("python"), encoding="utf-8")
    site.file("Makefile", "test:\n\t@echo made > result\n")
    done = subprocess.run(
        [sys.executable, "-I", program],
        env=site.environment,
        cwd=site.project,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode().split()[:2] == ["0", site.record().session]
    assert site.record().intent["labels"] == {"run": "42"}
    assert (site.project / "result").read_text() == "made\n"


def loaded(importtime: str) -> set[str]:
    """Return the names in what ``-X importtime`` wrote."""
    lines = importtime.splitlines()
    return {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}


def test_a_launch_loads_few_packages_and_none_of_the_slow_ones(site: Site) -> None:
    """Measured over an empty interpreter; ADR 3 has the figures."""
    python = (sys.executable, "-I", "-X", "importtime")
    empty = subprocess.run([*python, "-c", ""], capture_output=True, text=True, check=True)
    assert site.run("--", "/bin/true").status == 0  # makes key, ledger and filter
    ended = site.run("--", "/bin/true", program=(*python, NONO))
    assert ended.status == 0
    names = loaded(ended.stderr) - loaded(empty.stderr)  # which has what the system adds to each Python
    packages = {name.partition(".")[0] for name in names} - set(sys.stdlib_module_names)
    ours = {"attest", "runtime", "store"}
    assert ours < packages
    packages.discard("org")  # what copy looks for in Jython
    assert packages <= ours | {"_cffi_backend", "cryptography"}
    assert not names & {"logging", "pathlib", "shutil", "socket", "subprocess", "tempfile", "urllib"}
    unused = ("runtime.cli.terminal", "runtime.capability.hooks", "store.index")
    assert not any(name.startswith(unused) for name in names)
