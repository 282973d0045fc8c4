"""OSCAL 1.2.1 assessment results: what a ledger says for the controls of a table, and what it does not.

One result a framework. Each query is an observation, with its numbers and the command that asks the same;
each control is a finding. ``satisfied`` says that all queries for a control are met, for the launches in
this ledger; what stays open stands in the finding's remarks, always. A control that the ledger says nothing
about is ``not-satisfied`` with the reason ``other``, and the words "not covered". Nothing here replaces an
assessor.

Where entries were chosen (``--since``, ``--until``, ``--session``) it says so, and a part without a launch
satisfies nothing. The document follows from the ledger and that choice alone: its ids are derived, its times
are those of the entries.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from attest import hashing
from verify.exports import controls, queries
from verify.exports.format import Format
from verify.exports.plain import document_json

if TYPE_CHECKING:
    from verify.exports.controls import Control, Framework
    from verify.exports.queries import Answer
    from verify.exports.records import Record, View

VERSION = "1.2.1"
_NAMESPACE = uuid.UUID("8a7b0c4e-5d0f-5c44-9a53-6e6f6e6f0a01")
_PROPERTIES = "urn:nono-attest:oscal"
_NO_TIME = "1970-01-01T00:00:00.000000Z"


class Oscal(Format):
    """The format: one document."""

    FOLLOWS_SESSIONS = True
    ASKS_ALL_KINDS = True
    COUNTS_ENTRIES = True

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self._table = controls.read(view.options.controls)
        self._queries = queries.Queries()

    def add(self, record: Record) -> bytes:
        """Take in a record; nothing is written before the end."""
        self._queries.add(record)
        return b""

    def end(self) -> bytes:
        """Return the document."""
        chosen = dict(self.view.chosen)
        oldest = self._queries.first or chosen.get("since", chosen.get("until", _NO_TIME))
        newest = self._queries.last or chosen.get("until", oldest)
        standing = self.standing
        title = f"What the ledger {standing.origin or 'of no known origin'} shows"
        found: dict[str, Any] = {
            "metadata": {
                "title": title,
                "last-modified": newest,
                "version": str(standing.size or 0),
                "oscal-version": VERSION,
                "props": self._standing() + self._chosen(),
            },
            "import-ap": {"href": f"#{self._id('ledger')}"},
            "results": [self._result(framework, oldest, newest) for framework in self._table],
            "back-matter": {"resources": [self._ledger()]},
        }
        # Of what it says: with another table or policy the same ledger makes another document.
        found["uuid"] = self._id("document", hashing.hexdigest(document_json(found)))
        return document_json({"assessment-results": found}) + b"\n"

    def _result(self, framework: Framework, oldest: str, newest: str) -> dict[str, Any]:
        verdict = self.view.verdict
        assert verdict is not None
        asked = dict.fromkeys(
            ["ledger.verified", *(name for control in framework.controls for name in control.queries)]
        )
        answers = {name: self._queries.answer(name, verdict) for name in asked}
        return {
            "uuid": self._id("result", framework.name),
            "title": framework.name,
            "description": f"{self._queries.entries} entries of a nono ledger, verified and counted",
            "start": oldest,
            "end": newest,
            "links": [{"href": framework.source, "rel": "reference"}],
            "props": self._standing() + self._chosen(),
            "reviewed-controls": {
                "control-selections": [
                    {"include-controls": [{"control-id": control.id} for control in framework.controls]}
                ]
            },
            "observations": [
                self._observation(framework, name, answer, newest) for name, answer in answers.items()
            ],
            "findings": [self._finding(framework, control, answers) for control in framework.controls],
        }

    def _observation(self, framework: Framework, name: str, answer: Answer, newest: str) -> dict[str, Any]:
        met = {True: "met", False: "not-met", None: "nothing-to-ask"}[answer.met]
        found: dict[str, Any] = {
            "uuid": self._id("observation", framework.name, name),
            "title": name,
            "description": answer.text,
            "props": [{"name": "answer", "ns": _PROPERTIES, "value": met}],
            "methods": ["TEST"],
            "types": ["finding"],
            "relevant-evidence": [
                {"href": f"#{self._id('ledger')}", "description": f"the same is asked by: {answer.command}"}
            ],
            "collected": newest,
        }
        if answer.exceptions:
            found["props"] += [
                {"name": "exception", "ns": _PROPERTIES, "value": session} for session in answer.exceptions
            ]
        return found

    def _finding(self, framework: Framework, control: Control, answers: dict[str, Answer]) -> dict[str, Any]:
        names = list(dict.fromkeys(["ledger.verified", *control.queries])) if control.queries else []
        met = [answers[name].met for name in names]
        if not names:
            state, reason = "not-satisfied", "other"
            words = f"Not covered: {control.not_covered}."
        else:
            state = "satisfied" if all(each is True for each in met) else "not-satisfied"
            reason = "pass" if state == "satisfied" else "fail" if False in met else "other"
            said = {
                "pass": "Shown for the launches in this ledger.",
                "fail": "Not shown: a query is not met.",
                "other": "Not shown: there was nothing to ask about.",
            }[reason]
            words = f"{said} Not covered: {control.not_covered}."
        found: dict[str, Any] = {
            "uuid": self._id("finding", framework.name, control.id),
            "title": f"{control.id}: {control.title}",
            "description": words,
            "props": [
                {"name": "coverage", "ns": _PROPERTIES, "value": "partial" if names else "none"},
            ],
            "target": {
                "type": "objective-id",
                "target-id": control.id,
                "status": {"state": state, "reason": reason, "remarks": words},
            },
        }
        if names:
            found["related-observations"] = [
                {"observation-uuid": self._id("observation", framework.name, name)} for name in names
            ]
        return found

    def _ledger(self) -> dict[str, Any]:
        standing = self.standing
        return {
            "uuid": self._id("ledger"),
            "title": f"The ledger {standing.origin or 'of no known origin'}",
            "description": "An append-only transparency log of launches, which nono-verify checks.",
            "props": self._standing(),
        }

    def _standing(self) -> list[dict[str, str]]:
        standing = self.standing
        said = {
            "origin": standing.origin,
            "size": None if standing.size is None else str(standing.size),
            "root": standing.root,
            "verdict": standing.verdict,
        }
        return [{"name": name, "ns": _PROPERTIES, "value": value} for name, value in said.items() if value]

    def _chosen(self) -> list[dict[str, str]]:
        return [{"name": name, "ns": _PROPERTIES, "value": text} for name, text in self.view.chosen]

    def _id(self, *parts: str) -> str:
        chosen = (f"{name}={text}" for name, text in self.view.chosen)
        named = "\n".join((self.standing.origin or "", self.standing.root or "", *parts, *chosen))
        return str(uuid.uuid5(_NAMESPACE, named))
