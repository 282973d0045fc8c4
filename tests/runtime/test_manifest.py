"""A capability manifest: the record's own form and nothing else; a mistake is named with its place."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from attest import canonical, schema
from runtime.capability.capabilities import NO_PORTS, USER, Access, CapabilitySet, FileGrant, Network, Ports
from runtime.capability.grant_request import GrantRequest
from runtime.errors import ManifestError, UsageError
from runtime.policy import limits
from runtime.policy.manifest import MAX_BYTES, NOT_CANONICAL, Manifest, read_manifest
from runtime.policy.request import LaunchRequest
from tests.runtime.published_schema import validator

if TYPE_CHECKING:
    from collections.abc import Iterator

    import jsonschema  # type: ignore[import-untyped]  # published without type information

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = ROOT / "runtime" / "schemas" / "capabilities.schema.json"


@pytest.fixture(scope="module")
def published() -> jsonschema.Draft202012Validator:
    return validator("capabilities")


def written(directory: Path, content: object) -> bytes:
    path = directory / "manifest.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return os.fsencode(path)


def refused(directory: Path, content: object) -> ManifestError:
    began = time.process_time()
    with pytest.raises(ManifestError) as caught:
        read_manifest(written(directory, content))
    assert time.process_time() - began < 2
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 5_000
    assert str(directory) in str(caught.value)
    return caught.value


def grant(**members: Any) -> dict[str, Any]:
    return {
        "access": "read",
        "asked": "~/x",
        "path": "/home/ann/x",
        "source": "group:python_runtime",
        "type": "directory",
        **members,
    }


def with_grant(**members: Any) -> dict[str, Any]:
    return {"files": [grant(**members)], "network": {"mode": "all"}}


def with_network(**members: Any) -> dict[str, Any]:
    return {"files": [], "network": members}


PORTS = {"connect": [443, 53], "listen": [80], "listen_loopback": [3000], "mode": "ports"}


def test_the_published_form_is_the_one_of_the_entries() -> None:
    """One source: what the ledger's schemas say, with nothing changed but where its parts stand."""
    common = schema.load(schema.COMMON)
    document = json.loads(SCHEMA.read_text())
    local = json.loads(json.dumps(common["$defs"]).replace(common["$id"] + "#", "#"))
    # A manifest can have limits as well, which launch.start has beside the set.
    limits = document["properties"].pop("limits")
    start = schema.load("launch.start")["properties"]["data"]["properties"]["limits"]
    assert limits["properties"].keys() == start["properties"].keys()
    own = {key: value for key, value in document.items() if key in local["capability_set"]}
    theirs = local["capability_set"]
    assert {**own, "description": ""} == {**theirs, "description": ""}
    assert set(document) - set(theirs) == {"$schema", "$id", "$defs", "title"}
    assert document["$defs"] == {name: local[name] for name in document["$defs"]}
    assert set(referenced(document)) == {f"#/$defs/{name}" for name in document["$defs"]}


