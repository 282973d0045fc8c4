"""The release of docs/ci.md, from its own text: a build in one clean machine, its verification in another.

The jobs are those of the document. The build is a real one, in a real sandbox, by an installation that the
pipeline itself made; the job that verifies has another home, another workspace, a verifier of its own, the
public key, and the artifacts. What somebody could put into their place is put there.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from attest.keys import SigningKey
from tests.ci.conftest import ROOT, Action, Ended, Machine, git
from tests.ci.test_gitlab import expanded, interpolated

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="nono runs on Linux")

DOCUMENT = ROOT / "docs" / "ci.md"
KEY = SigningKey(b"\x05" * 32)
STRANGER = SigningKey(b"\x06" * 32)
WHEEL = "tool-1.0-py3-none-any.whl"
COMMIT = "c" * 40
PROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "tool"
version = "1.0"
requires-python = ">=3.11"

[tool.hatch.build.targets.wheel]
packages = ["tool"]
"""


def blocks() -> dict[str, str]:
    """Return the files that the document shows, by the name in their first line."""
    text = re.sub(r"\bCOMMIT\b", COMMIT, DOCUMENT.read_text(encoding="utf-8")).replace("OWNER", "octo")
    found = re.findall(r"^```\w+\n# (\S+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len({name for name, _ in found}) == len(found)
    return dict(found)


def with_this_python(script: str) -> str:
    """Return a script whose launch may also read this Python, when it is not one of the system."""
    if sys.base_prefix.startswith("/usr"):
        return script
    assert script.count("-p ci-strict ") <= 1
    return script.replace("-p ci-strict ", f"-p ci-strict --read {sys.base_prefix} ")


def put_python(machine: Machine) -> None:
    """Give the machine a python3 with which environments can be made, as a runner has."""
    tools = machine.base / "tools"
    tools.mkdir()
    (tools / "python3").symlink_to(os.path.realpath(sys.executable))
    machine.path = f"{tools}:{machine.path}"


def make_project(directory: Path, makefile: str) -> None:
    """Write the project that is released."""
    (directory / "tool").mkdir()
    (directory / "tool" / "__init__.py").write_text("ANSWER = 42\n")
    (directory / "pyproject.toml").write_text(PROJECT)
    (directory / "Makefile").write_text(makefile)


# --- GitHub -------------------------------------------------------------------------------------------


class Workflow:
    """The document's workflow, and what its jobs leave for each other.

    Attributes:
        artifacts: directories by name.
        first: a machine that has what the build needs, which is taken from there; None to fetch it.
        context: what expressions can name.
    """

    def __init__(self, base: Path, checkout: Path, run_id: str, first: Machine | None = None) -> None:
        base.mkdir()
        self.base = base
        self.checkout = checkout
        self.document: dict[str, Any] = yaml.safe_load(blocks()[".github/workflows/release.yml"])
        self.artifacts = base / "artifacts"
        self.first = first
        self.makefile = blocks()["Makefile"]
        self.context = {
            "github.run_id": run_id,
            "secrets.NONO_KEY": KEY.pem().decode(),
            "vars.NONO_PUBLIC_KEY": KEY.public.pem().decode(),
        }

    def text(self, value: str, machine: Machine) -> str:
        """Return a value with its expressions evaluated."""
        context = {**self.context, "runner.temp": str(machine.temporary)}
        return re.sub(r"\$\{\{ *(.*?) *\}\}", lambda match: context[match[1]], value)

    def job(self, name: str, done: Mapping[str, Ended] | None = None) -> tuple[Machine, list[Ended]]:
        """Run a job on a machine of its own; after a failure only what is always to be done is done."""
        machine = Machine(self.base / name)
        put_python(machine)
        ended: list[Ended] = []
        failed = False
        for step in self.document["jobs"][name]["steps"]:
            if failed and step.get("if") != "always()":
                continue
            given = {key: self.text(value, machine) for key, value in step.get("with", {}).items() if value}
            if self.first is not None and step.get("name", "").startswith("Fetch "):
                (machine.temporary / "build").symlink_to(self.first.temporary / "build")
                last = Ended(0)
            elif "run" in step:
                variables = {key: self.text(value, machine) for key, value in step.get("env", {}).items()}
                variables["GITHUB_RUN_ID"] = self.context["github.run_id"]
                assert "${{" not in step["run"]
                last = machine.shell(with_this_python(step["run"]), variables)
            else:
                last = self.use(step["uses"].partition("@")[0], given, machine, done)
            ended.append(last)
            failed = failed or last.status != 0
        return machine, ended

    def use(
        self, action: str, given: dict[str, str], machine: Machine, done: Mapping[str, Ended] | None
    ) -> Ended:
        """Do what an action does: those of this project as they are, GitHub's own in their effect."""
        if action == "actions/checkout":
            make_project(machine.workspace, self.makefile)
        elif action == "octo/nono/setup":
            if self.first is None:
                return Action(self.checkout, "setup/action.yml", "python3").run(machine)
            machine.path = self.first.path
        elif action == "octo/nono":
            inputs = {name.replace("-", "_"): value for name, value in given.items()}
            return Action(self.checkout, "action.yml", "python3").run(machine, done=done, **inputs)
        elif action == "actions/upload-artifact":
            source = machine.workspace / given["path"]
            target = self.artifacts / given["name"]
            if source.is_dir():
                shutil.copytree(source, target)
            else:
                target.mkdir(parents=True)
                shutil.copy(source, target)
        else:
            assert action == "actions/download-artifact"
            target = machine.workspace / given.get("path", ".")
            shutil.copytree(self.artifacts / given["name"], target, dirs_exist_ok=True)
        return Ended(0)


@pytest.fixture(scope="session")
def released(
    tmp_path_factory: pytest.TempPathFactory, checkout: Path
) -> tuple[Workflow, Machine, list[Ended]]:
    """Return a release whose build has ended, with what it printed."""
    workflow = Workflow(tmp_path_factory.mktemp("release") / "41", checkout, "41")
    machine, ended = workflow.job("build")
    assert [step.status for step in ended] == [0] * 7, [step.stderr for step in ended]
    return workflow, machine, ended


@pytest.fixture
def later(
    tmp_path: Path, checkout: Path, released: tuple[Workflow, Machine, list[Ended]], installed: Ended
) -> Callable[..., tuple[Ended, Workflow]]:
    """Return what verifies that build's artifacts, in the run and after the change that a test names."""

    def verify(
        run_id: str = "41", change: Callable[[Path], object] = lambda _: None, key: SigningKey = KEY
    ) -> tuple[Ended, Workflow]:
        workflow = Workflow(tmp_path / "verify", checkout, run_id)
        workflow.context["vars.NONO_PUBLIC_KEY"] = key.public.pem().decode()
        shutil.copytree(released[0].artifacts, workflow.artifacts)
        change(workflow.artifacts)
        _, ended = workflow.job("verify", {"install": installed})
        assert [step.status for step in ended[:-1]] == [0, 0]
        return ended[-1], workflow

    return verify


def test_the_release_of_the_document(
    released: tuple[Workflow, Machine, list[Ended]], later: Callable[..., tuple[Ended, Workflow]]
) -> None:
    ended, _ = later()
    assert (ended.status, ended.outputs["verdict"]) == (0, "verified")
    assert ended.stdout.startswith("::notice title=nono-verify,file=e.db::verified: 1 launch, 5 entries")
    workflow, machine, _ = released
    # Only what is to be handed over was: neither the key nor the ledger itself.
    handed = [
        str(path.relative_to(workflow.artifacts)) for path in workflow.artifacts.rglob("*") if path.is_file()
    ]
    assert sorted(handed) == [f"dist/{WHEEL}", "evidence/e.db"]
    secret = base64.b64encode(KEY.pem().split(b"\n")[1][-30:])
    for path in (*workflow.artifacts.rglob("*"), *machine.base.rglob("*.db")):
        assert not path.is_file() or secret not in path.read_bytes()


def test_what_was_built_is_what_was_asked_for(released: tuple[Workflow, Machine, list[Ended]]) -> None:
    """The wheel is a real one, and neither the network nor the key was there while it was built."""
    workflow, machine, _ = released
    wheel = workflow.artifacts / "dist" / WHEEL
    code = f"import sys; sys.path.insert(0, {str(wheel)!r}); import tool; print(tool.ANSWER)"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "42\n"
    shown = machine.shell(f'nono audit show last --json --ledger "{machine.temporary}/l.db"')
    entries = [entry["entry"] for entry in json.loads(shown.stdout)["entries"]]
    (intent, start, outcome, _) = (entry["data"] for entry in entries)
    assert intent["labels"] == {"run": "41"}
    assert start["capabilities"]["network"]["mode"] == "blocked"
    assert not {"NONO_KEY", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"} & set(start["environment"])
    assert {"CI", "GITHUB_ACTIONS", "GITHUB_RUN_ID", "GITHUB_WORKSPACE"} <= set(start["environment"])
    assert [profile["name"] for profile in intent["profile"]] == ["ci-strict"]
    assert [os.path.basename(output["path"]) for output in outcome["outputs"]] == [WHEEL]


def test_evidence_of_an_earlier_run(later: Callable[..., tuple[Ended, Workflow]]) -> None:
    ended, _ = later(run_id="42")
    assert (ended.status, ended.outputs["verdict"]) == (3, "not-met")
    assert "run=42" in ended.stdout
    assert {finding["code"].partition(".")[0] for finding in ended.document["findings"]} == {"require"}


def test_another_wheel(later: Callable[..., tuple[Ended, Workflow]]) -> None:
    def swap(artifacts: Path) -> None:
        with open(artifacts / "dist" / WHEEL, "ab") as file:
            file.write(b"\x00")

    ended, _ = later(change=swap)
    assert (ended.status, ended.outputs["verdict"]) == (3, "not-met")
    assert "require.output" in str(ended.document["findings"])


def test_a_wheel_or_evidence_that_is_not_there(later: Callable[..., tuple[Ended, Workflow]]) -> None:
    ended, _ = later(change=lambda artifacts: (artifacts / "dist" / WHEEL).unlink())
    assert (ended.status, ended.outputs["verdict"]) == (2, "not-checked")


def test_evidence_that_was_edited(later: Callable[..., tuple[Ended, Workflow]]) -> None:
    def edit(artifacts: Path) -> None:
        evidence = artifacts / "evidence" / "e.db"
        data = evidence.read_bytes()
        assert data.count(b'"run":"41"') == 1
        evidence.write_bytes(data.replace(b'"run":"41"', b'"run":"42"'))

    ended, _ = later(run_id="42", change=edit)
    assert (ended.status, ended.outputs["verdict"]) == (1, "failed")


def test_a_build_that_somebody_else_signed(later: Callable[..., tuple[Ended, Workflow]]) -> None:
    """The same in every respect, by a key that is not the pinned one."""
    ended, _ = later(key=STRANGER)
    assert ended.status in {1, 3}
    assert "verified: " not in ended.stdout


@pytest.fixture
def again(
    tmp_path: Path, checkout: Path, released: tuple[Workflow, Machine, list[Ended]], installed: Ended
) -> Callable[..., tuple[list[Ended], Ended]]:
    """Return what builds and verifies once more, otherwise; nono is not installed a second time."""

    def run(makefile: str) -> tuple[list[Ended], Ended]:
        workflow = Workflow(tmp_path / "again", checkout, "41", first=released[1])
        workflow.makefile = makefile
        _, built = workflow.job("build")
        if not (workflow.artifacts / "dist").exists():  # somebody hands it over all the same
            shutil.copytree(workflow.base / "build" / "workspace" / "dist", workflow.artifacts / "dist")
        _, verified = workflow.job("verify", {"install": installed})
        return built, verified[-1]

    return run


def test_a_build_that_failed(again: Callable[..., tuple[list[Ended], Ended]]) -> None:
    """It made the wheel, and its last step failed: the evidence is there, and says so."""
    built, ended = again(makefile=blocks()["Makefile"] + "\tfalse\n")
    # Everything up to the build, the build itself, and what is always done: the snapshot and its upload.
    assert [step.status for step in built] == [0, 0, 0, 2, 0, 0]
    assert (ended.status, ended.outputs["verdict"]) == (3, "not-met")
    assert {finding["code"].partition(".")[0] for finding in ended.document["findings"]} == {"require"}


PROBES = (
    'test -z "$$NONO_KEY"',
    'test -z "$$ACTIONS_ID_TOKEN_REQUEST_TOKEN"',
    "! cat /proc/$$PPID/environ | grep -q 'PRIVATE KEY'",
    "! python -c 'import socket; socket.create_connection((\"127.0.0.1\", 9))' 2>&1 | grep -q refused",
    "! echo x >../_temp/l.db",
    # What later steps take from this one: the directory cannot be listed, but its name guessed.
    "! (for n in 0 1 2 3 4 5; do echo x=y 2>/dev/null >>../step-$$n/ENV && exit; done; exit 1)",
    "! (for n in 0 1 2 3 4 5; do echo /owned 2>/dev/null >>../step-$$n/PATH && exit; done; exit 1)",
    '! touch "$$HOME/owned"',
)
"""What a build could try: each succeeds when the attempt fails."""


def test_what_the_build_needs_more_is_in_a_profile(released: tuple[Workflow, Machine, list[Ended]]) -> None:
    """As the document writes it; a profile in the workspace is not taken."""
    machine = released[1]
    text = DOCUMENT.read_text(encoding="utf-8").partition("is refused:\n\n```sh\n")[2].partition("```")[0]
    assert "nono run -p release --allow . -- make release" in text
    given = {"DEPLOY_TARGET": "here", "DEPLOY_TOKEN": "token"}
    variables = "printenv DEPLOY_TARGET; printenv DEPLOY_TOKEN || echo none"
    script = text.replace("make release", f"/bin/sh -c '{variables}'")
    assert machine.shell(script, given).stdout == "here\nnone\n"
    inside = machine.shell(
        "cp ~/.config/nono/profiles/release.json . && nono run -p ./release.json --allow . -- true", given
    )
    assert (inside.status, "could change" in inside.stderr or "write" in inside.stderr) == (125, True)


def test_a_build_that_reaches_for_more(
    again: Callable[..., tuple[list[Ended], Ended]],
    released: tuple[Workflow, Machine, list[Ended]],
    tmp_path: Path,
) -> None:
    """The key, the network, the ledger, what later steps will run: nothing of it is open to the build."""
    outside = {
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "token",
        "HOME": str(tmp_path),
        "NONO_KEY": KEY.pem().decode(),
        "PATH": f"{released[1].base}/tools:/usr/bin:/bin",
    }
    for place in ("workspace", "_temp", "step-3"):
        (tmp_path / place).mkdir()
    for probe in PROBES:
        (tmp_path / "workspace" / "Makefile").write_text(
            f"release:\n\t{probe.replace('python ', 'python3 ')}\n"
        )
        done = subprocess.run(
            ["make", "release"], cwd=tmp_path / "workspace", env=outside, capture_output=True, check=False
        )
        assert done.returncode == 2, f"outside the sandbox it should have worked: {probe}"
    recipe = "".join(f"\t{probe}\n" for probe in PROBES)
    built, ended = again(makefile=f"release:\n\ttouch dist/{WHEEL}\n{recipe}")
    assert [step.status for step in built] == [0] * 7, built[3]
    assert ended.status == 0


# --- GitLab -------------------------------------------------------------------------------------------


def test_the_gitlab_pipeline_of_the_document(
    tmp_path: Path, checkout: Path, installed: Ended, released: tuple[Workflow, Machine, list[Ended]]
) -> None:
    document = yaml.safe_load(blocks()[".gitlab-ci.yml"])
    known = {
        "CI_JOB_ID": "9",
        "CI_PIPELINE_ID": "41",
        "NONO_KEY": KEY.pem().decode().split("\n")[1],
        "NONO_PUBLIC_KEY": KEY.public.pem().decode(),
    }
    machine = Machine(tmp_path / "build")
    put_python(machine)
    make_project(machine.workspace, blocks()["Makefile"])
    job = document["release"]
    own = {
        **job["variables"],
        "NONO_PLACE": str(machine.base / "nono-$CI_JOB_ID"),
        "NONO_REPOSITORY": checkout.as_uri(),
        "NONO_COMMIT": git(checkout, "rev-parse", "HEAD"),
    }
    assert set(own) == set(job["variables"])
    variables = {**known, **expanded(own, known)}
    # What takes long was seen to work elsewhere, and is taken from there.
    slow = ("apt-get ", "bash -- ", "python3 -m venv ", '"$NONO_PLACE/build/bin/pip" ')
    before = [line for line in job["before_script"] if not line.startswith(slow)]
    assert len(before) == len(job["before_script"]) - len(slow)
    (machine.base / "nono-9").mkdir()
    (machine.base / "nono-9" / "build").symlink_to(released[1].temporary / "build")
    venv = Path(released[1].path.partition(":")[0]).parent / "venv"
    (machine.base / "nono-9" / "venv").symlink_to(venv)
    shell = ("/bin/sh", "-e")
    ended = machine.shell(with_this_python("\n".join([*before, *job["script"]])), variables, command=shell)
    assert ended.status == 0, ended.stderr
    assert (machine.base / "nono-9" / "source" / "ci" / "install.sh").is_file()
    after = machine.shell("\n".join(job["after_script"]), variables, command=shell)
    assert after.status == 0, after.stderr

    (included,) = document["include"]
    assert included["component"] == f"$CI_SERVER_FQDN/GROUP/nono/verify@{COMMIT}"
    assert included["inputs"]["stage"] == document["stages"][-1]
    (component,) = interpolated(included["inputs"]).values()
    for pipeline, status in (("41", 0), ("42", 3)):
        other = Machine(tmp_path / f"verify-{pipeline}")
        for path in job["artifacts"]["paths"]:
            source = machine.workspace / path
            (shutil.copytree if source.is_dir() else shutil.copy)(source, other.workspace / path)
        now = {**known, "CI_PIPELINE_ID": pipeline}
        script = [f"python={installed.outputs['python']}", f'"$python" -I {checkout}/ci/verify.py json']
        ended = other.shell(
            "\n".join(script), {**now, **expanded(component["variables"], now)}, command=shell
        )
        assert ended.status == status, ended.stdout + ended.stderr


# --- the document -------------------------------------------------------------------------------------


def test_the_examples_pass_the_gates(tmp_path: Path) -> None:
    """A reader copies them, so they are held to what this project's own pipelines are held to."""
    workflow = tmp_path / ".github" / "workflows" / "release.yml"
    workflow.parent.mkdir(parents=True)
    workflow.write_text(blocks()[".github/workflows/release.yml"])
    gitlab = tmp_path / ".gitlab-ci.yml"
    gitlab.write_text(blocks()[".gitlab-ci.yml"])
    tools = Path(sys.executable).parent
    commands: list[list[str | Path]] = [
        [tools / "zizmor", "--offline", "--no-progress", tmp_path],
        [tools / "check-jsonschema", "--builtin-schema", "vendor.github-workflows", workflow],
        [tools / "check-jsonschema", "--builtin-schema", "vendor.gitlab-ci", gitlab],
    ]
    for command in commands:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env={"HOME": str(tmp_path)}
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_actions_inputs_and_the_hook_are_those_that_exist() -> None:
    workflow = yaml.safe_load(blocks()[".github/workflows/release.yml"])
    (step,) = [step for step in workflow["jobs"]["verify"]["steps"] if step["uses"].startswith("octo/nono@")]
    action = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    assert set(step["with"]) <= set(action["inputs"])
    (repository,) = yaml.safe_load(blocks()[".pre-commit-config.yaml"])["repos"]
    (hook,) = repository["hooks"]
    (known,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    assert (hook["id"], hook["args"][-1]) == (known["id"], "--")


def test_the_secrets_form_for_gitlab_is_what_the_document_says(tmp_path: Path) -> None:
    (tmp_path / "ci.pem").write_bytes(KEY.pem())
    text = DOCUMENT.read_text(encoding="utf-8")
    (command,) = re.findall(r"`(grep -v [^`]*)`", text)
    done = subprocess.run(
        ["/bin/sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == KEY.pem().decode().split("\n")[1]
