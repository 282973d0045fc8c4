"""Declared outputs: what the outcome says of whatever stands there when the command has ended."""

from __future__ import annotations

import hashlib
import shutil
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.system.conftest import NONO, missing

if TYPE_CHECKING:
    from tests.system.conftest import Site


def one(site: Site, script: str, output: str = "out") -> dict[str, Any]:
    """Run a script in the granted project and return what is said of its declared output."""
    ended = site.shell(script, "--allow", site.project, "--output", output)
    assert ended.status == 0, ended.stderr
    (said,) = site.record().outcome["outputs"]
    assert said.pop("path") == str(site.project / output)
    return dict(said)


def hashed(content: bytes) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}


def test_a_regular_file_is_hashed(site: Site) -> None:
    assert one(site, "printf content > out") == hashed(b"content")
    assert site.record().statement["subject"][1] == {
        "name": str(site.project / "out"),
        "digest": {"sha256": hashlib.sha256(b"content").hexdigest()},
    }


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (":", "missing"),
        ("mkfifo out", "not-regular"),
        ("mkdir out", "not-regular"),
        ("printf x > file; ln -s file out", "not-regular"),
        ("ln -s /no/such/file out", "not-regular"),
        ("ln -s out out", "not-regular"),
    ],
)
def test_what_cannot_be_hashed_is_said(site: Site, script: str, reason: str) -> None:
    site.verdict = 3
    began = time.monotonic()
    assert one(site, script) == {"unhashed": reason}
    assert time.monotonic() - began < 20
    assert len(site.record().statement["subject"]) == 1
    assert b"launch.unhashed" in site.verify(None, "--format", "json").stdout


def test_a_path_through_what_is_no_directory_is_said(site: Site) -> None:
    site.verdict = 3
    assert "unhashed" in one(site, "printf x > file", "file/out")


def test_a_sparse_giant_does_not_stall_the_record(site: Site) -> None:
    site.verdict = 3
    began = time.monotonic()
    assert one(site, "truncate -s 1T out") == {"unhashed": "too-large"}
    assert time.monotonic() - began < 20
    (site.project / "out").unlink()


def test_the_output_of_a_command_that_failed_is_recorded_too(site: Site) -> None:
    ended = site.shell("printf half > out; exit 3", "--allow", site.project, "--output", "out")
    assert ended.status == 3
    assert site.record().outcome["outputs"][0]["sha256"] == hashed(b"half")["sha256"]


def test_survivors_cannot_change_an_output_after_it_was_hashed(site: Site) -> None:
    said = one(site, "printf done > out; (while :; do printf x >> out; done) & sleep 0.1; exit 0")
    content = (site.project / "out").read_bytes()
    assert said == hashed(content)


def test_several_outputs_in_their_order(site: Site) -> None:
    ended = site.shell(
        "printf b > b; mkdir d; printf a > d/a", "--allow", site.project,
        "--output", "b", "--output", "d/a", "--output", f"{site.project}/d/../b",
    )  # fmt: skip
    assert ended.status == 0
    paths = [said["path"] for said in site.record().outcome["outputs"]]
    assert paths == [str(site.project / "b"), str(site.project / "d" / "a"), str(site.project / "b")]


def test_relative_outputs_are_in_the_working_directory(site: Site) -> None:
    work = site.project / "work"
    work.mkdir()
    ended = site.shell("printf x > out", "--allow", work, "--workdir", work, "--output", "out")
    assert ended.status == 0
    assert site.record().outcome["outputs"][0]["path"] == str(work / "out")


def test_an_output_whose_name_is_no_text(site: Site) -> None:
    name = b"caf\xe9 \n"
    ended = site.run(
        "--allow", site.project, "--output", name, "--", "/bin/sh", "-c", 'printf x > "$1"', "sh", name
    )
    assert ended.status == 0, ended.stderr
    (said,) = site.record().outcome["outputs"]
    assert "base64" in said["path"]
    assert site.record().statement["subject"][1]["uri"].endswith("/caf%E9%20%0A")


def test_a_refused_launch_has_its_outputs_missing(site: Site) -> None:
    site.verdict = None
    assert site.run("--output", "out", "--", "/no/such/file").status == 127
    assert site.record().outcome["outputs"] == [{"path": str(site.project / "out"), "unhashed": "missing"}]


def test_without_a_process_to_read_them_the_outcome_is_recorded(site: Site) -> None:
    """Another launch can have used up the processes that the user may have (RLIMIT_NPROC)."""
    if shutil.which("strace") is None:
        missing("strace is not installed")
    site.verdict = 3
    # The first process that nono makes is the monitor, the second one reads the outputs.
    tracer = ("strace", "-o", "/dev/null", "-e", "trace=clone", "-e", "inject=clone:error=EAGAIN:when=2")
    ended = site.run(
        "--allow", site.project, "--output", "out", "--", "/bin/sh", "-c", ": > out; exit 3",
        program=(*tracer, NONO),
    )  # fmt: skip
    assert ended.status == 3, ended.stderr
    assert "the outputs could not be hashed: Resource temporarily unavailable" in ended.stderr
    assert site.record().outcome["outputs"] == [{"path": str(site.project / "out"), "unhashed": "unreadable"}]
    assert site.record().kinds[-1] == "launch.attestation"


def test_too_many_outputs_are_refused(site: Site) -> None:
    flags = [word for number in range(65) for word in ("--output", f"o{number}")]
    assert site.run(*flags, "--", "/bin/true").status == 125
    assert site.run(*flags[:-2], "--", "/bin/true").status == 0
    site.verdict = 3


@pytest.mark.parametrize(
    "label",
    [
        "k=",
        "k=v",
        "k==",
        "k=\u00e9\u4e2d",
        "a.b/c-d_e=1",
        "k=a\nb",
        128 * "k" + "=v",
        "k=" + 512 * "\U0001f600",
    ],
)
def test_labels_that_are_taken(site: Site, label: str) -> None:
    ended = site.run("--label", label, "--", "/bin/true")
    assert ended.status == 0, ended.stderr
    key, _, value = label.partition("=")
    assert site.record().intent["labels"] == {key: value}
    assert site.record().statement["predicate"]["summary"]["labels"] == {key: value}


@pytest.mark.parametrize(
    "label", [b"k\xff=v", b"k=\xff", b"", b"k", b"k\t=v", "k\u00e9=v".encode(), b"k" * 129 + b"=v"]
)
def test_labels_that_are_refused(site: Site, label: bytes) -> None:
    ended = site.run("--label", label, "--", "/bin/true")
    assert ended.status == 125
    assert "label" in ended.lines[0]
    assert ended.lines[0].isprintable()


def test_as_many_labels_as_there_may_be(site: Site) -> None:
    flags = [word for number in range(64) for word in ("--label", f"k{number}={'v' * 100}")]
    assert site.run(*flags, "--", "/bin/true").status == 0
    assert site.run(*flags, "--label", "more=1", "--", "/bin/true").status == 125
    assert len(site.record().intent["labels"]) == 64
    long = [word for number in range(20) for word in ("--label", f"k{number}={'v' * 512}")]
    assert site.run(*long, "--", "/bin/true").status == 125
