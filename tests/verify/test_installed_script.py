"""The command as it is installed: what a checkout offers never becomes the verifier.

A virtual environment of its own gets copies of the packages and of both scripts, as a wheel's
installation would lay them out; its dependencies come from the environment that runs the tests.
"""

from __future__ import annotations

import ast
import os
import shutil
import signal
import site
import subprocess
import sys
import sysconfig
import textwrap
import venv
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.verify.conftest import Bench, Book

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
IMPOSTOR = "import sys; sys.stdout.write('IMPOSTOR\\n'); sys.exit(0)\n"

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="scripts are not used there")


def installed_root() -> str:
    """Return where the packages under test lie: the checkout, or the installation that is tested."""
    import verify

    return os.path.dirname(os.path.dirname(os.path.abspath(verify.__file__ or "")))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> str:
    place = str(tmp_path_factory.mktemp("installed") / "venv")
    venv.create(place, with_pip=False, symlinks=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = os.path.join(place, "lib", version, "site-packages")
    for name in ("attest", "verify", "store", "runtime"):
        shutil.copytree(
            os.path.join(installed_root(), name),
            os.path.join(packages, name),
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    with open(os.path.join(packages, "dependencies.pth"), "w", encoding="utf-8") as file:
        file.write(sysconfig.get_path("purelib") + "\n" + sysconfig.get_path("platlib") + "\n")
    for name in ("nono", "nono-verify"):
        with open(os.path.join(ROOT, "scripts", name), encoding="utf-8") as file:
            text = file.read()
        assert text.startswith("#!python\n")
        target = os.path.join(place, "bin", name)
        with open(target, "w", encoding="utf-8") as file:
            file.write(text.replace("#!python", f"#!{place}/bin/python", 1))  # as installers do
        os.chmod(target, 0o755)
    return place


@pytest.fixture
def checkout(tmp_path: Path) -> str:
    """Return a folder that has packages of all our names, and of some that we import."""
    for name in ("verify", "attest", "runtime", "apsw", "argparse"):
        (tmp_path / "checkout" / name).mkdir(parents=True)
        (tmp_path / "checkout" / name / "__init__.py").write_text(IMPOSTOR)
    return str(tmp_path / "checkout")


def run(
    home: str, folder: str, *arguments: str, interpreter: tuple[str, ...] = (), **environment: str
) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        [*interpreter, os.path.join(home, "bin", "nono-verify"), *arguments],
        check=False, capture_output=True, text=True, cwd=folder, env={**clean, **environment},
    )  # fmt: skip


def test_the_current_folder(bench: Bench, book: Book, home: str, checkout: str) -> None:
    done = run(home, checkout, bench.write(book), "-k", bench.path("key.pub"))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("verified: ")


@pytest.mark.parametrize(
    "path", ["{checkout}", ".", "", "{checkout}:", ":{checkout}", "/nowhere:{checkout}/."]
)
def test_pythonpath(bench: Bench, book: Book, home: str, checkout: str, path: str) -> None:
    # argparse is imported by nothing before our own code, so it would come from PYTHONPATH as well.
    done = run(
        home,
        checkout,
        bench.write(book),
        "-k",
        bench.path("key.pub"),
        PYTHONPATH=path.format(checkout=checkout),
    )
    assert "IMPOSTOR" not in done.stdout
    assert (done.returncode, done.stderr) == (0, "")


def test_the_impostor_works_where_nothing_is_dropped(home: str, checkout: str) -> None:
    done = subprocess.run(
        [os.path.join(home, "bin", "python"), "-m", "verify"],
        check=False, capture_output=True, text=True, cwd=checkout,
    )  # fmt: skip
    assert done.stdout == "IMPOSTOR\n"


@pytest.mark.parametrize("flags", [("-I",), ("-P",), ("-E",), ("-s",), ()])
def test_under_every_way_to_start_python(
    bench: Bench, book: Book, home: str, checkout: str, flags: tuple[str, ...]
) -> None:
    python = os.path.join(home, "bin", "python")
    done = run(
        home, checkout, bench.write(book), "-k", bench.path("key.pub"),
        interpreter=(python, *flags), PYTHONPATH=checkout,
    )  # fmt: skip
    assert (done.returncode, done.stdout[:10], done.stderr) == (0, "verified: ", "")


def test_a_pythonpath_that_names_the_installation_itself(
    bench: Bench, book: Book, home: str, checkout: str
) -> None:
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = os.path.join(home, "lib", version, "site-packages")
    done = run(home, checkout, bench.write(book), "-k", bench.path("key.pub"), PYTHONPATH=packages)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_package_beside_the_script(bench: Bench, book: Book, home: str, checkout: str) -> None:
    shutil.copytree(os.path.join(checkout, "verify"), os.path.join(home, "bin", "verify"))
    try:
        done = run(home, checkout, bench.write(book), "-k", bench.path("key.pub"))
    finally:
        shutil.rmtree(os.path.join(home, "bin", "verify"))
    assert done.stdout.startswith("verified: ")


def test_an_installation_that_is_broken_is_no_tampering(bench: Bench, book: Book, home: str) -> None:
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    part = os.path.join(home, "lib", version, "site-packages", "verify", "cli")
    os.rename(part, part + ".away")
    python = os.path.join(home, "bin", "python")
    try:
        for command in ((os.path.join(home, "bin", "nono-verify"),), (python, "-I", "-m", "verify")):
            done = subprocess.run(
                [*command, bench.write(book)],
                check=False,
                capture_output=True,
                text=True,
                cwd=bench.directory,
            )
            assert (done.returncode, done.stdout) == (2, "")
            assert done.stderr.startswith("not checked: nono-verify cannot be loaded: ModuleNotFoundError")
    finally:
        os.rename(part + ".away", part)


def test_the_user_site(home: str, tmp_path: Path) -> None:
    """Ask the script's own function: a virtual environment has no user site to begin with."""
    with open(os.path.join(home, "bin", "nono-verify"), encoding="utf-8") as file:
        text = file.read()
    function = text[text.index("def only_installed") : text.index("if not sys.flags.isolated")]
    probe = textwrap.dedent("""
        paths = only_installed([site.getusersitepackages(), *site.getsitepackages()])
        print(site.getusersitepackages() in paths, all(path in paths for path in site.getsitepackages()))
    """)
    for script, kept in ((tmp_path / "bin" / "x.py", False), (tmp_path / "base" / "bin" / "x.py", True)):
        script.parent.mkdir(parents=True, exist_ok=True)
        script.write_text("import os, site, sys\n" + function + probe)
        done = subprocess.run(
            [sys.executable, "-P", str(script)],
            check=True, capture_output=True, text=True,
            env={**os.environ, "PYTHONUSERBASE": str(tmp_path / "base")},
        )  # fmt: skip
        assert done.stdout == f"{kept} True\n"
    assert site.getsitepackages()


@pytest.mark.parametrize("name", ["nono", "nono-verify"])
def test_what_the_user_site_names_is_dropped_with_it(
    home: str, checkout: str, tmp_path: Path, name: str
) -> None:
    """A checkout that was installed with ``pip install --user --editable``; for a Python that has neither."""
    python = os.path.realpath(sys.executable)
    environment = {"PATH": os.defpath, "PYTHONUSERBASE": str(tmp_path / "base")}
    ask = [python, "-c", "import site; print(site.ENABLE_USER_SITE, site.getusersitepackages())"]
    asked = subprocess.run(ask, check=True, capture_output=True, text=True, env=environment, cwd=tmp_path)
    enabled, _, user_site = asked.stdout.strip().partition(" ")
    assert enabled == "True"
    os.makedirs(user_site)
    with open(os.path.join(user_site, "project.pth"), "w", encoding="utf-8") as file:
        file.write(checkout + "\n")
    package = "runtime" if name == "nono" else "verify"
    for command, expected in (
        (["-c", f"import {package}"], "IMPOSTOR\n"),
        ([os.path.join(home, "bin", name), "--version"], ""),
    ):
        done = subprocess.run(
            [python, *command], check=False, capture_output=True, text=True, env=environment, cwd=tmp_path
        )
        assert done.stdout == expected
    assert f"cannot be loaded: ModuleNotFoundError: No module named '{package}'" in done.stderr


@pytest.mark.parametrize("part", ["", "lib-dynload"])
@pytest.mark.parametrize("by", ["folder", "variable"])
def test_the_library_of_python_stays_wherever_else_it_is_named(
    bench: Bench, book: Book, home: str, part: str, by: str
) -> None:
    library = os.path.join(os.path.dirname(os.__file__), part)
    folder, listed = (library, "") if by == "folder" else (home, library)
    done = run(home, folder, bench.write(book), "-k", bench.path("key.pub"), PYTHONPATH=listed)
    assert (done.returncode, done.stdout[:10], done.stderr) == (0, "verified: ", "")


@pytest.mark.parametrize("name", ["nono", "nono-verify"])
@pytest.mark.parametrize("variable", ["HOME", "PYTHONUSERBASE"])
def test_a_user_site_relative_to_a_directory_that_is_gone_is_none(
    home: str, tmp_path: Path, name: str, variable: str
) -> None:
    """It ended with a traceback and 1, which says "tampered with"."""
    (tmp_path / "gone").mkdir()
    done = subprocess.run(
        ["/bin/sh", "-c", 'rmdir "$PWD" && exec "$0" --version', os.path.join(home, "bin", name)],
        check=False, capture_output=True, text=True, cwd=tmp_path / "gone",
        env={"PATH": os.defpath, variable: "relative"},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


INTERRUPTIBLE = """
import _signal, builtins, sys
script, real, said = sys.argv.pop(1), builtins.__import__, []
def watched(name, *rest, **named):
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        said.append(name)
    return real(name, *rest, **named)
builtins.__import__ = watched
text = open(script).read()
try:
    exec(compile(text, script, "exec"), {"__name__": "__main__", "__file__": script})
except SystemExit:
    pass
builtins.__import__ = real
sys.stdout.write("interruptible: " + " ".join(said[:1]))
"""


@pytest.mark.parametrize("name", ["nono", "nono-verify"])
def test_an_interruption_while_anything_is_imported_is_no_traceback(
    home: str, tmp_path: Path, name: str
) -> None:
    """SIGINT ends a program that has not begun, before its first import can be interrupted."""
    if name == "nono" and sys.platform != "linux":
        pytest.skip("nono runs on Linux")
    done = subprocess.run(
        [os.path.join(home, "bin", "python"), "-I", "-c", INTERRUPTIBLE, os.path.join(home, "bin", name)],
        check=False, capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    # The first import of all is that of the module that sets it; then come those of main(), which catches it.
    assert done.stdout.rpartition("interruptible: ")[2] == "_signal", done.stderr
    with open(os.path.join(ROOT, "scripts", name), encoding="utf-8") as file:
        statements = ast.parse(file.read()).body
    assert ast.unparse(statements[1]) == "import _signal"
    assert "SIG_DFL" in ast.unparse(statements[3])


@pytest.mark.parametrize("module", ["apsw", "orjson"])
def test_an_interruption_while_a_library_is_loaded_is_no_tampering(
    home: str, tmp_path: Path, module: str
) -> None:
    """One that makes another error of it, as extensions do, ended ``python -m verify`` with 1, a verdict."""
    (tmp_path / f"{module}.py").write_text(
        "import os, signal\n"
        "try:\n    os.kill(os.getpid(), signal.SIGINT)\n"
        "except KeyboardInterrupt:\n    raise SystemError('interrupted')\n"
        "raise SystemError('not interrupted')\n"
    )
    done = subprocess.run(
        [os.path.join(home, "bin", "python"), "-m", "verify", "ledger.db"],
        check=False, capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


@pytest.mark.parametrize("module", ["apsw", "orjson"])
def test_a_library_that_is_broken_is_no_tampering(home: str, tmp_path: Path, module: str) -> None:
    (tmp_path / f"{module}.py").write_text("raise ImportError('broken')\n")
    done = subprocess.run(
        [os.path.join(home, "bin", "python"), "-m", "verify", "ledger.db"],
        check=False, capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("not checked: nono-verify cannot be loaded: ImportError: broken")


def test_both_scripts_clean_the_path_in_the_same_way() -> None:
    texts = []
    for name in ("nono", "nono-verify"):
        with open(os.path.join(ROOT, "scripts", name), encoding="utf-8") as file:
            text = file.read()
        end = text.index("if not sys.flags.isolated:\n")
        assert "    sys.path[:] = only_installed(sys.path)\n\n" in text[end:]
        texts.append(text[text.index("import os") : end])
        assert text.index("import os") < text.index("sys.path[:] = ") < text.index("cli import main")
    assert texts[0] == texts[1]
