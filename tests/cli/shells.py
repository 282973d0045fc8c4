"""Shells that complete command lines, as people have them: bash and zsh on a terminal, fish by its engine."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pexpect

from runtime.cli import completion as of_nono
from verify.cli import completion as of_verify

if TYPE_CHECKING:
    from collections.abc import Callable

TIMEOUT_SECONDS = 30
SHIPPED = {
    "nono": Path(of_nono.__file__).parent / "completions",
    "nono-verify": Path(of_verify.__file__).parent / "completions",
}
VARIABLES = {"LANG": "C.UTF-8", "MADE_FOR_COMPLETION": "1", "PATH": os.environ["PATH"]}
_READY = "READY-AND-WAITING"
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|[\r\a]")

# On C-x m a shell says what stands on its line; on C-u it forgets it.
_BASH = """\
PS1='{ready}> '
bind 'set show-all-if-ambiguous on' 2>/dev/null
bind 'set page-completions off' 2>/dev/null
bind 'set completion-query-items 0' 2>/dev/null
bind 'set enable-bracketed-paste off' 2>/dev/null
bind -x '"\\C-xm": printf "\\nLINE<%s>\\n" "$READLINE_LINE"'
"""
_ZSH = """\
PROMPT='{ready}> '
unsetopt zle_bracketed_paste prompt_cr prompt_sp beep auto_menu
setopt auto_list no_list_ambiguous
LISTMAX=0
fpath=("$PWD/functions" $fpath)
autoload -Uz compinit && compinit -u -D
say_line() {{ print -r -- ; print -r -- "LINE<$BUFFER>" }}
zle -N say_line
bindkey -e
bindkey '^Xm' say_line
"""


class Terminal:
    """bash or zsh with our completions, on a terminal.

    Args:
        shell: which of them.
        home: its home, and the directory in which it is.
        helped: whether bash has the package bash-completion.
    """

    def __init__(self, shell: str, home: Path, *, helped: bool = True) -> None:
        setting = (_BASH if shell == "bash" else _ZSH).format(ready=_READY)
        if shell == "bash" and helped:
            setting += ". /usr/share/bash-completion/bash_completion\n"
        if shell == "bash":
            files = " ".join(f"'{SHIPPED[name] / name}.bash'" for name in SHIPPED)
            setting += f'for file in {files}; do source "$file"; done\n'
        else:  # it finds its functions by their names
            (home / "functions").mkdir()
            for name, place in SHIPPED.items():
                (home / "functions" / f"_{name}").symlink_to(place / f"{name}.zsh")
        (home / "setting").write_text(setting, encoding="utf-8")
        arguments = ["--norc", "--noprofile", "-i"] if shell == "bash" else ["-f", "-i"]
        environment = {**VARIABLES, "HOME": str(home), "TERM": "dumb"}
        self._child = pexpect.spawn(
            shell, arguments, cwd=str(home), env=environment, encoding="utf-8", echo=False,
            dimensions=(1000, 400), timeout=TIMEOUT_SECONDS, use_poll=True,
        )  # fmt: skip
        self._child.sendline("source ./setting")
        self._child.expect(f"{_READY}> ")

    def complete(self, line: str) -> tuple[str, set[str]]:
        """Type a line and a tab; return what then stands there, and every word that was listed."""
        self._child.send(line + "\t\x18m")
        self._child.expect(r"LINE<([^\n]*)>\r?\n")
        shown = _ESCAPES.sub("", str(self._child.before))
        found = str(self._child.match[1])
        self._child.send("\x15\x18m")
        self._child.expect("LINE<>\r?\n")
        listed = shown.partition("\n")[2]
        return found, set(listed.split())

    def close(self) -> None:
        """End the shell."""
        self._child.close(force=True)


class Fish:
    """fish with our completions.

    Args:
        home: its home, and the directory in which it is.
    """

    def __init__(self, home: Path) -> None:
        self._home = home

    def complete(self, line: str) -> tuple[str, set[str]]:
        """Return a line with what completes it, if that is one thing, and every word that is offered."""
        sources = "; ".join(f"source '{SHIPPED[name] / name}.fish'" for name in SHIPPED)
        done = subprocess.run(
            ["fish", "--no-config", "-c", f"{sources}; complete -C $argv[1]", "--", line],
            cwd=self._home, capture_output=True, text=True, check=True, timeout=TIMEOUT_SECONDS,
env={**VARIABLES, "HOME": str(self._home)},
        )  # fmt: skip
        assert done.stderr == ""
        offered = {each.partition("\t")[0] for each in done.stdout.splitlines()}
        if len(offered) == 1:
            line = line[: len(line) - len(line.rpartition(" ")[2])] + next(iter(offered))
        return line, offered

    def close(self) -> None:
        """There is nothing that runs."""


SHELLS: dict[str, Callable[[Path], Terminal | Fish]] = {
    "bash": lambda home: Terminal("bash", home),
    "bash without bash-completion": lambda home: Terminal("bash", home, helped=False),
    "zsh": lambda home: Terminal("zsh", home),
    "fish": Fish,
}
