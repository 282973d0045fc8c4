"""The finder of compiled modules: what it takes, what it leaves to Python, and that nobody can tell."""

from __future__ import annotations

import json
import os
import py_compile
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]

PROLOGUE = f"""\
import sys, json
sys.path.insert(0, {str(ROOT)!r})
from runtime.compiled_finder import CompiledFinder
sys.meta_path.insert(0, CompiledFinder(sys.argv[1], frozenset({{"house"}})))
def by(module): return type(module.__loader__).__module__
"""

BY_PYTHON = "_frozen_importlib_external"
BY_FINDER = "runtime.compiled_finder"


class House:
    """A package with a module, a package within it, and data; all of it compiled."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.door = place / "house" / "door.py"
        (place / "house" / "room").mkdir(parents=True)
        (place / "house" / "__init__.py").write_text('"""A house."""\n')
        self.door.write_text("def open():\n    raise LookupError('no key')\n\nWIDTH = 1\n")
        (place / "house" / "room" / "__init__.py").write_text("NAME = __name__, __package__, __path__\n")
        (place / "house" / "room" / "chair.py").write_text("from .. import door\n")
        (place / "house" / "room" / "list.txt").write_text("one chair")
        for source in place.rglob("*.py"):
            self.compiled(source)

    @staticmethod
    def compiled(source: Path, **options: Any) -> Path:  # what py_compile takes
        """Compile a file and return what it was compiled to."""
        return Path(str(py_compile.compile(str(source), doraise=True, **options)))

    def ask(self, code: str, *flags: str, **variables: str) -> Any:  # whatever JSON has
        """Run code in an interpreter that has the finder, and return the JSON that it prints."""
        return json.loads(self.run(code, *flags, **variables).stdout)

    def run(self, code: str, *flags: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run code in an interpreter that has the finder."""
        path = f"sys.path.insert(0, {str(self.place)!r})\n"
        return subprocess.run(
            [sys.executable, "-B", *flags, "-c", PROLOGUE + path + code, str(self.place)],
            env={"PATH": "/usr/bin:/bin", **variables},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


WHO = "import house, house.door\nprint(json.dumps([by(house), by(house.door), house.door.WIDTH]))"


SPECS = """\
import house.room.chair
modules = [sys.modules[name] for name in ("house", "house.room", "house.room.chair", "house.door")]
said = []
for module in modules:
    spec = module.__spec__
    said.append([
        by(module), module.__file__, module.__cached__, spec.name, spec.origin, spec.cached,
        spec.has_location, spec.parent, spec.submodule_search_locations,
    ])
print(json.dumps([*said, list(modules[1].NAME)]))
"""


def test_modules_and_packages_are_taken_as_they_were_compiled(house: House) -> None:
    found, plain = house.ask(SPECS), house.ask("sys.meta_path.pop(0)\n" + SPECS)
    assert [module[0] for module in found[:4]] == [BY_FINDER] * 4
    assert [module[0] for module in plain[:4]] == [BY_PYTHON] * 4
    assert [module[1:] for module in found] == [module[1:] for module in plain]


def test_nothing_is_searched_for(house: House) -> None:
    """Not one directory of the packages is listed, and each module's source is asked about once."""
    listed = house.ask(
        "seen = []\n"
        "def hear(event, arguments):\n"
        "    if event in ('open', 'os.listdir'): seen.append(str(arguments[0]))\n"
        "sys.addaudithook(hear)\n"
        "import house.room.chair\n"
        "print(json.dumps([name for name in seen if 'house' in name]))"
    )
    tried = [
        os.path.relpath(name, house.place).partition(".")[0].replace("__pycache__/", "") for name in listed
    ]
    assert tried == [
        "house/__init__",
        "house/room/__init__",
        # what Python would find first if it were there
        "house/room/chair/__init__",
        "house/room/chair",
        "house/door/__init__",
        "house/door",
    ]


def test_a_package_comes_before_a_module_of_its_name(house: House) -> None:
    stale = house.place / "house" / "room.py"
    stale.write_text("NAME = 'stale'\n")
    house.compiled(stale)
    code = "import house.room\nprint(json.dumps([by(house.room), house.room.__file__]))"
    package = str(house.place / "house" / "room" / "__init__.py")
    assert house.ask(code) == [BY_FINDER, package]
    assert house.ask("sys.meta_path.pop(0)\n" + code) == [BY_PYTHON, package]


def _source_changed(house: House) -> None:
    house.door.write_text("WIDTH = 22\n")


def _source_touched(house: House) -> None:
    os.utime(house.door, (1, 1))


def _nothing_compiled(house: House) -> None:
    house.compiled(house.door).unlink()


def _compiled_by_another_python(house: House) -> None:
    compiled = house.compiled(house.door)
    compiled.write_bytes(b"\x01\x02\x0d\x0a" + compiled.read_bytes()[4:])


def _compiled_with_a_hash(house: House) -> None:
    house.compiled(house.door, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)


def _compiled_from_elsewhere(house: House) -> None:
    house.compiled(house.door, dfile="elsewhere/door.py")


def _longer_than_any(house: House) -> None:
    house.door.write_text(f"WIDTH = 1\nMANY = {'x' * 100_000!r}\n")
    house.compiled(house.door)


def _shortened(house: House) -> None:
    compiled = house.compiled(house.door)
    compiled.write_bytes(compiled.read_bytes()[:40])


@pytest.mark.parametrize(
    ("change", "width"),
    [
        (_source_changed, 22),
        (_source_touched, 1),
        (_nothing_compiled, 1),
        (_compiled_by_another_python, 1),
        (_compiled_with_a_hash, 1),
        (_compiled_from_elsewhere, 1),
        (_longer_than_any, 1),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_does_not_stand_for_its_source_is_left_to_python(
    house: House, change: Callable[[House], None], width: int
) -> None:
    assert house.ask(WHO) == [BY_FINDER, BY_FINDER, 1]
    change(house)
    assert house.ask(WHO) == [BY_FINDER, BY_PYTHON, width]


def test_what_is_damaged_is_the_error_that_python_makes_of_it(house: House) -> None:
    _shortened(house)
    done = house.run(WHO)
    assert done.returncode == 1
    assert "EOFError" in done.stderr


def test_a_source_that_is_gone_is_not_imported(house: House) -> None:
    """What an older version left compiled would else come back."""
    house.door.unlink()
    done = house.run(WHO)
    assert done.returncode == 1
    assert "ModuleNotFoundError: No module named 'house.door'" in done.stderr


def test_other_packages_are_none_of_its_business(house: House) -> None:
    (house.place / "household.py").write_text("WIDTH = 3\n")
    house.compiled(house.place / "household.py")
    assert house.ask("import household\nprint(json.dumps([by(household), household.WIDTH]))") == [
        BY_PYTHON,
        3,
    ]


def test_tracebacks_sources_data_and_reloads_are_as_ever(house: House) -> None:
    found = house.ask(
        "import importlib, importlib.resources, inspect, traceback\n"
        "import house.door, house.room\n"
        "try: house.door.open()\n"
        "except LookupError: shown = traceback.format_exc()\n"
        "data = importlib.resources.files('house.room').joinpath('list.txt').read_text()\n"
        "source = inspect.getsource(house.door.open)\n"
        "again = house.door.__loader__.get_code('house.door').co_names\n"
        "print(json.dumps([\"raise LookupError('no key')\" in shown, data, source, list(again),"
        " importlib.reload(house.door).WIDTH]))"
    )
    assert found == [
        True,
        "one chair",
        "def open():\n    raise LookupError('no key')\n",
        ["open", "WIDTH"],
        1,
    ]


INSTALLED = """\
import os, sys, json, subprocess
import runtime.compiled_finder
before = len(sys.meta_path)
runtime.compiled_finder.install(frozenset({"attest"}))
import attest.note
print(json.dumps([len(sys.meta_path) - before, type(attest.note.__loader__).__module__]))
"""


@pytest.mark.parametrize(
    ("flags", "variables", "expected"),
    [
        ([], {}, [1, BY_FINDER]),
        (["-O"], {}, [0, BY_PYTHON]),
        ([], {"PYTHONPYCACHEPREFIX": "/nonexistent"}, [0, BY_PYTHON]),
    ],
    ids=["plain", "optimized", "compiled-elsewhere"],
)
def test_packages_beside_it_are_found_unless_python_compiles_in_another_way(
    tmp_path: Path, flags: list[str], variables: dict[str, str], expected: list[Any]
) -> None:
    done = subprocess.run(
        [sys.executable, "-B", *flags, "-c", INSTALLED],
        env={"PATH": "/usr/bin:/bin", **variables},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert json.loads(done.stdout) == expected, done.stderr


def test_the_command_finds_each_of_its_modules_so(tmp_path: Path) -> None:
    """Read from what the interpreter says when it imports: who found what."""
    command = Path(sys.executable).with_name("nono")
    code = (
        "import sys, runpy, atexit, json, os\n"
        f"sys.argv = [{str(command)!r}, 'key', '--help']\n"
        "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "except SystemExit: pass\n"
        "ours = {name: type(module.__loader__).__module__ for name, module in sys.modules.items()\n"
        "        if name.partition('.')[0] in ('attest', 'runtime', 'store')}\n"
        "print('\\n' + json.dumps(ours))"
    )
    done = subprocess.run(
        [sys.executable, "-B", "-c", code],
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    by_python = {name for name, by in found.items() if by != BY_FINDER}
    assert by_python == {"runtime", "runtime.compiled_finder"}
    assert len(found) > 10
