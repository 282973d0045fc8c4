"""What is known of file grants changes nothing: the form of a start is what it is without that."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attest import canonical, entry, schema
from attest.errors import MalformedError
from tests.verify.conftest import START, session_id
from verify import known_grants
from verify.forms import Forms
from verify.known_grants import KnownGrants


def grant(path: Any, **members: Any) -> dict[str, Any]:
    return {
        "access": "read", "asked": path, "path": path, "source": "group:system_paths", "type": "directory",
        **members,
    }  # fmt: skip


SYSTEM = [grant(f"/usr/{name}") for name in ("bin", "lib", "share", "caf\u00e9", 'a"b', "]}")]
MARKS = [grant(path) for path in ("},{", "}],", '}],"', '{"', "},")]
OWN = grant("/tmp/nono-0123456789abcdef0123", access="readwrite", source="system")


def start(files: list[Any], **members: Any) -> dict[str, Any]:
    data = copy.deepcopy(START)
    data["capabilities"]["files"] = files
    return {
        "data": data, "kind": entry.START, "seq": 1, "session": session_id(1),
        "time": "2026-01-31T12:00:00.000001Z", "v": 1, **members,
    }  # fmt: skip


def plainly(body: bytes) -> Any:
    """Return the document of an entry that has its form, or None, as it is said where speed is nothing."""
    try:
        document = canonical.decode(body)
        assert isinstance(document, dict)
        schema.check_entry(document)
    except (MalformedError, AssertionError):
        return None
    return document


@pytest.fixture(scope="module")
def forms() -> Forms:
    """Return forms that know the grants of the system, as a run and each."""
    forms = Forms()
    for number in range(3):
        files = [*SYSTEM, grant(f"/tmp/nono-{number}"), grant("/var")]
        assert forms.read(canonical.encode(start(files))) is not None
    assert forms._grants._run
    return forms


@pytest.mark.parametrize(
    "files",
    [
        [], SYSTEM, MARKS, *([*SYSTEM, mark, OWN] for mark in MARKS),
        SYSTEM[:1], SYSTEM[1:], [*SYSTEM, OWN], [OWN, *SYSTEM], [*SYSTEM, *SYSTEM],
        [*SYSTEM, OWN, grant("/var")], [grant({"base64": "/w=="})], [*SYSTEM, grant({"base64": "/w=="})],
        [*SYSTEM, grant({"base64": "YQ=="})], [*SYSTEM, grant(1)], [*SYSTEM, grant(None)], [*SYSTEM, {}],
        [*SYSTEM, grant("/a", more=1)], [*SYSTEM, grant("/a", access="all")], [*SYSTEM, []], [*SYSTEM, None],
        [*SYSTEM, grant("/" + "x" * 2_000)], [{}], [[]], [1], [*SYSTEM, {"access": "read"}],
    ],
)  # fmt: skip
def test_lists(forms: Forms, files: list[Any]) -> None:
    for _ in range(2):  # what was learned then says the same
        body = canonical.encode(start(files))
        assert forms.read(body) == plainly(body)


@pytest.mark.parametrize("members", [{"seq": 0}, {"kind": entry.OUTCOME}, {"kind": "launch.other"}, {"v": 2}])
def test_what_is_around_them(forms: Forms, members: dict[str, Any]) -> None:
    body = canonical.encode(start([*SYSTEM, OWN], **members))
    assert plainly(body) is None
    assert forms.read(body) is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"},{", b"}, {"), (b"},{", b"} ,{"), (b"},{", b"},,{"), (b"},{", b"}{"),
        (b'"files":[{', b'"files":[ {'), (b'}],"', b'} ],"'), (b'}],"', b'},{}],"'), (b'}],"', b'},],"'),
        (b'"files":[{', b'"files":[],"files":[{'), (b'"access":"read"', b'"access":"read","access":"read"'),
        (b'{"access"', b'{"\\u0061ccess"'), ("\u00e9".encode(), b"\\u00e9"), ("\u00e9".encode(), b"\xe9"),
        (b"/usr/bin", b"\\/usr/bin"), (b"/usr/bin", b"/usr\n/bin"), (b'"pid":', b'"pid":1.0,"pid":'),
    ],
)  # fmt: skip
def test_other_ways_to_write_it(forms: Forms, old: bytes, new: bytes) -> None:
    body = canonical.encode(start([*SYSTEM, OWN])).replace(old, new, 1)
    assert new in body
    assert plainly(body) is None
    assert forms.read(body) is None


PIECES = [b"", b"{", b"}", b"[", b"]", b",", b'"', b"},{", b'}],"', b" ", b"\\", b"\x00", b"\xff", b"0", b"a"]
PATHS = ["/usr/bin", "/usr/lib", "},{", '}],"', "{", '"', "\\", "\u00e9", "", "/tmp/nono-1"]


@settings(max_examples=1_500, deadline=None)
@given(st.data())
def test_any_list_with_any_change(forms: Forms, data: st.DataObject) -> None:
    files = [grant(path) for path in data.draw(st.lists(st.sampled_from(PATHS), max_size=6))]
    body = canonical.encode(start([*data.draw(st.sampled_from([[], SYSTEM, [*SYSTEM, OWN]])), *files]))
    for _ in range(data.draw(st.integers(0, 2))):
        at = data.draw(st.integers(0, len(body)))
        cut = data.draw(st.sampled_from([0, 1, 3, 98]))
        body = body[:at] + data.draw(st.sampled_from(PIECES)) + body[at + cut :]
    assert forms.read(body) == plainly(body)


def test_most_of_a_start_is_known_at_the_second_look() -> None:
    known = KnownGrants()
    bodies = [canonical.encode(start([*SYSTEM, grant(f"/tmp/nono-{number}")])) for number in range(4)]
    for body in bodies:
        taken = known.take_out(body)
        assert taken is not None
        rest, grants = taken
        assert rest == canonical.encode(start([]))
        assert grants == plainly(body)["data"]["capabilities"]["files"]
    assert known._run_grants == SYSTEM
    assert len(known._known) == len(SYSTEM) + 4


def test_what_is_known_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_grants, "MAX_KNOWN", 20)
    forms, chance = Forms(), random.Random(1)
    for _ in range(300):
        files = [grant(f"/{chance.randrange(90)}") for _ in range(chance.randrange(12))]
        files += [grant("/" + "x" * chance.choice([1, 5_000]))]
        body = canonical.encode(start(files))
        assert forms.read(body) == plainly(body)
        assert len(forms._grants._known) <= 20
        assert all(len(inside) <= known_grants._MAX_BYTES for inside in forms._grants._known)


def test_the_schema_has_what_this_relies_on() -> None:
    """Its items are judged one by one, in a list of any length, and have no place for a number."""
    definitions = schema.load(schema.COMMON)["$defs"]
    files = definitions["capability_set"]["properties"]["files"]
    assert {name: said for name, said in files.items() if name != "description"} == {
        "type": "array",
        "items": {"$ref": "urn:nono-attest:schema:v1:common#/$defs/file_grant"},
    }
    with pytest.raises(MalformedError):
        schema.check_file_grant(grant(1.0))
