"""``nono profile``: which profiles there are, what they come to, and new ones."""

from __future__ import annotations

import itertools
import os
import textwrap
from typing import TYPE_CHECKING, Any

from attest.printable_text import printable
from runtime.capability.tool_groups import GROUPS
from runtime.cli import complain, profile_making
from runtime.cli.audit_document import write_document
from runtime.cli.profile_facts import document, facts, group_document, is_built_in
from runtime.cli.published_schemas import add_schema_command
from runtime.cli.subcommand import add_command
from runtime.cli.terminal import columns, write_lines
from runtime.errors import ProfileError, UsageError
from runtime.kernel.path_names import shown
from runtime.policy.document_words import did_you_mean
from runtime.policy.profile import named_profiles, read_profile, users_directory
from store import locations

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator

    from attest.errors import NonoError
    from runtime.cli.profile_facts import Fact
    from runtime.policy.profile import Profile

EPILOG = """\
A profile is named by a name (nono profile list shows them) or by a path, which has a slash or ends in .json
or .jsonc. With nono run it is -p NAME or -p PATH.

examples:
  nono profile list                              the built-in ones, and yours
  nono profile show claude-code                  what it comes to, and which file says so
  nono profile init mine --extends python-dev    a file of your own to edit
  nono profile validate .nono/build.jsonc        whether files can be used
  nono profile groups node_caches                what a group grants
"""

_LIST_EPILOG = """\
--json writes one object, whose form nono profile schema list prints.

example:
  nono profile list
"""

_SHOW_EPILOG = """\
Behind each line stands the file that says it. Of the variables that it sets, the names are shown.

--json writes one object, whose form nono profile schema show prints; "said_by" names the files that say a
thing, "default" what holds without one.

examples:
  nono profile show python-dev
  nono profile show ./build.jsonc --json
"""

_VALIDATE_EPILOG = """\
Each file is read with all that it extends. Whether what it grants may be granted is judged by each launch,
since that depends on where it is: nono run -p FILE --dry-run -- COMMAND.

--json writes one object, whose form nono profile schema validate prints. The exit code is 1 when one of them
cannot be used.

example:
  nono profile validate .nono/*.jsonc
"""

_DIFF_EPILOG = """\
What only the first one comes to has a minus, what only the second one does a plus. Of variables that are set
to different values, the names are shown. The exit code does not depend on whether they differ.

--json writes one object, whose form nono profile schema diff prints.

example:
  nono profile diff python-dev ./build.jsonc
"""

_GROUPS_EPILOG = """\
Default groups are in force in each launch; a profile includes others, and excludes what is not required:
"groups": {"include": ["python_runtime"], "exclude": ["system_configuration"]}

--json writes one object, whose form nono profile schema groups prints.

examples:
  nono profile groups
  nono profile groups rust_caches rust_runtime
"""

_SCHEMA_EPILOG = """\
Each is a JSON Schema (draft 2020-12): file of a profile, for editors and for checks of your own; the others
of what those commands write with --json.

examples:
  nono profile schema > profile.schema.json
  nono profile schema show
"""

_LISTED = frozenset({"inherited", "not inherited", "set"})
_WIDTH = 90

