"""A verdict as JUnit XML, for pipelines that show results of tests.

A test case for each part of the replay (:mod:`verify.replay`), so that a run has the same cases whatever is
found: what fails in a part is the failure of its case, and what could not be checked at all is an error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree

from verify.findings import Severity
from verify.render import advice, headline, printable

if TYPE_CHECKING:
    from verify.findings import Finding
    from verify.verdict import Verdict

_PARTS = {
    "file": ("file",),
    "entries": ("entry",),
    "tree": ("tree",),
    "checkpoints": ("head", "checkpoint"),
    "keys": ("key", "origin"),
    "launches": ("launch", "blob"),
    "memory": ("memory", "anchor", "witness", "timestamp"),
    "policy": ("policy", "require"),
}
"""Each part, and the areas of the codes that belong to it."""

_REST = "others"
"""For an area that is in none of them: it must not be lost."""


def as_junit(verdict: Verdict, ledger: str) -> str:
    """Return the verdict as a JUnit report.

    Args:
        verdict: what was found.
        ledger: the path as it was named.
    """
    suites = ElementTree.Element("testsuites")
    suite = ElementTree.SubElement(suites, "testsuite", name="nono-verify")
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in (
        ("ledger", ledger),
        ("verdict", verdict.word),
        ("exit", str(verdict.exit)),
        ("origin", verdict.origin or ""),
        ("size", "" if verdict.size is None else str(verdict.size)),
        ("root", verdict.root or ""),
        ("freshness", verdict.freshness),
    ):
        ElementTree.SubElement(properties, "property", name=name, value=printable(value))
    found = _by_part(verdict)
    failures = 0
    if verdict.exit == 2:
        case = ElementTree.SubElement(suite, "testcase", classname="nono-verify", name="readable")
        _add(case, "error", list(verdict.findings))
    else:
        for part, findings in found.items():
            case = ElementTree.SubElement(suite, "testcase", classname="nono-verify", name=part)
            decisive = [finding for finding in findings if finding.severity is not Severity.NOTE]
            if decisive:
                failures += 1
                _add(case, "failure", decisive)
    output = ElementTree.SubElement(suite, "system-out")
    output.text = "\n".join(
        [
            printable(headline(verdict) + advice(verdict)),
            *(printable(caveat.message) for caveat in verdict.not_excluded),
        ]
    )
    errors = 1 if verdict.exit == 2 else 0
    for element in (suites, suite):
        element.set("tests", str(len(suite.findall("testcase"))))
        element.set("failures", str(failures))
        element.set("errors", str(errors))
    ElementTree.indent(suites)
    text = ElementTree.tostring(suites, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _by_part(verdict: Verdict) -> dict[str, list[Finding]]:
    """Return the findings by part; :data:`_REST` is there only when something is in it."""
    parts = {area: part for part, areas in _PARTS.items() for area in areas}
    found: dict[str, list[Finding]] = {part: [] for part in _PARTS}
    for finding in verdict.findings:
        if finding.severity is not Severity.NOTE:
            found.setdefault(parts.get(finding.code.partition(".")[0], _REST), []).append(finding)
    return found


def _add(case: ElementTree.Element, kind: str, findings: list[Finding]) -> None:
    """Add what went wrong: the first finding by name, all of them as text."""
    first = findings[0]
    element = ElementTree.SubElement(case, kind, type=first.code, message=printable(first.message))
    element.text = "\n".join(f"{printable(finding.message)} [{finding.code}]" for finding in findings)
