"""Manual pages in man(7), one for each parser: what ``--help`` says, in the sections that readers expect.

The epilogs of the parsers have a plain form, which is read here: a line ``examples:`` or ``exit codes:``
heads the indented lines beneath it; what is indented without such a line is shown as it is; all else is text.
"""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING

from attest import __version__
from generate import parsers

if TYPE_CHECKING:
    from collections.abc import Iterator

SECTION = 1

_TITLES = {"example": "EXAMPLES", "examples": "EXAMPLES", "exit codes": "EXIT STATUS"}
_LAST = ("EXIT STATUS", "EXAMPLES")
_UNTITLED = frozenset({"positional arguments", "options", "commands"})
_HEADING = re.compile(r"([a-z][a-z -]*):( .*)?")
_ITEM = re.compile(r"(\S+)  +(\S.*)")
_INDENT = "  "
_SPECIAL = {"\\": r"\(rs", "-": r"\-", "'": r"\(aq", "`": r"\(ga", "^": r"\(ha", "~": r"\(ti"}


def pages(program: str) -> dict[str, str]:
    """Return the pages of one of ``parsers.PROGRAMS`` by their names, such as ``nono-audit-list``."""
    tree = parsers.tree(program)
    return {path.replace(" ", "-"): _page(path, parser, tree) for path, parser in tree.items()}


def _page(path: str, parser: argparse.ArgumentParser, tree: parsers.Tree) -> str:
    name = path.replace(" ", "-")
    description = parser.description or ""
    summary = description.partition(": ")[0].rstrip(".")
    sections = _sections(parser.epilog or "")
    below = [each for each in tree if each.startswith(f"{path} ") and " " not in each[len(path) + 1 :]]
    lines = [
        r".\" Made from the program's own help by make generated.",
        f'.TH {name.upper()} {SECTION} "" "nono {__version__}" "nono"',
        ".SH NAME",
        f"{_text(name)} \\- {_text(summary[:1].lower() + summary[1:])}",
        ".SH SYNOPSIS",
        *_synopsis(path, parser, commands=bool(below)),
        ".SH DESCRIPTION",
        _line(description),
        *sections.pop("", []),
        *_commands(path, below, tree),
        *_options(parser),
    ]
    for title in sorted(sections, key=lambda each: _LAST.index(each) if each in _LAST else -1):
        body = sections[title]
        lines += [f".SH {_text(title)}", *(body[1:] if body[0] == ".PP" else body)]
    lines += [".SH SEE ALSO", _see(path, below)]
    return "\n".join(lines) + "\n"


# --- the parser -----------------------------------------------------------------------------------


def _synopsis(path: str, parser: argparse.ArgumentParser, *, commands: bool) -> list[str]:
    words = [_bold(path)]
    actions = [each for each in parser._actions if each.help != argparse.SUPPRESS]  # noqa: SLF001  # as everywhere
    if any(each.option_strings for each in actions):
        words.append("[" + _italic("OPTION") + "]...")
    words += [
        _positional(each)
        for each in actions
        if not each.option_strings and not isinstance(each, argparse._SubParsersAction)  # noqa: SLF001
    ]
    found = [" ".join(words)]
    if commands:
        asked = " ".join([_bold(path), _italic("COMMAND"), "..."])
        # What has only --help beside its commands is not typed without one.
        found = [*found, ".br", asked] if len(words) > 2 or "--version" in parser.format_usage() else [asked]
    return found


def _positional(action: argparse.Action) -> str:
    if action.nargs == argparse.REMAINDER:
        return _text(str(action.metavar))
    shown = _value(action)
    if action.nargs == argparse.ZERO_OR_MORE:
        return f"[{shown}...]"
    if action.nargs == argparse.OPTIONAL:
        return f"[{shown}]"
    return f"{shown}..." if action.nargs == argparse.ONE_OR_MORE else shown


def _value(action: argparse.Action) -> str:
    """Return what stands for an action's value in its usage: a word for each, or all that there are."""
    if action.metavar is None and action.choices is not None:
        return "{" + ",".join(_bold(str(each)) for each in action.choices) + "}"
    named = action.metavar or (action.dest.upper() if action.option_strings else action.dest)
    return " ".join(_italic(each) for each in ([named] if isinstance(named, str) else named))


