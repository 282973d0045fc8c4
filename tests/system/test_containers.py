"""Where containers put programs: behind a foreign filter, as the first process, without a home or a user."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.system.conftest import IS_ROOT, NONO, VERIFY, missing, wait_for

if TYPE_CHECKING:
    from tests.system.conftest import Ended, Site

REFUSING = Path(__file__).parent / "refusing.py"
LANDLOCK = "landlock_create_ruleset,landlock_add_rule,landlock_restrict_self"
HINT = "let its profile allow"


def behind(calls: str, number: str) -> tuple[str | Path, ...]:
    """Return how nono is started behind a filter that refuses ``calls``."""
    return (sys.executable, REFUSING, calls, number, NONO)


def unshared(*flags: str) -> tuple[str | Path, ...]:
    """Return how nono is started in namespaces of its own."""
    command = ("unshare", *(() if IS_ROOT else ("--user", "--map-root-user")), *flags)
    if subprocess.run([*command, "true"], check=False, capture_output=True).returncode != 0:
        missing("no namespaces can be made here")
    return (*command, NONO)


# --- a filter from outside --------------------------------------------------------------------------


@pytest.mark.parametrize("number", ["EPERM", "ENOSYS"])
@pytest.mark.parametrize(
    "calls",
    [
        LANDLOCK, "landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self", "seccomp",
        "ptrace", "pidfd_open", "close_range", "signalfd4", "prlimit64", "capset",
    ],
)  # fmt: skip
def test_a_call_that_a_container_refuses_is_named_with_what_to_do(
    site: Site, calls: str, number: str
) -> None:
    for _ in range(3):  # what the child says and what its tracer says race with each other
        ended = site.run("--block-net", "--", "/bin/true", program=behind(calls, number))
        assert ended.status == 125
        assert "Traceback" not in ended.stderr
        hint = next(line for line in ended.lines if line.startswith("nono: hint: "))
        assert "seccomp" in hint
        assert HINT in hint
        allowed = re.split("[ ,]+", hint.partition(HINT)[2].partition("(")[0].strip())
        assert set(calls.split(",")) <= set(allowed)
    for record in site.records() if site.ledgers() else []:  # some are needed before anything is recorded
        code = record.outcome["not_started"]["code"]
        assert code in {"enforcement.missing", "enforcement.traced", "launch.failed"}


@pytest.mark.parametrize("number", ["EPERM", "ENOSYS"])
@pytest.mark.parametrize(
    ("calls", "features"),
    [
        (LANDLOCK, {"filesystem", "truncate", "scope", "ioctl"}),
        ("landlock_restrict_self", {"filesystem", "truncate", "scope", "ioctl"}),
        ("seccomp", {"filter", "network"}),
        ("ptrace", {"exec-stop"}),
        ("pidfd_open", set()),
        ("close_range", set()),
    ],
)
def test_the_doctor_names_it_too(site: Site, calls: str, number: str, features: set[str]) -> None:
    ended = site.nono("doctor", program=behind(calls, number))
    assert (ended.status, ended.stderr) == (1, "")
    text = ended.stdout.decode()
    assert "launches will be refused here (exit code 125)" in text
    assert HINT in text
    document = json.loads(site.nono("doctor", "--json", program=behind(calls, number)).stdout)
    assert document["able"] is False
    assert document["seccomp_filtered"] is True
    assert document["refused_calls"] == ([] if features else [calls])
    found = {name for name, each in document["features"].items() if not each["enforced"]}
    assert found == features | {"metadata"}
    assert all(HINT in document["features"][name]["hint"] for name in features)


def test_a_filter_that_refuses_nothing_of_this_is_no_obstacle(site: Site) -> None:
    """docker's refuses mount and the like: being behind a filter is not the reason for anything."""
    program = behind("mount,umount2,pivot_root,keyctl,bpf,userfaultfd", "EPERM")
    assert site.run("--block-net", "--", "/bin/sh", "-c", "exit 3", program=program).status == 3
    ended = site.nono("doctor", program=program)
    assert ended.status == 0
    assert HINT not in ended.stdout.decode()


