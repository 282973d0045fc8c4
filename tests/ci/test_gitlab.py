"""The GitLab component: interpolated as GitLab does it, and its script run as the runner does."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema  # type: ignore[import-untyped]  # published without type information
import pytest
import yaml

from tests.ci.conftest import ROOT, Ended, Machine, git
from tests.verify.conftest import KEY, STRANGER, Book

if TYPE_CHECKING:
    from collections.abc import Callable

TEMPLATE = "templates/verify.yml"
PEM = KEY.public.pem().decode()
ASH = ("/bin/sh", "-e")
"""The least that a runner of GitLab starts a script with: an image need not have bash as its sh."""

_BLOCK = re.compile(r"\$\[\[ *(.*?) *\]\]")


class RejectedError(ValueError):
    """An input is not what the component takes."""


def interpolated(inputs: dict[str, Any]) -> dict[str, Any]:
    """Return the jobs, as GitLab makes them: checks the inputs, replaces text by text, and then parses.

    A string goes in as it is, anything else as JSON, in which Rails escapes what is special in HTML.
    """
    header, body = (ROOT / TEMPLATE).read_text(encoding="utf-8").split("\n---\n")
    declared = yaml.safe_load(header)["spec"]["inputs"]
    if not set(inputs) <= set(declared):
        raise RejectedError("unknown")
    values = {}
    for name, one in declared.items():
        if name not in inputs and "default" not in one:
            raise RejectedError(f"{name} is missing")
        value = inputs.get(name, one.get("default"))
        if not isinstance(value, list if one.get("type") == "array" else str):
            raise RejectedError(f"{name} has another type")
        # RE2 as GitLab uses it: $ is the end of the text and of nothing else.
        if "regex" in one and not re.search(one["regex"].removesuffix("$") + r"\Z", str(value)):
            raise RejectedError(f"{name} does not match")
        if value not in one.get("options", [value]):
            raise RejectedError(f"{name} is none of the options")
        values[name] = value

    def text(match: re.Match[str]) -> str:
        value = values[match[1].removeprefix("inputs.")]
        if isinstance(value, str):
            return value
        escaped = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        for char in "<>&\u2028\u2029":
            escaped = escaped.replace(char, f"\\u{ord(char):04x}")
        return escaped

    jobs: dict[str, Any] = yaml.safe_load(_BLOCK.sub(text, body))
    return jobs


def expanded(variables: dict[str, str], known: dict[str, str]) -> dict[str, str]:
    """Return a job's variables with $NAME and ${NAME} replaced, as the runner does it: once, as text."""
    return {
        name: re.sub(r"\$(?:\{(\w+)\}|(\w+))", lambda match: known.get(match[1] or match[2], ""), str(value))
        for name, value in variables.items()
    }


@pytest.fixture(scope="session")
def schema() -> Any:
    """GitLab's own schema, as check-jsonschema brings it."""
    import check_jsonschema  # type: ignore[import-untyped]  # published without type information

    path = Path(check_jsonschema.__file__).parent / "builtin_schemas" / "vendor" / "gitlab-ci.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    return jsonschema.Draft7Validator(document)


@pytest.fixture
def inputs(checkout: Path) -> dict[str, Any]:
    """Return what a project gives at least."""
    return {
        "ledger": "e.db",
        "repository": checkout.as_uri(),
        "commit": git(checkout, "rev-parse", "HEAD"),
        "public-key": "$NONO_KEY",
    }


@pytest.fixture
def ledger(machine: Machine) -> Book:
    """Return what lies in the workspace."""
    book = Book()
    book.launch()
    book.write(str(machine.workspace / "e.db"))
    return book