def referenced(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        for item in value.values():
            yield from referenced(item)
    elif isinstance(value, list):
        for item in value:
            yield from referenced(item)


def test_a_recorded_set_is_a_manifest(tmp_path: Path, published: jsonschema.Draft202012Validator) -> None:
    recorded = CapabilitySet(
        (
            FileGrant(b"/a\xff", b"a\xff", Access.WRITE, directory=False, source="profile"),
            FileGrant(b"/usr", b"/usr", Access.READ, directory=True, source="group:system_paths"),
        ),
        Network.PORTS,
        Ports((53, 443), (80,), (3000,)),
    )
    document: Any = recorded.document()
    assert published.is_valid(document)
    data = canonical.encode(document)
    read = read_manifest(written(tmp_path, data))
    assert read == Manifest(
        os.fsencode(tmp_path / "manifest.json"),
        read.sha256,
        (
            GrantRequest(Access.WRITE, b"/a\xff", directory=False, source=USER),
            GrantRequest(Access.READ, b"/usr", directory=True, source=USER),
        ),
        Network.PORTS,
        Ports((53, 443), (80,), (3000,)),
    )
    spaced = read_manifest(written(tmp_path, json.dumps(document, indent=3).encode() + b"\r\n\t "))
    assert (spaced.grants, spaced.network, spaced.ports) == (read.grants, read.network, read.ports)
    assert spaced.sha256 != read.sha256


def test_the_least(tmp_path: Path) -> None:
    read = read_manifest(written(tmp_path, with_network(mode="blocked")))
    assert (read.grants, read.network, read.ports) == ((), Network.BLOCKED, NO_PORTS)


WRONG: list[tuple[object, str, str | None]] = [
    ([], "must be an object, not a list", None),
    ({}, "files is missing", None),
    ({"files": []}, "network is missing", None),
    ({"files": [], "netwrok": {}}, "at netwrok: unknown key", "did you mean network?"),
    ({"files": {}, "network": {"mode": "all"}}, "at files: must be a list of grants, not an object", None),
    ({"files": ["/x"], "network": {"mode": "all"}}, "at files[0]: must be an object, not a string", None),
    (with_grant(acess="read"), "at files[0].acess: unknown key", "did you mean access?"),
    (with_grant(access="execute"), "at files[0].access: execute is none of read, write, readwrite", None),
    (with_grant(access=["read"]), "at files[0].access: must be one of read, write", None),
    (with_grant(type="socket"), "at files[0].type: socket is none of directory, file", None),
    (with_grant(source="root"), "at files[0].source: must be user, profile, system or group:NAME", None),
    (with_grant(source="group:"), "at files[0].source: must be user", None),
    (with_grant(source="group:A"), "at files[0].source: must be user", None),
    (with_grant(source="group:" + "a" * 65), "at files[0].source: must be user", None),
    (with_grant(source=None), "at files[0].source: must be user", None),
    (with_grant(path=1), "at files[0].path: must be a path, not a number", None),
    (with_grant(path={"base64": "L3g="}), "at files[0].path: must be text, or bytes that are none", None),
    (with_grant(path={"base64": "/w"}), "at files[0].path: must be text, or bytes that are none", None),
    (with_grant(path={"base65": "/w=="}), "at files[0].path: must be text, or bytes that are none", None),
    (with_grant(asked={}), "at files[0].asked: must be text, or bytes that are none", None),
    ({"files": [{"path": "/x"}], "network": {"mode": "all"}}, "at files[0]: access is missing", None),
    (with_network(), "at network: mode is missing", None),
    (with_network(mode="open"), "at network.mode: open is none of blocked, ports, all", None),
    (with_network(mode="ports"), "at network: connect is missing", None),
    (with_network(mode="all", connect=[443]), "at network: names ports, and its mode is all", None),
    (with_network(mode="blocked", **{k: [] for k in ("connect", "listen", "listen_loopback")}),
     "names ports, and its mode is blocked", None),
    (with_network(**PORTS | {"connect": 443}), "at network.connect: must be a list of ports", None),
    (with_network(**PORTS | {"connect": [0]}), "at network.connect[0]: must be a whole number", None),
    (with_network(**PORTS | {"connect": [True]}), "at network.connect[0]: must be a whole number", None),
    (with_network(**PORTS | {"connect": [65536]}), "at network.connect[0]: must be a whole number", None),
    (with_network(**PORTS | {"listen": [80, 80]}), "at network.listen[1]: the port 80 is there twice", None),
    (with_network(**PORTS | {"listen": [*range(1, 258)]}), "at network.listen: more than 256 ports", None),
    (with_network(mode="all", hosts=[]), "at network.hosts: unknown key", None),
]  # fmt: skip


@pytest.mark.parametrize(("content", "message", "hint"), WRONG, ids=[message for _, message, _ in WRONG])
def test_a_mistake_is_named_with_its_place_and_the_schema_refuses_it_too(
    content: Any, message: str, hint: str | None, tmp_path: Path, published: jsonschema.Draft202012Validator
) -> None:
    error = refused(tmp_path, content)
    assert message in str(error)
    assert error.code == "manifest.invalid"
    assert hint is None or hint in (error.hint or "")
    # That base64 stands for no text is a format, which a validator may leave alone.
    assert "bytes that are none" in message or not published.is_valid(content)


@pytest.mark.parametrize(
    "path", ["", "x", "~/x", "$WORKDIR", "/x/", "/x/../y", "/./x", "//x", "/x//y", "/a\0b", "/" + "a" * 4095]
)
def test_a_path_that_is_not_canonical(
    path: str, tmp_path: Path, published: jsonschema.Draft202012Validator
) -> None:
    error = refused(tmp_path, with_grant(path=path))
    assert error.code == NOT_CANONICAL
    assert published.is_valid(with_grant(path=path))  # its description says so; a schema of text cannot


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff", "byte 0: not UTF-8"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        (b'{"files": [], "files": [], "network": {"mode": "all"}}', "the key files is there twice"),
        (b'{"files": [], "network": {"mode": "blocked", "mode": "all"}}', "the key mode is there twice"),
        (b'{"files": [] /* all */, "network": {"mode": "all"}}', "not JSON"),
        (b'{"files": [], "network": {"mode": "all"},}', "not JSON"),
        (b'{"files": [], "network": {"mode": NaN}}', "not JSON (NaN)"),
        (b'{"files": [], "network": {"mode": 1e400}}', "at network.mode: must be one of"),
        (b'{"files": ' + b"[" * 200_000, "nested too deeply"),
        (b"[" * 200_000 + b"]" * 200_000, "nested too deeply"),
        (b'{"files": ' + b"9" * 200_000 + b"}", "is too large"),
        (b'{"files": [], "network": {"mode": "all"}}\0', "U+0000 stands there"),
        (b'{"files": [], "network": {"mode": "a\xe2\x80\xaell"}}', "U+202E stands there"),
        (b" " * (MAX_BYTES + 1), "larger than 1 MiB"),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else value,
)
def test_hostile_bytes(content: bytes, message: str, tmp_path: Path) -> None:
    assert message in str(refused(tmp_path, content))


