"""What can be seen in the pipelines' files without running them: pins, expressions, shell."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from tests.ci.conftest import ROOT, load

ACTIONS = ("action.yml", "setup/action.yml")
WORKFLOWS = tuple(str(path.relative_to(ROOT)) for path in sorted((ROOT / ".github").rglob("*.yml")))
SHELLCHECK = Path(sys.executable).parent / "shellcheck"
RUNNERS_OWN = ("GITHUB_ACTION_PATH", "GITHUB_OUTPUT", "GITHUB_PATH", "RUNNER_TEMP")
PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}")


def steps(path: str) -> list[dict[str, Any]]:
    document = load(path)
    if "runs" in document:
        return list(document["runs"]["steps"])
    return [step for job in document["jobs"].values() for step in job["steps"]]


def shellcheck(options: str, variables: list[str], script: str, shell: str) -> None:
    """Have a script checked to which these variables are given."""
    done = subprocess.run(
        [SHELLCHECK, "--norc", f"--shell={shell}", "--enable=check-unassigned-uppercase", "-"],
        input=options + "".join(f"export {name}=x\n" for name in variables) + script,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


# --- shell --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [*ACTIONS, *WORKFLOWS])
def test_the_shell_of_each_step(path: str) -> None:
    scripts = [step for step in steps(path) if "run" in step]
    assert scripts
    for step in scripts:
        assert "${{" not in step["run"]
        shellcheck("set -eo pipefail\n", [*RUNNERS_OWN, *step.get("env", {})], step["run"], "bash")


def test_the_shell_of_the_component() -> None:
    _, body = yaml.safe_load_all((ROOT / "templates/verify.yml").read_text(encoding="utf-8"))
    (job,) = body.values()
    shellcheck("set -e\n", list(job["variables"]), "\n".join(job["script"]), "dash")


def test_shellcheck_finds_what_it_is_for() -> None:
    with pytest.raises(AssertionError, match="SC2086"):
        shellcheck("", [], "name=$1\nrm $name\n", "bash")
    with pytest.raises(AssertionError, match="SC2154"):
        shellcheck("", ["KNOWN"], 'rm "$KNOWN" "$UNKNOWN"\n', "bash")


# --- GitHub -------------------------------------------------------------------------------------------


def test_there_is_a_workflow() -> None:
    assert ".github/workflows/ci.yml" in WORKFLOWS


@pytest.mark.parametrize("path", [*ACTIONS, *WORKFLOWS])
def test_what_is_used_is_pinned_by_its_commit(path: str) -> None:
    for step in steps(path):
        assert "uses" not in step or PINNED.fullmatch(step["uses"]), step


@pytest.mark.parametrize("path", ACTIONS)
def test_every_expression_names_what_is_there(path: str) -> None:
    """A misspelt input or output is an empty string on GitHub, and a requirement that is empty is none."""
    document = load(path)
    text = json.dumps(document)
    outputs = {
        f"steps.{step['id']}.outputs.{name}"
        for step in document["runs"]["steps"]
        if "id" in step
        for name in ("python", "exit-code", "verdict", "json")
    }
    known = {f"inputs.{name}" for name in document["inputs"]} | outputs
    used = re.findall(r"\$\{\{(.*?)\}\}", text)
    assert {expression.strip() for expression in used} <= known
    assert {f"inputs.{name}" for name in document["inputs"]} <= {expression.strip() for expression in used}


def test_every_variable_of_the_action_is_one_that_is_read() -> None:
    script = (ROOT / "ci" / "verify.py").read_text(encoding="utf-8")
    documented = set(re.findall(r"^``NONO_CI_(\w+)``", script, re.MULTILINE))
    from ci.verify import LISTS, SINGLE

    assert documented == {*SINGLE, *LISTS, "LEDGER", "PUBLIC_KEY"}
    given = {name for step in steps("action.yml") for name in step["env"]}
    assert {f"NONO_CI_{name}" for name in documented} == given - {"NONO_CI_PYTHON", "NONO_CI_STEP_PYTHON"}
    _, body = yaml.safe_load_all((ROOT / "templates/verify.yml").read_text(encoding="utf-8"))
    (job,) = body.values()
    given = {name.removeprefix("NONO_CI_") for name in job["variables"] if name.startswith("NONO_CI_")}
    assert documented - {"FORMAT"} == given - {"REPOSITORY", "COMMIT"}


# --- pins ---------------------------------------------------------------------------------------------


def pins(name: str) -> dict[str, str]:
    """Return the versions that a file pins; each has a hash."""
    text = (ROOT / "ci" / "requirements" / f"{name}.txt").read_text(encoding="utf-8").replace("\\\n", " ")
    found = {}
    for line in text.splitlines():
        if line.strip().startswith("#") or not line.strip():
            continue
        match = re.match(r"([\w.-]+)==(\S+) .*?--hash=sha256:[0-9a-f]{64}", line)
        assert match, line
        found[match[1]] = match[2]
    return found


def project() -> dict[str, Any]:
    with open(ROOT / "pyproject.toml", "rb") as file:
        return tomllib.load(file)


def test_what_the_project_asks_for_is_pinned_and_the_pins_meet_it() -> None:
    everything, verifier = pins("nono"), pins("verify")
    asked = [Requirement(text) for text in project()["project"]["dependencies"]]
    asked += [Requirement(text) for text in project()["build-system"]["requires"]]
    for requirement in asked:
        version = everything[requirement.name]
        assert requirement.specifier.contains(version, prereleases=True), requirement
        # The verifier runs everywhere, and needs nothing that only Linux has.
        assert (requirement.name in verifier) is (requirement.marker is None), requirement
    assert verifier.items() <= everything.items()


def test_what_the_verifier_needs_is_asked_for_by_name() -> None:
    text = (ROOT / "ci" / "requirements" / "verify.in").read_text(encoding="utf-8")
    named = {line for line in text.splitlines() if line and line[0] not in "#-"}
    asked = [
        Requirement(text)
        for text in (*project()["project"]["dependencies"], *project()["build-system"]["requires"])
    ]
    assert named == {requirement.name for requirement in asked if requirement.marker is None}