@pytest.mark.parametrize("number", ["EPERM", "ENOSYS", "EACCES", "EINVAL"])
def test_the_ledger_is_the_same_one_where_a_filter_does_not_know_statx(site: Site, number: str) -> None:
    """Filters written before Linux 4.11 refuse it; the older calls tell the same, if later."""
    program = behind("statx", number)
    for _ in range(2):  # one makes the ledger, one finds it
        ended = site.run("--block-net", "--", "/bin/sh", "-c", "exit 3", program=program)
        assert ended.status == 3, ended.stderr
    assert len(site.records()) == 2
    assert site.verify().status == 0


def test_a_kernel_without_landlock_is_not_blamed_on_a_filter(site: Site) -> None:
    """ENOSYS is ambiguous behind a filter: both are said, and what to do about each."""
    ended = site.run("--", "/bin/true", program=behind(LANDLOCK, "ENOSYS"))
    assert ended.lines[-2 if "recorded" in ended.lines[-1] else -1].startswith("nono: hint: a seccomp filter")
    assert "this kernel has no Landlock, or a seccomp filter hides it" in ended.stderr
    assert "CONFIG_SECURITY_LANDLOCK" in ended.stderr


def test_landlock_that_was_not_enabled_at_boot_is_another_matter(site: Site) -> None:
    ended = site.run("--", "/bin/true", program=behind(LANDLOCK, "EOPNOTSUPP"))
    assert "Landlock was not enabled when this system was started" in ended.stderr
    assert "lsm=" in ended.stderr
    assert HINT not in ended.stderr


# --- the first process ------------------------------------------------------------------------------


def test_as_the_first_process_of_a_container(site: Site) -> None:
    ended = site.run(
        "--block-net", "--", "/bin/sh", "-c", "exit 7", program=unshared("--pid", "--fork", "--mount-proc")
    )
    assert ended.status == 7, ended.stderr
    assert site.record().intent["supervisor"]["pid"] == 1


def test_the_first_process_leaves_no_zombies(site: Site) -> None:
    script = (
        "(setsid sh -c 'sleep 0.1 & exec sleep 0.2' &) ; sleep 0.6; i=0;"
        # One that has ended this moment is none that is left.
        " while [ $i -lt 100 ] && grep -qs zombie /proc/[0-9]*/status; do i=$((i+1)); sleep 0.1; done;"
        " grep -h ^State: /proc/[0-9]*/status; exit 4"
    )
    program = unshared("--pid", "--fork", "--mount-proc")
    ended = site.run("--block-net", "--", "/bin/sh", "-c", script, program=program)
    assert ended.status == 4, ended.stderr
    assert b"State:" in ended.stdout
    assert b"zombie" not in ended.stdout


@pytest.mark.skipif(not IS_ROOT, reason="only root enters the namespaces of another process")
def test_the_first_process_waits_for_what_others_leave_to_it(site: Site) -> None:
    """``docker exec`` starts processes beside the command; their orphans become children of the first one."""
    program = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc", NONO)
    launch = site.start("run", "--block-net", "--", "/bin/sleep", "600", program=program)
    try:
        first = wait_for(launch.children, "nono starts")[0]
        wait_for(lambda: grandchildren(first), "the command runs")
        enter = ["nsenter", "--target", str(first), "--pid", "sh", "-c", "(exec sleep 600) & echo $!"]
        (monitor,) = children(first)
        subprocess.run(enter, check=True, stdout=subprocess.DEVNULL, timeout=20)
        wait_for(lambda: len(children(first)) == 2, "the orphan is the first process's")
        (orphan,) = set(children(first)) - {monitor}
        os.kill(orphan, signal.SIGKILL)
        wait_for(lambda: len(children(first)) == 1, "the orphan is waited for")
        os.kill(first, signal.SIGTERM)
        assert launch.wait().status == 128 + signal.SIGTERM
    finally:
        if launch.process.poll() is None:
            launch.kill()


def children(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(each) for each in file.read().split()]


