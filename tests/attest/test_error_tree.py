"""The error tree of the whole project: its shape, its codes, and how its messages are written."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import pickle
import re
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from attest.errors import NonoError

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).parents[2]
PACKAGES = ["attest", "store", "verify"] + (["runtime"] if sys.platform == "linux" else [])
CODE = re.compile(r"[a-z]+(_[a-z]+)*\.[a-z0-9]+(_[a-z0-9]+)*")


def error_modules() -> list[ModuleType]:
    names = [f"{package}.errors" for package in PACKAGES if (ROOT / package / "errors.py").exists()]
    assert "attest.errors" in names
    return [importlib.import_module(name) for name in names]


def tree() -> list[type[NonoError]]:
    """Return every error class that the error modules define."""
    found = [
        value
        for module in error_modules()
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, NonoError) and value.__module__ == module.__name__
    ]
    assert len(found) > 4
    return found


def sources() -> list[Path]:
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def test_there_is_one_root() -> None:
    assert NonoError.__bases__ == (Exception,)
    for module in error_modules():
        for value in vars(module).values():
            if inspect.isclass(value) and issubclass(value, BaseException):
                assert issubclass(value, NonoError), f"{module.__name__}.{value.__qualname__}"


def test_every_error_has_its_own_code() -> None:
    for error in tree():
        assert "default_code" in vars(error), f"{error.__qualname__} has the code of its base"
        assert CODE.fullmatch(error.default_code), error.default_code
    assert [
        code for code, count in Counter(error.default_code for error in tree()).items() if count > 1
    ] == []


def test_every_error_is_defined_beside_the_others() -> None:
    """No module has an error of its own: who handles one finds it in ``errors``."""
    roots = {error.__name__ for error in tree()}
    for path in sources():
        if path.name == "errors.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                bases = {base.id for base in node.bases if isinstance(base, ast.Name)}
                assert not bases & roots, f"{path.relative_to(ROOT)}: {node.name}"


@pytest.mark.parametrize("error", tree(), ids=lambda error: error.__name__)
def test_an_error_carries_code_message_and_hint(error: type[NonoError]) -> None:
    plain = error("what went wrong")
    assert (str(plain), plain.code, plain.hint) == ("what went wrong", error.default_code, None)
    full = error("what went wrong", code="area.reason", hint="what to do")
    assert (full.code, full.hint) == ("area.reason", "what to do")
    again = pickle.loads(pickle.dumps(full))
    assert (type(again), str(again), again.code, again.hint) == (
        error,
        "what went wrong",
        "area.reason",
        "what to do",
    )


def raised() -> list[tuple[str, ast.Call]]:
    """Return every call in the sources that makes one of the errors."""
    names = {error.__name__ for error in tree()}
    found = [
        (f"{path.relative_to(ROOT)}:{node.lineno}", node)
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names
    ]
    assert len(found) > 40
    return found


def literal(node: ast.expr) -> str | None:
    """Return the text of a message, with ``x`` for what is only known when it runs."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(literal(part) or "x" for part in node.values)
    return None


def test_every_code_that_is_raised_has_the_form_of_a_code() -> None:
    for where, call in raised():
        for keyword in call.keywords:
            if keyword.arg == "code" and (code := literal(keyword.value)) is not None:
                assert CODE.fullmatch(code), f"{where}: {code}"


def test_messages_have_the_one_written_voice() -> None:
    for where, call in raised():
        message = literal(call.args[0]) if call.args else None
        if message is None:
            continue
        assert not message.endswith("."), f"{where}: a message has no full stop"
        assert "\n" not in message, f"{where}: a message is one line"
        first = message.split(" ")[0]
        assert not (first[:1].isupper() and first[1:].islower()), f"{where}: a message begins in lower case"
        for keyword in call.keywords:
            if keyword.arg == "hint" and (hint := literal(keyword.value)) is not None:
                assert not hint.endswith("."), f"{where}: a hint has no full stop"
