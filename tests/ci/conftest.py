"""The pipelines' own files, run as GitHub's and GitLab's runners run them.

A runner hands each step a script, the variables that the step names and a few files to answer in. This one
does the same, with a home, a temporary directory and a workspace of its own, and knows of expressions no
more than this project uses: one input, or one output of an earlier step. Packages come from the wheels that
``make`` has put beside the environment, pinned as in a real pipeline.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[2]
WHEELHOUSE = Path(sys.prefix) / "wheelhouse"
BASH = ("/bin/bash", "--noprofile", "--norc", "-e", "-o", "pipefail")
"""How the runner of GitHub starts ``shell: bash``."""

CHECKED_OUT = (
    ".pre-commit-hooks.yaml", "LICENSE", "README.md", "action.yml", "attest", "ci", "migrations",
    "pyproject.toml", "runtime", "scripts", "setup", "store", "verify",
)  # fmt: skip
"""What the pipelines use of this project."""

_EXPRESSION = re.compile(r"\$\{\{ *(?P<text>[^}]*?) *\}\}")
_STEP_OUTPUT = re.compile(r"steps\.([\w-]+)\.outputs\.([\w-]+)")


def load(path: str) -> dict[str, Any]:
    """Return a YAML file of this project."""
    document: dict[str, Any] = yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))
    return document


def written_values(text: str) -> dict[str, str]:
    """Return what a step wrote to ``GITHUB_OUTPUT``: lines of name=value."""
    pairs = [line.partition("=") for line in text.splitlines()]
    assert all(name and separator for name, separator, _ in pairs), text
    values = {name: value for name, _, value in pairs}
    assert len(values) == len(pairs), text
    return values


@dataclass(frozen=True)
class Ended:
    """How an action or a job ended: its exit status, outputs, log, and the summary of its steps."""

    status: int
    outputs: dict[str, str] = field(default_factory=dict)
    stdout: str = ""
    stderr: str = ""
    summary: str = ""

    @property
    def document(self) -> dict[str, Any]:
        """The verdict that the action names."""
        with open(self.outputs["json"], encoding="utf-8") as file:
            found: dict[str, Any] = json.load(file)
        return found


class Machine:
    """One job's corner of a runner: a home, a temporary directory, a workspace, nothing of another job."""

    def __init__(self, base: Path) -> None:
        base.mkdir(parents=True)
        self.base = base
        self.home, self.temporary, self.workspace = base / "home", base / "_temp", base / "workspace"
        for directory in (self.home, self.temporary, self.workspace):
            directory.mkdir()
        self.path = "/usr/local/bin:/usr/bin:/bin"

    @property
    def environment(self) -> dict[str, str]:
        """What every process of the job gets."""
        return {
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "token",  # what a job with id-token: write has
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_WORKSPACE": str(self.workspace),
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "PATH": self.path,
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_FIND_LINKS": str(WHEELHOUSE),
            "PIP_NO_INDEX": "1",
            "RUNNER_TEMP": str(self.temporary),
        }

    def shell(
        self,
        script: str,
        environment: Mapping[str, str] | None = None,
        command: tuple[str, ...] = BASH,
    ) -> Ended:
        """Run the script of one step; its answers come from files that it alone has."""
        place = self.base / f"step-{len(list(self.base.glob('step-*')))}"
        place.mkdir()
        answers = {name: place / name for name in ("OUTPUT", "ENV", "PATH", "STEP_SUMMARY")}
        for answer in answers.values():
            answer.touch()
        (place / "script.sh").write_text(script, encoding="utf-8")
        done = subprocess.run(
            [*command, str(place / "script.sh")],
            env={
                **self.environment,
                **{f"GITHUB_{name}": str(answer) for name, answer in answers.items()},
                **(environment or {}),
            },
            cwd=self.workspace,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=300,
        )
        for line in reversed(answers["PATH"].read_text(encoding="utf-8").splitlines()):
            self.path = f"{line}:{self.path}"
        assert not answers["ENV"].read_text(encoding="utf-8")
        stderr = done.stderr.decode("utf-8", "backslashreplace")
        assert "Traceback" not in stderr
        return Ended(
            done.returncode,
            written_values(answers["OUTPUT"].read_text(encoding="utf-8")),
            done.stdout.decode("utf-8", "backslashreplace"),
            stderr,
            answers["STEP_SUMMARY"].read_text(encoding="utf-8"),
        )