def grandchildren(pid: int) -> list[int]:
    return [below for each in children(pid) for below in children(each)]


@pytest.mark.parametrize(
    ("script", "status"),
    [("trap 'exit 5' TERM; echo up; while :; do sleep 0.02; done", 5), ("echo up; exec sleep 600", 143)],
    ids=["handled", "not handled"],
)
def test_a_signal_to_the_first_process_reaches_the_command(site: Site, script: str, status: int) -> None:
    """The kernel keeps signals without a handler from the first process; docker stop sends TERM."""
    program = unshared("--pid", "--fork", "--kill-child", "--mount-proc")
    launch = site.start("run", "--block-net", "--", "/bin/sh", "-c", script, program=program)
    assert launch.process.stdout is not None
    assert launch.process.stdout.readline() == b"up\n"
    if status == 143:
        time.sleep(0.2)  # until the shell has become sleep
    os.kill(launch.children()[0], signal.SIGTERM)
    assert launch.wait().status == status


# --- no home, no user, nothing to write to ----------------------------------------------------------


def test_a_user_that_no_database_knows(site: Site) -> None:
    site.tidy = False  # what only reads a ledger leaves SQLite's files beside it
    command = ("unshare", "--user", "--map-user=12345", "--map-group=12345")
    if subprocess.run([*command, "true"], check=False, capture_output=True).returncode != 0:
        missing("no user namespaces can be made here")
    del site.environment["HOME"]
    site.environment = {
        name: value
        for name, value in site.environment.items()
        if name.startswith(("XDG_", "SITE_", "TMPDIR"))
    }
    ended = site.run("--block-net", "--", "/usr/bin/id", "-u", program=(*command, NONO))
    assert (ended.status, ended.stdout) == (0, b"12345\n"), ended.stderr
    assert site.record().intent["user"]["uid"] == 12345
    for arguments in (("audit", "list"), ("ledger", "path"), ("key", "show"), ("doctor",), ("help",)):
        assert site.nono(*arguments, program=(*command, NONO)).status == 0
    done = site.nono(site.ledger(), program=(*command, VERIFY))
    assert done.status == 0, done.stderr


def read_only(site: Site, script: str, *writable: Path) -> Ended:
    """Run a shell script where nothing can be written but new file systems in the places that are named."""
    mounts = "".join(f"mount -t tmpfs -o mode=700 none '{place}'; " for place in writable)
    # What lies on other file systems stays as it is, so everything of the site has to lie on the first.
    if os.stat(site.base).st_dev != os.stat("/").st_dev:
        missing("the temporary directory is a file system of its own")
    program = unshared("--mount")[:-1]
    return site.nono(
        "-c", f"{mounts} mount --bind / / 2>/dev/null; mount -o remount,bind,ro / || exit 99; {script}",
        program=(*program, "/bin/sh"),
    )  # fmt: skip


def test_where_nothing_can_be_written_a_launch_is_refused_in_a_sentence(site: Site) -> None:
    assert site.run("--", "/bin/true").status == 0
    for flags, said in (("", "nono: hint: its directory"), ("--no-audit", "Read-only file system")):
        ended = read_only(site, f"{NONO} run {flags} -- /bin/true")
        assert ended.status == 125, ended.stderr
        assert "Traceback" not in ended.stderr
        assert said in ended.stderr


def test_where_nothing_can_be_written_a_ledger_is_read_and_checked(site: Site) -> None:
    assert site.run("--", "/bin/true").status == 0
    ended = read_only(site, f'{NONO} ledger path && {VERIFY} "$({NONO} ledger path)"')
    assert ended.status == 0, ended.stderr
    assert b"verified: 1 launch" in ended.stdout


def test_a_read_only_root_with_a_place_for_the_state(bare_site: Site) -> None:
    site = bare_site
    for place in (site.state.parent, site.config.parent, site.cache.parent):
        place.mkdir(parents=True, exist_ok=True)
    ended = read_only(
        site, f'{NONO} run --block-net -- /bin/true && {VERIFY} "$({NONO} ledger path)"',
        site.state.parent, site.config.parent, site.cache.parent, site.temporary,
    )  # fmt: skip
    assert ended.status == 0, ended.stderr
    assert b"verified: 1 launch" in ended.stdout