@pytest.fixture
def job(machine: Machine, installed: Ended) -> Callable[..., Ended]:
    """Return what runs the job; all of its script, or what comes after the installation of another one."""

    def run(
        inputs: dict[str, Any], *, whole: bool = False, checkout: Path | None = None, **known: str
    ) -> Ended:
        (name,) = jobs = interpolated(inputs)
        description = jobs[name]
        predefined = {"NONO_KEY": PEM, "CI_PIPELINE_ID": "7", **known}
        variables = {**predefined, **expanded(description["variables"], predefined)}
        script = description["script"]
        if not whole:
            assert script[-1] == '"$nono/venv/bin/python" -I "$nono/source/ci/verify.py" json'
            source = str(checkout or ROOT)
            script = [f"python={installed.outputs['python']}", f'"$python" -I {source}/ci/verify.py json']
        bindings = {"NONO_CI_PYTHON": os.path.realpath(sys.executable)}
        return machine.shell("\n".join(script), {**bindings, **variables}, command=ASH)

    return run


# --- form ---------------------------------------------------------------------------------------------


def test_it_is_what_gitlab_takes(schema: Any, inputs: dict[str, Any]) -> None:
    header, body = yaml.safe_load_all((ROOT / TEMPLATE).read_text(encoding="utf-8"))
    for document in (header, body, interpolated(inputs)):
        schema.validate(document)
    with pytest.raises(jsonschema.ValidationError):
        schema.validate({"job": {"script": {"not": "a script"}}})


def test_every_input_is_used_and_none_stands_in_a_command() -> None:
    header, body = yaml.safe_load_all((ROOT / TEMPLATE).read_text(encoding="utf-8"))
    used = re.findall(r"\$\[\[ inputs\.([\w-]+) \]\]", yaml.safe_dump(body))
    assert set(used) == set(header["spec"]["inputs"])
    (description,) = body.values()
    assert "$[[" not in json.dumps(description["script"])


# --- verdicts -----------------------------------------------------------------------------------------


def test_the_whole_job(job: Any, inputs: dict[str, Any], ledger: Book, machine: Machine) -> None:
    """Fetched by its commit, installed from pinned packages, run under the plainest shell."""
    ended = job(inputs, whole=True)
    assert (ended.status, ended.stderr) == (0, "")
    assert ended.stdout.startswith("verified: 1 launch, 5 entries")
    assert json.loads((machine.workspace / "nono-verify.json").read_text())["verdict"] == "verified"
    (description,) = interpolated(inputs).values()
    assert description["artifacts"]["paths"] == ["nono-verify.json"]
    assert (machine.workspace / description["artifacts"]["reports"]["junit"]).is_file()
    assert {path.name for path in machine.workspace.iterdir()} == {
        "e.db",
        "nono-verify.json",
        "nono-verify.xml",
    }


def test_another_commit_is_not_what_is_run(job: Any, inputs: dict[str, Any], ledger: Book) -> None:
    ended = job({**inputs, "commit": "0" * 40}, whole=True)
    assert ended.status not in {0, 1}
    assert "verified" not in ended.stdout


def test_tampered_unmet_and_unreadable(
    job: Any, inputs: dict[str, Any], ledger: Book, machine: Machine
) -> None:
    assert job({**inputs, "public-key": ""}).status == 3
    assert job({**inputs, "ledger": "missing.db"}).status == 2
    data = (machine.workspace / "e.db").read_bytes()
    (machine.workspace / "e.db").write_bytes(data.replace(b'"exit":0', b'"exit":7', 1))
    ended = job(inputs)
    assert ended.status == 1
    assert ended.stdout.startswith("FAILED: ")
    assert json.loads((machine.workspace / "nono-verify.json").read_text())["verdict"] == "failed"


def test_labels_bind_it_to_the_pipeline(job: Any, inputs: dict[str, Any], ledger: Book) -> None:
    """The sample launch is labelled run=7, and GitLab expands the variable."""
    asked = {**inputs, "require-label": ["run=$CI_PIPELINE_ID"]}
    assert job(asked).status == 0
    assert job(asked, CI_PIPELINE_ID="8").status == 3
    assert job(asked, CI_PIPELINE_ID="").status == 3


def test_files_of_keys(job: Any, inputs: dict[str, Any], ledger: Book, machine: Machine) -> None:
    (machine.base / "a.pub").write_text(PEM)
    (machine.base / "b.pub").write_bytes(STRANGER.public.pem())
    known = {"A": str(machine.base / "a.pub"), "B": str(machine.base / "b.pub")}
    asked = {**inputs, "public-key": ""}
    assert job({**asked, "public-key-file": ["$A", "$B"]}, **known).status == 0
    assert job({**asked, "public-key-file": ["$B"]}, **known).status != 0
    assert job({**inputs, "public-key-file": ["$A"]}, **known).status == 2


