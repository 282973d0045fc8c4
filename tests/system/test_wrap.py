"""``nono wrap``: the process becomes the command, its record ends with its start, and nobody stays."""

from __future__ import annotations

import base64
import errno
import functools
import json
import os
import pty
import re
import signal
import sys
from typing import TYPE_CHECKING, Any

import pytest

from runtime.cli import command_parser, wrap
from runtime.errors import LaunchError
from runtime.launcher import direct
from runtime.policy.request import LaunchRequest
from tests.system.conftest import NONO, PYTHON, is_alive, wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from tests.system.conftest import Ended, Site


def python(site: Site, script: str, *flags: object) -> Ended:
    """Wrap a Python script."""
    return site.nono("wrap", *site.python_grants(), *map(str, flags), "--", PYTHON, "-I", "-c", script)


# --- the record ------------------------------------------------------------------------------------


def test_intent_and_start_stand_together_and_say_what_was_achieved(site: Site) -> None:
    before = site.nono("wrap", "--", "/bin/true")
    assert before.status == 0, before.stderr
    ended = site.nono(
        "wrap", "--label", "a=b", "--block-net", "--nofile", "99", "--", "/bin/sh", "-c", "exit 7"
    )
    assert ended.status == 7, ended.stderr
    record = site.record()
    assert record.kinds == ["launch.intent", "launch.start"]
    assert record.intent["strategy"] == "direct"
    assert record.intent["labels"] == {"a": "b"}
    start = record.start
    achieved, required = start["enforcement"]["achieved"], start["enforcement"]["required"]
    assert not achieved["exec-stop"]
    assert not required["exec-stop"]
    assert [feature for feature, needed in required.items() if needed and not achieved[feature]] == []
    assert {"filesystem", "filter", "network", "capabilities"} <= {f for f, has in achieved.items() if has}
    assert start["limits"] == {"open_files": 99}
    verdict = site.verify()
    assert verdict.status == 0
    assert "in 2 launches nobody stayed" in verdict.stdout.decode()
    document = json.loads(site.verify(None, "--format", "json").stdout)
    assert document["launches"]["complete"] == 2
    assert "launch.unattended" in {each["code"] for each in document["not_excluded"]}


def test_the_process_itself_becomes_the_command(site: Site) -> None:
    launch = site.start("wrap", "--", "/bin/sh", "-c", "echo $$ $PPID; ps -o pid= --ppid $$ || true")
    pid = launch.pid
    ended = launch.wait()
    own, parent = ended.stdout.split()[:2]
    assert (int(own), int(parent)) == (pid, os.getpid())
    record = site.record()
    assert record.start["pid"] == record.intent["supervisor"]["pid"] == pid


def test_a_refusal_is_recorded_with_its_statement(site: Site) -> None:
    for command, status, code in (
        ("/no/such/program", 127, "executable.missing"),
        ("/etc/passwd", 126, "executable.unusable"),
        ("rm", 125, "command.blocked"),
    ):
        ended = site.nono("wrap", "--", command)
        assert ended.status == status, ended.stderr
        assert "recorded as launch" in ended.stderr
        record = site.record()
        assert record.kinds == ["launch.intent", "launch.outcome", "launch.attestation"]
        assert record.intent["strategy"] == "direct"
        assert record.outcome["not_started"]["code"] == code


def test_without_a_record_nothing_is_written(site: Site) -> None:
    ended = site.nono("wrap", "--no-audit", "--", "/bin/sh", "-c", "echo done")
    assert (ended.status, ended.stdout) == (0, b"done\n")
    assert "nothing was recorded" in ended.stderr
    assert site.ledgers() == []


def test_a_ledger_that_refuses_launches_nothing(site: Site) -> None:
    ledger = site.file("l.db", b"no ledger")
    ended = site.nono("wrap", "--allow", site.project, "--ledger", ledger, "--", "/bin/sh", "-c", "touch ran")
    assert ended.status == 125
    assert not (site.project / "ran").exists()
    other = site.base / "other.db"
    other.write_bytes(b"no ledger")
    ended = site.nono("wrap", "--allow", site.project, "--ledger", other, "--", "/bin/sh", "-c", "touch ran")
    assert ended.status == 125
    assert "other.db" in ended.stderr
    assert not (site.project / "ran").exists()


