"""Calls that are timed inside one fresh interpreter, block by block, when they are asked for.

The programs are those in ``programs/``; each prepares itself and then serves (``programs/serving.py``).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Self

from measuring import BenchmarkError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PROGRAMS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "programs")


class Worker:
    """One program that serves.

    Args:
        program: its file name in ``programs/``.
        arguments: its arguments.
        environment: its environment variables.
        inside: the command in whose place it runs, as in ``env VARIABLE=VALUE``.
    """

    def __init__(
        self, program: str, *arguments: str, environment: Mapping[str, str], inside: Sequence[str] = ()
    ) -> None:
        self._name = program
        self._process = subprocess.Popen(
            [*inside, sys.executable, os.path.join(PROGRAMS, program), *arguments],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def sample(self, times: int) -> list[float]:
        """Let it make its call some times; return the seconds of each.

        Raises:
            BenchmarkError: it ended instead.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(f"{times}\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise BenchmarkError(f"{self._name} ended with {self._process.wait()}")
        seconds: list[float] = json.loads(answer)
        return seconds

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._process:
            if self._process.stdin is not None:
                self._process.stdin.close()
