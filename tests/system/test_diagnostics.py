"""The footer after a command that failed: it names what was refused, and what it suggests really helps.

Nothing of a real refusal is made up here: real programs fail inside, and are run again with what the footer
says.
"""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import shutil
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import pytest

from tests.system.conftest import IS_ROOT, NONO, PYTHON, ROOT, Ended, missing, wait_for

if TYPE_CHECKING:
    from tests.system.conftest import Argument, Site

SCHEMA = jsonschema_rs.validator_for(
    json.loads((ROOT / "runtime" / "schemas" / "diagnostics.schema.json").read_text(encoding="utf-8"))
)
ALLOW = "nono: to allow it: "


def into_a_file(site: Site, *arguments: Argument, **options: Any) -> Ended:  # those of start()
    """Run ``nono run`` with standard error in a file, which nono reads back."""
    path = site.base / "stderr"
    with open(path, "wb") as file:
        ended = site.run("--no-audit", *arguments, stderr=file, **options)
    return Ended(ended.status, ended.stdout, path.read_bytes().decode("utf-8", "surrogateescape"))


def footer(ended: Ended) -> list[str]:
    """Return the footer's lines; it follows the only blank line, at the end."""
    _, blank, found = ended.stderr.rpartition("\n\n")
    return found.splitlines() if blank else []


def suggested(ended: Ended) -> list[str]:
    """Return the flags that the footer suggests."""
    last = footer(ended)[-1]
    assert last.startswith(ALLOW), ended.stderr
    return shlex.split(last.removeprefix(ALLOW))


def diagnosed(site: Site, *arguments: Argument, **options: Any) -> dict[str, Any]:
    """Run ``nono run`` and return what it writes for machines, held to the published schema."""
    path = site.base / "diagnostics.json"
    ended = into_a_file(site, "--diagnostics-json", path, *arguments, **options)
    document: dict[str, Any] = json.loads(path.read_bytes())
    SCHEMA.validate(document)
    assert document["exit_status"] == ended.status
    document["said"] = ended.stdout.decode() + ended.stderr
    return document


# --- what is suggested helps --------------------------------------------------------------------------

# Of each the name of what it meets in the project, and the command; {} is the project.
COMMANDS = {
    "cat": "cat {}/cat",
    "ls": "ls {}/ls.d",
    "touch": "touch {}/touch.d/new",
    "mkdir": "mkdir -p {}/mkdir.d/a/b",
    "rm": "rm {}/rm.d/old",
    "mv": "mv {}/mv.d/old {}/mv.d/new",
    "ln": "ln -s x {}/ln.d/link",
    "cp": "cp /etc/passwd {}/cp",
    "tee": "tee {}/tee < /dev/null",
    "sh-write": "sh -c 'echo x > {}/sh-write.d/new'",
    "sh-run": "sh -c {}/sh-run",
    "env": "env {}/env",
    "grep": "grep -q . {}/grep",
    "tar": "tar cf {}/tar.d/new.tar /etc/passwd",
    "find": "find {}/find.d -name x",
    "cc": "cc -o {}/cc.d/new -x c {}/cc.d/old",
    "git": "git init -q {}/git.d",
    "git-config": "git config --file {}/git-config.d/old a.b c",
    "node-read": '/usr/bin/node -e \'require("fs").readFileSync("{}/node-read")\'',
    "node-write": '/usr/bin/node -e \'require("fs").writeFileSync("{}/node-write", "")\'',
    "node-mkdir": '/usr/bin/node -e \'require("fs").mkdirSync("{}/node-mkdir.d/new")\'',
    "python": PYTHON + " -I -c 'open(\"{}/python\")'",
    "python-listdir": PYTHON + " -I -c 'import os; os.listdir(\"{}/python-listdir.d\")'",
    "python-new": PYTHON + ' -I -c \'open("{}/python-new.d/new", "w")\'',
    "perl": "perl -e 'open(F, q(<), q({}/perl)) or die qq(cannot open {}/perl: $!)'",
    "blank": "cat '{}/a blank'",
}


def furnish(site: Site) -> None:
    """Put there what the commands want."""
    site.project.mkdir(exist_ok=True)
    for name in COMMANDS:
        site.file(name, "#!/bin/sh\ntrue\n", 0o755 if name in ("sh-run", "env") else 0o644)
        site.file(f"{name}.d/old", "int main(void) { return 0; }" if name == "cc" else "")
    site.file("a blank")


