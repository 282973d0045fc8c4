"""Real programs do their work under the profile that is meant for them, and are confined while they do it.

In the middle of its work each runs a *probe* that tries to read a key of the home and to write beside what is
granted: a hook of git, a back end of pip, a script that npm runs after an installation, a recipe of make, a
test of pytest, ``node --test``, ``go test`` and ``cargo test``, a build script of cargo, a program in Java.
The same probe succeeds in both outside. Nothing here needs a network.

More of what single profiles need is tried in ``test_profiles.py``.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import shutil
import subprocess
import sys
import tarfile
import zipfile
from typing import TYPE_CHECKING

import pytest

from tests.system.conftest import missing

if TYPE_CHECKING:
    from tests.system.conftest import Ended, Site

PATH = "/usr/local/bin:/usr/bin:/bin:/usr/lib/go/bin"
PYTHONS = ("--read", sys.base_prefix, "--read", sys.prefix)


def program(name: str) -> str:
    """Return the path of a program of the system; these tests want it, but not every machine has it."""
    found = shutil.which(name, path=PATH)
    if found is None:
        missing(f"there is no {name} in /usr")
    return found


class Probe:
    """A script beside what a program works on, and what it found each time that it ran.

    It is kept outside of what is granted for writing, and says what it found in the project.
    """

    def __init__(self, site: Site) -> None:
        key = site.home / ".ssh" / "id"
        key.parent.mkdir()
        key.write_text("secret\n")
        beside = site.base / "beside"
        beside.mkdir()
        self.path = site.base / "probing" / "probe"
        self.path.parent.mkdir()
        self._said = site.project / "probed"
        self.path.write_text(
            "#!/bin/sh\n{\n"
            f"cat {key} >/dev/null 2>&1 && printf 'read '\n"
            f"(echo x > {beside}/made) 2>/dev/null && printf 'wrote '\n"
            f"echo probed; }} >> {self._said}\n"
        )
        self.path.chmod(0o755)
        subprocess.run([self.path], check=True)
        assert self.said() == ["read wrote probed"]
        (beside / "made").unlink()
        self.grants = ("--read", str(self.path.parent))

    def said(self) -> list[str]:
        """Return what was found since it was last asked."""
        said = self._said.read_text().splitlines() if self._said.exists() else []
        self._said.unlink(missing_ok=True)
        return said


@pytest.fixture
def probe(site: Site) -> Probe:
    return Probe(site)


def worked(ended: Ended, probe: Probe, times: int = 1) -> str:
    """Return what a program said that did its work and ran the probe, which found everything closed."""
    assert ended.status == 0, ended.stderr + ended.stdout.decode()
    assert probe.said() == ["probed"] * times
    return ended.stdout.decode()


# --- git ----------------------------------------------------------------------------------------------

GIT = """\
set -e
git clone -q {origin} clone
cd clone
ln -s {probe} .git/hooks/post-commit
echo two > two && git add two && git commit -qm two
git checkout -qb topic && echo three > three && git add three && git commit -qm three
git gc -q && git fsck --strict
git worktree add -q ../tree main
git -C ../tree merge -q --no-edit topic
git -C ../tree stash list && git -C ../tree status --porcelain
git bundle create -q ../topic.bundle origin/main..topic
git log --format=%s topic
git log -1 --format='%an <%ae>'
"""


@pytest.mark.parametrize("profile", ["claude-code", "python-dev", "default"])
def test_git(site: Site, probe: Probe, profile: str) -> None:
    """Clone, commit, branch, merge, gc, a second worktree; the user's name comes with its configuration."""
    git = program("git")
    (site.home / ".gitconfig").write_text(
        "[user]\n name = Some Body\n email = some@body.example\n[init]\n defaultBranch = main\n"
    )
    origin = site.base / "origin"
    for arguments in (
        ["init", "-q", str(origin)],
        ["-C", str(origin), "commit", "-q", "--allow-empty", "-m", "one"],
    ):
        subprocess.run([git, *arguments], env=site.environment, check=True)
    author = {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER")
              for what, value in (("NAME", "Some Body"), ("EMAIL", "some@body.example"))}  # fmt: skip
    flags = ("--allow", ".") if profile == "default" else ()
    script = GIT.format(origin=origin, probe=probe.path)
    ended = site.shell(
        script, "-p", profile, *flags, "--read", origin, *probe.grants, env=author if flags else None
    )
    said = worked(ended, probe, 2).splitlines()
    assert said[-4:] == ["three", "two", "one", "Some Body <some@body.example>"]
    assert (site.project / "tree" / "three").read_text() == "three\n"
    # What is not granted for writing cannot be pushed to.
    before = subprocess.run([git, "-C", origin, "rev-parse", "--all"], check=True, capture_output=True).stdout
    push = ("--", git, "-C", "clone", "push", "-q", origin, "topic")
    assert site.run("-p", profile, *flags, "--read", origin, *push).status != 0
    assert (
        subprocess.run([git, "-C", origin, "rev-parse", "--all"], check=True, capture_output=True).stdout
        == before
    )
    assert site.run("-p", profile, *flags, "--allow", origin, *push).status == 0


