"""What runs is what was named and hashed, and it runs as it would outside."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
import sys
import venv
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.system.conftest import IS_ROOT, NONO, PYTHON

if TYPE_CHECKING:
    from tests.system.conftest import Site


def sha256(path: str | Path) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def test_a_script_by_a_relative_path_sees_its_own_name(site: Site) -> None:
    script = site.file(
        "bin/tool", '#!/bin/sh\necho "$0"; dirname "$0"; cat "$(dirname "$0")/data"; echo "$@"\n', 0o755
    )
    site.file("bin/data", "data\n")
    ended = site.run("--allow-cwd", "--", "bin/tool", "a b", "c")
    assert ended.stdout.decode().splitlines() == ["bin/tool", "bin", "data", "a b c"]
    start = site.record().start
    assert (start["executable"]["path"], start["executable"]["held"]) == (str(script), "by-path")
    assert start["executable"]["sha256"] == sha256(script)
    shell = os.path.realpath("/bin/sh")
    assert [image["path"] for image in start["interpreters"]] == [shell]
    assert start["interpreters"][0]["sha256"] == sha256(shell)
    assert site.record().intent["command"] == ["bin/tool", "a b", "c"]


def test_a_script_without_its_directory_granted_still_runs(site: Site) -> None:
    """The script itself gets a rule; what lies beside it does not."""
    site.script("tool", 'echo ran; cat "$(dirname "$0")/data" 2>/dev/null || echo refused')
    site.file("data", "data\n")
    ended = site.run("--", "./tool")
    assert ended.stdout.split() == [b"ran", b"refused"]


def test_an_env_shebang_runs_what_env_would_find(site: Site) -> None:
    script = site.file("tool", "#!/usr/bin/env -S sh -e\necho env; exit 9\n", 0o755)
    ended = site.run("--", script)
    assert (ended.status, ended.stdout) == (9, b"env\n")
    start = site.record().start
    assert os.path.basename(start["interpreters"][0]["path"]) == "env"
    assert start["interpreters"][-1]["path"] == os.path.realpath("/bin/sh")


def test_the_path_of_the_command_is_searched_not_that_of_nono(site: Site) -> None:
    (site.base / "bin").mkdir()
    tool = site.base / "bin" / "tool"
    tool.write_text("#!/bin/sh\necho mine\n")
    tool.chmod(0o755)
    hook = site.hook("hook", f'echo "PATH={site.base}/bin:/usr/bin" > "$NONO_ENV_FILE"')
    profile = site.profile(session_hooks={"before": {"script": str(hook)}})
    assert site.run("--", "tool").status == 127
    ended = site.run("-p", profile, "--", "tool")
    assert ended.stdout == b"mine\n", ended.stderr


def test_the_name_of_the_command_stays_as_typed(site: Site) -> None:
    link = site.project / "other-name"
    link.symlink_to("/bin/sh")
    ended = site.run("--allow-cwd", "--", "./other-name", "-c", "tr '\\0' ' ' < /proc/$$/cmdline")
    assert ended.stdout.split()[0] == b"./other-name"
    assert site.record().start["executable"]["path"] == os.path.realpath("/bin/sh")


def test_a_virtual_environment_stays_one(site: Site) -> None:
    """A canonical argv[0] would lose it: Python finds its environment by the path that it was called by."""
    place = site.project / "venv"
    venv.create(place, with_pip=False, symlinks=True)
    ended = site.run(
        "--read",
        place,
        *site.python_grants(),
        "--",
        place / "bin" / "python",
        "-I",
        "-c",
        "import sys; print(sys.prefix)",
    )
    assert ended.stdout.decode().strip() == str(place), ended.stderr
    assert site.record().start["executable"]["path"] == PYTHON


def test_an_own_program_is_held_by_a_lease(site: Site) -> None:
    program = site.file("program", Path("/bin/true").read_bytes(), 0o755)
    assert site.run("--", program).status == 0
    start = site.record().start
    assert start["executable"]["held"] == "lease"
    assert start["enforcement"]["achieved"]["lease"] is True
    assert start["enforcement"]["achieved"]["exec-stop"] is True


@pytest.mark.skipif(IS_ROOT, reason="root gets a lease on every file")
def test_somebody_elses_program_is_held_by_its_state(site: Site) -> None:
    assert site.run("--", "/bin/true").status == 0
    assert site.record().start["executable"]["held"] == "stat-only"
    assert site.record().start["enforcement"]["achieved"]["lease"] is False


# --- swapped between the hash and the exec ---------------------------------------------------------


# Stops nono as soon as the command's process is there, which is after the script was opened and judged and
# before it is executed; puts another script in its place; lets nono go on.
RACE = """\
import os, signal, subprocess, sys
command, nono, *arguments = sys.argv[1:]
with open(command + ".new", "wb") as file:
    file.write(b"#!/bin/sh\\necho swapped\\n")