def test_what_is_suggested_makes_the_commands_succeed(site: Site) -> None:
    """Many in one launch; some are refused a second time, for what they want next."""
    if not os.path.exists("/usr/bin/node"):
        missing("node")
    furnish(site)
    place = str(site.project)
    typed = {name: command.replace("{}", place) for name, command in COMMANDS.items()}
    lines = [f"{{ {command}; }} > /dev/null || echo {name}" for name, command in typed.items()]
    script = "\n".join(("failed=$(", *lines, ")", 'echo "$failed"', 'test -z "$failed"'))
    arguments = ("--", "/bin/sh", "-c", script)
    flags: list[str] = list(site.python_grants())
    first = diagnosed(site, *flags, *arguments, cwd=Path("/"))
    assert first["standard_error"] == "file"
    named = [finding["subject"] for finding in first["findings"]]
    for name in COMMANDS:
        wanted = [place + (f"/{each}") for each in (name, f"{name}.d", f"{name}.d/old")]
        wanted += [f"{place}/a blank"] if name == "blank" else []
        assert set(wanted) & set(named), f"{name} is not among {named}"
    assert all(subject.startswith(place) for subject in named)
    assert all(finding["certainty"] == "inferred" for finding in first["findings"])
    document = first
    for _ in range(3):
        if document["exit_status"] == 0:
            break
        new = [word for finding in document["findings"] for word in finding["flags"]]
        assert new, document["said"]
        flags += new
        shutil.rmtree(site.project)
        furnish(site)
        document = diagnosed(site, *flags, *arguments, cwd=Path("/"))
    assert document["exit_status"] == 0, document["said"]
    assert document["findings"] == []
    # No more was granted than one by one: nothing as a whole.
    assert str(site.project) not in flags


@pytest.mark.parametrize("name", ["cat", "ls", "touch", "python", "blank"])
def test_the_footer_is_short_and_its_flags_are_typed_as_they_stand(site: Site, name: str) -> None:
    furnish(site)
    command = ("--", *shlex.split(COMMANDS[name].replace("{}", str(site.project))))
    ended = into_a_file(site, *site.python_grants(), *command, cwd=Path("/"))
    assert ended.status != 0
    lines = footer(ended)
    assert len(lines) == 2
    assert lines[0].startswith("nono: ")
    assert "inferred from standard error" in lines[0]
    again = into_a_file(site, *site.python_grants(), *suggested(ended), *command, cwd=Path("/"))
    assert again.status == 0, again.stderr
    assert footer(again) == []


def test_a_relative_path_in_a_directory_that_was_not_granted(site: Site) -> None:
    ended = into_a_file(site, "--", "touch", "new")
    assert ended.status == 1
    again = into_a_file(site, *suggested(ended), "--", "touch", "new")
    assert again.status == 0, again.stderr
    assert (site.project / "new").exists()


def test_a_protected_file_names_the_protection_too(site: Site) -> None:
    key = site.home / ".ssh" / "id"
    key.parent.mkdir()
    key.write_text("key")
    ended = into_a_file(site, "--", "cat", key)
    assert "is protected" in footer(ended)[0]
    assert suggested(ended)[0] == "--bypass-protection"
    assert into_a_file(site, *suggested(ended), "--", "cat", key).stdout == b"key"


def test_what_nothing_allows_has_no_flag(site: Site) -> None:
    assert site.run("--", "/bin/true").status == 0
    ended = into_a_file(site, "--", "cat", site.ledger())
    assert "no command may reach" in footer(ended)[0]
    assert ALLOW not in ended.stderr


