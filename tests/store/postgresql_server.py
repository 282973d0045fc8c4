"""A PostgreSQL server of our own: made, started and stopped by the tests, in a directory of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

_START_SECONDS = 60.0


class PostgresqlServer:
    """A running server; it listens on a unix socket alone.

    Skips the test where PostgreSQL is not installed, and fails it where that must not be (``CI=true``).
    """

    def __init__(self) -> None:
        programs = _programs()
        # It refuses to run as root, so then somebody else must own the directory.
        user = _other_user() if os.geteuid() == 0 else None
        self._directory = Path(tempfile.mkdtemp(prefix="nono-pg-", dir="/tmp"))  # a socket's path is short
        if user is not None:
            os.chown(self._directory, user, -1)
        self._databases = 0
        initialize: list[str | Path] = [
            programs / "initdb",
            "--auth=trust",
            "--username=nono",
            "--no-sync",
            "--encoding=UTF8",
        ]
        # Text is not compared byte by byte there, as on most servers that people have.
        initialize += ["--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US"]
        data = self._directory / "data"
        done = subprocess.run(
            [*initialize, "-D", data], user=user, cwd="/", capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            shutil.rmtree(self._directory)
            pytest.fail(f"initdb: {done.stderr}")
        serve: list[str | Path] = [
            programs / "postgres",
            "-D",
            data,
            "-k",
            self._directory,
            "-c",
            "listen_addresses=",
        ]
        with (self._directory / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [*serve, "-c", "fsync=off"], user=user, cwd="/", stdout=log, stderr=log
            )

    def database(self) -> str:
        """Make a database and return its URL."""
        self._databases += 1
        name = f"index{self._databases}"
        with psycopg.connect(self._connection("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return f"postgresql+psycopg://nono@/{name}?host={self._directory}"

    def __enter__(self) -> Self:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                psycopg.connect(self._connection("postgres")).close()
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    log = (self._directory / "log").read_text(errors="replace")
                    self.__exit__(None, None, None)
                    pytest.fail(f"PostgreSQL does not start: {log}")
                time.sleep(0.05)
            else:
                return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.send_signal(signal.SIGINT)  # the "fast shutdown" of postgres(1)
        self._process.wait()
        shutil.rmtree(self._directory)

    def _connection(self, database: str) -> str:
        return f"host={self._directory} user=nono dbname={database}"


def _programs() -> Path:
    """Return the directory of the newest server's programs."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]), reverse=True
    )
    on_path = shutil.which("initdb")
    if found:
        return found[0].parent
    if on_path is not None:
        return Path(on_path).resolve().parent
    reason = "PostgreSQL is not installed (Debian: apt-get install postgresql)"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def _other_user() -> int:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_uid
        except KeyError:
            continue
    pytest.fail("no user whom a server could run as")
