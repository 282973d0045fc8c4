"""The command's environment, its temporary directory, and where a key in a variable does not show."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.system.conftest import IS_ROOT, missing, wait_for

if TYPE_CHECKING:
    from tests.system.conftest import Site

DANGEROUS = [
    "LD_AUDIT", "BASH_ENV", "ENV", "CDPATH", "PROMPT_COMMAND", "PYTHONSTARTUP", "PYTHONPATH", "NODE_OPTIONS",
    "PERL5OPT", "RUBYOPT", "JAVA_TOOL_OPTIONS", "GOFLAGS", "VAULT_TOKEN", "SSH_AUTH_SOCK", "DOCKER_HOST",
    "DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR", "NONO_WORKDIR",
]  # fmt: skip


def variables(output: bytes) -> dict[str, str]:
    parts = [line.partition("=") for line in output.decode().split("\0") if line]
    return {name: value for name, _, value in parts}


def test_dangerous_variables_are_dropped_and_said(site: Site) -> None:
    given = {name: "/no/such/thing" for name in DANGEROUS if name != "LD_AUDIT"}
    of_another = {"NONO_CAP_FILE": "/no/such/thing"}
    ended = site.run("--", "/usr/bin/env", "-0", env={**given, **of_another, "HARMLESS": "yes"})
    assert ended.status == 0, ended.stderr
    got = variables(ended.stdout)
    assert got["HARMLESS"] == "yes"
    assert not set(given) & set(got)
    (said,) = [line for line in ended.lines if "does not get" in line or "do not get" in line]
    for name in given:
        assert name in said
    assert site.record().start["environment"] == sorted(got)
    assert b"/no/such/thing" not in site.ledger().read_bytes()


def test_the_record_names_variables_and_never_their_values(site: Site) -> None:
    ended = site.run("--", "/bin/true", env={"MY_TOKEN": "sup3rs3cr3t-value"})
    assert ended.status == 0
    assert "MY_TOKEN" in site.record().start["environment"]
    assert b"sup3rs3cr3t-value" not in site.ledger().read_bytes()


def test_the_command_is_told_its_session(site: Site) -> None:
    ended = site.run("--", "/usr/bin/printenv", "NONO_SESSION_ID", env={"NONO_SESSION_ID": "x"})
    assert ended.stdout.decode().strip() == site.record().session


def test_variables_whose_names_are_no_text_are_recorded_as_they_are(site: Site) -> None:
    environment = {os.fsencode(name): os.fsencode(value) for name, value in site.environment.items()}
    environment[b"caf\xe9"] = b"\xff"
    from tests.system.conftest import NONO

    done = subprocess.run(
        [NONO, "run", "--", "/usr/bin/env", "-0"],
        env=environment,
        cwd=site.project,
        capture_output=True,
        check=True,
    )
    assert b"caf\xe9=\xff" in done.stdout.split(b"\0")
    assert {"base64": "Y2Fm6Q=="} in site.record().start["environment"]


# --- the temporary directory ---------------------------------------------------------------------


def test_the_temporary_directory_is_private_and_gone_afterwards(site: Site) -> None:
    ended = site.shell(
        'test "$TMPDIR" = "$TMP" && test "$TMP" = "$TEMP" && stat -c "%a %n" "$TMPDIR" &&'
        ' touch "$TMPDIR/x" && touch "$TMPDIR/../outside" 2>/dev/null; mktemp -d; ls "$TMPDIR"'
    )
    mode, path = ended.stdout.split(b"\n")[0].decode().split()
    assert mode == "700"
    assert os.path.dirname(path) == str(site.temporary)
    assert not os.path.lexists(path)
    assert not (site.temporary / "outside").exists()
    grant = site.record().files()[path.encode()]
    assert (grant["access"], grant["source"]) == ("readwrite", "system")


def test_two_launches_do_not_share_a_temporary_directory(site: Site) -> None:
    paths = {site.run("--", "/usr/bin/printenv", "TMPDIR").stdout for _ in range(3)}
    assert len(paths) == 3


HOSTILE_TREES = {
    "deep": 'mkdir -p "$TMPDIR/$(printf "d/%.0s" $(seq 1100))"',
    "no permissions": 'cd "$TMPDIR"; mkdir -p a/b/c; touch a/b/c/f; chmod 0 a/b/c; chmod 0 a/b; chmod 0 a',
    "the directory itself": 'touch "$TMPDIR/f"; chmod 0 "$TMPDIR"',
    "links": 'cd "$TMPDIR"; ln -s / root; ln -s "$TMPDIR" self; ln -s . dot; mkfifo fifo',
    "wide": 'cd "$TMPDIR"; i=0; while [ $i -lt 2000 ]; do : > f$i; i=$((i+1)); done',
    "odd names": 'touch "$TMPDIR/-rf" "$TMPDIR/a\nb" "$TMPDIR/$(printf "\\377")" "$TMPDIR/ "',
}


@pytest.mark.parametrize("tree", HOSTILE_TREES)
def test_whatever_is_left_in_the_temporary_directory_is_removed(site: Site, tree: str) -> None:
    ended = site.shell(HOSTILE_TREES[tree])
    assert ended.status == 0, ended.stderr
    assert "could not be removed" not in ended.stderr
    assert list(site.temporary.iterdir()) == []


def test_removal_follows_no_link(site: Site) -> None:
    (site.project / "precious").mkdir()
    kept = site.file("precious/file", "kept")
    ended = site.shell(f'ln -s {site.project}/precious "$TMPDIR/link"', "--allow", site.project)
    assert ended.status == 0
    assert kept.read_text() == "kept"


@pytest.mark.skipif(not IS_ROOT, reason="only root can make a file immutable")
def test_what_cannot_be_removed_is_said(site: Site) -> None:
    """The command itself cannot do that (no CAP_LINUX_IMMUTABLE): somebody outside does."""
    site.tidy = False
    launch = site.start(
        "run", "--allow", site.project, "--", "/bin/sh", "-c",
        'touch "$TMPDIR/f"; chattr +i "$TMPDIR/f" 2>/dev/null && touch chattr-worked;'
        " touch ready; until [ -e go ]; do sleep 0.02; done",
    )  # fmt: skip
    wait_for((site.project / "ready").exists, "the command runs")
    (private,) = site.temporary.iterdir()
    immutable = private / "f"
    if subprocess.run(["chattr", "+i", immutable], check=False, capture_output=True).returncode:
        (site.project / "go").touch()
        launch.wait()
        missing("this file system has no immutable files")
    try:
        (site.project / "go").touch()
        ended = launch.wait()
    finally:
        subprocess.run(["chattr", "-i", immutable], check=True)
    assert ended.status == 0
    assert f"could not be removed: {private}" in ended.stderr
    assert site.record().kinds[-1] == "launch.attestation"
    assert not (site.project / "chattr-worked").exists()


def test_a_temporary_directory_that_cannot_be_made_is_a_recorded_refusal(site: Site) -> None:
    if IS_ROOT:
        environment = {"TMPDIR": "/proc/self"}
    else:
        (site.base / "closed").mkdir(mode=0o500)
        environment = {"TMPDIR": str(site.base / "closed")}
    ended = site.run("--", "/bin/true", env=environment)
    assert ended.status == 125
    assert site.record().outcome["not_started"]["code"] == "launch.temporary"


@pytest.mark.parametrize("value", ["relative/path", "/no/such/directory", ""])
def test_without_a_usable_tmpdir_it_lies_in_tmp(site: Site, value: str) -> None:
    ended = site.run("--", "/usr/bin/printenv", "TMPDIR", env={"TMPDIR": value})
    path = Path(ended.stdout.decode().strip())
    assert path.parent == Path("/tmp")
    assert not path.exists()


# --- a key in a variable -------------------------------------------------------------------------


def private_key(site: Site) -> tuple[str, str]:
    """Return a key as a PEM file's content, and the base64 in it that no one may see."""
    pem = site.key().read_text()
    return pem, pem.splitlines()[1]


