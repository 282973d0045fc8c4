"""A build whose every exec is traced: ``make`` of sixty C files, with and without ``--trace-exec``."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from command_launch import run_command
from measuring import Bar, BenchmarkError, Result, Subject, in_turn
from workspace import installed_command

if TYPE_CHECKING:
    from workspace import Workspace

NAME = "traced"
FILES = 60
TRACED = "nono run --trace-exec -- make"
ALLOWED = "nono run --exec-allow /usr -- make"
PLAIN = "nono run -- make"
BARS = (Bar(TRACED, PLAIN, 1.10), Bar(ALLOWED, PLAIN, 1.10))

_MAKEFILE = """\
OBJECTS := $(patsubst %.c,%.o,$(wildcard *.c))
all: clean $(OBJECTS)
clean:
\t@rm -f *.o
$(OBJECTS): clean
%.o: %.c
\tcc -O1 -c -o $@ $<
.PHONY: all clean
"""
_SOURCE = """\
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int f%d(int a) { char b[64]; snprintf(b, sizeof b, "%%d", a); return atoi(b) + (int)strlen(b); }
"""


def measure(workspace: Workspace, *, quick: bool) -> Result:
    """Compile the same files in each way.

    Raises:
        BenchmarkError: there is no ``make`` or no compiler, or a build failed.
    """
    for program in ("make", "cc"):
        if shutil.which(program, path=workspace.environment["PATH"]) is None:
            raise BenchmarkError(f"{program} is not installed")
    project = workspace.directory("traced")
    with open(os.path.join(project, "Makefile"), "w", encoding="utf-8") as file:
        file.write(_MAKEFILE)
    for number in range(FILES):
        with open(os.path.join(project, f"f{number}.c"), "w", encoding="utf-8") as file:
            file.write(_SOURCE % number)
    flags = ["--block-net", "--allow", project, "--workdir", project]
    subjects = []
    for name, more in ((TRACED, ["--trace-exec"]), (ALLOWED, ["--exec-allow", "/usr"]), (PLAIN, [])):
        argv = [installed_command("nono"), "run", *flags, *more, "--", "make", "-s"]
        subjects.append(_subject(name, argv, workspace))
    measured = in_turn(subjects, rounds=3 if quick else 15)
    notes = [f"`make -s` of {FILES} C files, `cc -O1`, one after another: the tracer is in each one's way"]
    return Result(NAME, f"a make of {FILES} C files, whole process", measured, [], BARS, notes)


def _subject(name: str, argv: list[str], workspace: Workspace) -> Subject:
    return Subject(name, lambda times: [run_command(argv, workspace.environment) for _ in range(times)])
