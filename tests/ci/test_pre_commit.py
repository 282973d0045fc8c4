"""The pre-commit hook, through pre-commit itself: what a commit may bring in, under a key from elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.ci.conftest import ROOT, WHEELHOUSE, git
from tests.verify.conftest import KEY, STRANGER, Book

if TYPE_CHECKING:
    from collections.abc import Callable

PRE_COMMIT = Path(sys.executable).parent / "pre-commit"
REQUIRED = {"id", "name", "entry", "language"}


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where pre-commit keeps the hook that it has installed, once for all tests."""
    return tmp_path_factory.mktemp("pre-commit")


class Project:
    """A repository whose commits are checked by the hook."""

    def __init__(self, directory: Path, hooks: Path, cache: Path) -> None:
        self.directory = directory
        directory.mkdir()
        self.environment = {
            "HOME": str(cache),
            "LANG": "C.UTF-8",
            "PATH": f"{PRE_COMMIT.parent}:/usr/local/bin:/usr/bin:/bin",
            "PIP_FIND_LINKS": str(WHEELHOUSE),
            "PIP_NO_INDEX": "1",
            "PRE_COMMIT_HOME": str(cache),
            "XDG_CONFIG_HOME": str(cache / "configuration"),
        }
        self.hooks = hooks
        git(directory, "init", "--quiet")

    def configure(self, *arguments: str) -> None:
        """Write the configuration, with these arguments of the hook; with none, the hook's own."""
        hook = {"id": "nono-verify", "language_version": sys.executable}
        if arguments:
            hook["args"] = list(arguments)  # type: ignore[assignment]  # one of the values is a list
        repository = {"repo": str(self.hooks), "rev": git(self.hooks, "rev-parse", "HEAD"), "hooks": [hook]}
        text = yaml.safe_dump({"repos": [repository]})
        (self.directory / ".pre-commit-config.yaml").write_text(text, encoding="utf-8")
        git(self.directory, "add", "--all")

    def check(self, **variables: str) -> tuple[int, str]:
        """Run pre-commit over everything that is staged, as a commit does."""
        git(self.directory, "add", "--all")
        done = subprocess.run(
            [PRE_COMMIT, "run", "--color=never", "--verbose"],
            cwd=self.directory,
            env={**self.environment, **variables},
            check=False,
            capture_output=True,
            text=True,
        )
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def project(tmp_path: Path, checkout: Path, cache: Path) -> Project:
    return Project(tmp_path / "project", checkout, cache)


@pytest.fixture
def key(tmp_path: Path) -> str:
    """Return the file of the pinned key, outside of the project."""
    path = tmp_path / "ci.pub"
    path.write_bytes(KEY.public.pem())
    return str(path)


@pytest.fixture
def write(project: Project) -> Callable[..., Path]:
    """Return what writes a ledger of one launch into the project."""

    def written(name: str, book: Book | None = None) -> Path:
        book = book or Book()
        book.launch()
        path = project.directory / name
        path.parent.mkdir(exist_ok=True)
        book.write(str(path))
        return path

    return written


def test_the_manifest_is_what_pre_commit_takes(tmp_path: Path) -> None:
    done = subprocess.run(
        [PRE_COMMIT, "validate-manifest", ROOT / ".pre-commit-hooks.yaml"],
        check=False, capture_output=True, text=True, env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "")
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    assert set(hook) >= REQUIRED
    assert hook["args"][-1] == "--"


def test_commits_with_ledgers(project: Project, write: Callable[..., Path], key: str) -> None:
    """Verified, nothing to verify, tampered with, and not a ledger, one after the other."""
    project.configure("-k", key, "--")
    status, said = project.check()
    assert status == 0
    assert "no files to check" in said

    write("evidence/a.db")
    other = write("evidence/b c.db")
    status, said = project.check()
    assert status == 0, said
    assert "evidence/a.db: verified: 1 launch" in said
    assert "evidence/b c.db: verified: 1 launch" in said

    other.write_bytes(other.read_bytes().replace(b'"exit":0', b'"exit":7', 1))
    status, said = project.check()
    assert status == 1
    assert "exit code: 1" in said
    assert "evidence/a.db: verified: " in said
    assert "evidence/b c.db: FAILED: " in said

    other.write_text("no ledger", encoding="utf-8")
    status, said = project.check()
    assert status == 1
    assert "exit code: 2" in said
    assert set(os.listdir(project.directory / "evidence")) == {"a.db", "b c.db"}


def test_where_the_key_comes_from(project: Project, write: Callable[..., Path], key: str) -> None:
    """From the variable or the trust store, when the arguments name none; and without one nothing passes."""
    write("a.db")
    project.configure()
    status, said = project.check()
    assert (status, "exit code: 3" in said, "no key pinned" in said) == (1, True, True)
    assert project.check(NONO_VERIFY_KEY=key)[0] == 0
    assert project.check(NONO_VERIFY_KEY=KEY.public.pem().decode())[0] == 0
    assert project.check(NONO_VERIFY_KEY=STRANGER.public.pem().decode())[0] == 1


@pytest.mark.parametrize("name", ["-kmine.db", "--public-key-file=mine.db"])
def test_a_name_in_the_commit_is_no_key(
    project: Project, write: Callable[..., Path], key: str, name: str
) -> None:
    """Somebody else's ledger beside somebody else's key: the name of the one would pin the other."""
    write(name, Book(STRANGER))
    (project.directory / "mine.db").write_bytes(STRANGER.public.pem())
    project.configure()
    status, said = project.check(NONO_VERIFY_KEY=key)
    assert status == 1
    assert f"{name}: intact, not met: " in said or f"{name}: FAILED: " in said
    assert f"{name}: verified" not in said

    project.configure("-k", key)  # whoever forgets the mark is told so
    status, said = project.check()
    assert status == 1
    assert "not checked: the ledgers stand behind --" in said