# --- Python -------------------------------------------------------------------------------------------

BACK_END = """\
import pathlib, subprocess, zipfile
def build_wheel(directory, settings=None, metadata=None):
    subprocess.run([{probe!r}], check=True)
    name = "built-1.0-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(directory) / name, "w") as wheel:
        for path, text in {files!r}.items():
            wheel.writestr(path, text)
    return name
"""


def wheel_files(name: str) -> dict[str, str]:
    """Return the files of a wheel of one module, by their paths."""
    info = f"{name}-1.0.dist-info"
    files = {
        f"{name}.py": "ANSWER = 42\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    lines = []
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        lines.append(f"{path},sha256={digest},{len(text)}\n")
    return {**files, f"{info}/RECORD": "".join((*lines, f"{info}/RECORD,,\n"))}


def test_pip_installs_from_an_index_and_builds(site: Site, probe: Probe) -> None:
    """Into a virtual environment: a wheel from an index of files, and a project by its own back end."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", site.project / ".venv"], check=True)
    index = site.base / "index" / "fetched"
    index.mkdir(parents=True)
    with zipfile.ZipFile(index / "fetched-1.0-py3-none-any.whl", "w") as wheel:
        for path, text in wheel_files("fetched").items():
            wheel.writestr(path, text)
    (index / "index.html").write_text('<a href="fetched-1.0-py3-none-any.whl">fetched</a>')
    site.file(
        "built/pyproject.toml",
        '[build-system]\nrequires = []\nbuild-backend = "back_end"\nbackend-path = ["."]\n'
        '[project]\nname = "built"\nversion = "1.0"\n',
    )
    site.file("built/back_end.py", BACK_END.format(probe=str(probe.path), files=wheel_files("built")))
    cache = site.cache.parent / "pip"
    cache.mkdir(parents=True)
    ended = site.run(
        "-p", "python-dev", *PYTHONS, *probe.grants, "--read", index.parent, "--", sys.executable,
        "-m", "pip", "--python", ".venv/bin/python", "install", "--disable-pip-version-check",
        "--index-url", index.parent.as_uri(), "fetched==1.0", "./built",
    )  # fmt: skip
    assert "Successfully installed built-1.0 fetched-1.0" in worked(ended, probe)
    check = "import built, fetched; print(built.ANSWER + fetched.ANSWER)"
    ended = site.run("-p", "python-dev", *PYTHONS, "--", ".venv/bin/python", "-c", check)
    assert ended.stdout == b"84\n", ended.stderr
    # An environment that is not below what is granted cannot be installed into.
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", site.base / "other"], check=True)
    install = (
        "-m",
        "pip",
        "--python",
        str(site.base / "other"),
        "install",
        "--disable-pip-version-check",
        "--no-deps",
    )
    wheel_path = str(index / "fetched-1.0-py3-none-any.whl")
    ended = site.run(
        "-p", "python-dev", *PYTHONS, "--read", index.parent, "--read", site.base / "other", "--",
        sys.executable, *install, wheel_path,
    )  # fmt: skip
    assert ended.status != 0
    assert "Permission denied" in ended.stderr
    subprocess.run([sys.executable, *install, "-q", wheel_path], check=True, env=site.environment)


def test_pytest_runs_a_suite(site: Site, probe: Probe) -> None:
    """With fixtures, temporary directories, subprocesses and captured output."""
    site.file(
        "test_it.py",
        "import subprocess, sys, pytest\n"
        "@pytest.mark.parametrize('n', range(3))\n"
        "def test_files(tmp_path, capfd, n):\n"
        "    (tmp_path / 'f').write_text(str(n))\n"
        "    with open(tmp_path / 'f') as file:\n"
        "        subprocess.run([sys.executable, '-c', 'print(input())'], stdin=file, check=True)\n"
        "    assert capfd.readouterr().out == f'{n}\\n'\n"
        f"def test_probe():\n    subprocess.run([{str(probe.path)!r}], check=True)\n",
    )
    ended = site.run(
        "-p", "python-dev", *PYTHONS, *probe.grants, "--", sys.executable, "-m", "pytest", "-q",
        "--rootdir=.", "test_it.py",
    )  # fmt: skip
    assert "4 passed" in worked(ended, probe)


def test_multiprocessing_works_where_shared_memory_is_granted(site: Site) -> None:
    """Its locks are files in a directory that everything of the user shares, so no profile opens it."""
    file = site.file(
        "pool.py",
        "from concurrent.futures import ProcessPoolExecutor\n"
        "from multiprocessing.shared_memory import SharedMemory\n"
        "if __name__ == '__main__':\n"
        "    with ProcessPoolExecutor(2) as pool:\n        print(list(pool.map(abs, [-1, 2])))\n"
        "    memory = SharedMemory(create=True, size=10)\n    memory.close()\n    memory.unlink()\n",
    )
    run = ("--", sys.executable, file)
    ended = site.run("-p", "python-dev", *PYTHONS, *run)
    assert (ended.status, ended.stdout) == (1, b"")
    assert "PermissionError" in ended.stderr
    ended = site.run("-p", "python-dev", *PYTHONS, "--allow", "/dev/shm", *run)
    assert (ended.status, ended.stdout) == (0, b"[1, 2]\n"), ended.stderr


# --- node ---------------------------------------------------------------------------------------------


def test_npm_installs_runs_and_tests(site: Site, probe: Probe) -> None:
    """A package with a script of its own after the installation, a build, and ``node --test``."""
    program("node")
    npm = program("npm")
    run = f"require('child_process').execFileSync({json.dumps(str(probe.path))})"
    manifest = {"name": "dep", "version": "1.0.0", "main": "i.js", "scripts": {"postinstall": "node post.js"}}
    with tarfile.open(site.project / "dep.tgz", "w:gz") as archive:
        for name, text in (
            ("package.json", json.dumps(manifest)), ("i.js", "module.exports = 42"), ("post.js", run),
        ):  # fmt: skip
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    scripts = {
        "build": "node -e \"require('fs').writeFileSync('out', String(require('dep')))\"",
        "test": "node --test",
    }
    site.file("package.json", json.dumps({"name": "it", "version": "1.0.0", "scripts": scripts}))
    site.file(
        "test/it.test.js",
        f"require('node:test')('it', () => {{ require('assert').equal(require('dep'), 42); {run} }})",
    )
    (site.home / ".npm").mkdir()
    script = f"{npm} install --offline --no-audit --no-fund ./dep.tgz && {npm} run build && {npm} test"
    said = worked(site.shell(script, "-p", "node-dev", *probe.grants), probe, 2)
    assert "pass 1" in said
    assert (site.project / "out").read_text() == "42"


# --- C ------------------------------------------------------------------------------------------------

MAKEFILE = """\
CFLAGS = -O1 -Wall -Werror -MMD -fPIC
it: main.o libpart.a libshared.so
\t$(CC) -o $@ main.o -L. -lpart -lshared -Wl,-rpath,'$$ORIGIN'
libpart.a: part.o
\t$(AR) rcs $@ $^
libshared.so: shared.o
\t$(CC) -shared -o $@ $^
check: it
\t./it | grep -qx 42
\tPROBE
-include *.d
"""


def test_make_builds_a_project_of_several_files(site: Site, probe: Probe) -> None:
    """In parallel, with a static and a shared library and generated dependencies; again after a change."""
    make = program("make")
    program("cc")
    site.file("Makefile", MAKEFILE.replace("PROBE", str(probe.path)))
    site.file("part.h", "int part(void);\nint shared(void);\n")
    site.file("part.c", '#include "part.h"\nint part(void) { return 40; }\n')
    site.file("shared.c", '#include "part.h"\nint shared(void) { return 2; }\n')
    site.file(
        "main.c",
        '#include <stdio.h>\n#include "part.h"\nint main(void) { printf("%d\\n", part() + shared()); }\n',
    )
    build = ("-p", "default", "--allow", ".", *probe.grants, "--", make, "-j2", "check")
    worked(site.run(*build), probe)
    site.file("part.h", "int part(void);\nint shared(void);\n/* changed */\n")
    assert "main.c" in worked(site.run(*build), probe)
    prefix = site.base / "prefix"
    prefix.mkdir()
    site.file("Makefile", (site.project / "Makefile").read_text() + f"install: it\n\tcp it {prefix}/it\n")
    install = ("--", make, "-s", "install")
    assert site.run("--allow", ".", *install).status == 2
    assert list(prefix.iterdir()) == []
    assert site.run("--allow", ".", "--write", prefix, *install).status == 0
    assert (prefix / "it").exists()


# --- Go, Rust, Java -----------------------------------------------------------------------------------


def test_go_tests_a_package(site: Site, probe: Probe) -> None:
    go = program("go")
    (site.cache.parent / "go-build").mkdir(parents=True)  # XDG_CACHE_HOME
    (site.home / "go" / "pkg").mkdir(parents=True)
    site.file("go.mod", "module example.org/it\n\ngo 1.18\n")
    site.file("it.go", "package it\n\nfunc Answer() int { return 42 }\n")
    site.file(
        "it_test.go",
        'package it\n\nimport (\n\t"os/exec"\n\t"testing"\n)\n\nfunc TestIt(t *testing.T) {\n'
        f"\tif err := exec.Command({json.dumps(str(probe.path))}).Run(); err != nil || Answer() != 42 {{\n"
        "\t\tt.Fatal(err)\n\t}\n}\n",
    )
    ended = site.run(
        "-p", "go-dev", *probe.grants, "--", go, "test", "-count=1", "./...", env={"GOTOOLCHAIN": "local"}
    )
    assert worked(ended, probe).startswith("ok")


def test_cargo_tests_a_crate_with_a_build_script(site: Site, probe: Probe) -> None:
    cargo, rustc = program("cargo"), program("rustc")
    for place in (".cargo/registry", ".cargo/git"):
        (site.home / place).mkdir(parents=True)
    site.file("Cargo.toml", '[package]\nname = "it"\nversion = "0.1.0"\nedition = "2018"\n')
    run = f"assert!(std::process::Command::new({json.dumps(str(probe.path))}).status().unwrap().success());"
    site.file("build.rs", f"fn main() {{ {run} }}\n")
    site.file(
        "src/lib.rs",
        f"pub fn answer() -> i32 {{ 42 }}\n#[test]\nfn it() {{ assert_eq!(answer(), 42); {run} }}\n",
    )
    ended = site.run("-p", "rust-dev", *probe.grants, "--", cargo, "test", "--offline", "-q", "--lib",
                     env={"RUSTC": rustc})  # fmt: skip
    assert "1 passed" in worked(ended, probe, 2)


def test_java_runs_a_program(site: Site, probe: Probe) -> None:
    java = program("java")
    site.file(
        "It.java",
        "class It { public static void main(String[] a) throws Exception {\n"
        f"  int status = new ProcessBuilder({json.dumps(str(probe.path))}).inheritIO().start().waitFor();\n"
        "  java.nio.file.Files.writeString(\n"
        '    java.nio.file.Path.of("out"), String.valueOf(6 * 7 + status)); } }\n',
    )
    worked(site.run("-p", "java-dev", *probe.grants, "--", java, "It.java"), probe)
    assert (site.project / "out").read_text() == "42"
