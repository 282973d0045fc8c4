"""Homes, directories and ledgers that are not as they should be: refused in a sentence, or they just work."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.system.conftest import IS_ROOT, NONO

if TYPE_CHECKING:
    from tests.system.conftest import Ended, Site


def bare(site: Site, environment: dict[str, str], *arguments: str) -> Ended:
    """Run with this environment and nothing else."""
    site.environment = {"SITE_MARK": site.mark, **environment}
    return site.run(*arguments)


def refused(ended: Ended) -> str:
    assert ended.status == 125, ended.stderr
    assert "Traceback" not in ended.stderr
    assert all(line.startswith("nono: ") for line in ended.lines)
    return ended.stderr


# --- environment ---------------------------------------------------------------------------------


def test_with_an_empty_environment_but_a_home(site: Site) -> None:
    ended = bare(
        site, {"HOME": str(site.home), "TMPDIR": str(site.temporary)}, "--", "/bin/sh", "-c", "exit 3"
    )
    assert ended.status == 3, ended.stderr
    assert (site.home / ".config/nono/keys/default.pem").is_file()
    (ledger,) = (site.home / ".local/state/nono/ledgers").iterdir()
    assert site.records(ledger)[0].outcome["exit"] == 3
    assert site.verify(ledger).status == 0


@pytest.mark.parametrize("home", ["relative", "", "."])
def test_a_home_that_is_not_absolute_is_no_home(site: Site, home: str) -> None:
    """Then the user database says where it is; the XDG directories keep the test out of there."""
    ended = site.run("--", "/bin/true", env={"HOME": home})
    assert ended.status == 0, ended.stderr
    assert not (site.project / "relative").exists()


def test_relative_xdg_directories_are_ignored(site: Site) -> None:
    relative = {f"XDG_{name}_HOME": "somewhere" for name in ("CONFIG", "STATE", "CACHE")}
    ended = site.run("--", "/bin/true", env=relative)
    assert ended.status == 0
    assert not (site.project / "somewhere").exists()
    assert (site.home / ".local/state/nono/ledgers").is_dir()


def test_a_home_that_does_not_exist_is_made_or_refused(site: Site) -> None:
    home = site.base / "new" / "home"
    ended = bare(site, {"HOME": str(home), "TMPDIR": str(site.temporary)}, "--", "/bin/true")
    assert ended.status == 0, ended.stderr
    assert stat.S_IMODE((home / ".local/state/nono").stat().st_mode) == 0o700


@pytest.mark.parametrize("variable", ["XDG_CONFIG_HOME", "XDG_STATE_HOME"])
@pytest.mark.parametrize("kind", ["file", "unwritable", "dangling"])
def test_directories_that_cannot_be_used_are_refused(site: Site, variable: str, kind: str) -> None:
    place = site.base / "place"
    if kind == "file":
        place.write_text("")
    elif kind == "dangling":
        place.symlink_to("/no/such/directory/at/all")
        if IS_ROOT:
            place = Path("/proc/1/no-such-entry")
    else:
        place.mkdir(mode=0o500)
        if IS_ROOT:
            place = Path("/proc/sys/kernel")  # nobody can make anything there
    said = refused(site.run("--", "/bin/true", env={variable: str(place)}))
    assert str(place) in said


@pytest.mark.parametrize(
    ("variable", "flag"), [("XDG_CONFIG_HOME", "nono keygen --out"), ("XDG_STATE_HOME", "--ledger FILE")]
)
def test_where_nothing_may_be_written_the_way_to_another_place_is_named(
    site: Site, variable: str, flag: str
) -> None:
    """As for a service whose user has no home."""
    place = site.base / "place"
    place.mkdir(mode=0o500)
    if IS_ROOT:
        place = Path("/sys/kernel")  # nobody can make anything there
    ended = site.run("--", "/bin/true", env={variable: str(place)})
    refused(ended)
    (hint,) = [line for line in ended.lines if line.startswith("nono: hint: ")]
    assert f"{variable} moves nono's own " in hint
    assert flag in hint


def test_a_cache_that_cannot_be_written_costs_time_and_nothing_else(site: Site) -> None:
    place = site.base / "place"
    place.write_text("")
    ended = site.run("--", "/bin/sh", "-c", "exit 2", env={"XDG_CACHE_HOME": str(place)})
    assert ended.status == 2, ended.stderr


def test_the_filter_is_cached_even_where_no_cache_directory_was_ever_made(site: Site) -> None:
    assert not site.cache.parent.exists()
    assert site.run("--", "/bin/true").status == 0
    assert len(list(site.cache.iterdir())) == 1


def test_what_is_made_is_private_whatever_the_umask(site: Site) -> None:
    ended = site.shell("umask", preexec=lambda: os.umask(0) and None)
    assert ended.stdout.split() == [b"0000"]
    for path in (site.state, site.state / "ledgers", site.state / "heads", site.config / "keys", site.cache):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    for path in (site.ledger(), site.config / "keys/default.pem", *site.cache.iterdir()):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_a_working_directory_that_was_removed(site: Site) -> None:
    gone = site.base / "gone"
    gone.mkdir()
    ended = site.start(
        "-c", 'rmdir "$PWD"; "$0" run -- /bin/true', NONO, program=("/bin/sh",), cwd=gone
    ).wait()
    assert "the working directory cannot be used" in refused(ended)


def test_without_a_path_the_system_is_searched(site: Site) -> None:
    del site.environment["PATH"]
    assert site.run("--", "sh", "-c", "exit 6").status == 6


def test_a_large_environment(site: Site) -> None:
    many = {f"VARIABLE_{number}": "x" * 100 for number in range(5000)}
    ended = site.run("--", "/bin/sh", "-c", "exit 7", env=many)
    assert ended.status == 7, ended.stderr
    names = site.record().start["environment"]
    if "blob" in names:
        names = site.blob(names)
    assert set(many) <= set(names)


@pytest.mark.parametrize(
    "listed", ["{}/src", "{}/src/.:/nowhere", "src", "{}/not-there-yet", ":", "/nowhere:"]
)
def test_where_python_itself_looks_as_nono_starts_is_closed_to_writing(site: Site, listed: str) -> None:
    """A ``sitecustomize`` that a command leaves there would run outside of the sandbox at the next start."""
    (site.project / "src").mkdir()
    (site.base / "data").mkdir()
    path = {"PYTHONPATH": listed.format(site.project)}
    leave = f"echo 'import os; os.mkdir(\"{site.base}/escaped\")' > src/sitecustomize.py; cp src/*.py ."
    ended = site.shell(leave, "--allow", site.project, env=path)
    assert site.run("--", "/bin/true", env=path).status == 0
    assert not (site.base / "escaped").exists()
    said = refused(ended)
    assert "a write there reaches what nono itself runs or obeys" in said
    assert "out of PYTHONPATH" in said
    assert site.run("--allow", site.base / "data", "--", "/bin/true", env=path).status == 0
    assert site.run("--allow", site.project, "--", "/bin/true").status == 0


# --- ledgers -------------------------------------------------------------------------------------


def made(site: Site) -> Path:
    """Return a ledger beside the project that has one launch."""
    ledger = site.base / "ledger" / "l.db"
    assert site.run("--ledger", ledger, "--", "/bin/true").status == 0
    return ledger


def test_a_ledger_at_a_path_of_its_own(site: Site) -> None:
    ledger = made(site)
    assert site.run("--ledger", "../ledger/l.db", "--", "/bin/true").status == 0
    assert len(site.records(ledger)) == 2
    assert site.verify(ledger).status == 0
    assert sorted(path.name for path in ledger.parent.iterdir()) == ["l.db"]
    assert not (site.state / "ledgers").exists()


@pytest.mark.parametrize("name", ["a b", "new\nline", "%41?mode=memory#x", "caf\u00e9", "-dash", "q'\""])
def test_a_ledger_with_an_odd_name(site: Site, name: str) -> None:
    ledger = site.base / "ledger" / name
    for _ in range(2):
        ended = site.run(f"--ledger={ledger}", "--", "/bin/true")
        assert ended.status == 0, ended.stderr
    assert [path.name for path in ledger.parent.iterdir()] == [name]
    assert site.verify(ledger).status == 0


def test_what_is_no_ledger_is_left_as_it_is(site: Site) -> None:
    place = site.base / "ledger"
    place.mkdir()
    (place / "empty").touch()
    (place / "text").write_text("text\n")
    (place / "directory").mkdir()
    os.mkfifo(place / "fifo")
    (place / "dangling").symlink_to("no-such-file")
    with sqlite3.connect(place / "other") as other:
        other.execute("CREATE TABLE t (x)")
    other.close()
    shutil.copyfile(made(site), place / "real")
    (place / "real").chmod(0o600)
    (place / "link").symlink_to("real")
    before = {path.name: path.read_bytes() for path in place.iterdir() if path.is_file()}
    names = sorted(os.listdir(place))
    for name in ("empty", "text", "directory", "fifo", "dangling", "other", "link"):
        said = refused(site.run("--ledger", place / name, "--", "/bin/true"))
        assert str(place / name) in said, name
    assert {path.name: path.read_bytes() for path in place.iterdir() if path.is_file()} == before
    assert sorted(os.listdir(place)) == names


def test_a_ledger_that_others_can_write_is_refused(site: Site) -> None:
    ledger = made(site)
    ledger.chmod(0o622)
    assert "can be written by others" in refused(site.run("--ledger", ledger, "--", "/bin/true"))


@pytest.mark.skipif(not IS_ROOT, reason="only root can give a file away")
def test_a_ledger_of_another_user_is_refused(site: Site) -> None:
    ledger = made(site)
    os.chown(ledger, 65534, 65534)
    assert "belongs to another user" in refused(site.run("--ledger", ledger, "--", "/bin/true"))
    os.chown(ledger, 0, 0)


def test_a_journal_beside_a_ledger_is_refused(site: Site) -> None:
    ledger = made(site)
    journal = Path(f"{ledger}-journal")
    journal.write_bytes(b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" + bytes(504))
    assert "journal" in refused(site.run("--ledger", ledger, "--", "/bin/true"))
    journal.unlink()


@pytest.mark.parametrize("suffix", ["-wal", "-shm"])
@pytest.mark.parametrize("kind", ["empty", "full", "another's", "fifo", "link", "directory"])
def test_what_another_put_beside_a_ledger_is_not_written_to(site: Site, suffix: str, kind: str) -> None:
    """Who has the log open would read the record; who cuts off its shared memory would end nono."""
    ledger = made(site)
    planted = Path(f"{ledger}{suffix}")
    if kind == "fifo":
        os.mkfifo(planted)
    elif kind == "link":
        planted.symlink_to(site.base / "elsewhere")
    elif kind == "directory":
        planted.mkdir()
    else:
        planted.write_bytes(b"" if kind == "empty" else bytes(32_768))
        planted.chmod(0o600 if kind == "another's" else 0o666)
        if kind == "another's":
            if not IS_ROOT:
                pytest.skip("only root can give a file away")
            os.chown(planted, 65534, 65534)
    before, told = ledger.read_bytes(), planted.lstat()
    said = refused(site.run("--ledger", ledger, "--", "/bin/true"))
    assert f"{planted} " in said
    assert "nono did not make it so" in said
    after = planted.lstat()
    assert (after.st_ino, after.st_mode, after.st_uid) == (told.st_ino, told.st_mode, told.st_uid)
    assert sorted(path.name for path in ledger.parent.iterdir()) == ["l.db", f"l.db{suffix}"]
    assert ledger.read_bytes() == before
    assert not (site.base / "elsewhere").exists()
    planted.rmdir() if kind == "directory" else planted.unlink()
    assert site.run("--ledger", ledger, "--", "/bin/true").status == 0


def test_an_edited_ledger_is_never_signed_onward(site: Site) -> None:
    ledger = made(site)
    content = ledger.read_bytes()
    assert content.count(b'"exit":0,') == 1
    ledger.write_bytes(content.replace(b'"exit":0,', b'"exit":1,'))
    before = site.entries(ledger)
    assert "is not what was signed" in refused(site.run("--ledger", ledger, "--", "/bin/true"))
    assert site.entries(ledger) == before
    assert site.verify(ledger).status == 1


def test_an_old_copy_that_is_put_back_is_never_signed_onward(site: Site) -> None:
    ledger = made(site)
    old = ledger.read_bytes()
    assert site.run("--ledger", ledger, "--", "/bin/true").status == 0
    ledger.write_bytes(old)
    assert "an older copy was put back" in refused(site.run("--ledger", ledger, "--", "/bin/true"))
    assert site.verify(ledger).status == 0  # which the verifier alone cannot know


def test_a_ledger_whose_directory_cannot_be_written_is_refused(site: Site) -> None:
    if IS_ROOT:
        pytest.skip("root writes everywhere")
    ledger = made(site)
    ledger.parent.chmod(0o500)
    said = refused(site.run("--ledger", ledger, "--", "/bin/true"))
    ledger.parent.chmod(0o700)
    assert str(ledger) in said
    assert len(site.records(ledger)) == 1


def test_a_ledger_that_is_removed_while_a_command_runs(site: Site) -> None:
    """What is written afterwards would be lost, so the launch says that its record could not be finished."""
    site.tidy = False  # for whoever looks later the launch has no end, and its mark says so
    ledger = made(site)
    hook = site.hook("hook", f"rm {ledger}*")
    profile = site.profile(session_hooks={"before": {"script": str(hook)}})
    said = refused(site.run("--ledger", ledger, "-p", profile, "--", "/bin/true"))
    assert "was replaced or removed" in said
    assert not ledger.exists()


def test_a_ledger_that_somebody_keeps_locked_is_refused_in_the_end(site: Site) -> None:
    ledger = made(site)
    holder = subprocess.Popen(
        ["python3", "-I", "-c",
         "import sqlite3, sys, time; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
         " c.execute('BEGIN IMMEDIATE'); print('held', flush=True); time.sleep(100)", ledger],
        stdout=subprocess.PIPE, env={"PATH": site.environment["PATH"]},
    )  # fmt: skip
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        # The same command with less patience than the shipped half a minute.
        impatient = (
            "import sys\n"
            "from store import ledger_file\n"
            "from runtime.cli import main\n"
            "ledger_file.BUSY_SECONDS = 2.0\n"
            "sys.exit(main(sys.argv[1:]))"
        )
        program = (NONO.parent / "python", "-I", "-c", impatient)
        began = time.monotonic()
        said = refused(site.run("--ledger", ledger, "--", "/bin/true", program=program))
        assert time.monotonic() - began >= 2
        assert "busy: no turn within 2 s" in said
    finally:
        holder.kill()
        holder.communicate()
    assert site.run("--ledger", ledger, "--", "/bin/true").status == 0
    Path(f"{ledger}-journal").unlink(missing_ok=True)


@pytest.mark.parametrize(
    "hostile", ["\x1b[31mred", "\r\nnono: recorded launch", "\u202egnp.exe", "a\x00b"[:1]]
)
def test_control_characters_never_reach_the_terminal_raw(site: Site, hostile: str) -> None:
    for arguments in (
        ["--", hostile],
        ["--read", hostile, "--", "/bin/true"],
        ["--read-file", f"/{hostile}", "--", "/bin/true"],
        ["--label", f"{hostile} =x", "--", "/bin/true"],
        ["--ledger", f"{site.base}/no/{hostile}/l.db", "--", "/bin/true"],
        ["--audit-sign-key", f"/no/{hostile}", "--", "/bin/true"],
        ["-p", f"/no/{hostile}", "--", "/bin/true"],
        ["--workdir", hostile, "--", "/bin/true"],
        [f"--{hostile}", "--", "/bin/true"],
        ["--dry-run", "--", "/bin/echo", hostile],
    ):
        ended = site.run(*arguments)
        shown = ended.stderr + ended.stdout.decode()
        assert all(character.isprintable() or character == "\n" for character in shown), arguments
        assert not any(
            line.startswith("nono: recorded launch ") and "entries" not in line for line in ended.lines
        )


def test_a_low_limit_of_open_files_is_said_and_no_fault(site: Site) -> None:
    assert site.run("--", "/bin/true").status == 0
    site.tidy = False  # what cannot be opened can hardly be removed; nono says that as well
    refused = 0
    for limit in range(8, 40):
        program = ("/bin/sh", "-c", f'ulimit -n {limit}; exec "$@"', "sh", NONO)
        ended = site.run("--allow", site.project, "--", "/bin/true", program=program)
        assert ended.status in (0, 125, 126), (limit, ended.stderr)
        assert "Traceback" not in ended.stderr, (limit, ended.stderr)
        refused += "the launch cannot be prepared: too many open files" in ended.stderr
        said = "too many open files" in ended.stderr.lower()
        assert ("ulimit -n" in ended.stderr) == said == (ended.status != 0), (limit, ended.stderr)
    assert refused > 0


def limited(flag: str, limit: int | str, *program: str | Path) -> tuple[str | Path, ...]:
    """Return how a program is started under a limit of the shell's ``ulimit``."""
    return ("/bin/bash", "-c", f'ulimit {flag} {limit}; exec "$@"', "bash", *program)


