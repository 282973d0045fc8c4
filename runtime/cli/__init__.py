"""The ``nono`` command: a thin shell over the library.

A command's module is imported, and its parser built, only when it is the one that was typed: a launch
does not pay for the others. Each module has ``add_arguments(parser)`` and ``run(arguments)``, which
returns the exit code and raises :class:`attest.errors.NonoError` for what went wrong.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
from typing import NoReturn

from attest import __version__
from attest.errors import NonoError
from attest.keys import without_key_text

_USUAL_COLUMNS = 80

# What nono writes is English, and so is what argparse adds to it. To look for a translation that nobody
# installs, argparse would have the locale module loaded: 2 ms of every launch.
argparse._ = lambda text: text  # type: ignore[attr-defined]  # not public: without it nothing would ask

COMMANDS = {
    "run": "run a command inside the sandbox and record it",
    "audit": "look at what was recorded",
    "ledger": "where the ledger is, and what it says of itself",
    "keygen": "make a signing key",
    "key": "what a key is, and how another takes its place",
    "doctor": "what this machine can enforce, and what to do about the rest",
}

_EPILOG = """\
examples:
  nono run --allow . -- make test        build in this directory, and nowhere else
  nono run --block-net -- ./tool         without a network
  nono audit list                        what was launched
  nono-verify LEDGER                     whether the record holds (a program of its own)

Each command has its own help: nono COMMAND --help
"""


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """As argparse has it, but told how wide a line is.

    argparse makes one for each argument that is added, and to find the width it imports shutil and with it
    three compression libraries: 2.5 ms of every launch.
    """

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_line_width())


def _line_width() -> int:
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns) > 0:
        return int(columns) - 2
    try:
        return (os.get_terminal_size(1).columns or _USUAL_COLUMNS) - 2
    except OSError:
        return _USUAL_COLUMNS - 2


class Parser(argparse.ArgumentParser):
    """A parser whose errors have the voice and the exit code of the command.

    Args:
        usage_status: exit code for a wrong command line.
    """

    def __init__(self, prog: str, *, description: str = "", epilog: str = "", usage_status: int = 2) -> None:
        super().__init__(
            prog=prog,
            description=description,
            epilog=epilog,
            formatter_class=_HelpFormatter,
            allow_abbrev=False,
        )
        self._usage_status = usage_status

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the command line, and where its help is."""
        complain(message, f"{self.prog} --help")
        sys.exit(self._usage_status)

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """End after help or version, which argparse has written without looking whether it could."""
        from runtime.cli.terminal import flush  # noqa: PLC0415  # no launch pays for it

        flush()
        super().exit(status, message)


def complain(message: str, hint: str | None = None) -> None:
    """Write an error and its hint to standard error, in one voice and without control characters.

    Whatever was typed in the wrong place, a key is not among what is echoed.
    """
    lines = [f"nono: {message}"] + ([f"nono: hint: {hint}"] if hint else [])
    say("\n".join(map(without_key_text, lines)))


def say(text: str) -> None:
    """Write text to standard error; whoever closed it does not want to read it."""
    printable = "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)
    # A command that made itself the foreground of the terminal leaves nono in the background, where a write
    # can stop it (SIGTTOU).
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
    try:
        os.write(2, printable.encode("utf-8", "replace") + b"\n")
    except OSError:
        return
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return the exit code.

    Args:
        argv: the arguments without the program's name; by default those of this process.
    """
    arguments = sys.argv[1:] if argv is None else argv
    name = arguments[0] if arguments else ""
    failure = 1
    try:
        if name not in COMMANDS:
            return _without_command(arguments)
        module = importlib.import_module(f"runtime.cli.{name}")
        failure = getattr(module, "FAILURE_STATUS", failure)
        parser = Parser(
            f"nono {name}",
            description=COMMANDS[name].capitalize() + ".",
            epilog=getattr(module, "EPILOG", ""),
            usage_status=getattr(module, "USAGE_STATUS", 2),
        )
        module.add_arguments(parser)
        status: int = module.run(parser.parse_args(arguments[1:]))
    except NonoError as error:
        if str(error):  # whoever reads no further need not be told why we stopped
            complain(str(error), error.hint)
        # 126 and 127 are words of a launch; elsewhere they would say what the help does not.
        return getattr(error, "exit_status", failure) if name == "run" else failure
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # noqa: BLE001  # a fault of ours must not look like the command's own exit
        return _fault(error, failure)
    return status


def _fault(error: Exception, status: int) -> int:
    import traceback  # noqa: PLC0415  # no launch pays for it

    say("".join(traceback.format_exception(error)).rstrip())
    complain("this is a fault in nono itself", "please report it with the lines above")
    return status


def _without_command(arguments: list[str]) -> int:
    parser = Parser(
        "nono",
        description="Run a command inside a kernel sandbox and leave evidence that a stranger can check.",
        epilog=_EPILOG,
    )
    parser.add_argument("--version", action="version", version=f"nono {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        commands.add_parser(name, help=summary)
    parser.parse_args(arguments)
    parser.error("the command comes first: nono COMMAND")  # nono -- run: what was meant is not clear
