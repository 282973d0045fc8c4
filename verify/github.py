"""A verdict as GitHub Actions shows it: annotations on standard output, a summary of the step in Markdown.

An annotation is a *workflow command*, one line that begins with ``::``. Whatever comes from a ledger stands
behind that beginning, escaped, so that it is no command of its own; in the summary it is plain text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from verify.findings import Severity
from verify.render import advice, headline, printable

if TYPE_CHECKING:
    from verify.findings import Finding
    from verify.verdict import Verdict

SUMMARY_VARIABLE = "GITHUB_STEP_SUMMARY"
"""Environment variable: the file to which the summary of the step is appended."""

_MAX_ANNOTATIONS = 9
"""A step shows ten of each kind."""

_COMMANDS = {Severity.NOTE: "notice"}
_MAX_ROWS = 50
_PLAIN = frozenset(" ,;=+")
"""Not the full stop: GitHub makes a link of www.example.org wherever it stands."""


def as_annotations(verdict: Verdict, ledger: str) -> str:
    """Return the workflow commands: what decided the verdict first, or that it holds.

    Args:
        verdict: what was found.
        ledger: the path as it was named; annotations point to it.
    """
    kind = "error" if verdict.exit else "notice"
    lines = [_command(kind, "nono-verify", ledger, headline(verdict) + advice(verdict))]
    rest = [finding for finding in verdict.findings if finding is not next(iter(verdict.decisive()), None)]
    for finding in rest[: _MAX_ANNOTATIONS - 1]:
        kind = _COMMANDS.get(finding.severity, "error")
        lines.append(_command(kind, f"nono-verify {finding.code}", ledger, finding.message))
    if len(rest) > _MAX_ANNOTATIONS - 1:
        more = f"{len(rest) - _MAX_ANNOTATIONS + 1} more findings are in the summary of this step"
        lines.append(_command("notice", "nono-verify", ledger, more))
    return "".join(f"{line}\n" for line in lines)


def as_summary(verdict: Verdict, ledger: str) -> str:
    """Return the summary of the step, GitHub-flavoured Markdown; see :func:`as_annotations`."""
    launches = verdict.launches
    lines = [
        f"### {_html(headline(verdict))}",
        "",
        f"<code>{_html(ledger)}</code>: exit code {verdict.exit} ({verdict.word}){_html(advice(verdict))}",
        "",
    ]
    if verdict.origin is not None:
        lines += [
            "| origin | entries | root | launches | freshness |",
            "| --- | --- | --- | --- | --- |",
            f"| <code>{_html(verdict.origin)}</code> | {verdict.size} | <code>{verdict.root}</code> |"
            f" {launches.complete} complete, {launches.running} running, {launches.lost} lost,"
            f" {launches.unfinished} unfinished | {verdict.freshness} |",
            "",
        ]
    if verdict.findings:
        lines += ["| finding | entry | session | what |", "| --- | --- | --- | --- |"]
        lines += [_row(finding) for finding in verdict.findings[:_MAX_ROWS]]
        lines.append("")
    if len(verdict.findings) > _MAX_ROWS:
        lines += [f"{len(verdict.findings) - _MAX_ROWS} more findings; `--format json` lists them.", ""]
    if verdict.exit in {0, 3}:
        lines += ["Not excluded:", "", *(f"- {_html(caveat.message)}" for caveat in verdict.not_excluded), ""]
    return "\n".join(lines) + "\n"


def _row(finding: Finding) -> str:
    index = "" if finding.index is None else str(finding.index)
    session = "" if finding.session is None else f"<code>{_html(finding.session)}</code>"
    return f"| <code>{finding.code}</code> | {index} | {session} | {_html(finding.message)} |"


def _html(text: str) -> str:
    """Return text that is neither a tag, nor Markdown, nor a mention, nor the end of a table's cell."""
    return "".join(
        char if char.isalnum() or char in _PLAIN else f"&#{ord(char)};" for char in printable(text)
    )


def _command(kind: str, title: str, ledger: str, message: str) -> str:
    return f"::{kind} title={_property(title)},file={_property(ledger)}::{_data(message)}"


def _data(text: str) -> str:
    return printable(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