def test_a_ledger_on_standard_error_is_not_written_into(site: Site) -> None:
    assert site.nono("wrap", "--", "/bin/true").status == 0
    before = site.ledger().read_bytes()
    with site.ledger().open("r+b") as stream:
        assert site.nono("wrap", "--", "/bin/true", stderr=stream).status == 125
    assert site.ledger().read_bytes()[:100] == before[:100]
    assert site.verify().status == 0


def test_an_interrupt_before_it_is_recorded_ends_it_and_one_afterwards_is_the_commands(site: Site) -> None:
    launch = site.start(
        "wrap", "--", "/bin/sh", "-c", "trap 'exit 42' TERM; echo; while :; do sleep 0.1; done"
    )
    assert launch.process.stdout is not None
    assert launch.process.stdout.read(1) == b"\n"
    launch.process.send_signal(signal.SIGTERM)
    assert launch.wait().status == 42
    launch = site.start("wrap", "--", "/bin/sleep", "600")
    wait_for(lambda: len(site.records()) == 2, "the record")
    launch.process.send_signal(signal.SIGINT)
    assert launch.wait().status == -signal.SIGINT


# --- what must not be there --------------------------------------------------------------------------

SECRETS = """
import os, re
found = []
for name in os.listdir("/proc/self/fd"):
    try:
        found.append(os.readlink("/proc/self/fd/" + name))
    except OSError:
        pass
print([path for path in found if ".db" in path or "nono" in path or ".pem" in path])
print(open("/proc/self/task/%d/children" % os.getpid()).read().split())
pieces = []
with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", buffering=0) as memory:
    for line in maps:
        span, rights = line.split()[:2]
        if rights[0] == "r" and "[v" not in line:
            low, high = (int(each, 16) for each in span.split("-"))
            try:
                memory.seek(low)
                pieces.append(memory.read(high - low))
            except (OSError, ValueError, OverflowError):
                pass
with open(0, "rb") as wanted:
    reversed_secrets = wanted.read()  # of which no whole copy is made here
data = b"".join(pieces)
text, seed = reversed_secrets[:-32], reversed_secrets[-32:]
found = [len(re.findall(re.escape(each[::-1]), data)) for each in (text, seed)]
print(found, len(re.findall(os.environb[b"SITE_MARK"], data)) > 0)
"""


def test_neither_key_nor_ledger_is_in_the_command_or_beside_it(site: Site) -> None:
    assert site.nono("wrap", "--", "/bin/true").status == 0
    pem = (site.config / "keys/default.pem").read_bytes()
    text = b"".join(pem.splitlines()[1:-1])
    seed = base64.b64decode(text)[-32:]  # RFC 8410: what a private key of Ed25519 ends with
    ended = site.nono(
        "wrap", *site.python_grants(), "--", PYTHON, "-I", "-c", SECRETS, stdin=text[::-1] + seed[::-1]
    )
    assert ended.status == 0, ended.stderr
    files, children, memory = ended.stdout.decode().splitlines()
    # What is looked for so is found where it is: the mark of this test.
    assert (files, children, memory) == ("[]", "[]", "[0, 0] True")


def test_the_variable_of_a_passphrase_does_not_reach_the_command(site: Site) -> None:
    ended = site.nono(
        "wrap",
        "--key-passphrase-env",
        "WORD",
        "--",
        "/usr/bin/env",
        env={"WORD": "a secret", "OTHER": "here"},
    )
    assert ended.status == 0, ended.stderr
    assert b"OTHER=here" in ended.stdout
    assert b"WORD" not in ended.stdout
    assert b"NONO_CAP_FILE" not in ended.stdout
    assert re.search(rb"^NONO_SESSION_ID=[0-9a-f]{32}$", ended.stdout, re.M)


def test_a_credential_of_nonos_environment_is_only_where_it_was_put(site: Site) -> None:
    ended = site.nono(
        "wrap",
        "--env-credential-map",
        "env://SOURCE",
        "TOKEN",
        "--",
        "/usr/bin/env",
        env={"SOURCE": "s3cret"},
    )
    assert ended.status == 0, ended.stderr
    assert b"TOKEN=s3cret" in ended.stdout
    assert b"SOURCE" not in ended.stdout
    assert "s3cret" not in json.dumps(site.record().entries)


def test_descriptors_of_the_caller_stay_outside(site: Site) -> None:
    with (site.base / "secret").open("w+") as file:
        ended = site.nono("wrap", "--", "/bin/ls", "/proc/self/fd", pass_fds=(file.fileno(),))
    assert ended.stdout.split() == [b"0", b"1", b"2", b"3"]  # the last one is the directory that ls reads