def test_a_lone_surrogate_is_no_path(tmp_path: Path) -> None:
    text = json.dumps(with_grant()).replace("/home/ann/x", "/\\ud800")
    assert "lone surrogates" in str(refused(tmp_path, text.encode()))


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    fifo = tmp_path / "manifest.json"
    os.mkfifo(fifo)
    for path in (fifo, tmp_path, Path("/dev/zero")):
        with pytest.raises(ManifestError, match="not a regular file") as caught:
            read_manifest(os.fsencode(path))
        assert caught.value.code == "manifest.unreadable"
    with pytest.raises(ManifestError, match="no such file") as caught:
        read_manifest(os.fsencode(tmp_path / "missing"))
    assert "--dry-run --json" in str(caught.value.hint)


def test_a_huge_file_costs_no_more_than_a_large_one(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    subprocess.run(["truncate", "-s", "1G", path], check=True)
    began = time.process_time()
    with pytest.raises(ManifestError, match="larger than 1 MiB"):
        read_manifest(os.fsencode(path))
    assert time.process_time() - began < 1


ASKED = LaunchRequest(command=(b"x",), variables={}, config=b"/m.json")


@pytest.mark.parametrize(
    ("members", "named"),
    [
        ({"grants": (GrantRequest(Access.READ, b"/x", directory=True),)}, "a grant"),
        ({"allow_cwd": True}, "--allow-cwd"),
        ({"block_net": True}, "--block-net"),
        ({"connect_ports": (1,)}, "--connect-ports"),
        ({"listen_ports": (1,)}, "--listen-ports"),
        ({"open_ports": (1,)}, "--open-ports"),
        ({"profile": b"default"}, "a profile"),
    ],
)
def test_it_stands_alone(members: dict[str, Any], named: str) -> None:
    ASKED.check()
    with pytest.raises(UsageError) as caught:
        ASKED._replace(**members).check()
    assert caught.value.code == "usage.manifest"
    assert f"and {named} would add to it" in str(caught.value)


def test_whatever_a_request_can_hold_is_decided_about() -> None:
    """A new field of a request is refused beside a manifest until somebody says that it may be there."""
    granting = {name for name in ASKED._fields if _is_refused(name)}
    assert granting >= {
        "grants", "allow_cwd", "block_net", "connect_ports", "listen_ports", "open_ports", "profile",
    }  # fmt: skip
    assert not granting & {"command", "variables", "ledger", "labels", "outputs", "audit", "config"}


def _is_refused(name: str) -> bool:
    try:
        changed: dict[str, Any] = {name: (b"1",)}
        ASKED._replace(**changed)._require_manifest_alone()
    except UsageError:
        return True
    return False


PATHS = st.sampled_from(["/x", "/usr/bin", "/é", {"base64": "L3j/"}, {"base65": ""}, 1, None])
GRANTS = st.fixed_dictionaries(
    {
        "access": st.sampled_from(["read", "write", "readwrite", "all", 1]),
        "asked": PATHS,
        "path": PATHS,
        "source": st.sampled_from(["user", "profile", "system", "group:a_b-1", "group:", "users", None]),
        "type": st.sampled_from(["file", "directory", "link", []]),
    },
    optional={"other": st.just(1)},
)
LISTS = st.lists(st.sampled_from([1, 80, 65535, 0, 65536, "1", True]), max_size=3)
LIMITS = st.dictionaries(
    st.sampled_from([*limits.MEMBERS, "memory"]),
    st.sampled_from([0, 1, 3, 4, 1 << 22, (1 << 22) + 1, 1 << 31, 1 << 53, -1, "1M", True, None]),
    max_size=2,
)
NETWORKS = st.one_of(
    st.fixed_dictionaries({"mode": st.sampled_from(["all", "blocked", "ports", "x"])}),
    st.fixed_dictionaries(
        {"mode": st.sampled_from(["ports", "ports", "all"])},
        optional=dict.fromkeys(("connect", "listen", "listen_loopback", "other"), LISTS),
    ),
    st.fixed_dictionaries(
        {"mode": st.just("ports"), **dict.fromkeys(("connect", "listen", "listen_loopback"), LISTS)}
    ),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
@given(
    st.fixed_dictionaries(
        {"files": st.lists(GRANTS, max_size=2), "network": NETWORKS}, optional={"limits": LIMITS}
    )
)
def test_reader_and_schema_agree(tmp_path: Path, document: dict[str, Any]) -> None:
    try:
        read_manifest(written(tmp_path, document))
        code = ""
    except ManifestError as error:
        code = error.code
    valid = validator("capabilities").is_valid(document)
    assert valid == (not code), code


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
@given(st.one_of(st.binary(max_size=60), st.text(alphabet='{}[]":,filesnetwork 1', max_size=60)))
def test_any_bytes_are_a_manifest_or_one_kind_of_error(tmp_path: Path, content: bytes | str) -> None:
    try:
        read_manifest(written(tmp_path, content.encode() if isinstance(content, str) else content))
    except ManifestError:
        return
