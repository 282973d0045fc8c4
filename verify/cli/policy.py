"""``nono-verify policy``: what a policy file says, before a ledger is held against it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from verify import policy, policy_words, render
from verify.cli.failures import not_checked
from verify.cli.parsing import Parser, asked_format
from verify.cli.streams import NOT_CHECKED, complain, write
from verify.errors import NotCheckedError

if TYPE_CHECKING:
    from attest.canonical import Json
    from attest.errors import NonoError
    from verify.errors import UsageError

_FORMATS = ("text", "json")

_EXIT_CODES = """\
exit codes:
  0  it is a policy
  2  it is none, requires nothing, or cannot be read; usage
"""

_EPILOG = """\
A policy is a TOML file: what holds for [every] launch, what at least one launch shows for each [[require]],
what is asked of the [ledger], and what to [accept] that would not pass by itself. Three worked ones are in
the project's docs/policies. A ledger file that is called policy is ./policy.

  version = 1
  [every]
  network = "blocked"
  no_grant_under = ["/home", "/root"]
  [[require]]
  labels = { job = "release" }
  exit = [0]
  outputs = ["*.whl"]

{exit_codes}
examples:
  nono-verify policy check release.toml
  nono-verify policy explain release.toml
  nono-verify policy schema > policy.schema.json     for an editor
  nono-verify ledger.db -k ci.pub --policy release.toml
"""


def parser() -> Parser:
    """Return the parser of the arguments."""
    found = Parser(
        "nono-verify policy",
        description="What a policy file says.",
        epilog=_EPILOG.replace("{exit_codes}", _EXIT_CODES),
    )
    actions = found.add_subparsers(title="commands", dest="action", required=True, metavar="COMMAND")
    for name, what in (
        ("check", "say whether files are policies"),
        ("explain", "say in words what policies require"),
    ):
        action = actions.add_parser(
            name,
            help=what,
            description=f"{what.capitalize()}.",
            epilog=f"{_EXIT_CODES}\nexample:\n  nono-verify policy {name} release.toml\n",
        )
        action.add_argument("file", metavar="FILE", nargs="+", help="a policy file")
        action.add_argument("--format", choices=_FORMATS, default="text", help="how it is written")
    actions.add_parser(
        "schema",
        help="print the JSON Schema of policies",
        description="Print the JSON Schema of policies, for an editor.",
        epilog=(
            "exit codes:\n  0  done\n  2  usage\n\n"
            "example:\n  nono-verify policy schema > policy.schema.json\n"
        ),
    )
    return found


def run(arguments: list[str]) -> int:
    """Check or explain policies; return the exit code."""
    options = parser().parse_args(arguments)
    if options.action == "schema":
        write(policy.schema_text())
        return 0
    status, documents = 0, []
    for path in options.file:
        try:
            found = policy.read(path)
        except NotCheckedError as error:
            status = NOT_CHECKED
            documents.append(_failed(path, error))
            if options.format == "text":
                complain(render.as_text(not_checked(error)))
            continue
        sentences = policy_words.sentences(found)
        documents.append({"file": path, "sha256": found.sha256, "requires": [*sentences], "error": None})
        if options.format == "text":
            write(_as_text(path, sentences, explained=options.action == "explain"))
    if options.format == "json":
        write(
            "".join(json.dumps(each, ensure_ascii=True, separators=(",", ":")) + "\n" for each in documents)
        )
    return status


def refuse(arguments: list[str], error: UsageError) -> None:
    """Say that the arguments cannot be understood, in the format that they ask for."""
    if asked_format(arguments, _FORMATS) == "json":
        write(json.dumps(_failed(None, error), separators=(",", ":")) + "\n")
    else:
        complain(render.as_text(not_checked(error)))


def _failed(path: str | None, error: NonoError) -> dict[str, Json]:
    return {
        "file": path,
        "sha256": None,
        "requires": None,
        "error": {"code": error.code, "message": str(error)},
    }


def _as_text(path: str, sentences: list[str], *, explained: bool) -> str:
    lines = [f"{path}:", *(f"  - {each}" for each in sentences)] if explained else [f"{path}: a policy"]
    return "".join(f"{render.printable(line)}\n" for line in lines)