def test_without_variables_and_without_streams(site: Site) -> None:
    """As the smallest image has it: no PATH, no HOME, standard input and output closed."""

    def close() -> None:
        os.close(0)
        os.close(1)

    site.environment = {
        name: value for name, value in site.environment.items() if name not in {"HOME", "LANG", "PATH"}
    }
    ended = site.run("--block-net", "--", "true", preexec=close)
    assert ended.status == 0, ended.stderr


def mounted(script: str, *program: str | Path) -> tuple[str | Path, ...]:
    """Return how a program is started after a shell script that mounts, in a mount namespace of its own."""
    return (*unshared("--mount")[:-1], "/bin/sh", "-c", f'{script} && exec "$@"', "sh", *program)


def test_with_no_variable_at_all(site: Site) -> None:
    """``env -i``: the home is what the user database says, and the command gets what nono tells it alone."""
    passwd = site.base / "passwd"
    passwd.write_text(f"somebody:x:{0 if IS_ROOT else os.geteuid()}:0::{site.home}:/bin/sh\n")
    binds = [f"mount --bind {passwd} /etc/passwd"]
    if not os.access("/tmp", os.W_OK):  # where the command's directory is made, without TMPDIR
        binds.append(f"mount --bind {site.temporary} /tmp")
    program = mounted(" && ".join(binds), "/usr/bin/env", "-i", NONO)
    if not IS_ROOT:  # mapped to root, who is in the database
        passwd.write_text(f"root:x:0:0::{site.home}:/bin/sh\n")
    script = "/usr/bin/env | cut -d = -f 1 | sort"
    ended = site.run("--block-net", "--", "/bin/sh", "-c", f"{script}; exit 6", program=program)
    assert ended.status == 6, ended.stderr
    own = {"GIT_CONFIG_GLOBAL", "NONO_CAP_FILE", "NONO_SESSION_ID", "TMPDIR", "TMP", "TEMP", "TMPPREFIX"}
    assert set(ended.stdout.decode().split()) == own | {"PWD"}  # which the shell sets
    (ledger,) = (site.home / ".local/state/nono/ledgers").glob("*.db")
    assert set(site.record(ledger).start["environment"]) == own
    assert site.verify(ledger, "-k", site.home / ".config/nono/keys/default.pub").status == 0


def test_the_locale_is_the_callers(site: Site) -> None:
    """In the C locale Python adds LC_CTYPE for itself, of which the command is to know nothing."""
    for given, expected in (({"LANG": "C"}, b""), ({"LANG": "C", "LC_CTYPE": "C.UTF-8"}, b"C.UTF-8\n")):
        assert site.shell('echo "${LC_CTYPE-}" | grep .', env=given).stdout == expected


def test_without_any_stream(site: Site) -> None:
    """All three closed: the first descriptors that nono opens are none of them."""

    def close() -> None:
        os.closerange(0, 3)

    ended = site.shell("exit 9", "--block-net", preexec=close)
    assert (ended.status, ended.stdout, ended.stderr) == (9, b"", "")
    assert site.record().outcome["exit"] == 9
    assert site.verify().status == 0


def test_with_the_fewest_devices(site: Site) -> None:
    """No /dev/tty, no /dev/pts, no /dev/shm."""
    devices = site.base / "dev"
    devices.mkdir()
    names = ("null", "urandom")
    for name in names:
        (devices / name).touch()
    binds = " && ".join(f"mount --bind /dev/{name} {devices}/{name}" for name in names)
    script = "cat /dev/tty; echo x > /dev/null; head -c 4 /dev/urandom | wc -c; exit 4"
    program = mounted(f"{binds} && mount --rbind {devices} /dev", NONO)
    ended = site.run("--block-net", "--", "/bin/sh", "-c", script, program=program)
    assert (ended.status, ended.stdout.strip()) == (4, b"4"), ended.stderr
    assert b"/dev/tty" not in site.record().files()
