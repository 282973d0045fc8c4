"""Each package's front door: ``__init__`` is a docstring, imports and an honest ``__all__``."""

from __future__ import annotations

import ast
import importlib
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = [
    name
    for name in ("attest", "store", "verify", *(["runtime"] if sys.platform == "linux" else []))
    if (ROOT / name / "__init__.py").exists()
]


def body(name: str) -> list[ast.stmt]:
    return ast.parse((ROOT / name / "__init__.py").read_text(encoding="utf-8")).body


def imported(name: str) -> list[str]:
    """Return the names that a front door brings in, aside from ``__future__`` and ``typing``."""
    return [
        alias.asname or alias.name
        for node in ast.walk(ast.Module(body(name), []))
        if isinstance(node, ast.ImportFrom) and node.module not in {"__future__", "typing"}
        for alias in node.names
    ]


def test_attest_and_store_have_front_doors() -> None:
    assert {"attest", "store"} <= set(PACKAGES)


@pytest.mark.parametrize("name", PACKAGES)
def test_every_name_in_all_is_there_once(name: str) -> None:
    package = importlib.import_module(name)
    public: list[str] = package.__all__
    assert public, "a package without a public name has no front door"
    assert len(set(public)) == len(public)
    for attribute in public:
        assert getattr(package, attribute) is not None, attribute


@pytest.mark.parametrize("name", PACKAGES)
def test_every_public_name_is_in_all(name: str) -> None:
    package = importlib.import_module(name)
    assert {entry for entry in imported(name) if not entry.startswith("_")} <= set(package.__all__)


@pytest.mark.parametrize("name", PACKAGES)
def test_a_front_door_holds_no_code(name: str) -> None:
    docstring, *rest = body(name)
    assert isinstance(docstring, ast.Expr)
    assert isinstance(docstring.value, ast.Constant)
    for node in rest:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            assert all(
                isinstance(target, ast.Name) and target.id.strip("_") != target.id for target in targets
            )
        elif isinstance(node, ast.FunctionDef):
            assert node.name == "__getattr__", "the one function is the one that imports on demand"
        elif isinstance(node, ast.If):
            assert ast.unparse(node.test) == "TYPE_CHECKING"
            assert not node.orelse, "what is done otherwise is code"
        else:
            assert isinstance(node, ast.Import | ast.ImportFrom)


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_says_that_it_is_typed(name: str) -> None:
    assert (ROOT / name / "py.typed").exists()


def test_whom_a_report_goes_to_is_who_the_package_says_it_is_from() -> None:
    with open(ROOT / "pyproject.toml", "rb") as file:
        project = tomllib.load(file)["project"]
    names = {person["name"] for person in (*project["authors"], *project["maintainers"])}
    assert names == {"nono maintainers"}
    assert "Report privately to the nono maintainers" in (ROOT / "SECURITY.md").read_text(encoding="utf-8")
