"""Verify a ledger in a pipeline: what the pipeline asks for comes from the environment, never from a command.

The GitHub Action and the GitLab component run this with the Python that ``install.sh`` made. It has one
argument, how a variable holds a list: ``lines``, or ``json`` for an array of strings. No value can become
another argument than its own, whatever it begins with.

========================== ================================================================================
``NONO_CI_LEDGER``         the ledger file
``NONO_CI_PUBLIC_KEY``     a public key, as text: PEM or a verifier key
``NONO_CI_KEY_FILES``      list of public key files
``NONO_CI_ORIGIN``         the origin that the ledger must have
``NONO_CI_POLICY``         a policy file
``NONO_CI_LABELS``         list of labels that a complete launch must have, K=V
``NONO_CI_OUTPUTS``        list of files that such a launch must have made
``NONO_CI_CHECKPOINTS``    list of checkpoints that the ledger must continue
``NONO_CI_SAVE``           the checkpoint that is held against it and then replaced by its own
``NONO_CI_FORMAT``         how the verdict is written to the job's log
``NONO_CI_WRITE``          list of F=FILE: where it is written besides
========================== ================================================================================

Without a key NONO_VERIFY_KEY counts, and never a trust store.
With ``GITHUB_OUTPUT`` the exit code, the verdict and the file of the JSON form are appended there.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

NOT_CHECKED = 2
WORDS = {0: "verified", 1: "failed", 2: "not-checked", 3: "not-met"}
"""The verdict of each exit code, as in the JSON form."""

SINGLE = {"ORIGIN": "--origin", "POLICY": "--policy", "SAVE": "--save-checkpoint", "FORMAT": "--format"}
LISTS = {
    "KEY_FILES": "--public-key-file",
    "LABELS": "--require-label",
    "OUTPUTS": "--require-output",
    "CHECKPOINTS": "--checkpoint",
    "WRITE": "--write",
}


class BadInputError(ValueError):
    """A variable does not hold what it is for, or two of them contradict each other."""


def from_lines(text: str) -> list[str]:
    """Return the lines of a text that are not blank."""
    return [line.removesuffix("\r") for line in text.split("\n") if line.strip()]


def from_json(text: str) -> list[str]:
    """Return the strings of a JSON array; an empty text is an empty one.

    Raises:
        BadInputError: it is something else.
    """
    try:
        values = json.loads(text or "[]")
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise BadInputError("is no JSON array of strings")
    return values


READERS: dict[str, Callable[[str], list[str]]] = {"lines": from_lines, "json": from_json}


def arguments(environment: Mapping[str, str], read: Callable[[str], list[str]]) -> list[str]:
    """Return the command line of ``nono-verify`` that the environment asks for.

    Raises:
        BadInputError: a variable cannot be read, which the message names, or there are two sources of keys.
    """
    found = []
    for name, flag in SINGLE.items():
        value = environment.get(f"NONO_CI_{name}", "")
        if value:
            found.append(f"{flag}={value}")
    for name, flag in LISTS.items():
        try:
            values = read(environment.get(f"NONO_CI_{name}", ""))
        except BadInputError as error:
            raise BadInputError(f"NONO_CI_{name} {error}") from None
        found += [f"{flag}={value}" for value in values]
        if values and name == "KEY_FILES" and environment.get("NONO_CI_PUBLIC_KEY"):
            raise BadInputError(
                "a public key and files of public keys are given, and only one of them can count"
            )
    return [*found, "--", environment.get("NONO_CI_LEDGER", "")]


def verify(how: str, document: str) -> int:
    """Verify what the environment asks for and return the exit code.

    Args:
        how: which of :data:`READERS` reads the lists.
        document: the file for the JSON form, or nothing.
    """
    try:
        asked = arguments(os.environ, READERS[how])
    except BadInputError as error:
        return not_checked(str(error))
    try:
        from verify.cli import main  # noqa: PLC0415  # what cannot be loaded has not found any tampering
    except Exception as error:  # noqa: BLE001  # see above
        return not_checked(f"nono-verify cannot be loaded: {type(error).__name__}: {error}")
    if os.environ.get("NONO_CI_PUBLIC_KEY"):
        os.environ["NONO_VERIFY_KEY"] = os.environ["NONO_CI_PUBLIC_KEY"]
    # A variable that is not set must not end in the trust store of an account that other jobs have as well.
    os.environ["XDG_CONFIG_HOME"] = os.path.join(sys.prefix, "no-trust-store")
    return main([f"--write=json={document}", *asked] if document else asked)


def run(how: str) -> int:
    """Verify, leave the step's outputs, and return the exit code."""
    outputs = os.environ.get("GITHUB_OUTPUT", "")
    if not outputs:
        return verify(how, "")
    try:
        # A directory of its own: whatever ran earlier in this job may have left files in the common one.
        directory = tempfile.mkdtemp(prefix="nono-verdict-", dir=os.environ.get("RUNNER_TEMP") or None)
        document = os.path.join(directory, "verdict.json")
        status = verify(how, document)
        written = document if os.path.exists(document) else ""
        with open(outputs, "a", encoding="utf-8") as file:
            file.write(f"exit-code={status}\nverdict={WORDS[status]}\njson={written}\n")
    except OSError as error:
        return not_checked(f"the outputs of the step cannot be written: {error.strerror}")
    return status


def not_checked(reason: str) -> int:
    """Say why nothing was checked, and return the exit code of that."""
    sys.stderr.write(ascii(f"not checked: {reason}")[1:-1] + "\n")
    return NOT_CHECKED


if __name__ == "__main__":
    sys.exit(run(sys.argv[1]))
