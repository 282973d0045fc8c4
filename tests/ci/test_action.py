"""The GitHub Action: its own steps, run as the runner does, over ledgers that hold and that do not."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.ci.conftest import Action, Ended, Machine
from tests.verify.conftest import KEY, STRANGER, Book

if TYPE_CHECKING:
    from collections.abc import Callable

PEM = KEY.public.pem().decode()
OUTPUTS = {"exit-code", "verdict", "json"}


@pytest.fixture
def verify(checkout: Path, installed: Ended, machine: Machine) -> Callable[..., Ended]:
    """Return what runs the action, with the verifier that its first step installed."""
    action = Action(checkout, "action.yml")

    def run(**inputs: str) -> Ended:
        ended = action.run(machine, done={"install": installed}, **inputs)
        assert set(ended.outputs) == OUTPUTS
        return ended

    return run


@pytest.fixture
def book() -> Book:
    """Return a ledger of two launches."""
    made = Book()
    made.launch()
    made.launch()
    return made


@pytest.fixture
def ledger(machine: Machine, book: Book) -> str:
    """Return its name in the workspace."""
    book.write(str(machine.workspace / "e.db"))
    (machine.workspace / "ci.pub").write_text(PEM)
    (machine.workspace / "stranger.pub").write_bytes(STRANGER.public.pem())
    return "e.db"


def files(machine: Machine) -> set[str]:
    """Return everything that lies in the home and the workspace."""
    return {
        str(path.relative_to(machine.base))
        for top in (machine.home, machine.workspace)
        for path in top.rglob("*")
    }


# --- verdicts -----------------------------------------------------------------------------------------


def test_a_ledger_that_holds(verify: Any, ledger: str, machine: Machine) -> None:
    before = files(machine)
    ended = verify(ledger=ledger, public_key=PEM)
    assert (ended.status, ended.stderr) == (0, "")
    assert ended.stdout.startswith("::notice title=nono-verify,file=e.db::verified: 2 launches, 9 entries")
    assert "### verified" in ended.summary
    assert (ended.outputs["exit-code"], ended.outputs["verdict"]) == ("0", "verified")
    assert ended.outputs["json"].startswith(f"{machine.temporary}/")
    assert ended.document["verdict"] == "verified"
    assert files(machine) == before


def test_a_ledger_that_was_tampered_with(verify: Any, ledger: str, machine: Machine) -> None:
    data = (machine.workspace / ledger).read_bytes()
    assert data.count(b'"exit":0') == 2
    (machine.workspace / ledger).write_bytes(data.replace(b'"exit":0', b'"exit":7', 1))
    ended = verify(ledger=ledger, public_key=PEM)
    assert ended.status == 1
    assert ended.stdout.startswith("::error title=nono-verify,file=e.db::FAILED: ")
    assert "### FAILED" in ended.summary
    assert (ended.outputs["exit-code"], ended.outputs["verdict"]) == ("1", "failed")
    assert ended.document["findings"]


def test_a_key_that_is_not_the_ledgers(verify: Any, ledger: str) -> None:
    ended = verify(ledger=ledger, public_key_file="stranger.pub")
    assert ended.status in {1, 3}
    assert ended.outputs["exit-code"] == str(ended.status)
    assert ended.document["exit"] == ended.status


def test_no_key(verify: Any, ledger: str) -> None:
    ended = verify(ledger=ledger)
    assert (ended.status, ended.outputs["verdict"]) == (3, "not-met")
    assert "no key pinned" in ended.stdout


@pytest.mark.parametrize("name", ["missing.db", "ci.pub", "", "."])
def test_no_ledger(verify: Any, ledger: str, name: str) -> None:
    ended = verify(ledger=name, public_key=PEM)
    assert (ended.status, ended.outputs["exit-code"], ended.outputs["verdict"]) == (2, "2", "not-checked")
    assert "::error title=nono-verify" in ended.stdout


def test_keys_one_a_line(verify: Any, ledger: str) -> None:
    for text in ("stranger.pub\nci.pub\n", "ci.pub\r\nstranger.pub", "\n  \nci.pub\n\n"):
        assert verify(ledger=ledger, public_key_file=text).status == 0


def test_a_verifier_key_pins_its_ledger(verify: Any, ledger: str, book: Book) -> None:
    from attest.note import Verifier

    assert verify(ledger=ledger, public_key=Verifier(book.origin, KEY.public).vkey()).status == 0
    other = "other/" + book.origin.split("/")[1]
    assert verify(ledger=ledger, public_key=Verifier(other, KEY.public).vkey()).status != 0


def test_two_sources_of_keys_are_a_mistake(verify: Any, ledger: str) -> None:
    ended = verify(ledger=ledger, public_key=PEM, public_key_file="ci.pub")
    assert (ended.status, ended.outputs["verdict"], ended.outputs["json"]) == (2, "not-checked", "")
    assert ended.stderr.startswith("not checked: a public key and files of public keys are given")


def test_an_origin(verify: Any, ledger: str, book: Book) -> None:
    assert verify(ledger=ledger, public_key=PEM, origin=book.origin).status == 0
    other = Book(STRANGER).origin
    assert verify(ledger=ledger, public_key=PEM, origin=other).status != 0


def test_memory(verify: Any, ledger: str, machine: Machine, book: Book) -> None:
    """What the cache of a pipeline keeps shows the next time that an older copy was put back."""
    older = machine.workspace / "older.db"
    shutil.copyfile(machine.workspace / ledger, older)
    assert verify(ledger=ledger, public_key=PEM, save_checkpoint="cache.checkpoint").status == 0
    book.launch()
    (machine.workspace / ledger).unlink()
    book.write(str(machine.workspace / ledger))
    ended = verify(ledger=ledger, public_key=PEM, save_checkpoint="cache.checkpoint")
    assert (ended.status, ended.document["freshness"]) == (0, "remembered")
    ended = verify(ledger="older.db", public_key=PEM, save_checkpoint="cache.checkpoint")
    assert ended.status == 1
    ended = verify(ledger="older.db", public_key=PEM, checkpoint="cache.checkpoint\n")
    assert ended.status == 1
    assert "memory.older" in str(ended.document["findings"])


def test_other_forms(verify: Any, ledger: str, machine: Machine) -> None:
    ended = verify(ledger=ledger, public_key=PEM, format="text", write="sarif=nono.sarif\njunit=out.xml\n")
    assert ended.status == 0
    assert ended.stdout.startswith("verified: ")
    assert ended.summary == ""
    assert (machine.workspace / "nono.sarif").read_text().startswith("{")
    assert (machine.workspace / "out.xml").read_text().startswith("<?xml")


def test_the_variable_counts_when_no_key_is_given(
    checkout: Path, installed: Ended, machine: Machine, ledger: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {**machine.environment, "NONO_VERIFY_KEY": PEM}
    monkeypatch.setattr(Machine, "environment", environment)
    ended = Action(checkout, "action.yml").run(machine, done={"install": installed}, ledger=ledger)
    assert ended.status == 0


def test_a_trust_store_does_not_count(verify: Any, machine: Machine) -> None:
    """The account of a runner may have it from another job: a variable that is not set must not end there."""
    store = machine.home / ".config" / "nono" / "trust"
    store.mkdir(parents=True, mode=0o700)
    (store / "mine.pub").write_bytes(STRANGER.public.pem())
    forged = Book(STRANGER)
    forged.launch()
    forged.write(str(machine.workspace / "forged.db"))
    ended = verify(ledger="forged.db", public_key="")
    assert (ended.status, ended.outputs["verdict"]) == (3, "not-met")
    assert "no key pinned" in ended.stdout
    command = f'"{Path(sys.executable).parent}/nono-verify" forged.db'
    assert machine.shell(command).status == 0  # whoever asks for it by hand trusts that store


# --- hostile inputs -----------------------------------------------------------------------------------

HOSTILE = (
    "$(touch owned)", "`touch owned`", "'; touch owned #", '"; touch owned; "', "x\ntouch owned",
    "x' || touch owned", "${{ github.token }}", "%0Atouch owned", "x\r\n::set-output name=verdict::verified",
    "--allow-running", "-h", "--help", "--version", "-kci.pub", "--", "-", "\\", "$IFS", "*", "~", "=x",
    "x\nverdict=verified",
)  # fmt: skip
INPUTS = (
    "ledger", "public_key", "public_key_file", "origin", "policy", "require_label", "require_output",
    "checkpoint", "save_checkpoint", "format", "write", "python",
)  # fmt: skip


def test_all_inputs_are_attacked(checkout: Path) -> None:
    assert {name.replace("_", "-") for name in INPUTS} == set(
        Action(checkout, "action.yml").document["inputs"]
    )


@pytest.mark.parametrize("name", INPUTS[:-1])
def test_no_value_is_more_than_a_value(verify: Any, ledger: str, machine: Machine, name: str) -> None:
    """Whatever an input holds: no command of it runs, no flag of it counts, and nothing is verified by it."""
    before = files(machine)
    # They all go the same way (see test_arguments.py), so for most of them a few are enough.
    for value in HOSTILE if name in {"ledger", "require_label"} else HOSTILE[::4]:
        ended = verify(**{"ledger": ledger, "public_key": PEM, name: value})
        assert ended.status in {2, 3} or (name == "save_checkpoint" and ended.status == 0), (value, ended)
        assert ended.outputs["exit-code"] == str(ended.status)
        assert ended.outputs["verdict"] != "verified" or ended.status == 0
        new = files(machine) - before
        assert not any("owned" in path and name != "save_checkpoint" for path in new), (value, new)
        assert "workspace/owned" not in new
        assert all(line.startswith("::") for line in ended.stdout.splitlines() if name != "format"), (
            ended.stdout
        )
        for command in re.findall(r"^::(\S+)", ended.stdout, re.MULTILINE):
            assert command in {"error", "notice"}


@pytest.mark.parametrize("value", [*HOSTILE, "/bin/true", "/bin/false", "/dev/null/python3"])
def test_a_python_that_is_none(checkout: Path, machine: Machine, ledger: str, value: str) -> None:
    before = files(machine)
    ended = Action(checkout, "action.yml").run(machine, ledger=ledger, public_key=PEM, python=value)
    assert ended.status == 2
    assert ended.outputs == dict.fromkeys(OUTPUTS, "")
    assert files(machine) == before


def test_what_lies_in_the_workspace_is_not_run(
    verify: Any, ledger: str, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkout that has modules of our names, and of those that Python loads by itself."""
    for name in (
        "verify",
        "attest",
        "apsw",
        "json",
        "tempfile",
        "sitecustomize",
        "usercustomize",
        "pip",
        "venv",
    ):
        (machine.workspace / f"{name}.py").write_text("open('owned', 'w')\nraise SystemExit(0)\n")
    monkeypatch.setattr(Machine, "environment", {**machine.environment, "PYTHONPATH": str(machine.workspace)})
    ended = verify(ledger=ledger)
    assert (ended.status, ended.outputs["verdict"]) == (3, "not-met")
    assert not (machine.workspace / "owned").exists()