_SCHEMAS = {
    "file": "profile",
    **{name: f"profile-{name}" for name in ("list", "show", "validate", "diff", "groups")},
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the commands of ``nono profile`` and their flags."""
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    listing = add_command(commands, "list", "list the built-in profiles and yours", _LIST_EPILOG, _list)
    _add_json(listing)

    showing = add_command(commands, "show", "show what a profile comes to", _SHOW_EPILOG, _show)
    showing.add_argument("profile", metavar="PROFILE", help="a name or a path")
    _add_json(showing)

    validating = add_command(
        commands, "validate", "say whether profiles can be used", _VALIDATE_EPILOG, _validate
    )
    validating.add_argument("files", metavar="FILE", nargs="+", help="a path or a name")
    _add_json(validating)

    profile_making.add_init(commands)

    comparing = add_command(
        commands, "diff", "show in what two profiles differ, resolved", _DIFF_EPILOG, _diff
    )
    comparing.add_argument("first", metavar="A", help="a name or a path")
    comparing.add_argument("second", metavar="B", help="a name or a path")
    _add_json(comparing)

    grouping = add_command(commands, "groups", "show what groups grant and deny", _GROUPS_EPILOG, _groups)
    grouping.add_argument("names", metavar="GROUP", nargs="*", help="only these")
    _add_json(grouping)

    add_schema_command(commands, _SCHEMAS, _SCHEMA_EPILOG, default="file")


def run(arguments: argparse.Namespace) -> int:
    """Do what was asked and return the exit code.

    Raises:
        NonoError: a profile cannot be used, or there is none of that name.
    """
    status: int = arguments.act(arguments)
    return status


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="write one JSON object")


def _read(named: str) -> Profile:
    if not named:
        raise UsageError("a profile is named by an empty word", hint="is a variable not set?")
    return read_profile(os.fsencode(named), locations.config_directory())


# --- list -----------------------------------------------------------------------------------------


def _list(arguments: argparse.Namespace) -> int:
    config = locations.config_directory()
    places = named_profiles(config)
    own = {place.name for place in places if not place.built_in}
    rows: list[dict[str, Any]] = []
    for place in places:
        if place.built_in and place.name in own:
            continue  # the user's is the one that the name means
        row: dict[str, Any] = {
            "name": place.name.decode("ascii"),
            "path": os.fsdecode(place.path).encode("utf-8", "surrogateescape").decode("utf-8", "replace"),
            "built_in": place.built_in,
            "description": None,
            "shadows_built_in": not place.built_in
            and any(other.built_in and other.name == place.name for other in places),
            "error": None,
        }
        try:
            row["description"] = read_profile(place.name, config).chain[-1].description
        except ProfileError as error:
            row["error"] = _message(error)
        rows.append(row)
    if arguments.json:
        write_document({"profiles": rows})
    else:
        write_lines(
            columns(
                [
                    (
                        row["name"],
                        "built-in" if row["built_in"] else "yours",
                        row["description"] if row["error"] is None else f"CANNOT BE USED: {row['error']}",
                    )
                    for row in rows
                ]
            )
        )
        if not own:
            write_lines(["", f"yours go into {shown(users_directory(config))}: nono profile init NAME"])
    return 1 if any(row["error"] is not None for row in rows) else 0


# --- show and diff --------------------------------------------------------------------------------


def _show(arguments: argparse.Namespace) -> int:
    profile = _read(arguments.profile)
    if arguments.json:
        write_document(document(profile))
        return 0
    last = profile.chain[-1]
    rows = [("profile", f"{shown(last.name)}{': ' if last.description else ''}{last.description}")]
    for file in profile.chain:
        where = "built-in" if is_built_in(file) else shown(file.path)
        rows.append(("made of", f"{shown(file.name)}  {where}  sha256 {file.sha256}"))
    rows += _rows(facts(profile))
    previous = None
    named = []
    for section, text in rows:
        named.append(("" if section == previous else section, text))
        previous = section or previous
    write_lines(line.rstrip() for line in columns(named))
    return 0


def _rows(said: Iterable[Fact]) -> Iterator[tuple[str, str]]:
    """Yield a row for each fact; names that the same files say of the environment share their lines."""
    for (section, by), group in itertools.groupby(said, key=lambda fact: (fact.section, _said_by(fact))):
        if section not in _LISTED:
            yield from ((section, f"{fact.text}  {by}") for fact in group)
            continue
        for line in textwrap.wrap(" ".join(fact.text for fact in group), _WIDTH):
            yield section, f"{line}  {by}"


def _diff(arguments: argparse.Namespace) -> int:
    first, second = (
        {fact[:2] + fact[3:]: fact for fact in facts(_read(named)) if fact.section}
        for named in (arguments.first, arguments.second)
    )
    gone = [fact for key, fact in first.items() if key not in second]
    new = [fact for key, fact in second.items() if key not in first]
    if arguments.json:
        write_document(
            {
                "same": not gone and not new,
                "only_first": [_fact_document(fact) for fact in gone],
                "only_second": [_fact_document(fact) for fact in new],
            }
        )
    elif not gone and not new:
        write_lines([f"{printable(arguments.first)} and {printable(arguments.second)} come to the same"])
    else:
        rows = [("-", fact.section, fact.text, _said_by(fact)) for fact in gone]
        rows += [("+", fact.section, fact.text, _said_by(fact)) for fact in new]
        write_lines(line.rstrip() for line in columns(rows))
    return 0


def _said_by(fact: Fact) -> str:
    return f"({', '.join(fact.said_by)})" if fact.said_by else ""


def _fact_document(fact: Fact) -> dict[str, Any]:
    return {"section": fact.section, "text": fact.text, "said_by": [*fact.said_by]}


# --- validate -------------------------------------------------------------------------------------


def _validate(arguments: argparse.Namespace) -> int:
    rows: list[dict[str, Any]] = []
    for file in arguments.files:
        row: dict[str, Any] = {"file": _text(file), "valid": True, "chain": [], "error": None}
        try:
            chain = _read(file).chain
            row["chain"] = [_text(os.fsdecode(each.name)) for each in chain]
        except ProfileError as error:
            row["valid"] = False
            hint = None if error.hint is None else _text(error.hint)
            row["error"] = {"code": error.code, "message": _message(error), "hint": hint}
            if not arguments.json:
                complain(str(error), error.hint)
        rows.append(row)
    if arguments.json:
        write_document({"profiles": rows})
    else:
        write_lines(f"{row['file']}: {'valid' if row['valid'] else 'not valid'}" for row in rows)
    return 0 if all(row["valid"] for row in rows) else 1


def _message(error: NonoError) -> str:
    return _text(str(error))


def _text(text: str) -> str:
    # A path that is not UTF-8 can stand in it, and JSON has no form for that in a text.
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


# --- groups ---------------------------------------------------------------------------------------


def _groups(arguments: argparse.Namespace) -> int:
    for name in arguments.names:
        if name not in GROUPS:
            raise ProfileError(
                f"no group is called {printable(name)}",
                code="profile.no_group",
                hint=did_you_mean(name, tuple(GROUPS)),
            )
    groups = [GROUPS[name] for name in arguments.names or GROUPS]
    documents = [group_document(group) for group in groups]
    if arguments.json:
        write_document({"groups": documents})
        return 0
    if not arguments.names:
        rows = [
            (
                group.name,
                "required" if group.required else "default" if said["default"] else "",
                group.description,
            )
            for group, said in zip(groups, documents, strict=True)
        ]
        write_lines(columns(rows))
        return 0
    lines = []
    for group, said in zip(groups, documents, strict=True):
        kind = (
            "required"
            if group.required
            else "a default"
            if said["default"]
            else "to be included by a profile"
        )
        lines += [f"{group.name}: {group.description} ({kind})", f"  sha256 {said['sha256']}"]
        lines += [f"  {grant.access:<9} {shown(grant.path)}" for grant in group.grants]
        lines += [f"  denied    ~/{shown(path)}" for path in group.denies]
    write_lines(lines)
    return 0
