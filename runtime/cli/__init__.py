"""The ``nono`` command: a thin shell over the library.

A command's module is imported, and its parser built, only when it is the one that was typed: a launch
does not pay for the others. Each module has ``add_arguments(parser)`` and ``run(arguments)``, which
returns the exit code and raises :class:`attest.errors.NonoError` for what went wrong.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

from attest import __version__
from attest.errors import NonoError
from attest.keys import without_key_text

# What nono writes is English, and so is what argparse adds to it. To look for a translation that nobody
# installs, argparse would have gettext loaded, 1 ms of every launch, and the locale module, 2 ms.
if "gettext" in sys.modules:
    import argparse

    argparse._ = lambda text: text  # type: ignore[attr-defined]  # not public: without it nothing would ask
else:
    untranslated = ModuleType("gettext")
    vars(untranslated).update(
        gettext=lambda text: text, ngettext=lambda one, many, n: one if n == 1 else many
    )
    sys.modules["gettext"] = untranslated
    try:
        import argparse
    finally:
        del sys.modules["gettext"]  # whoever else asks gets the real one

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from _typeshed import SupportsWrite

_USUAL_COLUMNS = 80

COMMANDS = {
    "run": "run a command inside the sandbox and record it",
    "shell": "an interactive shell inside the sandbox, recorded",
    "wrap": "become a command inside the sandbox, recorded up to its start",
    "mcp": "offer agents one tool, which runs a command inside the sandbox and records it",
    "why": "whether a launch may do something, and what would change that",
    "profile": "what kinds of commands need: profiles and groups",
    "audit": "look at what was recorded",
    "ledger": "where the ledger is, and what it says of itself",
    "keygen": "make a signing key",
    "key": "what a key is, and how another takes its place",
    "config": "what is configured for every launch, by you and by this host",
    "doctor": "what this machine can enforce, and what to do about the rest",
    "completion": "print what makes a shell complete nono's command lines",
    "help": "print the help of a command",
}

_EPILOG = """\
examples:
  nono run --allow . -- make test        build in this directory, and nowhere else
  nono run --block-net -- ./tool         without a network
  nono audit list                        what was launched
  nono-verify LEDGER                     whether the record holds (a program of its own)

Each command has its own help: nono COMMAND --help, or nono help COMMAND; the same as a page: man nono-COMMAND

exit codes:
  0  done
  2  usage: the command line cannot be meant; of those that launch 125, see their help
  Each command has its own beside, see its help.
"""


_EXIT_CODES = """
exit codes:
  0  done
  1  it could not be done, or not all of it; standard error says why
  2  usage: the command line cannot be meant