# --- hostile inputs -----------------------------------------------------------------------------------

HOSTILE = (
    "$(touch owned)", "`touch owned`", "'; touch owned #", '"; touch owned; "', "x' || touch owned", "--help",
    "-h", "--", "a: b", "- a", "x # y", '"', "'", "{x", "[x", "|", "&a", "*a", "!!python/object:os.system",
    "%", "x\\ny", "$[[ inputs.commit ]]",
)  # fmt: skip
STRINGS = ("ledger", "public-key", "origin", "policy", "save-checkpoint")
LISTS = ("public-key-file", "require-label", "require-output", "checkpoint")


@pytest.mark.parametrize("name", [*STRINGS, *LISTS])
def test_a_value_reaches_its_variable_as_it_is(inputs: dict[str, Any], name: str) -> None:
    """Nothing else of the job changes, whatever YAML would make of the value."""
    (harmless,) = interpolated(inputs).values()
    for value in HOSTILE:
        (description,) = interpolated({**inputs, name: value if name in STRINGS else [value, "x"]}).values()
        changed = {
            key: text
            for key, text in description.pop("variables").items()
            if text != harmless["variables"][key]
        }
        assert len(changed) == 1
        (text,) = changed.values()
        assert (text if name in STRINGS else json.loads(text)) == (value if name in STRINGS else [value, "x"])
        assert description == {key: part for key, part in harmless.items() if key != "variables"}


@pytest.mark.parametrize("name", [*STRINGS, "repository", "commit", "job", "stage", "image", "git-strategy"])
@pytest.mark.parametrize(
    "value", ["x\n  script: [touch owned]", "x\ny", "x\n", "\n", "x\r", "\x00", "x\x1b[31m"]
)
def test_a_line_break_in_a_string_is_rejected(inputs: dict[str, Any], name: str, value: str) -> None:
    with pytest.raises(RejectedError):
        interpolated({**inputs, name: value})


@pytest.mark.parametrize("name", LISTS)
def test_a_line_break_in_a_list_stays_in_its_string(inputs: dict[str, Any], name: str) -> None:
    values = ["x\n  script: [touch owned]", "\u2028", "</a>", "'\"\\"]
    (description,) = interpolated({**inputs, name: values}).values()
    assert values in [json.loads(text) for text in description["variables"].values() if text.startswith("[")]


@pytest.mark.parametrize("name", [*STRINGS, *LISTS])
def test_no_value_is_more_than_a_value(
    job: Any, inputs: dict[str, Any], ledger: Book, machine: Machine, name: str
) -> None:
    for value in HOSTILE[::4]:
        ended = job({**inputs, name: value if name in STRINGS else [value]})
        assert ended.status in ({0, 2, 3} if name == "save-checkpoint" else {2, 3}), (value, ended)
        assert not (machine.workspace / "owned").exists()


def test_a_variable_that_somebody_else_chose_is_more_than_no_value(
    job: Any, inputs: dict[str, Any], ledger: Book, machine: Machine
) -> None:
    """The title of a commit, for instance: it can break the list, or ask for more, and never for less."""
    asked = {**inputs, "require-label": ["run=7", "title=$CI_COMMIT_TITLE"]}
    for title in ('x", "run=7', '"]', 'x"], ["', '","--allow-running', "$(touch owned)", "x\nrun=7", "\\"):
        ended = job(asked, CI_COMMIT_TITLE=title)
        assert ended.status in {2, 3}
        assert not (machine.workspace / "owned").exists()


def test_a_command_cannot_be_a_repository(
    job: Any, inputs: dict[str, Any], ledger: Book, machine: Machine
) -> None:
    for value in ("ext::sh -c 'touch owned'", "--upload-pack=touch owned", "-x", "$(touch owned)", "fd::0"):
        assert job({**inputs, "repository": value}, whole=True).status not in {0, 1}
        assert not (machine.workspace / "owned").exists()