@pytest.mark.parametrize("flag", ["-d", "-v"], ids=["data", "address space"])
def test_too_little_memory_is_said_and_no_exit_code_of_the_command(site: Site, flag: str) -> None:
    """From where Python itself starts to where nono works; that a library crashes at its end is not ours."""
    site.tidy, site.verdict = False, None  # there may be too little to remove anything, or to finish a record
    assert site.run("--", "/bin/true").status == 0
    found, named = set(), False
    for limit in (3000, 5000, 9000, 12000, 13000, *range(25_000, 42_000, 1_000), 50_000, 200_000):
        bare_python = limited(flag, limit, sys.executable, "-I", "-c", "import os, site, gc")
        if subprocess.run(bare_python, check=False, capture_output=True).returncode != 0:
            continue
        ended = site.run("--block-net", "--", "/bin/sh", "-c", "exit 9", program=limited(flag, limit, NONO))
        said = ended.stderr
        of_python = "MemoryError" in said and "nono" not in said and "File" not in said
        if ended.status in (-signal.SIGSEGV, -signal.SIGABRT) or of_python:
            continue  # a library, or Python before the first line of the program, in one of its several ways
        assert ended.status in (9, 125), (limit, ended.stderr)
        assert "Traceback" not in ended.stderr, limit
        if ended.status == 125:  # sometimes SQLite is the first to be refused, and calls it an I/O error
            assert all(line.startswith("nono: ") for line in ended.lines), limit
            named = named or "ulimit -v" in ended.stderr
        found.add(ended.status)
    assert (found, named) == ({9, 125}, True)
    assert site.verify().status in (0, 3)  # intact, and no launch that ran is passed over


