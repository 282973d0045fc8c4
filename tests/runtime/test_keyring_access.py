"""Keys in a keyring: real back ends of the ``keyring`` library, also those that never answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from attest import extras
from attest.keys import SigningKey
from runtime.secrets.keyring_access import LIMIT_SECONDS

ROOT = Path(__file__).parents[2]
KEY = SigningKey(b"\x05" * 32)

BACK_END = """
import os, subprocess, sys, time
from keyring.backend import KeyringBackend

class Base(KeyringBackend):
    priority = 1
    def set_password(self, service, username, password): raise NotImplementedError
    def delete_password(self, service, username): raise NotImplementedError

class Plain(Base):
    def get_password(self, service, username):
        print("a back end that talks", flush=True)
        found = {("nono", "ci"): "KEY", ("a/b c", "ci"): "KEY", ("nono", "text"): "no key"}
        kept = found.get((service, username))
        return open(os.environ["KEY_FILE"]).read() if kept == "KEY" else kept

class Hanging(Base):
    def get_password(self, service, username):
        helper = subprocess.Popen(["sleep", "600"])
        with open(os.environ["MARK"], "w") as file:
            file.write(f"{os.getpid()} {helper.pid}")
        while True:
            time.sleep(60)

class Deaf(Hanging):
    def get_password(self, service, username):
        import signal
        signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals))
        super().get_password(service, username)

class Failing(Base):
    def get_password(self, service, username):
        raise RuntimeError("locked \\x1b[31m" + "x" * 1000)

class Dying(Base):
    def get_password(self, service, username):
        os.kill(os.getpid(), 9)

class Lengthy(Base):
    def get_password(self, service, username):
        return "x" * (1 << 20)
"""

CODE = """
import json, sys
sys.path[:0] = sys.argv[1:3]
if sys.argv[4] == "without the library":
    sys.modules["keyring"] = None
from runtime.secrets import signing_key
from runtime.errors import SigningKeyError
try:
    said = {"key": signing_key.resolve(sys.argv[3]).key.public.fingerprint()}
except SigningKeyError as error:
    said = {"message": str(error), "code": error.code, "hint": error.hint}