# --- the sandbox --------------------------------------------------------------------------------------


def test_what_is_not_granted_is_closed_and_open_without_nono(site: Site) -> None:
    secret = site.base / "secret"
    secret.write_text("open", encoding="utf-8")
    probe = f"cat {secret}; echo x > {site.base}/made; head -c1 /proc/1/environ >/dev/null"
    with open(os.devnull, "rb") as nothing:
        outside = site.start("-c", probe, program=("/bin/sh",), stdin=nothing).wait()
    assert outside.stdout == b"open"
    assert (site.base / "made").exists()
    (site.base / "made").unlink()
    inside = site.nono("wrap", "--", "/bin/sh", "-c", probe)
    assert inside.stdout == b""
    assert inside.status != 0
    assert not (site.base / "made").exists()


def test_the_network_can_be_closed_and_system_calls_are_filtered(site: Site) -> None:
    script = """
import ctypes, errno, socket
try:
    socket.socket()
    print("open")
except OSError as error:
    print(errno.errorcode[error.errno])
libc = ctypes.CDLL(None, use_errno=True)
libc.setns(-1, 0)
print(errno.errorcode[ctypes.get_errno()])
"""
    assert python(site, script).stdout.split() == [b"open", b"EPERM"]
    assert python(site, script, "--block-net").stdout.split() == [b"EACCES", b"EPERM"]


def test_limits_of_a_process_hold(site: Site) -> None:
    script = """
import errno, resource
print(resource.getrlimit(resource.RLIMIT_NOFILE), resource.getrlimit(resource.RLIMIT_FSIZE))
try:
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 100))
    print("raised")
except (ValueError, OSError):
    print("held")
"""
    ended = python(site, script, "--nofile", "64", "--max-file-size", "1M")
    assert ended.stdout.decode().splitlines() == ["(64, 64) (1048576, 1048576)", "held"]


def test_the_callers_own_limits_are_the_commands(site: Site) -> None:
    limited = f"ulimit -n 200; ulimit -S -f 64; exec {NONO} wrap -- /bin/sh -c 'ulimit -n; ulimit -f'"
    ended = site.start("-c", limited, program=("/bin/sh",)).wait()
    assert ended.stdout.split() == [b"200", b"64"], ended.stderr


def test_a_writable_script_and_a_changed_program_are_refused(site: Site) -> None:
    script = site.script("tool", "echo ran")
    ended = site.nono("wrap", "--allow", site.project, "--", "./tool")
    assert ended.status == 125
    assert "can rewrite the script" in ended.stderr
    with script.open("r+b"):
        ended = site.nono("wrap", "--read", site.project, "--", "./tool")
    assert ended.status == 126
    assert "open for writing" in ended.stderr
    assert site.nono("wrap", "--read", site.project, "--", "./tool").stdout == b"ran\n"
    chain = site.record().start
    assert chain["executable"]["held"] == "by-path"


def test_what_the_kernel_cannot_execute_says_that_the_start_stands(site: Site) -> None:
    broken = site.file("broken", b"\x7fELF" + bytes(100), 0o755)
    ended = site.nono("wrap", "--read", site.project, "--", broken)
    assert ended.status == 126
    assert os.strerror(errno.ENOEXEC) in ended.stderr
    assert "the record says that it started, and nothing did" in ended.stderr
    assert site.record().kinds == ["launch.intent", "launch.start"]


def test_standard_streams_and_the_terminal_are_the_callers(site: Site) -> None:
    ended = site.nono("wrap", "--", "/bin/cat", stdin=b"through")
    assert ended.stdout == b"through"
    leader, follower = pty.openpty()
    try:
        launch = site.start(
            "wrap",
            "--",
            "/bin/sh",
            "-c",
            "test -t 0 && tty && ps -o pgid= -p $$",
            stdin=follower,
            stdout=follower,
        )
        ended = launch.wait()
        assert ended.status == 0, ended.stderr
        said: list[str] = []
        while len(said) < 2:  # two programs wrote it
            said += os.read(leader, 4_096).decode().split()
        assert said[0].startswith("/dev/pts/")
        assert int(said[1]) == os.getpgrp()
    finally:
        os.close(leader)
        os.close(follower)