class Action:
    """A composite action of this project, and a checkout that it is run from."""

    def __init__(self, checkout: Path, name: str, python: str = sys.executable) -> None:
        self.directory = (checkout / name).parent
        self.document = load(name)
        self.python = python

    @property
    def steps(self) -> list[dict[str, Any]]:
        """The steps as they stand in the file."""
        found: list[dict[str, Any]] = self.document["runs"]["steps"]
        return found

    def run(self, machine: Machine, *, done: Mapping[str, Ended] | None = None, **inputs: str) -> Ended:
        """Run it.

        Args:
            machine: where.
            done: steps that have been run, by their id; they are not run again.
            inputs: what the caller's ``with:`` gives, ``_`` for ``-``.
        """
        given = {name.replace("_", "-"): value for name, value in inputs.items()}
        declared = self.document["inputs"]
        assert set(given) <= set(declared)
        values = {name: given.get(name, one.get("default", "")) for name, one in declared.items()}
        if "python" not in given:
            values["python"] = self.python
        ended = dict(done or {})
        last = Ended(0)
        for step in self.steps:
            if step.get("id") in ended:
                continue
            variables = {name: evaluate(text, values, ended) for name, text in step.get("env", {}).items()}
            variables["GITHUB_ACTION_PATH"] = str(self.directory)
            last = machine.shell(step["run"], variables)
            ended[step.get("id", step["name"])] = last
            if last.status:
                break
        outputs = {
            name: evaluate(one["value"], values, ended)
            for name, one in self.document.get("outputs", {}).items()
        }
        return Ended(last.status, outputs, last.stdout, last.stderr, last.summary)


def evaluate(text: str, inputs: Mapping[str, str], ended: Mapping[str, Ended]) -> str:
    """Return what an expression stands for, the whole of a value and one of the two kinds that are used."""
    whole = _EXPRESSION.fullmatch(text)
    if whole is None:
        assert "${{" not in text
        return text
    expression = whole["text"]
    if expression.startswith("inputs."):
        return inputs[expression.removeprefix("inputs.")]
    step = _STEP_OUTPUT.fullmatch(expression)
    assert step is not None, expression
    return ended[step[1]].outputs.get(step[2], "") if step[1] in ended else ""


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a git repository that holds what pipelines use, as a runner fetches it."""
    if not WHEELHOUSE.is_dir():
        pytest.fail(f"there is no {WHEELHOUSE}: run make test", pytrace=False)
    place = tmp_path_factory.mktemp("fetched") / "nono"
    place.mkdir()
    for name in CHECKED_OUT:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
        else:
            shutil.copyfile(ROOT / name, place / name)
    git(place, "init", "--quiet", "--initial-branch=main")
    git(place, "add", ".")
    git(place, "commit", "--quiet", "--message=all")
    return place


def git(directory: Path, *arguments: str) -> str:
    """Run git as nobody in particular and return what it printed."""
    who = {f"GIT_{role}_{part}": "x@x" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
    done = subprocess.run(
        ["git", *arguments],
        cwd=directory,
        env={"PATH": os.environ["PATH"], "HOME": str(directory), "GIT_CONFIG_NOSYSTEM": "1", **who},
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Return a machine that nothing was done on yet."""
    return Machine(tmp_path / "machine")


@pytest.fixture(scope="session")
def installed(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """Return how the action's first step ended, which installs the verifier; run once, since it is slow."""
    action = Action(checkout, "action.yml")
    (step,) = [step for step in action.steps if step.get("id") == "install"]
    variables = {"NONO_CI_PYTHON": sys.executable, "GITHUB_ACTION_PATH": str(action.directory)}
    ended = Machine(tmp_path_factory.mktemp("runner") / "machine").shell(step["run"], variables)
    assert ended.status == 0, ended.stderr
    return ended