"""
_USAGE_STATUS = 2
_LAUNCHING = frozenset({"run", "shell", "wrap"})
"""Whose exit codes are a launch's."""
_NOT_LAUNCHED = 125
"""``LaunchError.exit_status``, for where it cannot be asked: what says it may be what is not there."""
_WITH_THESE_EXIT_CODES = frozenset(
    {"audit", "completion", "config", "help", "key", "keygen", "ledger", "mcp", "profile"}
)
_NAMES_OF_SOMETHING = {
    "audit_sign_key": "--audit-sign-key",
    "entry": "--entry",
    "file": "FILE",
    "key": "KEY",
    "ledger": "--ledger",
    "new": "--new",
    "out": "--out",
    "to": "--to",
}
"""Where an empty word names nothing; a path would be taken for the current directory."""


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

    def __init__(
        self, prog: str, *, description: str = "", epilog: str = "", usage_status: int = _USAGE_STATUS
    ) -> None:
        common = prog.split()[1:2]
        super().__init__(
            prog=prog,
            description=description,
            epilog=epilog + _EXIT_CODES if _WITH_THESE_EXIT_CODES.issuperset(common) and common else epilog,
            formatter_class=_HelpFormatter,
            allow_abbrev=False,
        )
        self._usage_status = usage_status
        self.later: Callable[[Parser], object] | None = None
        """Adds arguments when they are needed, of a command that would have others wait for its imports."""

    def complete(self) -> None:
        """Add the arguments that were left for later."""
        later, self.later = self.later, None
        if later is not None:
            later(self)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # as argparse has it
        """Return what the arguments say, and those that are unknown."""
        self.complete()
        return super().parse_known_args(args, namespace)

    def format_help(self) -> str:
        """Return the help."""
        self.complete()
        return super().format_help()

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the command line, and where its help is."""
        complain(message, f"{self.prog} --help")
        sys.exit(self._usage_status)

    def parse(self, arguments: list[str]) -> argparse.Namespace:
        """Return what the arguments say; what is wrong with them is said with the help of the subcommand."""
        found: argparse.Namespace
        found, surplus = self.parse_known_args(arguments)
        if surplus:
            typed = next((each for word, each in self.subcommands().items() if word in arguments), self)
            typed.error(f"unrecognized arguments: {' '.join(surplus)}{typed.meant(surplus[0])}")
        return found

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> Any:  # whatever its type is
        """Refuse ``--`` as a value: argparse of Python 3.12 and older makes an empty list of it."""
        if action.option_strings and arg_strings == ["--"]:
            self.error(f"argument {'/'.join(action.option_strings)}: -- is no value")
        return super()._get_values(action, arg_strings)

    def subcommands(self) -> dict[str, Parser]:
        """Return the parsers of what it has beneath it, by name."""
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001  # argparse names it nowhere else
                return action.choices
        return {}

    def subcommand(self, name: str) -> Parser:
        """Return the parser of a command beneath this one, or say that there is none."""
        beneath = self.subcommands()
        if name not in beneath:
            self.error(f"no such command: {self.prog} {_typed(name)}{_closest(name, beneath)}")
        return beneath[name]

    def meant(self, flag: str) -> str:
        """Return a question after the flag that may have been meant, empty where none is like it."""
        name, _, value = flag.partition("=")
        if name in _WISHES and _NO_NETWORK in self._option_string_actions:
            if value not in _NONE:  # another wish, and what is like it by its letters would be the opposite
                return ""
            name = _NO_NETWORK
        return _closest(name, self._option_string_actions)

    def _check_value(self, action: argparse.Action, value: Any) -> None:  # whatever the action's type makes
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as error:
            error.message += _closest(str(value), map(str, action.choices or ()))
            raise

    def _print_message(self, message: str, file: SupportsWrite[str] | None = None) -> None:
        """Write help; argparse would pass over it when it cannot be written."""
        if file is not sys.stdout:
            super()._print_message(message, file)
            return
        from runtime.cli.terminal import write_lines  # noqa: PLC0415  # no launch pays for it

        write_lines(message.splitlines())


_WORD = 100
"""As much of a word as is compared with others: more is no slip of the finger, and would take its time."""

_NO_NETWORK = "--block-net"
# What other programs call that; the likeliest flag by its letters may be the opposite, --no-block-net.
_WISHES = frozenset(
    {
        *("--net", "--network", "--no-net", "--no-network", "--no-internet", "--nonet", "--offline"),
        *("--block-network", "--deny-net", "--deny-network", "--disable-net", "--disable-network"),
        *("--isolate-network", "--private-network", "--unshare-net"),
    }
)
_NONE = frozenset({"", "none", "off", "no", "false", "disabled"})


def _closest(word: str, words: Iterable[str]) -> str:
    import difflib  # noqa: PLC0415  # no launch pays for it

    found = difflib.get_close_matches(word[:_WORD], list(words), n=1)
    return f"; did you mean {found[0]}?" if found else ""


def complain(message: str, hint: str | None = None) -> None:
    """Write an error and its hint to standard error, in one voice and without control characters.

    Whatever was typed in the wrong place, a key is not among what is echoed.
    """
    lines = [f"nono: {message}"] + ([f"nono: hint: {hint}"] if hint else [])
    say("\n".join(map(without_key_text, lines)))


def say(text: str) -> None:
    """Write text to standard error; whoever closed it does not want to read it."""
    lines = text.split("\n")
    if not (text.isascii() and all(line.isprintable() for line in lines)):
        from attest.printable_text import printable  # noqa: PLC0415  # most of what is said is plain

        text = "\n".join(map(printable, lines))
    # A command that made itself the foreground of the terminal leaves nono in the background, where a write
    # can stop it (SIGTTOU).
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
    try:
        os.write(2, text.encode() + b"\n")
    except OSError:
        return
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return the exit code.

    Args:
        argv: the arguments without the program's name; by default those of this process.

    Raises:
        MemoryError: there was not enough.
    """
    arguments = sys.argv[1:] if argv is None else argv
    name = arguments[0] if arguments else ""
    failure = _NOT_LAUNCHED if name in _LAUNCHING else 1
    try:
        if name not in COMMANDS:
            _without_command(arguments)
        module = _loaded(name)
        failure = getattr(module, "FAILURE_STATUS", failure)
        parsed = _parser_of(name, module).parse(arguments[1:])
        if name not in _LAUNCHING:
            _refuse_empty_names(parsed)
        status: int = module.run(parsed)
    except NonoError as error:
        if str(error):  # whoever reads no further need not be told why we stopped
            complain(str(error), error.hint)
        # 126 and 127 are words of a launch; elsewhere they would say what the help does not.
        if name in _LAUNCHING:
            return getattr(error, "exit_status", failure)
        return _USAGE_STATUS if error.code.startswith("usage.") else failure
    except KeyboardInterrupt:
        return 130
    except MemoryError:  # the program says so, with what it has ready
        raise
    except ImportError as error:  # a part is missing, or there is no memory for a library
        complain(
            f"nono cannot be loaded: {type(error).__name__}: {error}",
            "install it again, or give it more memory (ulimit -v, ulimit -d)",
        )
        return failure
    except Exception as error:  # noqa: BLE001  # a fault of ours must not look like the command's own exit
        return _fault(error, failure)
    return status


