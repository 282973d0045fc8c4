"""The JSON Schemas that the launch publishes."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]  # published without type information

DIRECTORY = Path(__file__).resolve().parents[2] / "runtime" / "schemas"


@functools.cache
def validator(name: str) -> jsonschema.Draft202012Validator:
    """Return what judges documents by one of them, which is a schema itself."""
    document = json.loads((DIRECTORY / f"{name}.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(document)
    return jsonschema.Draft202012Validator(document)
