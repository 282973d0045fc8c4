"""A verdict as SARIF 2.1.0 (OASIS), for code scanning and whatever else collects results of checks.

One run, one result a finding; ``exitCode`` and ``properties.verdict`` say the same as every other format.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING
from urllib.parse import quote

from attest import __version__
from verify.findings import CODES, Severity
from verify.render import advice, headline, printable

if TYPE_CHECKING:
    from attest.canonical import Json
    from verify.findings import Finding
    from verify.verdict import Verdict

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS = {
    Severity.TAMPERED: "error",
    Severity.UNMET: "error",
    Severity.UNCHECKED: "error",
    Severity.NOTE: "note",
}
"""Whatever makes the exit code another than 0 is an error: a gate that reads this must not pass either."""


def as_sarif(verdict: Verdict, ledger: str) -> str:
    """Return the verdict as a SARIF log.

    Args:
        verdict: what was found.
        ledger: the path as it was named, to which the results point.
    """
    codes = sorted({finding.code for finding in verdict.findings})
    document: dict[str, Json] = {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "nono-verify",
                        "semanticVersion": __version__,
                        "rules": [_rule(code) for code in codes],
                    }
                },
                "invocations": [
                    {
                        "executionSuccessful": verdict.exit != 2,
                        "exitCode": verdict.exit,
                        "exitCodeDescription": printable(headline(verdict) + advice(verdict)),
                    }
                ],
                "columnKind": "unicodeCodePoints",
                "results": [_result(finding, codes, ledger) for finding in verdict.findings],
                "properties": {"verdict": verdict.document()},
            }
        ],
    }
    return json.dumps(document, ensure_ascii=True, separators=(",", ":")) + "\n"


def _rule(code: str) -> Json:
    severity, meaning = CODES[code]
    return {
        "id": code,
        "shortDescription": {"text": meaning},
        "defaultConfiguration": {"level": _LEVELS[severity]},
    }


def _result(finding: Finding, codes: list[str], ledger: str) -> Json:
    location: dict[str, Json] = {"physicalLocation": {"artifactLocation": {"uri": _uri(ledger)}}}
    if finding.index is not None:
        inside = f"{finding.session}/{finding.index}" if finding.session is not None else str(finding.index)
        location["logicalLocations"] = [{"name": f"entry {finding.index}", "fullyQualifiedName": inside}]
    return {
        "ruleId": finding.code,
        "ruleIndex": codes.index(finding.code),
        "level": _LEVELS[finding.severity],
        "message": {"text": _unlinked(printable(finding.message))},
        "locations": [location],
    }


def _unlinked(text: str) -> str:
    """Return text that has no embedded link, ``[words](address)`` (SARIF 2.1.0, section 3.11.6).

    Parted rather than escaped: not every viewer that makes links takes the backslashes out again.
    """
    return text.replace("](", "] (")


def _uri(path: str) -> str:
    """Return a path as a URI reference (RFC 3986): what stays relative does so, and bytes are bytes."""
    encoded = quote(os.fsencode(path).replace(os.sep.encode(), b"/"))
    return f"file://{encoded}" if encoded.startswith("/") else encoded