def test_low_limits_of_what_is_not_needed_change_nothing(site: Site) -> None:
    for flag, limit in (
        ("-s", 256),
        ("-l", 0),
        ("-i", 0),
        ("-c", 0),
        ("-q", 0),
        ("-x", 0),
        ("-t", 20),
        ("-e", 0),
    ):
        ended = site.shell("exit 9", "--block-net", program=limited(flag, limit, NONO))
        assert ended.status == 9, (flag, ended.stderr)
        assert site.record().outcome["exit"] == 9


def _is_own_process(name: str) -> bool:
    try:
        return name.isdigit() and os.stat(f"/proc/{name}").st_uid == os.geteuid()
    except FileNotFoundError:  # it has ended
        return False


@pytest.mark.skipif(IS_ROOT, reason="root's processes are not limited")
@pytest.mark.parametrize("flags", [(), ("--open-port", "8080")], ids=["plain", "listening"])
def test_a_limit_of_processes_is_said(site: Site, flags: tuple[str, ...]) -> None:
    """Whichever process or thread of a launch cannot be made.

    The limit counts all that the user has, other tests included, so which one it is changes with them.
    """
    assert site.run(*flags, "--", "/bin/true").status == 0  # what is made once is there
    there = sum(map(_is_own_process, os.listdir("/proc")))
    statuses = []
    for limit in (1, *range(max(1, there - 3), there + 6), there + 500):
        ended = site.run(*flags, "--", "/bin/true", program=limited("-u", limit, NONO))
        assert "Traceback" not in ended.stderr
        if ended.status:
            assert ended.status == 125
            whats = ("process", "thread")
            said = {f"nono: cannot make a {what}: Resource temporarily unavailable" for what in whats}
            assert said & {*ended.lines}, ended.stderr
            assert "nono: hint: raise the limit of processes (ulimit -u)" in ended.lines
        statuses.append(ended.status)
    assert statuses[0] == 125
    assert statuses[-1] == 0