present = {name for name, module in sys.modules.items() if module}
loaded = sorted({"keyring", "subprocess", "threading"} & present)
print(json.dumps({**said, "loaded": loaded}))
"""

THREAD = """
import threading
threading.Thread(target=threading.Event().wait, daemon=True).start()
"""


@pytest.fixture
def resolve(tmp_path: Path) -> Any:  # a function with options
    (tmp_path / "back_ends.py").write_text(BACK_END)
    key = tmp_path / "key.pem"
    key.write_bytes(KEY.pem())

    def run(reference: str, back_end: str, *, without: str = "", threads: bool = False) -> dict[str, Any]:
        done = subprocess.run(
            [
                sys.executable,
                "-I",
                "-c",
                THREAD + CODE if threads else CODE,
                ROOT,
                tmp_path,
                reference,
                without,
            ],
            env={
                "HOME": str(tmp_path),
                "KEY_FILE": str(key),
                "MARK": str(tmp_path / "mark"),
                "PATH": "/usr/bin:/bin",
                "PYTHON_KEYRING_BACKEND": back_end if "." in back_end else f"back_ends.{back_end}",
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        assert (done.returncode, done.stderr) == (0, "")
        said: dict[str, Any] = json.loads(done.stdout)
        return said

    return run


@pytest.mark.parametrize("reference", ["keyring://nono/ci", "keyring://a/b c/ci"])
def test_a_key_in_a_keyring(resolve: Any, reference: str) -> None:
    said = resolve(reference, "Plain")
    assert said["key"] == KEY.public.fingerprint()
    # Whatever the library and its back end bring along stays in the helper.
    assert said["loaded"] == []


def test_a_program_with_threads_is_not_forked_for_it(resolve: Any, tmp_path: Path) -> None:
    assert resolve("keyring://nono/ci", "Plain", threads=True)["key"] == KEY.public.fingerprint()
    said = resolve("keyring://nono/ci", "Failing", threads=True)
    assert said["code"] == "key.keyring"
    assert "RuntimeError: locked" in said["message"]


def test_what_is_there_is_no_key(resolve: Any) -> None:
    said = resolve("keyring://nono/text", "Plain")
    assert "keyring://nono/text is neither PEM nor base64" in said["message"]


@pytest.mark.parametrize("back_end", ["Plain", "keyring.backends.null.Keyring"])
def test_nothing_is_there(resolve: Any, back_end: str) -> None:
    said = resolve("keyring://nono/other", back_end)
    assert (said["code"], said["message"]) == (
        "key.keyring",
        "the keyring has no password for user other of service nono",
    )


def test_no_back_end_at_all(resolve: Any) -> None:
    said = resolve("keyring://nono/ci", "keyring.backends.fail.Keyring")
    assert said["code"] == "key.keyring"
    assert "NoKeyringError" in said["message"]


@pytest.mark.parametrize("back_end", ["Hanging", "Deaf"])
def test_one_that_never_answers_is_killed_with_all_that_it_started(
    resolve: Any, tmp_path: Path, back_end: str
) -> None:
    began = time.monotonic()
    said = resolve("keyring://nono/ci", back_end)
    elapsed = time.monotonic() - began
    assert said["message"] == "the keyring did not answer within 5 s"
    assert LIMIT_SECONDS <= elapsed < LIMIT_SECONDS + 5
    pids = [int(pid) for pid in (tmp_path / "mark").read_text().split()]
    assert len(pids) == 2
    deadline = time.monotonic() + 5
    while any(_is_alive(pid) for pid in pids):
        assert time.monotonic() < deadline, "something of the keyring is left"
        time.sleep(0.01)


def _is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] != b"Z"
    except OSError:
        return False


@pytest.mark.parametrize(
    ("back_end", "message"),
    [
        ("Failing", "the keyring cannot be asked: RuntimeError: locked \\x1b[31mxxx"),
        ("Dying", "the keyring cannot be asked: it ended without an answer"),
        ("Lengthy", "the keyring cannot be asked: it ended without an answer"),
        ("back_ends.NoSuchOne", "the keyring cannot be asked: "),
    ],
)
def test_one_that_fails(resolve: Any, back_end: str, message: str) -> None:
    said = resolve("keyring://nono/ci", back_end)
    assert said["code"] == "key.keyring"
    assert said["message"].startswith(message)
    assert said["message"].isprintable()
    assert len(said["message"]) < 300
    assert "file:///PATH" in said["hint"]


def test_the_library_is_not_installed(resolve: Any) -> None:
    said = resolve("keyring://nono/ci", "Plain", without="without the library")
    assert said["message"] == "the library for keyrings is not installed"
    assert said["hint"] == extras.hint("keyring")


@pytest.mark.parametrize("reference", ["keyring://", "keyring://x", "keyring:///x", "keyring://x/"])
def test_a_reference_that_names_nothing(resolve: Any, reference: str) -> None:
    assert "names nothing in a keyring" in resolve(reference, "Hanging")["message"]


def test_descriptors_and_children_are_given_back(resolve: Any, tmp_path: Path) -> None:
    code = f"""
import os, sys
sys.path[:0] = [{str(ROOT)!r}, {str(tmp_path)!r}]
from runtime.secrets import signing_key
before = os.listdir("/proc/self/fd")
for _ in range(3):
    signing_key.resolve("keyring://nono/ci")
children = open("/proc/self/task/%d/children" % os.getpid()).read()
print(len(os.listdir("/proc/self/fd")) - len(before), children)
"""
    environment = {"HOME": str(tmp_path), "KEY_FILE": str(tmp_path / "key.pem"), "PATH": os.defpath}
    done = subprocess.run(
        [sys.executable, "-I", "-c", code],
        env={**environment, "PYTHON_KEYRING_BACKEND": "back_ends.Plain"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["0"]
