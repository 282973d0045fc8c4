"""What a verification loads, and that it runs where everything that only Linux has is absent."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import verify
from verify import worker_pool
from verify.exports import formats

if TYPE_CHECKING:
    from tests.verify.conftest import Bench, Book

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(verify.__file__ or "")))

# What must not be there afterwards: ours that is not the verifier's, and what only the others need.
FORBIDDEN = (
    "runtime", "store", "migrations", "sqlalchemy", "alembic", "landlock", "pyseccomp", "seccomp",
    "sqlite3", "_sqlite3", "ctypes", "subprocess", "ssl", "http", "asyncio", "multiprocessing", "in_toto",
    "securesystemslib", "hypothesis", "pytest", "jsonschema",
)  # fmt: skip
# What only a policy and a directory of an export need.
NOT_AT_ONCE = ("tomllib", "shutil", "bz2", "lzma")
MAY_BE = {"cffi", "pycparser", "a1_coverage", "coverage", "distutils-precedence"}
THIRD_PARTY = {"apsw", "cryptography", "jsonschema_rs", "orjson"}

PROBE = """
import sys
if {absent!r}:
    class Absent:
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] in {absent!r}:
                raise ModuleNotFoundError(name)
    sys.meta_path.insert(0, Absent())
from verify.cli import main
status = main(sys.argv[1:])
print(*sorted(sys.modules), file=sys.stderr)
sys.exit(status)
"""


def loaded(bench: Bench, book: Book, absent: tuple[str, ...] = ()) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROBE.format(absent=absent), bench.write(book), "-k", bench.path("key.pub")],
        check=False, capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("verified: ")
    return set(done.stderr.split())


def test_a_verification_loads_attest_and_nothing_else_of_ours(bench: Bench, book: Book) -> None:
    tops = {name.partition(".")[0] for name in loaded(bench, book)}
    assert not tops & {*FORBIDDEN, *NOT_AT_ONCE}
    assert {"attest", "verify"} <= tops
    known = set(sys.stdlib_module_names) | {"__main__", "attest", "verify"} | THIRD_PARTY
    # What a site's .pth files load has a leading underscore or belongs to the tests' own environment.
    others = {name for name in tops - known if not name.startswith(("_", "sitecustomize"))}
    assert others <= MAY_BE


@pytest.mark.parametrize(
    "program",
    [
        "from verify.cli import main",
        "from verify import pins, verify",
        worker_pool._PROGRAM.replace(" main()", "").format(path=[*sys.path, ROOT]),
    ],
    ids=["command", "library", "worker"],
)
def test_what_hashes_each_entry_is_the_library_that_is_quicker_for_it(program: str) -> None:
    program += "\nfrom attest import hashing; print(type(hashing.running()).__module__)"
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=ROOT
    )
    assert done.stdout == "_hashlib\n"


def test_it_runs_where_what_only_linux_has_is_absent(bench: Bench, book: Book) -> None:
    loaded(
        bench,
        book,
        (
            "landlock",
            "pyseccomp",
            "seccomp",
            "sqlalchemy",
            "alembic",
            "runtime",
            "store",
            "resource",
            "pwd",
            "grp",
        ),
    )


@pytest.mark.parametrize("form", [name for name in formats.NAMES if name != "parquet"])
def test_an_export_loads_what_a_verification_does_and_its_own_format(
    bench: Bench, book: Book, form: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROBE.format(absent=()), "export", bench.write(book), "-k",
         bench.path("key.pub"), "--to", form, "--out", bench.path("exported")],
        check=False, capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    modules = set(done.stderr.split())
    tops = {name.partition(".")[0] for name in modules}
    assert not tops & set(FORBIDDEN)
    known = set(sys.stdlib_module_names) | {"__main__", "attest", "verify"} | THIRD_PARTY
    assert not {name for name in tops - known if not name.startswith(("_", "sitecustomize"))} - MAY_BE


WATCH = """
import os, sys
seen = []
LOUD = ("socket.", "subprocess.", "os.exec", "os.posix_spawn", "os.fork", "os.remove", "os.rename")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
def hook(event, arguments):
    if event.startswith(LOUD):
        seen.append(event)
    elif event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING:
        seen.append(f"open {arguments[0]}")
from verify.cli import main
sys.addaudithook(hook)
status = main(sys.argv[1:])
print(*seen, file=sys.stderr)
sys.exit(status)
"""


def test_it_reaches_no_network_starts_nothing_and_writes_nothing(bench: Bench, book: Book) -> None:
    done = subprocess.run(
        [sys.executable, "-B", "-c", WATCH, bench.write(book), "-k", bench.path("key.pub")],
        check=False, capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "\n")


def test_the_front_door_is_honest() -> None:
    assert len(set(verify.__all__)) == len(verify.__all__)
    for name in verify.__all__:
        assert getattr(verify, name) is not None
    public = {
        name
        for name, value in vars(verify).items()
        if not name.startswith("_") and getattr(value, "__module__", "verify.").startswith("verify.")
        and type(value).__name__ != "module"
    }  # fmt: skip
    assert public - {"CODES", "TYPE_CHECKING"} == set(verify.__all__) - {"CODES"}
