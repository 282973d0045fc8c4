"""``nono config``: what is configured for every launch, whether it can be meant, and its forms."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from attest import canonical
from attest.errors import NonoError
from attest.printable_text import printable
from runtime.cli import complain
from runtime.cli.audit_document import write_document
from runtime.cli.published_schemas import add_schema_command
from runtime.cli.subcommand import add_command
from runtime.cli.terminal import columns, write_lines
from runtime.kernel.path_names import from_here, join, shown
from runtime.policy import configuration_file, system_configuration, user_configuration
from runtime.policy.configuration import (
    FILE_NAME,
    SYSTEM_DIRECTORY,
    Configuration,
    read_configuration,
    read_system_configuration,
)
from store import locations

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from runtime.policy.system_configuration import SystemConfiguration

EPILOG = """\
Two files: the user's has defaults, which flags win over; the system's has what every launch on this host must
keep to, whatever flags and the user's file say.

examples:
  nono config show                          what is in force, and which file says so
  nono config check                         whether launches would take it
  nono config check --system ./host.toml    the same of a file that is not in its place yet
  nono config schema system                 the form, for editors
"""

_SHOW_EPILOG = """\
Before each value stands whose file says it. What the system fixes stands in the place of what the user says.

--json writes one object, whose form nono config schema show prints.

example:
  nono config show
"""

_CHECK_EPILOG = """\
Without FILE, the two files in their places, as a launch reads them: owners and modes too, and the minimum
profile. With FILE, what it says. The exit code is 1 when one of them would refuse launches.

examples:
  nono config check
  nono config check ./mine.toml
"""

_SCHEMA_EPILOG = """\
Each is a JSON Schema (draft 2020-12): user and system of the two files, show of what nono config show --json
writes; of nono run: capabilities of what --config takes, dry-run of what --dry-run --json writes, status of
--status-fd, diagnostics of --diagnostics-json.

example:
  nono config schema capabilities > capabilities.schema.json
"""

_SCHEMAS = {
    "user": "configuration",
    "system": "system-configuration",
    "show": "config-show",
    "capabilities": "capabilities",
    "dry-run": "dry-run",
    "status": "status",
    "diagnostics": "diagnostics",
}

_Row = tuple[str, str, str]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the commands of ``nono config`` and their flags."""
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    showing = add_command(commands, "show", "show what is configured", _SHOW_EPILOG, _show)
    showing.add_argument("--json", action="store_true", help="write one JSON object")

    checking = add_command(commands, "check", "say whether launches would take it", _CHECK_EPILOG, _check)
    checking.add_argument("file", metavar="FILE", nargs="?", help="another file than those in their places")
    checking.add_argument("--system", action="store_true", help="FILE is for the system's place")

    add_schema_command(commands, _SCHEMAS, _SCHEMA_EPILOG, default="user")


def run(arguments: argparse.Namespace) -> int:
    """Do what the command line asks for and return the exit code."""
    status: int = arguments.act(arguments)
    return status


# --- show -----------------------------------------------------------------------------------------


def _show(arguments: argparse.Namespace) -> int:
    user, system = read_configuration(locations.config_directory()), read_system_configuration()
    if arguments.json:
        write_document(
            {
                "user": {
                    "path": canonical.text(user_path()),
                    "sha256": user.sha256,
                    "launch": _said(user.launch),
                    "redaction": user.redaction.difference(),
                },
                "system": {
                    "path": canonical.text(system_path()),
                    "sha256": None if system is None else system.sha256,
                    "policy": {
                        key: value for key, value in _said(system).items() if key not in ("path", "sha256")
                    },
                },
            }
        )
        return 0
    rows = [
        ("file", "user", _file(user_path(), user.sha256)),
        ("file", "system", _file(system_path(), None if system is None else system.sha256)),
        *_settings(user, system),
    ]
    write_lines(line.rstrip() for line in columns(rows))
    return 0


def user_path() -> bytes:
    """Return where the user's file lies."""
    return join(locations.config_directory(), FILE_NAME)


def system_path() -> bytes:
    """Return where the system's file lies."""
    return join(SYSTEM_DIRECTORY, FILE_NAME)


def _file(path: bytes, sha256: str | None) -> str:
    return f"{shown(path)}  {'(no file)' if sha256 is None else f'sha256 {sha256}'}"


def _said(settings: Any) -> dict[str, Any]:  # one of two classes of named tuples, or None
    """Return what a section says, as JSON has it; what is not said, or is so without saying, is left out."""
    if settings is None:
        return {}
    # A default of the user's can be a false that says something; the host's switches are off without it.
    unsaid = settings._field_defaults
    said = {key: value for key, value in settings._asdict().items() if value != unsaid.get(key)}
    return {
        key: dict(value)
        if isinstance(value, tuple)
        else canonical.text(value)
        if isinstance(value, bytes)
        else value
        for key, value in said.items()
    }


def _settings(user: Configuration, system: SystemConfiguration | None) -> Iterator[_Row]:
    fixed = _said(system)
    for key, value in _said(user.launch).items():
        if key not in fixed:
            yield key, "user", _words(value)
    for how, kinds in user.redaction.difference().items():
        for kind, names in dict(kinds).items() if isinstance(kinds, dict) else ():
            for name in names if isinstance(names, list) else ():
                yield f"redaction {how}", "user", f"{kind}: {name}"
    for key, value in fixed.items():
        if key not in ("path", "sha256"):
            yield key, "system", _words(value)


def _words(value: Any) -> str:  # what JSON has
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict) and "base64" not in value:
        return " ".join(f"{key}={printable(text)}" for key, text in value.items())
    return shown(canonical.text_bytes(value))


# --- check ----------------------------------------------------------------------------------------


def _check(arguments: argparse.Namespace) -> int:
    if arguments.file is not None:
        path = from_here(os.fsencode(arguments.file))
        checks: list[tuple[bytes, Callable[[], bool]]] = [
            (path, lambda: _judge_file(path, system=arguments.system))
        ]
    else:
        checks = [(user_path(), _judge_user), (system_path(), _judge_system)]
        if arguments.system:
            del checks[0]
    lines, status = [], 0
    for path, judge in checks:
        try:
            verdict = "valid" if judge() else "no file"
        except NonoError as error:
            complain(str(error), error.hint)
            verdict, status = "not valid", 1
        lines.append(f"{shown(path)}: {verdict}")
    write_lines(lines)
    return status


def _judge_user() -> bool:
    return read_configuration(locations.config_directory()).path is not None


def _judge_system() -> bool:
    system = read_system_configuration()
    if system is None:
        return False
    _judge_minimum(system)
    return True


def _judge_minimum(system: SystemConfiguration) -> None:
    if system.minimum_profile is not None:
        from runtime.policy.system_policy import Minimum  # noqa: PLC0415  # few hosts have one

        Minimum(system)


def _judge_file(path: bytes, *, system: bool) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        why = os.strerror(error.errno or 0).lower()
        raise configuration_file.unreadable(
            path, why, hint="name a file that is there, and readable"
        ) from None
    try:
        if system:
            _judge_minimum(system_configuration.read_form(path, descriptor))
        else:
            user_configuration.read_form(path, descriptor)
    finally:
        os.close(descriptor)
    return True