def _loaded(name: str) -> ModuleType:
    """Return the module of a command.

    Raises:
        ImportError: it cannot be loaded, whatever Python or a library makes of that: of a compiled file that
            is cut off, as a full disk leaves it, an EOFError.
    """
    try:
        return importlib.import_module(f"runtime.cli.{name}")
    except (NonoError, ImportError, MemoryError):
        raise
    except Exception as error:
        raise ImportError(f"{type(error).__name__}: {error}") from error


def command_parser(name: str) -> Parser:
    """Return the parser of one of :data:`COMMANDS`; its module is imported."""
    return _parser_of(name, importlib.import_module(f"runtime.cli.{name}"))


def _parser_of(name: str, module: ModuleType) -> Parser:
    parser = Parser(
        f"nono {name}",
        description=COMMANDS[name].capitalize() + ".",
        epilog=getattr(module, "EPILOG", ""),
        usage_status=getattr(module, "USAGE_STATUS", _USAGE_STATUS),
    )
    module.add_arguments(parser)
    return parser


def _refuse_empty_names(arguments: argparse.Namespace) -> None:
    for name, typed in _NAMES_OF_SOMETHING.items():
        if getattr(arguments, name, None) == "":
            raise NonoError(
                f"{typed} is given an empty path", code="usage.empty", hint="is a variable not set?"
            )


def _fault(error: Exception, status: int) -> int:
    import traceback  # noqa: PLC0415  # no launch pays for it

    say("".join(traceback.format_exception(error)).rstrip())
    complain("this is a fault in nono itself", "please report it with the lines above")
    return status


def program_parser() -> Parser:
    """Return the parser of ``nono`` itself, which knows the commands by name alone."""
    parser = Parser(
        "nono",
        description="Run a command inside a kernel sandbox and leave evidence that a stranger can check.",
        epilog=_EPILOG,
    )
    parser.add_argument("--version", action="version", version=f"nono {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        commands.add_parser(name, help=summary)
    return parser


def _typed(word: str) -> str:
    """Return what was typed, on one line and bounded."""
    # Before it is cut: what is left of a key is not known for one.
    return repr(without_key_text(word)[:_WORD])[1:-1]


def _no_such_command(word: str) -> NoReturn:
    meant = _closest(word, COMMANDS)
    beneath = [
        f"nono {name} {word}"
        for name in COMMANDS
        if name not in _LAUNCHING and word in command_parser(name).subcommands()
    ]
    hint = "nono --help"
    if word == "verify":
        hint = "whether a ledger holds is for a program of its own to say: nono-verify LEDGER"
    elif beneath:
        hint = f"{' or '.join(beneath)}; the commands: nono --help"
    elif not meant:
        hint = "to launch something: nono run [FLAGS] -- COMMAND; the commands: nono --help"
    complain(f"no such command: nono {_typed(word)}{meant}", hint)
    sys.exit(_USAGE_STATUS)


def _without_command(arguments: list[str]) -> NoReturn:
    parser = program_parser()
    first = arguments[0] if arguments else ""
    if first.startswith("-") and first not in ("-h", "--help", "--version", "--"):
        complain(
            f"{first} is no flag of nono itself: a command comes first",
            "to launch something: nono run [FLAGS] -- COMMAND; the commands: nono --help",
        )
        sys.exit(_USAGE_STATUS)
    if first and not first.startswith("-"):
        _no_such_command(first)
    parser.parse_args(arguments)
    parser.error("the command comes first: nono COMMAND")  # nono -- run: what was meant is not clear