def test_a_key_in_a_variable_shows_nowhere(site: Site) -> None:
    """Neither the command, nor a hook, nor what /proc shows of nono and its monitor has it."""
    pem, secret = private_key(site)
    hook = site.hook(
        "hook", f"env > {site.base}/hook-environment; cat /proc/$PPID/environ > {site.base}/parent"
    )
    profile = site.profile(session_hooks={"before": {"script": str(hook)}})
    launch = site.start(
        "run", "--allow", site.project, "--audit-sign-key", "env://CI_KEY", "-p", profile,
        "--", "/bin/sh", "-c",
        "env > environment; touch ready; until [ -e go ]; do sleep 0.02; done",
        env={"CI_KEY": pem, "OTHER": "value"},
    )  # fmt: skip
    wait_for((site.project / "ready").exists, "the command runs")
    seen = {}
    for pid in (launch.pid, launch.monitor()):
        environ = Path(f"/proc/{pid}/environ").read_bytes()
        assert b"OTHER=value" in environ
        seen[f"environ of {pid}"] = environ
        seen[f"cmdline of {pid}"] = Path(f"/proc/{pid}/cmdline").read_bytes()
    for path in (site.project / "environment", site.base / "hook-environment", site.base / "parent"):
        seen[path.name] = path.read_bytes()
        assert b"OTHER=value" in seen[path.name]
        assert b"CI_KEY=-----" not in seen[path.name]
    (site.project / "go").touch()
    ended = launch.wait()
    assert ended.status == 0, ended.stderr
    seen["ledger"] = site.ledger().read_bytes()
    seen["stderr"] = ended.stderr.encode()
    for where, content in seen.items():
        assert secret.encode() not in content, where
    assert "CI_KEY" in ended.stderr  # as one that the command does not get
    assert "CI_KEY" not in site.record().start["environment"]


