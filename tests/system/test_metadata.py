"""``--protect-metadata``, from the command line to the verdict."""

from __future__ import annotations

import json
import os
import signal
import stat
from typing import TYPE_CHECKING

from tests.system.conftest import NONO, PYTHON, text_bytes, wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from tests.system.conftest import Record, Site


def decisions(record: Record) -> list[dict[str, str]]:
    return [entry["data"] for entry in record.entries if entry["kind"] == "decision"]


def places(site: Site) -> tuple[Path, Path]:
    inside, outside = site.project / "inside", site.project / "outside"
    for place in (inside, outside):
        place.mkdir()
        (place / "file").touch(0o644)
    return inside, outside


def test_what_programs_do_with_files(site: Site) -> None:
    inside, outside = places(site)
    script = (
        f"cd {inside}; chmod 600 file && cp -p file copy && touch -d 2001-01-01 copy && mkdir made"
        " && chmod 750 made && tar cf all copy made && mkdir other && tar xf all -C other"
        " && ln -s copy link && touch -h link; cd ../outside; chmod 600 file; touch -d 2001-01-01 file;"
        " chmod 700 .; chmod 700 /dev/null; exit 0"
    )
    flags = ("--protect-metadata", "--block-net", "--allow", inside, "--read", outside)
    ended = site.shell(script, *flags)
    assert ended.status == 0, ended.stderr
    assert stat.S_IMODE((inside / "file").stat().st_mode) == 0o600
    assert (inside / "other" / "copy").stat().st_mtime == (inside / "copy").stat().st_mtime
    assert stat.S_IMODE((inside / "other" / "made").stat().st_mode) == 0o750
    assert stat.S_IMODE((outside / "file").stat().st_mode) == 0o644
    record = site.record()
    enforcement = record.start["enforcement"]
    assert enforcement["required"]["metadata"] is enforcement["achieved"]["metadata"] is True
    refused = {(each["what"], text_bytes(each["subject"])): each for each in decisions(record)}
    at = os.fsencode(outside)
    assert {
        ("file", b"chmod " + at + b"/file"),
        ("file", b"utime " + at + b"/file"),
        ("file", b"chmod " + at),
        ("file", b"chmod /dev/null"),
    } == set(refused)
    assert f"--write-file {outside}/file would" in refused["file", b"chmod " + at + b"/file"]["reason"]
    assert all((each["verdict"], each["by"]) == ("denied", "policy") for each in refused.values())
    assert record.outcome["counts"]["decisions"] == len(refused)
    verdict = site.verify()
    assert verdict.status == 0, verdict.stderr
    assert b"were not protected" not in verdict.stdout


def test_without_it_the_record_says_so(site: Site) -> None:
    _, outside = places(site)
    assert site.shell(f"chmod 600 {outside}/file", "--read", outside).status == 0
    assert stat.S_IMODE((outside / "file").stat().st_mode) == 0o600
    assert site.record().start["enforcement"]["required"]["metadata"] is False
    assert b"file modes, owners and times were not protected" in site.verify().stdout


def test_a_dry_run_tries_it(site: Site) -> None:
    said = json.loads(site.run("--protect-metadata", "--dry-run", "--json", "--", "/bin/true").stdout)
    assert said["enforcement"]["achieved"]["metadata"] is said["enforcement"]["required"]["metadata"] is True
    said = json.loads(site.run("--dry-run", "--json", "--", "/bin/true").stdout)
    assert said["enforcement"]["achieved"]["metadata"] is said["enforcement"]["required"]["metadata"] is False


def test_within_another_launch(site: Site) -> None:
    venv = os.path.dirname(os.path.dirname(NONO))
    inner = f"exec {NONO} run --no-audit --protect-metadata -- /bin/true"
    ended = site.shell(
        f"export HOME=$TMPDIR; unset XDG_STATE_HOME XDG_CONFIG_HOME XDG_CACHE_HOME; {inner}",
        *("--read", venv, "--allow-file", "/dev/null", *site.python_grants(), "--protect-metadata"),
    )
    assert ended.status == 125, ended.stderr
    session = site.records()[-1].session
    assert f"cannot run inside of another: launch {session} around it" in ended.stderr, ended.stderr


def test_a_flood_of_refusals_and_killed_callers_leave_a_record(site: Site) -> None:
    _, outside = places(site)
    script = (
        "import os, signal, sys\n"
        "for number in range(20):\n"
        "    if not (pid := os.fork()):\n"
        "        for _ in range(2000):\n"
        "            try: os.chmod(sys.argv[1] + '/file', 0o777)\n"
        "            except PermissionError: pass\n"
        "        os._exit(0)\n"
        "    os.kill(pid, signal.SIGKILL) if number % 2 else None\n"
        "while True:\n"
        "    try: os.wait()\n"
        "    except ChildProcessError: break\n"
    )
    ended = site.run(
        *("--protect-metadata", "--read", str(outside), *site.python_grants()),
        *("--", PYTHON, "-I", "-c", script, str(outside)),
    )
    assert ended.status == 0, ended.stderr
    record = site.record()
    assert len(decisions(record)) == 1
    assert record.outcome["counts"]["decisions_dropped"] >= 20_000 - 1
    assert site.verify().status == 0


def test_a_monitor_that_is_lost_ends_the_command(site: Site) -> None:
    """Nobody is left who would judge what it asks for."""
    inside, _ = places(site)
    script = f"echo begun; while :; do chmod 600 {inside}/file; done"
    running = site.start("run", "--protect-metadata", "--allow", inside, "--", "/bin/sh", "-c", script)
    wait_for(lambda: stat.S_IMODE((inside / "file").stat().st_mode) == 0o600, "the first change")
    os.kill(running.monitor(), signal.SIGKILL)
    assert running.wait().status == 128 + signal.SIGKILL
    assert site.verify().status == 0