os.chmod(command + ".new", 0o755)
process = subprocess.Popen([nono, *arguments])
def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return file.read().split()
    except OSError:
        return []
while process.poll() is None and not any(children(monitor) for monitor in children(process.pid)):
    pass
os.kill(process.pid, signal.SIGSTOP)
os.rename(command + ".new", command)
os.kill(process.pid, signal.SIGCONT)
sys.exit(process.wait() % 256)
"""


def test_a_script_that_is_replaced_after_it_was_hashed_does_not_run(site: Site) -> None:
    """A race against the launcher; whenever it is won, the launch must say so, and nothing may run."""
    site.verdict = None
    won = 0
    for _ in range(12):
        command = site.script("tool", "echo original")
        ended = site.run("--", command, program=(sys.executable, "-I", "-c", RACE, str(command), str(NONO)))
        record = site.record()
        if b"swapped" in ended.stdout:
            pytest.fail(f"what was not hashed ran: {record.kinds} {ended.stderr}")
        if ended.stdout == b"original\n":
            assert record.outcome["executed_image"] == "same"
            continue
        won += 1
        refused = record.outcome.get("not_started", {}).get("code", "")
        assert record.outcome.get("executed_image") == "different" or refused.startswith("executable.")
        assert ended.status in (126, 128 + 9)
    assert won > 0


# --- tracers, privileges -------------------------------------------------------------------------


def test_a_traced_nono_names_its_tracer(site: Site) -> None:
    ended = site.run("--", "/bin/true", program=("strace", "-f", "-o", "/dev/null", NONO))
    assert ended.status == 125
    assert "traced by strace (pid " in ended.stderr
    assert site.record().outcome["not_started"]["code"] == "enforcement.traced"


def test_a_tracer_that_does_not_follow_is_no_obstacle(site: Site) -> None:
    ended = site.run("--", "/bin/sh", "-c", "exit 3", program=("strace", "-o", "/dev/null", NONO))
    assert ended.status == 3


def test_inside_tracing_still_works(site: Site) -> None:
    ended = site.run("--", "strace", "-o", "/dev/null", "/bin/sh", "-c", "exit 4")
    assert ended.status == 4, ended.stderr


def test_a_set_uid_program_runs_without_privilege(site: Site) -> None:
    candidates = [Path("/usr/bin/passwd"), Path("/usr/bin/su"), Path("/bin/su"), Path("/usr/bin/mount")]
    program = next(path for path in candidates if path.exists() and path.stat().st_mode & stat.S_ISUID)
    status = subprocess.run([program, "--help"], check=False, capture_output=True).returncode
    ended = site.run("--", program, "--help")
    assert ended.status == status
    assert site.record().outcome["executed_image"] == "same"
    ended = site.run("--", "/bin/grep", "NoNewPrivs", "/proc/self/status")
    assert ended.stdout.split()[-1] == b"1"


@pytest.mark.skipif(not IS_ROOT, reason="only root can make a set-uid program of another user")
def test_a_set_uid_program_of_another_user_keeps_the_callers(site: Site) -> None:
    program = site.base / "id"
    shutil.copyfile("/usr/bin/id", program)
    os.chown(program, 65534, 65534)
    program.chmod(0o4755)
    outside = subprocess.run([program, "-u"], check=True, capture_output=True)
    assert outside.stdout == b"65534\n"
    ended = site.run("--", program, "-u")
    assert ended.stdout == b"0\n"
    assert f"{program} is set-uid, set-gid or has capabilities, and runs without them" in ended.stderr


def test_a_script_that_the_command_could_rewrite_needs_a_word(site: Site) -> None:
    script = site.script("tool", "echo ran")
    refused = site.run("--allow", site.project, "--", script)
    assert refused.status == 125
    assert "--allow-writable-script" in refused.stderr
    assert site.record().outcome["not_started"]["code"] == "executable.writable"
    assert site.run("--allow", site.project, "--allow-writable-script", "--", script).stdout == b"ran\n"


def test_too_many_interpreters_and_loops_end(site: Site) -> None:
    one, two = site.project / "one", site.project / "two"
    for path, other in ((one, two), (two, one)):
        path.write_text(f"#!{other}\n")
        path.chmod(0o755)
    ended = site.run("--", one)
    assert ended.status == 126
    assert site.record().outcome["not_started"]["code"] == "executable.unusable"


def test_an_empty_file_and_a_broken_program_give_126(site: Site) -> None:
    for content in (b"", b"\x7fELF", b"\x7fELF" + bytes(200), b"#!", b"#!\n", b"#!/no/such/interpreter\n"):
        program = site.file("program", content, 0o755)
        ended = site.run("--", program)
        assert ended.status == 126, (content, ended.stderr)
        assert site.record().kinds[-1] == "launch.attestation"
