"""Secrets that follow an option: ``--token X`` of any program, and short options of some.

``-u`` is a user and password to curl, a user and group to docker and "in UTC" to date; ``-p`` is a password
to mongosh, a port to docker. So the program decides: the last one that was named before the option. Of a
program that nobody knows, ``-u`` takes credentials when what follows looks like them.

Arguments are looked into as well, since agents write ``sh -c 'curl -u …'`` and
``python -c "run(['curl', '-u', …])"``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.secrets.argument_text import (
    QUOTES,
    SHELL,
    WHITE,
    end_of_value,
    end_of_word,
    is_reference,
)
from runtime.secrets.secret_places import ENVIRONMENT

if TYPE_CHECKING:
    from runtime.secrets.secret_places import Lookup, Span

CREDENTIALS = "credentials"
FLAG = "flag"

# What an option takes.
_ANYTHING = "anything"
_CREDENTIALS = "user:password"  # without a password it is a name
_ASSIGNMENT = "name=value"  # without the sign it is a file: curl's cookies
_PREFIXED = "pass:value"  # openssl; other prefixes name a file or a variable
_SEPARATE = "separate"  # never attached: openssl, whose options are words with a single dash
_ATTACHED = "attached"  # otherwise it is asked for, and what follows is something else: mysql
_ARGUMENT = "argument"  # anything but an option


# What each option of a program takes; a single dash has upper and lower case.
_Options = dict[bytes, str]

_UNKNOWN: _Options = dict.fromkeys((b"-u", b"-U", b"--user", b"--proxy-user"), _CREDENTIALS)
_NOTHING: _Options = {}
_PASSWORD: _Options = {b"-p": _ANYTHING}
_MYSQL: _Options = {b"-p": _ATTACHED}
_LDAP: _Options = {b"-w": _ANYTHING}

_CURL: _Options = {**_UNKNOWN, b"-b": _ASSIGNMENT, b"--cookie": _ASSIGNMENT}
# Letters of curl that take nothing and may stand before one that does, in one word: `-sSu`.
_CURL_SWITCHES = b"#0123469afgGiIjJklLnNOqRsSvZ"

# They log in somewhere with a name and a password.
_REGISTRY_CLIENTS = (
    b"docker",
    b"podman",
    b"nerdctl",
    b"buildah",
    b"skopeo",
    b"helm",
    b"oras",
    b"crane",
    b"oc",
    b"az",
    b"cf",
    b"ibmcloud",
)

_PROGRAMS: dict[bytes, _Options] = {
    b"curl": _CURL,
    b"http": {b"-a": _ANYTHING},
    b"xh": {b"-a": _ANYTHING},
    b"https": {b"-a": _ANYTHING},
    b"lftp": {b"-u": _ANYTHING},
    b"sshpass": _PASSWORD,
    b"redis-cli": {b"-a": _ANYTHING},
    b"valkey-cli": {b"-a": _ANYTHING},
    b"openssl": {b"-passin": _PREFIXED, b"-passout": _PREFIXED, b"-pass": _PREFIXED, b"-k": _SEPARATE},
    b"sqlcmd": {b"-P": _ANYTHING},
    b"mosquitto_pub": {b"-P": _ANYTHING},
    b"mosquitto_sub": {b"-P": _ANYTHING},
    b"zip": {b"-P": _ANYTHING},
    b"unzip": {b"-P": _ANYTHING},
    b"7z": _MYSQL,
    b"7za": _MYSQL,
    b"smbclient": {b"-U": _ANYTHING},
    **dict.fromkeys(
        (
            b"mysql",
            b"mysqldump",
            b"mysqladmin",
            b"mysqlimport",
            b"mysqlcheck",
            b"mariadb",
            b"mariadb-dump",
            b"mariadb-admin",
        ),
        _MYSQL,
    ),
    **dict.fromkeys(
        (b"mongo", b"mongosh", b"mongodump", b"mongorestore", b"mongoexport", b"mongoimport"), _PASSWORD
    ),
    **dict.fromkeys(
        (b"ldapsearch", b"ldapadd", b"ldapmodify", b"ldapdelete", b"ldapwhoami", b"ldappasswd"),
        _LDAP,
    ),
    # Their -u and --user are something else, and their arguments have colons.
    **dict.fromkeys(
        (
            *_REGISTRY_CLIENTS,
            b"docker-compose",
            b"kubectl",
            b"gh",
            b"git",
            b"date",
            b"rsync",
            b"scp",
            b"ssh",
            b"cp",
            b"tar",
            b"go",
            b"su",
            b"runuser",
            b"chroot",
            b"setpriv",
            b"install",
            b"chown",
            b"systemd-run",
            b"systemctl",
            b"journalctl",
        ),
        _NOTHING,
    ),
}

# A program and one of its commands that has secrets of its own.
_COMMANDS: dict[tuple[bytes, bytes], _Options] = {
    **{(program, b"login"): _PASSWORD for program in _REGISTRY_CLIENTS},
    (b"gh", b"secret"): {b"-b": _ANYTHING, b"--body": _ANYTHING},
    (b"kubectl", b"secret"): {b"--from-literal": _ASSIGNMENT},
}


# Whose `-c` or `-e` takes a script.
_INTERPRETERS = frozenset(
    b"sh bash dash ash zsh ksh fish su python node nodejs deno bun ruby perl php".split()
)
# `aws configure set NAME VALUE`
_SETTERS = frozenset({b"config", b"configure"})

# What may stand between an option and its value inside an argument, `"--token", "x"` included.
_BETWEEN = WHITE + QUOTES + b","
# Between two of these lies a word: in a shell, in JSON, in a program text.
_AROUND_WORDS = WHITE + QUOTES + SHELL + b",[]{}\\"
_FLAT = bytes.maketrans(_AROUND_WORDS, b" " * len(_AROUND_WORDS))
_NEXT_COMMAND = b";|&(\n"
_EQUALS = ord("=")
_LONGEST_OPTION = 512


class OptionValues:
    """Finds what follows options, in one command line, argument by argument, in order.

    Args:
        names: the options that take a secret in any program, and what settings of secrets are called.
    """

    def __init__(self, names: Lookup) -> None:
        self._names = names
        self._begin_command()
        self._last_words = (b"", b"")
        self._awaited: tuple[str, str] | None = None  # what the argument to come has to be, and its rule
        self._is_first = True
        self._interpreter = False
        self.expects_script = False
        """Whether the next argument is a script for an interpreter."""

    def spans(self, argument: bytes) -> tuple[list[Span], bool]:
        """Return the secret stretches of the next argument, and whether it is secret as a whole."""
        awaited, self._awaited = self._awaited, None
        # A value is looked into as well: `--token --password x` must not let x through.
        found = self._look_into(argument)
        if self._is_first:  # the program itself announces nothing, whatever it is called
            self._is_first, self._awaited = False, None
        self._expect(argument)
        if awaited is None or not self._is_secret(argument, awaited[0]):
            return found, False
        return [(0, len(argument), awaited[1])], True

    def _expect(self, argument: bytes) -> None:
        if argument.startswith(b"-"):
            self.expects_script = (
                self._interpreter and argument[1:2] != b"-" and argument.endswith((b"c", b"e", b"r"))
            )
        else:
            name = argument[argument.rfind(b"/") + 1 :].rstrip(b"0123456789.")
            self._interpreter = self._interpreter or name in _INTERPRETERS
            self.expects_script = False

    def _begin_command(self) -> None:
        self._program, self._options = b"", _UNKNOWN

    def _look_into(self, argument: bytes) -> list[Span]:
        words = argument.lower().translate(_FLAT).split()
        if len(words) == 1:
            return self._look_at_words(argument, words)
        # A text of its own: what is named in it says nothing about the arguments to come.
        outer = self._program, self._options, self._last_words
        self._begin_command()
        found = self._look_at_words(argument, words)
        self._program, self._options, self._last_words = outer
        return found

    def _look_at_words(self, argument: bytes, words: list[bytes]) -> list[Span]:
        flat = argument.lower().translate(_FLAT)
        found: list[Span] = []
        position = covered = 0
        for word in words:
            start = flat.index(word, position)
            if any(byte in _NEXT_COMMAND for byte in argument[position:start]):
                self._begin_command()
            position = start + len(word)
            span = self._look_at(argument, word, start, covered)
            if span is not None:
                found.append(span)
                covered = span[1]
            self._last_words = (self._last_words[1], word)
        return found

    def _look_at(self, argument: bytes, word: bytes, start: int, covered: int) -> Span | None:
        name = word.partition(b"=")[0]
        if not self._names.flags.has_option(name):
            inner = word.rfind(b"=-", 0, _LONGEST_OPTION) + 1
            if inner:  # `OPTIONS=--token X`
                start, word = start + inner, word[inner:]
                name = word.partition(b"=")[0]
        if word.startswith(b"-"):
            own = self._own_option(argument, start, start + len(word), covered)
            if own is not None or not self._names.flags.has_option(name):
                return own
            return self._value(argument, start, start + len(name), covered, _ANYTHING)
        before_last, last = self._last_words
        if last == b"set" and before_last in _SETTERS and self._is_setting(word):
            return self._value(argument, start, start + len(word), covered, _ARGUMENT)
        if not last.startswith(b"--"):  # `--name mysql` runs nothing
            self._take_program(word)
        return None

    def _take_program(self, word: bytes) -> None:
        name = word[word.rfind(b"/") + 1 :]
        if name in _PROGRAMS:
            self._program, self._options = name, _PROGRAMS[name]
        else:
            self._options = _COMMANDS.get((self._program, name), self._options)

    def _is_setting(self, word: bytes) -> bool:
        name = word[max(word.rfind(separator) for separator in (b":", b".", b"/")) + 1 :]
        return name.replace(b"-", b"_") in self._names.environment

    def _own_option(self, argument: bytes, start: int, end: int, covered: int) -> Span | None:
        """Return the value of an option that only some programs have."""
        name = argument[start:end].partition(b"=")[0]
        takes = self._options.get(name)
        if takes is not None:
            return self._value(argument, start, start + len(name), covered, takes)
        if name.startswith(b"--"):
            return None
        letter = start + 1
        while self._options is _CURL and letter < end and argument[letter] in _CURL_SWITCHES:
            letter += 1
        takes = self._options.get(b"-" + argument[letter : letter + 1])
        after = letter + 1
        if takes is None or takes == _SEPARATE or after < covered:
            return None
        if after == end:
            return self._value(argument, start, after, covered, takes)
        value_end = len(argument) if start == 0 else end_of_word(argument, after)
        return self._span(argument, after, value_end, takes)

    def _value(self, argument: bytes, start: int, after: int, covered: int, takes: str) -> Span | None:
        """Return the value of the option from ``start`` to ``after``, or await it as the next argument."""
        if after == len(argument):
            if start == 0 and takes != _ATTACHED:
                self._awaited = takes, _rule(takes)
            return None
        if argument[after] == _EQUALS:
            value = after + 1
            if value < covered:
                return None
            if start == 0:  # as an argument of its own all of the rest is the value, blanks included
                return (
                    (value, len(argument), _rule(takes)) if self._is_secret(argument[value:], takes) else None
                )
            return self._span(argument, value, end_of_word(argument, value), takes)
        if takes == _ATTACHED and argument[after] not in QUOTES:
            return None
        value = _skip_between(argument, after)
        if value == after or value < covered:
            return None
        return self._span(argument, value, end_of_value(argument, value), takes)

    def _span(self, argument: bytes, start: int, end: int, takes: str) -> Span | None:
        value = argument[start:end]
        if not self._is_secret(value, takes) or is_reference(value):
            return None
        return start, end, _rule(takes)

    def _is_secret(self, value: bytes, takes: str) -> bool:
        """Return whether a value has the form of what its option takes."""
        value = value.strip(QUOTES)
        if takes == _CREDENTIALS:
            user, colon, password = value.partition(b":")
            if self._options is not _UNKNOWN:
                return bool(colon) and not (password and is_reference(password))
            return bool(user and password) and not (
                (user.isdigit() and password.isdigit())
                or user.startswith(b"+")
                or password.startswith(b"/")
                or is_reference(password)
                or any(byte in WHITE for byte in user)
            )
        if takes == _ASSIGNMENT:
            return b"=" in value
        if takes == _PREFIXED:
            return value.startswith(b"pass:")
        if takes == _ARGUMENT:
            return not value.startswith(b"-")
        return bool(value)


def _rule(takes: str) -> str:
    if takes == _CREDENTIALS:
        return CREDENTIALS
    return ENVIRONMENT if takes == _ARGUMENT else FLAG


def _skip_between(text: bytes, start: int) -> int:
    """Return where the next value begins: blanks, quotes and continued lines are passed."""
    while start < len(text):
        if text[start] in _BETWEEN:
            start += 1
        elif text[start] == ord("\\") and text[start + 1 : start + 2] in _AFTER_BACKSLASH:
            start += 2
        else:
            break
    return start


_AFTER_BACKSLASH = frozenset({b'"', b"'", b"`", b"\n"})