def test_wrap_inside_of_run_is_recorded_as_nested(site: Site) -> None:
    ledger = site.base / "inner"
    ledger.mkdir()
    places = " ".join(f"XDG_{name}_HOME={ledger}" for name in ("STATE", "CONFIG", "CACHE"))
    script = f"{places} exec {NONO} wrap -- /bin/echo inside"
    nono = os.path.dirname(os.path.dirname(NONO))
    ended = site.run("--allow", ledger, "--read", nono, *site.python_grants(), "--", "/bin/sh", "-c", script)
    assert ended.stdout == b"inside\n", ended.stderr
    (inner,) = (ledger / "nono/ledgers").glob("*.db")
    assert site.records(inner)[-1].intent["outer_session"] == site.record().session


# --- what needs somebody who stays ---------------------------------------------------------------------


@pytest.mark.parametrize("flag", sorted(name for name in direct.SUPERVISED_ALONE if name.startswith("--")))
def test_what_needs_a_supervisor_is_refused_by_name(site: Site, flag: str) -> None:
    values = {
        "--audit-sign-key": ["env://KEY"], "--output": ["made"], "--memory": ["64M"],
        "--max-processes": ["9"], "--cpu-time": ["9"], "--listen-port": ["3047"], "--open-port": ["3047"],
        "--status-fd": ["1"], "--diagnostics-json": ["file"], "--diagnostics": [], "--no-diagnostics": [],
        "--no-pty": [], "--capability-elevation": [],
        "--dry-run": [], "--json": [], "--protect-metadata": [], "--timeout": ["9"], "--timeout-grace": ["9"],
        "--trace-exec": [], "--exec-allow": ["/usr"],
    }  # fmt: skip
    given = values.get(flag, ["/run/socket"])
    ended = site.nono("wrap", "--allow", site.project, flag, *given, "--", "/bin/sh", "-c", "touch ran")
    assert ended.status == 125
    assert f"{flag} is for supervised launches alone: {direct.SUPERVISED_ALONE[flag]}" in ended.stderr
    assert "use nono run" in ended.stderr
    assert os.listdir(site.project) == []
    assert site.ledgers() == []


@pytest.mark.parametrize(
    ("part", "key", "flag"),
    [
        ({"limits": {"memory": "64M"}}, "limits.memory", "--memory"),
        ({"limits": {"timeout": "9s"}}, "limits.timeout", "--timeout"),
        ({"execs": {"trace": True}}, "execs.trace", "--trace-exec"),
        ({"execs": {"allow": ["/usr"]}}, "execs.allow", "--exec-allow"),
        ({"security": {"protect_metadata": True}}, "security.protect_metadata", "--protect-metadata"),
        (
            {"security": {"capability_elevation": True}},
            "security.capability_elevation",
            "--capability-elevation",
        ),
        ({"filesystem": {"unix_socket": ["/run/socket"]}}, "filesystem.unix_socket", "--allow-unix-socket"),
        (
            {"filesystem": {"unix_socket_dir_bind": ["/run/user"]}},
            "filesystem.unix_socket_dir_bind",
            "--allow-unix-socket",
        ),
        ({"network": {"listen_port": [3047]}}, "network.listen_port", "--listen-port"),
        ({"network": {"open_port": [3047]}}, "network.open_port", "--open-port"),
        ({"session_hooks": {"before": {"script": "HOOK"}}}, "session_hooks.before", "session_hooks"),
        ({"session_hooks": {"after": {"script": "HOOK"}}}, "session_hooks.after", "session_hooks"),
    ],
)
def test_a_profile_cannot_ask_for_it_either(
    site: Site, part: dict[str, dict[str, object]], key: str, flag: str
) -> None:
    """Nobody gave the flag, so it is said which key of which file asks, one that another extends as well."""
    hook = site.hook("hook", "true")
    text = json.dumps(part).replace("HOOK", str(hook))
    asking = site.file("asking.json", text)
    outer = site.profile(extends=[str(asking)])
    ended = site.nono("wrap", "-p", outer, "--", "/bin/sh", "-c", "echo ran")
    assert (ended.status, ended.stdout) == (125, b""), ended.stderr
    said = f"{key} of the profile {asking} is for supervised launches alone: {direct.SUPERVISED_ALONE[flag]}"
    assert said in ended.stderr
    assert f"{flag} " not in ended.stderr


def test_a_configured_limit_is_refused_by_its_key_and_its_file(site: Site) -> None:
    file = site.config / "config.toml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("[launch.limits]\nmemory = '64M'\n", encoding="utf-8")
    ended = site.nono("wrap", "--", "/bin/echo", "ran")
    assert (ended.status, ended.stdout) == (125, b""), ended.stderr
    file.unlink()
    assert f"launch.limits.memory of {file} is for supervised launches alone: " in ended.stderr


