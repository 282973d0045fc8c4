"""An interrupt while orjson loads is an interrupt, and no crash."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

INTERRUPTED = """
import sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[1]:
            raise KeyboardInterrupt
sys.path.insert(0, sys.argv[2])
import attest
sys.meta_path.insert(0, Finder())
from attest import fast_json
print(fast_json.orjson.dumps([1]).decode())
"""


def loaded_by_orjson() -> list[str]:
    code = "import sys; before = set(sys.modules); import orjson; print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, check=True, text=True)
    return sorted(name for name in done.stdout.split() if not name.startswith("orjson"))


def test_whatever_it_loads_can_be_interrupted() -> None:
    names = loaded_by_orjson()
    assert {"dataclasses", "enum", "json", "uuid"} <= set(names)
    ended = {}
    for name in (*names, "orjson"):
        command = [sys.executable, "-I", "-c", INTERRUPTED, name, str(ROOT)]
        done = subprocess.run(command, capture_output=True, check=False, text=True)
        # What ``attest`` has loaded itself is not asked for again, and what is optional may be passed over.
        ended[name] = (done.returncode == 0 and done.stdout == "[1]\n") or "KeyboardInterrupt" in done.stderr
    assert ended == dict.fromkeys(ended, True)


@pytest.mark.parametrize("package", ["attest", "runtime", "store", "verify"])
def test_nobody_loads_it_in_another_way(package: str) -> None:
    loading = [
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import) and any(name.name == "orjson" for name in node.names)
    ]
    assert loading == (["attest/fast_json.py"] if package == "attest" else [])
