"""Completions for shells: what shtab makes of the parsers, and what only the shell's own language can say.

The values of flags and arguments are completed by what their help calls them: a DIR, a FILE. A word that
stands in no list here is anything, and nothing is offered for it.
"""

from __future__ import annotations

import argparse
import os
import re

import shtab

from generate import parsers
from runtime import cli as nono_cli
from runtime.capability.tool_groups import GROUPS
from runtime.policy.profile import built_in_names

SHELLS = ("bash", "zsh", "fish")

_FILES = frozenset(
    {
        *("DIGEST|PATH", "ENTRY", "FILE", "KEY", "LEDGER", "NAME|FILE", "OLD", "PATH", "PROOF", "REF"),
        "SOCKET",
    }
)
_DIRECTORIES = frozenset({"DIR"})
_VARIABLES = frozenset({"--key-passphrase-env", "--new-key-passphrase-env"})
_COMMAND = "-- COMMAND [ARGUMENT...]"
_LAUNCHES = frozenset({"SESSION", "WHICH"})

# bash: shtab's own do not quote, so a name with a space would be two.
_FILE = {"bash": "_nono_files", "zsh": "_files", "fish": "(__fish_complete_path (commandline -ct))"}
_DIRECTORY = {"bash": "_nono_dirs", "zsh": "_files -/", "fish": "(__fish_complete_directories)"}
_VARIABLE = {"bash": "_nono_variables", "zsh": "_parameters -g '*export*'", "fish": "(set -nx)"}
_PROFILE = {"bash": "_nono_profiles", "zsh": "_nono_profiles", "fish": "(_nono_profiles)"}
_RUN = {"bash": "_nono_commands", "zsh": "_nono_delegate", "fish": "(_nono_delegate)"}

_FLAG = re.compile("--?[a-z][a-z-]*")
_FLAGS = re.compile(r' +("\*")?(\{[a-z,-]+\}|"\*?--[a-z-]+)')
"""The names at the beginning of a specification: ``"--flag[…]:…"``, ``"*"{-f,--flag}"[…]:…"``."""

_HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "shell")


def completion(program: str, shell: str) -> str:
    """Return the text with which one of :data:`SHELLS` completes one of ``parsers.PROGRAMS``."""
    tree = parsers.tree(program)
    root = _root(program, tree)
    for parser in (root, *tree.values()):
        for action in parser._actions:  # noqa: SLF001  # argparse shows its actions nowhere else
            _say_what_completes(action)
    own = _own(f"{program}.{shell}")
    if shell == "bash":
        # It binds its own function last, so ours come after it.
        return _tidy(f"{shtab.complete(root, shell)}\n\n{_own('values.bash')}\n{own}")
    if shell == "zsh":
        return _tidy(_with_equals(shtab.complete(root, shell, preamble=own)))
    before, after = (own, "") if "function" in own else ("", own)
    return _tidy(f"{shtab.complete(root, shell, preamble=before)}\n{after}")


def _root(program: str, tree: parsers.Tree) -> argparse.ArgumentParser:
    """Return one parser with all that are beneath it; nono-verify's has commands in the ledger's place."""
    given = tree[program]
    root = argparse.ArgumentParser(prog=program, description=given.description, add_help=False)
    for action in given._actions:  # noqa: SLF001  # argparse shows its actions nowhere else
        if action.option_strings:
            root._add_action(action)  # noqa: SLF001  # likewise
    commands = root.add_subparsers(metavar="COMMAND")
    for path, parser in tree.items():
        words = path.split()
        if len(words) == 2:
            commands.add_parser(words[1], help=parser.description)
            commands.choices[words[1]] = parser
    return root


def _say_what_completes(action: argparse.Action) -> None:
    """Mark an action with what completes its value, as shtab wants it."""
    if action.choices or action.nargs == 0:
        return
    found = None
    if _VARIABLES.intersection(action.option_strings):
        found = _VARIABLE
    elif _is_profile(action):
        found = _PROFILE
    elif action.metavar in _FILES:
        found = _FILE
    elif action.metavar in _DIRECTORIES:
        found = _DIRECTORY
    elif action.metavar == _COMMAND:
        found = _RUN
    elif action.metavar in _LAUNCHES:
        action.choices = ("last",)
    elif action.metavar == "GROUP":
        action.choices = tuple(GROUPS)
    elif action.metavar == "COMMAND":
        action.choices = tuple(nono_cli.COMMANDS)
    if found is not None:
        action.complete = found  # type: ignore[attr-defined]  # shtab's way to be told


def _is_profile(action: argparse.Action) -> bool:
    if action.option_strings:
        return action.metavar == "PROFILE" or "--profile" in action.option_strings
    return action.metavar in ("A", "B", "PROFILE")


def _with_equals(script: str) -> str:
    """Let zsh complete ``--flag=value`` and ``-fvalue`` too, which shtab leaves out."""
    lines = []
    for line in script.splitlines():
        names, bracket, rest = line.partition('"[' if "}" in line.partition("[")[0] else "[")
        if _FLAGS.fullmatch(names) and bracket and "]:" in rest:
            names = _FLAG.sub(lambda found: found[0] + ("=" if found[0].startswith("--") else "+"), names)
        lines.append(f"{names}{bracket}{rest}")
    return "\n".join(lines) + "\n"


def _own(name: str) -> str:
    with open(os.path.join(_HERE, name), encoding="utf-8") as file:
        return file.read().replace("@PROFILES@", " ".join(map(os.fsdecode, built_in_names())))


def _tidy(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.splitlines()).rstrip("\n") + "\n"
