"""A temporary directory with everything that a measured program keeps, apart from what the user has."""

from __future__ import annotations

import os
import shutil
import sysconfig
import tempfile
from typing import TYPE_CHECKING, Self

from measuring import BenchmarkError

if TYPE_CHECKING:
    from collections.abc import Mapping


class Workspace:
    """A directory of its own, with XDG directories in it; gone when it is left.

    Attributes:
        path: the directory.
        environment: environment variables for the programs that are measured.
    """

    def __init__(self) -> None:
        self.path = tempfile.mkdtemp(prefix="nono-bench-")
        self.environment: Mapping[str, str] = {
            "HOME": self.directory("home"),
            "LANG": "C.UTF-8",
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            **{f"XDG_{kind}_HOME": self.directory(kind.lower()) for kind in ("CACHE", "CONFIG", "STATE")},
        }

    def directory(self, name: str) -> str:
        """Return the path of a directory in it, made when it is missing."""
        path = os.path.join(self.path, name)
        os.makedirs(path, 0o700, exist_ok=True)
        return path

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.path)


def installed_command(name: str) -> str:
    """Return the path of a command that is installed beside this Python.

    Raises:
        BenchmarkError: it is not there, or its interpreter is a script (a version manager's shim), whose
            own start would be measured with it.
    """
    path = os.path.join(sysconfig.get_path("scripts"), name)
    try:
        with open(path, "rb") as file:
            first = file.readline()
    except OSError as error:
        raise BenchmarkError(f"{path}: {error.strerror}") from None
    interpreter = os.path.realpath(first.removeprefix(b"#!").split(maxsplit=1)[0])
    with open(interpreter, "rb") as file:
        if file.read(2) == b"#!":
            raise BenchmarkError(f"{path} runs under {os.fsdecode(interpreter)}, which is a script itself")
    return path