def test_a_manifest_is_refused_by_its_key_and_its_file(site: Site) -> None:
    for flags, key in (
        (("--timeout", "10m"), "limits.timeout_ms"),
        (("--listen-port", "3047"), "network.listen"),
        (("--open-port", "3047"), "network.listen_loopback"),
    ):
        planned = site.run("--dry-run", "--json", *flags, "--", "/bin/echo", "ran")
        manifest = site.file("manifest.json", json.dumps(json.loads(planned.stdout)["manifest"]))
        ended = site.nono("wrap", "--config", manifest, "--", "/bin/echo", "ran")
        assert (ended.status, ended.stdout) == (125, b""), ended.stderr
        assert f"{key} of the manifest {manifest} is for supervised launches alone: " in ended.stderr


def test_every_flag_of_run_is_offered_or_in_the_table() -> None:
    run = {flag for action in wrap.flags(command_parser("run")) for flag in action.option_strings[-1:]}
    run = {
        flag.replace("--no-allow-cwd", "--allow-cwd").replace("--no-block-net", "--block-net") for flag in run
    }
    supervised = {name for name in direct.SUPERVISED_ALONE if name.startswith("--")}
    assert run == wrap.OFFERED | supervised
    assert not wrap.OFFERED & supervised


def test_every_member_of_a_request_is_direct_or_refused_by_a_flag_of_the_table() -> None:
    refused = set(LaunchRequest._fields) - direct.DIRECT_FIELDS
    for name in refused:
        asked: dict[str, Any] = {name: ("something",)}
        request = LaunchRequest((b"true",), {})._replace(**asked)
        with pytest.raises(LaunchError) as caught:
            direct.DirectLaunch(request, notify=lambda _: None).become()
        assert caught.value.code == "launch.direct"
        assert str(caught.value).partition(" ")[0] in direct.SUPERVISED_ALONE


def test_a_process_with_threads_does_not_become_a_command(site: Site) -> None:
    script = """
import threading, sys
from runtime.launcher import direct
from runtime.policy import request
threading.Thread(target=threading.Event().wait, daemon=True).start()
try:
    direct.DirectLaunch(request.LaunchRequest((b"/bin/true",), {}), notify=lambda _: None).become()
except direct.LaunchError as error:
    print(error.code)
"""
    ended = site.start("-I", "-c", script, program=(sys.executable,)).wait()
    assert ended.stdout == b"launch.threads\n", ended.stderr


# --- killed at any time ----------------------------------------------------------------------------------


def test_killed_at_any_instant_the_ledger_holds_and_nothing_runs_unrecorded(site: Site) -> None:
    """Between the fork of the writer and the command, a few times; intent and start are one transaction."""
    site.tidy = False
    assert site.nono("wrap", "--", "/bin/true").status == 0
    marks: list[Path] = []
    for number in range(12):
        mark = site.project / f"ran-{number}"
        launch = site.start(
            "wrap", "--allow", site.project, "--", "/bin/sh", "-c", f"touch {mark}; exec sleep 600"
        )
        # Killed when its writer appears, and later and later after that.
        wait_for(functools.partial(has_child_or_is_command, launch.pid), "its writer")
        for _ in range(number * 400):
            os.getpid()
        launch.kill()
        if mark.exists():
            marks.append(mark)
    wait_for(lambda: not site.processes(), "its writers are gone")
    records = site.records()
    started = [record for record in records if "launch.start" in record.kinds]
    assert len(started) > len(marks)  # the first one made none
    whole = (["launch.intent", "launch.start"], ["launch.intent", "launch.outcome", "launch.attestation"])
    assert all(record.kinds in whole for record in records)
    assert site.verify().status == 0
    assert site.nono("wrap", "--", "/bin/true").status == 0
    assert site.record().kinds == ["launch.intent", "launch.start"]


def has_child_or_is_command(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as children:
            if children.read().split():
                return True
        with open(f"/proc/{pid}/comm", encoding="ascii") as name:
            return name.read().strip() in {"sh", "sleep"}
    except OSError:
        return not is_alive(pid)


@pytest.mark.parametrize("words", [[], ["--"]])
def test_without_a_command_it_says_how_it_is_called(site: Site, words: list[str]) -> None:
    ended = site.start(program=(NONO, "wrap", *words)).wait()
    assert ended.status == 125
    assert ended.lines == ["nono: no command", "nono: hint: nono wrap [FLAGS] -- COMMAND [ARGUMENT...]"]