def _commands(path: str, below: list[str], tree: parsers.Tree) -> Iterator[str]:
    if not below:
        return
    yield ".SH COMMANDS"
    for each in below:
        yield ".TP"
        yield _bold(each)
        yield _line(tree[each].description or "")
    yield ".PP"
    yield f"Each has a page of its own: \\fBman {_text(path.replace(' ', '-'))}\\-\\fICOMMAND\\fR."


def _options(parser: argparse.ArgumentParser) -> Iterator[str]:
    headed = False
    for group in parser._action_groups:  # noqa: SLF001  # argparse shows its groups nowhere else
        actions = [
            each
            for each in group._group_actions  # noqa: SLF001  # nor what is in them
            if each.help != argparse.SUPPRESS and not isinstance(each, argparse._SubParsersAction)  # noqa: SLF001
        ]
        if not actions:
            continue
        if not headed:
            yield ".SH OPTIONS"
            headed = True
        elif group.title and group.title not in _UNTITLED:
            yield f".SS {_text(group.title[:1].upper() + group.title[1:])}"
        for action in actions:
            yield ".TP"
            yield _invocation(action)
            yield _line((action.help or "") % {**vars(action), "prog": parser.prog})


def _invocation(action: argparse.Action) -> str:
    if not action.option_strings:
        return _value(action)
    value = "" if action.nargs == 0 else f" {_value(action)}"
    return ", ".join(_bold(each) for each in action.option_strings) + value


def _see(path: str, below: list[str]) -> str:
    program, *words = path.split()
    above = [path.rpartition(" ")[0]] if words else []
    others = [each for each in parsers.PROGRAMS if each != program]
    names = [each.replace(" ", "-") for each in (*above, *below, *others)]
    return ",\n".join(f"\\fB{_text(each)}\\fR({SECTION})" for each in names)


# --- the epilog -----------------------------------------------------------------------------------


def _sections(epilog: str) -> dict[str, list[str]]:
    """Return the lines of each section by its title; those that belong to no other by the empty one."""
    found: dict[str, list[str]] = {}
    title = ""
    for block in re.split(r"\n\s*\n", epilog.strip("\n")):
        lines = block.splitlines()
        if not lines:
            continue
        heading = _HEADING.fullmatch(lines[0])
        if heading is not None and len(lines) > 1 and all(each.startswith(_INDENT) for each in lines[1:]):
            title = _TITLES.get(heading[1], heading[1].upper())
            body = found.setdefault(title, [])
            if heading[2]:
                body += [_line(heading[2].strip() + ".")]
            body += _body(title, [each.removeprefix(_INDENT) for each in lines[1:]])
        elif lines[0].startswith(_INDENT):
            found.setdefault(title, []).extend(_example([each.removeprefix(_INDENT) for each in lines]))
        else:
            title = ""
            found.setdefault(title, []).extend([".PP", *map(_line, lines)])
    return found


def _body(title: str, lines: list[str]) -> list[str]:
    if title == "EXAMPLES":
        return _example(lines)
    if _ITEM.fullmatch(lines[0]) is None:
        return [_line(each) for each in lines]
    found: list[str] = []
    for line in lines:
        item = _ITEM.fullmatch(line)
        found += [".TP", _bold(item[1]), _line(item[2])] if item else [_line(line.strip())]
    return found


def _example(lines: list[str]) -> list[str]:
    return [".PP", ".EX", *map(_line, lines), ".EE"]


# --- roff -----------------------------------------------------------------------------------------


def _text(text: str) -> str:
    """Return a text as roff shows it; nothing in it is an escape or an accent."""
    return "".join(_SPECIAL.get(c, c if c.isascii() else f"\\[u{ord(c):04X}]") for c in text)


def _line(text: str) -> str:
    """Return a text as a line of its own; nothing in it is a request."""
    return ("\\&" if text.startswith((".", "'")) else "") + _text(text)


def _bold(text: str) -> str:
    return f"\\fB{_text(text)}\\fR"


def _italic(text: str) -> str:
    return f"\\fI{_text(text)}\\fR"