def test_a_closed_network_is_named_with_what_closed_it(site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        connect = f"import socket; socket.create_connection(('127.0.0.1', {port}))"
        python = ("--", PYTHON, "-I", "-c", connect)
        shell = ("--", "bash", "-c", f"echo > /dev/tcp/127.0.0.1/{port}")
        closed = into_a_file(site, "--block-net", *site.python_grants(), *python)
        assert footer(closed)[-1] == "nono: to allow it: leave out --block-net"
        closed = into_a_file(site, "--block-net", *shell)
        flag = f"--allow-connect-port {port}"
        assert footer(closed)[-1] == f"nono: to allow it: leave out --block-net, and add {flag}"
        ports = into_a_file(site, "--allow-connect-port", "1", *shell)
        assert suggested(ports) == flag.split()
        assert into_a_file(site, *suggested(ports), *shell).status == 0
    listen = ("--", PYTHON, "-I", "-c", "import socket; socket.create_server(('127.0.0.1', 1))")
    ended = into_a_file(site, *site.python_grants(), *listen)
    assert footer(ended) == []  # the network is open, so it was not the sandbox


# --- what is no refusal gets no footer ----------------------------------------------------------------


@pytest.mark.parametrize(
    "script",
    [
        "exit 3",
        "cat /nope",
        "/nope",
        "echo 'cat: /nope: Permission denied' >&2; exit 1",
        "echo 'cat: /etc/hosts: Permission denied' >&2; exit 1",
        "cat /etc/shadow; exit 0",
        "echo 'git@example.org: Permission denied (publickey).' >&2; exit 128",
        "kill -9 $$",
    ],
)
def test_a_failure_of_its_own_is_the_commands_own_business(site: Site, script: str) -> None:
    ended = into_a_file(site, "--", "/bin/sh", "-c", script)
    assert footer(ended) == []


def test_what_was_written_before_the_launch_is_not_its_own(site: Site) -> None:
    secret = site.file("secret")
    path = site.base / "log"
    path.write_text(f"cat: {secret}: Permission denied\n")
    with open(path, "ab") as log:
        site.run("--no-audit", "--", "/bin/sh", "-c", "exit 1", stderr=log)
    assert "inferred" not in path.read_text()


@pytest.mark.parametrize("flag", ["-s", "--no-diagnostics"])
def test_the_footer_can_be_switched_off_and_the_file_is_written_all_the_same(site: Site, flag: str) -> None:
    secret = site.file("secret")
    ended = into_a_file(site, flag, "--", "cat", secret, cwd=Path("/"))
    assert footer(ended) == []
    assert "inferred" not in ended.stderr
    document = diagnosed(site, flag, "--", "cat", secret, cwd=Path("/"))
    assert [finding["flags"] for finding in document["findings"]] == [["--read-file", str(secret)]]


# --- the ways in which standard error is seen ---------------------------------------------------------


def test_a_pipe_is_read_only_when_that_is_asked_for(site: Site) -> None:
    secret = site.file("secret")
    script = f"test -p /dev/stderr || exit 9; cat {secret}"
    plain = site.run("--no-audit", "--", "/bin/sh", "-c", script, cwd=Path("/"))
    assert plain.status == 1
    assert "inferred" not in plain.stderr
    ended = site.run("--no-audit", "--diagnostics", "--", "/bin/sh", "-c", script, cwd=Path("/"))
    assert ended.status == 1
    assert f"cat: {secret}: Permission denied\n" in ended.stderr
    assert suggested(ended) == ["--read-file", str(secret)]


def test_a_stream_socket_is_relayed_and_left_alone_otherwise(site: Site) -> None:
    secret = site.file("secret")
    for flags, relayed in (((), False), (("--diagnostics",), True)):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            script = f"test -S /dev/stderr; echo $? >&2; cat {secret}"
            running = site.start(
                *("run", "--no-audit", *flags, "--", "/bin/sh", "-c", script), stderr=theirs, cwd=Path("/")
            )
            theirs.close()
            with ours.makefile("rb") as stream:
                said = stream.read().decode()
            assert running.wait().status == 1
        assert said.splitlines().count("1" if relayed else "0") == 1
        assert ("inferred" in said) is relayed


def test_what_is_relayed_is_the_same_to_the_byte(site: Site) -> None:
    script = "head -c 3000000 /dev/urandom | tee out >&2; printf last >&2; exit 4"
    done = subprocess.run(
        [NONO, "run", "-s", "--diagnostics", "--allow", ".", "--", "/bin/sh", "-c", script],
        env=site.environment,
        cwd=site.project,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 4
    assert done.stderr == (site.project / "out").read_bytes() + b"last"
    assert site.record().outcome["exit"] == 4


def test_what_both_streams_share_is_not_relayed(site: Site) -> None:
    script = "for i in 1 2 3 4 5 6; do echo $i; echo $i >&2; done; exit 1"
    running = site.start(
        *("run", "--no-audit", "--diagnostics", "--", "/bin/sh", "-c", script),
        stderr=subprocess.STDOUT,
    )
    text = running.wait().stdout.decode()
    assert "1\n1\n2\n2\n3\n3\n4\n4\n5\n5\n6\n6\n" in text
    shared = site.base / "log"
    secret = site.file("secret")
    with open(shared, "wb") as log:
        site.start("run", "--no-audit", "--", "cat", secret, stdout=log, stderr=log, cwd=Path("/")).wait()
    assert f"--read-file {secret}" in shared.read_text()


def test_a_reader_that_goes_away_ends_the_command_as_it_would_without(site: Site) -> None:
    reader, writer = os.pipe()
    running = site.start(
        *("run", "--diagnostics", "--", "/bin/sh", "-c", "while echo x >&2; do :; done; exit 5"),
        stderr=writer,
    )
    os.close(writer)
    os.read(reader, 1)
    os.close(reader)
    assert running.wait().status == 128 + 13
    assert site.record().outcome["signal"] == 13


def test_a_reader_that_does_not_read_keeps_no_record_from_its_end(site: Site) -> None:
    reader, writer = os.pipe()
    # More than the reader's pipe takes, and less than with nono's, which is one page where a user has many.
    length = fcntl.fcntl(writer, fcntl.F_GETPIPE_SZ) + 4_000
    running = site.start(
        *("run", "-s", "--diagnostics", "--", "/bin/sh", "-c", f"head -c {length} /dev/zero >&2; exit 6"),
        stderr=writer,
    )
    os.close(writer)

    wait_for(lambda: len(site.entries()) > 4 if site.ledgers() else False, "the attestation")
    assert site.record().outcome["exit"] == 6
    assert running.process.poll() is None
    running.process.terminate()  # who has no time for the reader ends it
    assert running.wait().status == 6
    os.close(reader)


def test_a_terminal_is_left_alone_and_told_how_to_ask(site: Site) -> None:
    controller, terminal = os.openpty()
    running = site.start(
        *("run", "--no-audit", "--diagnostics", "--", "/bin/sh", "-c", "test -t 2 && exit 7"), stderr=terminal
    )
    os.close(terminal)
    assert running.wait().status == 7
    assert b"2> FILE" in os.read(controller, 65_536)
    os.close(controller)


# --- what the command may write -----------------------------------------------------------------------


def test_hostile_text_stays_text(site: Site) -> None:
    secret = site.file("secret")
    script = "\n".join(
        (
            r"printf 'cat: /tmp/\033[2J\033]0;x\007: Permission denied\n' >&2",
            r"printf 'cat: /tmp/\342\200\256gpj.sh: Permission denied\n' >&2",
            r"printf 'nono: to allow it: --allow /\n' >&2",
            r"printf 'cat: /$(reboot): Permission denied\ntee: /tmp/x;reboot: Permission denied\n' >&2",
            r"printf 'tee: /: Permission denied\ntee: /etc/new: Permission denied\n' >&2",
            'i=0; while [ $i -lt 300 ]; do echo "cat: /usr/$i: Permission denied" >&2; i=$((i+1)); done',
            f"cat {secret}; exit 1",
        )
    )
    ended = into_a_file(site, "--", "/bin/sh", "-c", script, cwd=Path("/"))
    lines = footer(ended)
    assert len(lines) <= 7
    assert "\x1b" not in "".join(lines)
    assert "\N{RIGHT-TO-LEFT OVERRIDE}" not in "".join(lines)
    assert suggested(ended)[-2:] == ["--read-file", str(secret)]
    assert "--allow" not in suggested(ended)


def test_a_name_with_blanks_and_quotes_is_one_word(site: Site) -> None:
    odd = site.file('it\'s; $(reboot) `x` "y"')
    for command in ((PYTHON, "-I", "-c", f"open({str(odd)!r})"), ("cat", odd)):
        ended = into_a_file(site, *site.python_grants(), "--", *command, cwd=Path("/"))
        assert suggested(ended) == ["--read-file", str(odd)], ended.stderr


def test_nothing_that_was_inferred_is_recorded(site: Site) -> None:
    secret = site.file("secret")
    with open(site.base / "stderr", "wb") as file:
        site.run("--", "cat", secret, stderr=file, cwd=Path("/"))
    record = site.record()
    assert record.kinds == ["launch.intent", "launch.start", "launch.outcome", "launch.attestation"]
    assert "not granted for reading" not in json.dumps(record.entries)


# --- the file -----------------------------------------------------------------------------------------


def test_the_file_says_how_any_launch_ended(site: Site) -> None:
    document = diagnosed(site, "--", "/bin/true")
    assert (document["exit_status"], document["findings"]) == (0, [])
    document = diagnosed(site, "--", "/nope")
    assert (document["exit_status"], document["findings"]) == (127, [])
    document = diagnosed(site, "--allow", "/", "--", "/bin/true")
    assert document["exit_status"] == 125


def test_the_file_is_no_way_to_overwrite_another(site: Site) -> None:
    site.verdict = None
    assert site.run("--", "/bin/true").status == 0
    victim = site.file("victim", "precious")
    (site.project / "link").symlink_to(victim)
    (site.project / "pipe.d").mkdir()
    os.mkfifo(site.project / "pipe")
    before = site.ledger().read_bytes()
    for path in (
        victim,
        site.ledger(),
        site.project / "link",
        site.project / "pipe.d",
        site.project / "pipe",
    ):
        ended = site.run("--diagnostics-json", path, "--", "/bin/true")
        assert ended.status == 125
        assert "--diagnostics-json" in ended.lines[0]
        assert "Traceback" not in ended.stderr
    assert victim.read_text() == "precious"
    assert site.ledger().read_bytes() == before
    assert site.run("--diagnostics-json", "", "--", "/bin/true").status == 125


def test_the_command_cannot_have_another_file_written(site: Site) -> None:
    """It was opened before the command ran; what lies at its path then does not matter."""
    victim = site.base / "victim"
    victim.write_text("precious")
    ended = site.run(
        *("--no-audit", "--allow", ".", "--diagnostics-json", "d.json"),
        *("--", "/bin/sh", "-c", f"rm d.json && ln -s {victim} d.json; exit 1"),
    )
    assert ended.status == 1
    assert victim.read_text() == "precious"


# --- exec itself --------------------------------------------------------------------------------------


@pytest.fixture
def odd_loader(site: Site) -> tuple[Path, Path]:
    """A program, and the loader of its own that it names."""
    if shutil.which("cc") is None:
        missing("a C compiler")
    loader = site.project / "loader.d" / "ld.so"
    source = site.file("p.c", "int main(void) { return 0; }")
    program = site.project / "program"
    subprocess.run(["cc", "-o", program, source, f"-Wl,--dynamic-linker={loader}"], check=True)
    interpreter = subprocess.run(
        ["cc", "-print-file-name=ld-linux-x86-64.so.2"], check=True, capture_output=True, text=True
    ).stdout.strip()
    loader.parent.mkdir()
    if os.path.exists(interpreter):
        shutil.copy(interpreter, loader)
        loader.chmod(0o755)
    return program, loader


def test_a_loader_that_is_not_granted_is_named(site: Site, odd_loader: tuple[Path, Path]) -> None:
    program, loader = odd_loader
    if not loader.exists():
        missing("the loader of this machine's programs under the name that it has on x86-64")
    ended = site.run("--no-audit", "--", program)
    assert ended.status == 126
    hint = next(line for line in ended.lines if "hint: " in line)
    assert f"{loader} is not granted for executing" in hint
    flags = shlex.split(hint.rpartition(": add ")[2])
    assert flags == ["--read-file", str(loader)]
    assert site.run("--no-audit", *flags, "--", program).status == 0
    # The same where a shell of the command executes it, which only says "Permission denied".
    ended = into_a_file(site, "--read-file", program, "--", "/bin/sh", "-c", str(program), cwd=Path("/"))
    assert suggested(ended) == flags
    document = diagnosed(site, "--", program)
    assert [(each["certainty"], each["flags"]) for each in document["findings"]] == [("exec", flags)]


def test_a_loader_that_is_missing_is_no_refusal(site: Site, odd_loader: tuple[Path, Path]) -> None:
    program, loader = odd_loader
    loader.unlink(missing_ok=True)
    ended = site.run("--no-audit", "--", program)
    assert ended.status == 126
    assert f"{loader} is not there" in ended.stderr
    assert "--read" not in ended.stderr


def test_a_file_without_execute_permission(site: Site) -> None:
    tool = site.script("tool", "true", 0o644)
    ended = into_a_file(site, "--read-file", tool, "--", "/bin/sh", "-c", str(tool), cwd=Path("/"))
    assert ended.status == 126
    assert "has no execute permission" in ended.stderr
    if IS_ROOT or os.access(tool, os.W_OK):
        assert "(mode 0644)" in ended.stderr


def test_two_flags_that_say_the_opposite_are_refused(site: Site) -> None:
    ended = site.run("--diagnostics", "--no-diagnostics", "--", "/bin/true")
    assert ended.status == 125
    assert "not allowed with" in ended.stderr
