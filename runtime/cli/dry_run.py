"""What ``nono run --dry-run`` writes: for people, or as one JSON object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runtime.cli.audit_document import write_document
from runtime.cli.plan_text import plan_lines
from runtime.cli.terminal import write_lines
from runtime.kernel.path_names import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runtime.launcher.dry_run import DryRun

_NO_KEYRING = "the keyring was not asked whether it has them"
_NOTHING_DONE = (
    "nothing was launched or recorded; a private temporary directory would be granted as well,"
    " and the file that nono why --self reads"
)


def write(command: tuple[bytes, ...], foreseen: DryRun, *, json: bool) -> None:
    """Write the answer of a dry run to standard output.

    Args:
        command: the command, as it was typed.
        foreseen: the answer.
        json: whether for programs.

    Raises:
        OutputError: it cannot be written.
    """
    if json:
        write_document(foreseen.document)
        return
    typed = " ".join(shown(argument) for argument in command)
    asked = any(place.startswith("keyring://") for _, place in foreseen.plan.credentials)
    unasked = [_NO_KEYRING] if asked else []
    write_lines(
        [f"would run  {typed}", *plan_lines(foreseen.plan), *unasked, *_lines(foreseen), _NOTHING_DONE]
    )


def _lines(foreseen: DryRun) -> Iterator[str]:
    from store.index import wording  # noqa: PLC0415  # SQLAlchemy, for whoever reads words

    yield f"required   {', '.join(sorted(foreseen.required))}"
    enforced = [feature for feature, held in sorted(foreseen.achievable.items()) if held]
    yield f"enforced   {', '.join(enforced)} (tried just now)"
    record: Any = foreseen.document["record"]
    if record is None:
        yield "record     none (--no-audit)"
        return
    intent = record["intent"]
    where = "the key's own ledger" if foreseen.ledger is None else shown(foreseen.ledger)
    yield f"record     in {where}: intent, start, outcome, statement (--json shows the first two)"
    yield f"command    {wording.command(intent['command'])} (as it would be recorded)"
    for file in intent["profile"]:
        yield f"profile    {wording.text(file['name'])} (sha256 {file['sha256']})"
    if "manifest" in intent:
        yield f"manifest   {wording.text(intent['manifest']['path'])} (sha256 {intent['manifest']['sha256']})"
    for whose, sha256 in intent.get("configuration", {}).items():
        yield f"config     the {whose}'s (sha256 {sha256})"
