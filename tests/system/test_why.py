"""``nono why`` against real launches: what it says is what happens, in and outside, and nothing is left."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import sys
from typing import TYPE_CHECKING, Any

import pytest

from attest import canonical
from tests.system.conftest import NONO, wait_for
from tests.system.test_lost import waiting

if TYPE_CHECKING:
    from pathlib import Path

    from tests.system.conftest import Ended, Site


def state_files(site: Site) -> list[Path]:
    return sorted((site.state / "capabilities").glob("*"))


def answer(ended: Ended) -> dict[str, Any]:
    assert ended.stderr == ""
    document: dict[str, Any] = json.loads(ended.stdout)
    return document


def inside(site: Site, script: str, *flags: object, **options: Any) -> Ended:
    """Run a shell script in the sandbox in which ``$nono`` is this nono, and can be run."""
    own = ("--read", sys.prefix, "--read", sys.base_prefix, "--allow-cwd")
    return site.shell(f"nono={shlex.quote(str(NONO))}; {script}", *own, *map(str, flags), **options)


# --- the file -------------------------------------------------------------------------------------------


def test_the_file_is_the_launch_s_own_to_read_and_nobody_s_to_change(site: Site) -> None:
    other = waiting(site, "busy")
    (of_other,) = state_files(site)
    # The same probes work outside.
    assert of_other.read_bytes().startswith(b'{"bypass":')
    assert os.listdir(of_other.parent) == [of_other.name]
    script = (
        f"cat {of_other}; ls {of_other.parent}; echo x >> $NONO_CAP_FILE; rm -f $NONO_CAP_FILE;"
        " mv $NONO_CAP_FILE /tmp; cat $NONO_CAP_FILE"
    )
    ended = site.shell(script)
    canonical.decode_object(ended.stdout)  # in its one form
    record = site.record()
    (layer,) = json.loads(ended.stdout)["layers"]
    assert layer["session"] == record.session
    assert layer["capabilities"] == record.start["capabilities"]
    assert len(ended.stderr.split("Permission denied")) == 1 + 5, ended.stderr
    own = record.files()[os.fsencode(of_other.parent / f"{record.session}.json")]
    assert (own["access"], own["type"], own["source"]) == ("read", "file", "system")
    (site.project / "busy").unlink()
    other.wait()
    assert state_files(site) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("--", "/bin/true"),
        ("--no-audit", "--", "/bin/true"),
        ("--", "/nonexistent/program"),
        ("--read", "/", "--", "/bin/true"),
        ("--", "/bin/sh", "-c", "kill -9 $$"),
        ("--", "/bin/sh", "-c", "chmod 0 $NONO_CAP_FILE"),
    ],
    ids=str,
)
def test_it_is_gone_however_a_launch_ends(site: Site, arguments: tuple[str, ...]) -> None:
    site.run(*arguments)
    assert state_files(site) == []


def test_it_is_gone_when_nono_is_told_to_stop(site: Site) -> None:
    launch = waiting(site, "busy")
    assert len(state_files(site)) == 1
    launch.process.send_signal(signal.SIGTERM)
    launch.wait()
    assert state_files(site) == []


def test_the_next_launch_removes_that_of_one_that_was_lost(site: Site) -> None:
    site.verdict = 3
    launch = waiting(site, "busy")
    (left,) = state_files(site)
    launch.kill()
    assert left.exists()
    wait_for(lambda: not site.processes(), "the command ends with its supervisor")
    assert site.run("--", "/bin/true").status == 0
    assert state_files(site) == []


def test_a_launch_goes_on_without_it(site: Site) -> None:
    site.run("--", "/bin/true")
    (site.state / "capabilities").rmdir()
    (site.state / "capabilities").write_text("in the way")
    ended = site.shell('echo "${NONO_CAP_FILE-none}"', env={"NONO_CAP_FILE": "/of/another"})
    assert (ended.status, ended.stdout) == (0, b"none\n")
    assert "nono why --self cannot be asked inside: its file cannot be written" in ended.stderr
    assert "NONO_CAP_FILE" not in site.record().start["environment"]
    (site.state / "capabilities").unlink()


def test_a_policy_about_places_does_not_mean_it(site: Site) -> None:
    site.run("--", "/bin/true")
    site.file("policy.toml", f"version = 1\n[every]\nno_grant_under = ['{site.base}/state']\n")
    ended = site.verify(None, "--policy", site.project / "policy.toml")
    assert ended.status == 0, ended.stdout.decode() + ended.stderr


# --- --self ---------------------------------------------------------------------------------------------


def test_inside_it_says_what_happens_inside(site: Site) -> None:
    site.file("src/main.py", "print()")
    (site.home / ".ssh").mkdir()
    (site.home / ".ssh/key").write_text("secret")
    site.run("--", "/bin/true")
    ledger = site.ledger()
    questions = [
        ("--path src/main.py", "test -r src/main.py && cat src/main.py", "granted_path"),
        ("--path src/main.py --op write", "echo >> src/main.py", "insufficient_access"),
        ("--path new --op write", "touch new", "insufficient_access"),
        ("--path . --op read", "ls .", "granted_path"),
        (f"--path {site.home} --op read", f"ls {site.home}", "path_not_granted"),
        (f"--path {site.home}/.ssh/key", f"cat {site.home}/.ssh/key", "protected_path"),
        ("--path $TMPDIR/x --op write", "touch $TMPDIR/x", "granted_path"),
        ("--path $NONO_CAP_FILE", "cat $NONO_CAP_FILE", "granted_path"),
        ("--path $NONO_CAP_FILE --op write", "echo >> $NONO_CAP_FILE", "never_grantable"),
        (f"--path {ledger}", f"cat {ledger}", "never_grantable"),
        ("--path /bin/true --op execute", "/bin/true", "granted_path"),
    ]
    script = ""
    for question, probe, _ in questions:
        script += f"$nono why --self --json {question} 2>&1; ({probe}) >/dev/null 2>&1; echo $?\n"
    ended = inside(site, script)
    said = ended.stdout.decode().splitlines()
    session = site.record().session
    found = [json.loads(line) for line in said[::2]]
    assert [document["reason"] for document in found] == [reason for _, _, reason in questions]
    assert {document["session"] for document in found} == {session}
    for document, worked, (_, probe, _) in zip(found, said[1::2], questions, strict=True):
        assert (document["status"] == "allowed") == (worked == "0"), probe
    # What would have made it another answer: for the next launch, by its flags.
    assert found[1]["suggestion"]["add"] == ["--write-file", f"{site.project}/src/main.py"]
    key = f"{site.home}/.ssh/key"
    assert found[5]["suggestion"]["add"] == ["--bypass-protection", key, "--read-file", key]
    assert found[9]["suggestion"] is None


def test_inside_it_knows_the_ports(site: Site) -> None:
    script = "for port in 443 444; do $nono why --self --host x --port $port --json; done"
    ended = inside(site, f"{script}; $nono why --self --listen 3000", "--allow-connect-port", "443")
    first, second, third, *_ = ended.stdout.decode().splitlines()
    assert json.loads(first)["reason"] == "port_granted"
    assert json.loads(second)["suggestion"]["add"] == ["--allow-connect-port", "444"]
    assert third.startswith("denied: listen on port 3000")
    ended = inside(site, "$nono why --self --host x --port 443 --json; true", "--block-net")
    document = json.loads(ended.stdout)
    assert (document["reason"], document["suggestion"]) == ("network_blocked", None)


def test_inside_of_two_launches_both_are_asked(site: Site) -> None:
    """The kernel refuses what either of them refuses, so the answer does."""
    data, own = site.project / "data", site.project / "own"
    site.file("data/secret", "not for the outer one's command\n")
    site.file("data/inner/file", "for both\n")
    own.mkdir()
    variables = " ".join(f"XDG_{name}_HOME={own}/{name.lower()}" for name in ("STATE", "CONFIG", "CACHE"))
    code = f"--read {sys.prefix} --read {sys.base_prefix}"
    innermost = (
        f"cd {data}; for path in secret inner/file; do $nono why --json --self --path $path; cat $path; done;"
        " $nono why --json --self --path inner/file --op write; echo x >> inner/file"
    )
    script = (
        f"nono={NONO}; export nono {variables}; $nono why --json --path {data}/secret --read {data};"
        f" $nono run --no-audit --read {data} {code} -- /bin/sh -c {shlex.quote(innermost)}"
    )
    flags = ("--allow", str(own), "--allow", str(data / "inner"), *code.split())
    ended = site.run(*flags, "--", "/bin/sh", "-c", script)
    lines = [line for line in ended.stdout.decode().splitlines() if line.startswith("{")]
    before, secret, both, writing = map(json.loads, lines)
    outer = site.record().session
    for document in (before, secret):
        assert (document["status"], document["reason"]) == ("denied", "path_not_granted")
        assert document["suggestion"] is None
        assert document["notes"][-1].endswith(f"the launch around, {outer}")
    assert both["status"] == "allowed"
    assert writing["reason"] == "insufficient_access"  # of the inner one, whose flags would change it
    assert writing["suggestion"]["add"] == ["--write-file", f"{data}/inner/file"]
    assert b"for both" in ended.stdout
    assert b"not for the outer" not in ended.stdout
    assert secret["session"] != outer


def test_inside_a_hostile_file_is_refused_at_once_and_in_words(site: Site) -> None:
    script = (
        "hostile() { NONO_CAP_FILE=$1 timeout 20 $nono why --self --path /usr; echo =$?; }; cd $TMPDIR;"
        " hostile /dev/zero; hostile /dev/stdin; mkfifo fifo; hostile $PWD/fifo; ln -s $NONO_CAP_FILE link;"
        ' hostile $PWD/link; printf \'{"session":"\\033]0;x\\007"}\' > escape; hostile $PWD/escape;'
        " truncate -s 1T huge; hostile $PWD/huge; hostile $PWD; hostile $PWD/$(printf 'no\\033[2J');"
        " hostile ''; sed s/system/root/ $NONO_CAP_FILE > edited; hostile $PWD/edited"
    )
    ended = inside(site, script)
    said = ended.stdout.decode()
    assert ended.stderr.count("Traceback") == 0
    assert re.findall("^=(.*)$", said, re.MULTILINE) == ["2"] * 9 + ["0"]  # the last is a form of ours
    assert said.count("cannot say: read /usr: ") == 9
    assert "\x1b" not in said
    assert "\x07" not in said


def test_outside_there_is_no_launch_to_be_asked(site: Site) -> None:
    ended = site.nono("why", "--self", "--path", "/usr", "--json")
    assert (ended.status, answer(ended)["reason"]) == (2, "not_sandboxed")


# --- what a launch would do ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("question", "probe", "flags"),
    [
        (("--path", "data/file"), "cat data/file", ()),
        (("--path", "data", "--op", "read"), "ls data", ()),
        (("--path", "data/file", "--op", "write"), "echo x >> data/file", ("--read", "data")),
        (("--path", "data/new", "--op", "write"), "echo x > data/new", ("--read", "data")),
        (("--path", "data/new/deep", "--op", "readwrite"), "mkdir data/new && echo x > data/new/deep", ()),
        (("--path", "data/script", "--op", "execute"), "data/script", ()),
        (("--path", "link/file", "--op", "readwrite"), "exec 3<> link/file", ("--write", "data")),
        (("--path", "~/.ssh/config"), "cat ~/.ssh/config", ("--allow", "data")),
        (("--path", "~/.ssh", "--op", "write"), "touch ~/.ssh/new", ("--read", "data")),
    ],
    ids=str,
)
def test_a_suggestion_makes_the_real_thing_work(
    site: Site, question: tuple[str, ...], probe: str, flags: tuple[str, ...]
) -> None:
    site.file("data/file", "content")
    site.script("data/script", "exit 0")
    (site.project / "link").symlink_to("data")
    (site.home / ".ssh").mkdir()
    (site.home / ".ssh/config").write_text("Host *")
    here = ("--workdir", str(site.project))
    asked = site.nono("why", "--json", *question, *flags, *here)
    assert asked.status == 1
    probe = f"cd {site.project} && {probe}"
    assert site.shell(probe, *flags, *here).status != 0
    added = answer(asked)["suggestion"]["add"]
    assert site.nono("why", *question, *flags, *here, *added).status == 0
    ended = site.shell(probe, *flags, *here, *added)
    assert ended.status == 0, ended.stderr


def test_what_root_s_command_may_listen_on(site: Site) -> None:
    """A port below the first unprivileged one needs a capability that no command has."""
    probe = "import socket; socket.create_server(('127.0.0.1', 81))"
    said = site.nono("why", "--listen", "81").status
    assert (site.python(probe).status == 0) is (said == 0)
