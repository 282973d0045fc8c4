"""Command lines as they stand in help texts and documents, taken apart as a shell would."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from generate import parsers

if TYPE_CHECKING:
    import argparse

_FENCE = re.compile(r"^ *```[a-z]*\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
_FENCE_IN_A_LANGUAGE = re.compile(r"^ *```([a-z]*)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
_OF_SHELLS = ("", "sh")
_PROMPT = "$ "
_INLINE = re.compile(r"`([^`\n]+)`")
_EXAMPLES = re.compile(r"^examples?:\n((?: .*\n|\n(?= ))+)", re.MULTILINE)
_DRAWING = re.compile("[\u2500-\u257f]")
_OPERATORS = frozenset({"|", "||", "&&", ";", "&", "(", ")", "<(", ">("})
_REDIRECTIONS = re.compile(r"[<>]+&?")


def of_document(text: str) -> list[list[str]]:
    """Return the words of every command line of ours in the blocks of a document in Markdown."""
    blocks = [block for block in _FENCE.findall(text) if not _DRAWING.search(block)]
    return [words for block in blocks for line in _joined(block) for words in of_line(line)]


def typed(text: str) -> list[str]:
    """Return what a reader of a document types into a shell: blocks with a command of ours, line by line.

    Of a block with prompts these are the lines behind them, without what was printed. Comments are left out.
    """
    found = []
    for language, block in _FENCE_IN_A_LANGUAGE.findall(text):
        if language not in _OF_SHELLS:
            continue
        lines = [line for line in _joined(block) if line.strip()]
        prompted = [line.removeprefix(_PROMPT) for line in lines if line.startswith(_PROMPT)]
        if any(map(of_line, prompted or lines)) and not _DRAWING.search(block):
            found += [re.split(r" {2,}# | # ", line)[0].rstrip() for line in prompted or lines]
    return found


def mentioned(text: str) -> list[list[str]]:
    """Return the words of what of ours is named within the text of such a document, whole or not."""
    text = _FENCE.sub("", text)
    return [words for found in _INLINE.findall(text) for words in of_line(found.replace("|", "\x1f"))]


def of_epilog(text: str) -> list[str]:
    """Return the examples of a help text: command lines, without what is said beside them."""
    return [
        re.split(r" {2,}", line.strip())[0]
        for block in _EXAMPLES.findall(text)
        for line in _joined(block)
        if line.strip()
    ]


def of_line(line: str) -> list[list[str]]:
    """Return the words of each command of ours in a line, ``$(…)`` within it included."""
    found = [words for inner in re.findall(r"\$\(([^()]*)\)", line) for words in of_line(inner)]
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    try:
        tokens = list(lexer)
    except ValueError:  # a sentence with an apostrophe, no command line
        return found
    words: list[str] = []
    skip = False
    for token in [*tokens, ";"]:
        if token in _OPERATORS:
            while words and re.match("[A-Z_]+=", words[0]):
                words.pop(0)
            if words and words[0] in parsers.PROGRAMS:
                found.append(words)
            words = []
        elif _REDIRECTIONS.fullmatch(token):
            if words and words[-1].isdecimal():
                words.pop()
            skip = True
        elif skip:
            skip = False
        else:
            words.append(token)
    return found


def flags_that_are_none(words: list[str]) -> list[str]:
    """Return the words of what is mentioned that its parser does not know: commands, and flags of them."""
    program, *rest = words
    tree = parsers.tree(program)
    paths = [program]
    unknown = []
    for word in rest:
        if word == "--":
            break
        if word.startswith("-"):
            flag = word.partition("=")[0]
            if not all(_knows(tree[path], flag) for path in paths):
                unknown.append(flag)
        elif any(parsers.subcommands(tree[path]) or path == program == "nono-verify" for path in paths):
            below = [f"{paths[0]} {each}" for each in word.split("\x1f")]
            if all(each in tree for each in below):
                paths = below
            elif program == "nono" and re.fullmatch("[a-z\x1f]+", word):
                unknown.append(word.replace("\x1f", "|"))
    return unknown


def _knows(parser: argparse.ArgumentParser, flag: str) -> bool:
    return flag in parser._option_string_actions


def _joined(block: str) -> list[str]:
    return re.sub(r"\\\n\s*", " ", block).splitlines()