# --- installation -------------------------------------------------------------------------------------


def test_the_verifier_is_installed_anew_and_alone(checkout: Path, installed: Ended) -> None:
    """Nothing that launches can be loaded there: the packages that it needs are not there."""
    python = installed.outputs["python"]
    assert os.path.dirname(os.path.dirname(os.path.dirname(python))).find("nono-verify-") > 0
    packages = os.path.join(os.path.dirname(os.path.dirname(python)), "lib")
    found = {entry for _, directories, _ in os.walk(packages) for entry in directories}
    assert {"verify", "attest", "apsw", "cryptography"} <= found
    assert not {"landlock", "sqlalchemy", "alembic", "pyseccomp"} & found


def test_a_package_that_is_not_the_pinned_one_is_refused(
    checkout: Path, machine: Machine, tmp_path: Path
) -> None:
    """Of the right name and version, by another author."""
    from tests.ci.conftest import WHEELHOUSE

    wheels = tmp_path / "wheels"
    shutil.copytree(WHEELHOUSE, wheels)
    (orjson,) = wheels.glob("orjson-*.whl")
    orjson.write_bytes(orjson.read_bytes() + b"\x00")
    action = Action(checkout, "action.yml")
    machine_environment = {**machine.environment, "PIP_FIND_LINKS": str(wheels)}
    (step,) = [step for step in action.steps if step.get("id") == "install"]
    ended = machine.shell(
        step["run"],
        {**machine_environment, "NONO_CI_PYTHON": action.python, "GITHUB_ACTION_PATH": str(action.directory)},
    )
    assert ended.status == 2
    assert ended.outputs == {}
    assert "HASHES" in ended.stderr