def test_a_copy_of_the_key_in_another_variable_does_not_reach_the_command(site: Site) -> None:
    pem, secret = private_key(site)
    ended = site.run(
        "--audit-sign-key",
        "env://CI_KEY",
        "--",
        "/usr/bin/env",
        env={"CI_KEY": pem, "COPY": pem, "BASE": secret},
    )
    assert ended.status == 0
    assert secret.encode() not in ended.stdout


@pytest.mark.parametrize("form", ["pem", "base64"])
def test_a_key_in_a_variable_signs(site: Site, form: str) -> None:
    pem, body = private_key(site)
    value = pem if form == "pem" else body
    ended = site.run("--audit-sign-key", "env://CI_KEY", "--", "/bin/true", env={"CI_KEY": value})
    assert ended.status == 0, ended.stderr
    assert site.verify(None, "-k", site.base / "key.pub").status == 0


# --- nested --------------------------------------------------------------------------------------


def nested(site: Site, *inner: str, grants: tuple[str, ...] = ()) -> list[str]:
    """Return the flags and the command of a nono inside of a nono."""
    import sys

    from tests.system.conftest import NONO

    code = [site_packages(), sys.prefix, sys.base_prefix]
    return [
        *(word for path in code for word in ("--read", path)), *grants, "--", str(NONO), "run", *inner,
    ]  # fmt: skip


def site_packages() -> str:
    import orjson

    return os.path.dirname(os.path.dirname(os.path.abspath(orjson.__file__)))


def test_inside_a_sandbox_nono_can_launch_without_a_record(site: Site) -> None:
    ended = site.run(*nested(site, "--no-audit", "--", "/bin/sh", "-c", "exit 21"))
    assert ended.status == 21, ended.stderr


def test_inside_a_sandbox_a_record_names_the_outer_session(site: Site) -> None:
    inner = site.project / "inner"
    inner.mkdir()
    environment = {f"XDG_{name}_HOME": str(inner / name.lower()) for name in ("STATE", "CONFIG", "CACHE")}
    script = " ".join(f"{name}={value}" for name, value in environment.items())
    command = nested(site, "--", "/bin/sh", "-c", "exit 22", grants=("--allow", str(inner)))
    at = command.index("--")
    command[at + 1 :] = ["/usr/bin/env", *script.split(), *command[at + 1 :]]
    ended = site.run(*command)
    assert ended.status == 22, ended.stderr
    (ledger,) = inner.rglob("*.db")
    record = site.record(ledger)
    assert record.outcome["exit"] == 22
    assert record.intent["outer_session"] == site.record().session
    assert "outer_session" not in site.record().intent


def test_inside_a_sandbox_the_outer_ledger_is_out_of_reach(site: Site) -> None:
    """With the same directories the inner nono can make no record, and does not launch without one."""
    ended = site.run(*nested(site, "--", "/bin/sh", "-c", "exit 23"))
    assert ended.status == 125
    assert len(site.records()) == 1


def test_another_sandbox_does_not_set_a_launchs_variables_through_its_hook(site: Site) -> None:
    """The file of the exports once lay in TMPDIR, which another launch may have been granted."""
    hook = site.hook(
        "hook",
        f'echo ASKED=1 >> "$NONO_ENV_FILE"; touch {site.base}/ready;'
        f" until [ -e {site.base}/go ]; do sleep 0.02; done",
    )
    profile = site.profile(session_hooks={"before": {"script": str(hook)}})
    launch = site.start("run", "-p", profile, "--", "/usr/bin/env")
    wait_for((site.base / "ready").exists, "the hook runs")
    attack = "find {} -name 'exports-*' -exec sh -c 'echo STOLEN=1 >> \"$0\" && echo wrote' '{{}}' ';'; :"
    outside = subprocess.run(
        ["/bin/sh", "-c", attack.format(site.base).replace("STOLEN=1", "")], capture_output=True, check=True
    )
    assert outside.stdout == b"wrote\n"
    assert site.shell(attack.format(site.base), "--allow", site.base).status == 125
    places = f"{site.temporary} {site.state}"
    inside = site.shell(attack.format(places), "--allow", site.temporary, "--allow", site.project)
    assert (inside.status, inside.stdout) == (0, b"")
    (site.base / "go").touch()
    ended = launch.wait()
    assert b"ASKED=1" in ended.stdout.splitlines()
    assert b"STOLEN" not in ended.stdout


def test_the_exports_of_a_hook_need_no_record(site: Site) -> None:
    hook = site.hook("hook", 'echo ASKED=1 >> "$NONO_ENV_FILE"')
    profile = site.profile(session_hooks={"before": {"script": str(hook)}})
    ended = site.run("-p", profile, "--no-audit", "--", "/usr/bin/env")
    assert b"ASKED=1" in ended.stdout.splitlines(), ended.stderr
