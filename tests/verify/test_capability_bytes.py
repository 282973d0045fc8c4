"""The bytes of a start's capability set are cut out of its entry: nothing else in it can look like them."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from attest import canonical, entry, schema
from tests.verify import conftest as shapes
from verify.launches import _capabilities

if TYPE_CHECKING:
    from collections.abc import Iterator

    from attest.canonical import Json


def names(node: Any) -> Iterator[str]:
    """Yield the name of every member at and below a place of a schema, which has to be closed."""
    if not isinstance(node, dict):
        return
    if "$ref" in node:
        yield from names(schema.load(schema.COMMON)["$defs"][node["$ref"].rpartition("/")[2]])
    if node.get("type") == "object":
        assert node["additionalProperties"] is False
    for name, member in node.get("properties", {}).items():
        yield name
        yield from names(member)
    yield from names(node.get("items"))
    for branch in (*node.get("anyOf", ()), *node.get("oneOf", ())):
        yield from names(branch)


def test_a_start_has_one_member_of_that_name_behind_its_capabilities() -> None:
    document = schema.load(entry.START)
    assert list(names(document)).count("capabilities_sha256") == 1
    assert min(document["properties"]) == "data"
    data = document["properties"]["data"]
    assert sorted(data["properties"])[:2] == ["capabilities", "capabilities_sha256"]
    assert {"capabilities", "capabilities_sha256"} <= set(data["required"])


texts = st.text() | st.lists(
    st.sampled_from([',"capabilities_sha256":"', '{"data":{"capabilities":', "\\", '"', ",", ":", "é", "\0"]),
    max_size=6,
).map("".join)
paths = texts.map(lambda text: canonical.text(text.encode("utf-8", "surrogatepass")))


@given(paths, paths, paths)
def test_they_are_the_canonical_form_of_the_set(path: Json, asked: Json, program: Json) -> None:
    data = copy.deepcopy(shapes.START)
    grant = {"access": "read", "asked": asked, "path": path, "source": "user", "type": "file"}
    data["capabilities"] = {"files": [grant, grant], "network": {"mode": "blocked"}}
    data["executable"]["path"] = program
    start = entry.Entry(entry.START, shapes.session_id(1), 1, "2026-11-24T04:00:00.000000Z", data)
    schema.check_entry(start.document())
    assert _capabilities(start.encode()) == canonical.encode(data["capabilities"])
