"""The capability set in its one form: what the record writes, and what a merge leaves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attest import canonical
from runtime.capability.capabilities import (
    NO_PORTS,
    PROFILE,
    SYSTEM,
    Access,
    CapabilitySet,
    FileGrant,
    Network,
    Ports,
    network_words,
    ports,
)

VECTORS = Path(__file__).parents[1] / "vectors" / "attest" / "entry"
FILES = (
    FileGrant(b"/usr", b"/usr", Access.READ, directory=True, source=SYSTEM),
    FileGrant(b"/work", b"$WORKDIR", Access.READWRITE, directory=True, source=PROFILE),
)
PORTS = st.lists(st.integers(1, 65_535), max_size=20)


@pytest.mark.parametrize(
    ("vector", "made"),
    [
        ("launch.start-elf", CapabilitySet(FILES, Network.BLOCKED)),
        (
            "launch.start-ports",
            CapabilitySet(FILES, Network.PORTS, ports([443, 3000, 53], [65_535, 1], [3000, 1, 3000])),
        ),
    ],
)
def test_a_set_is_written_as_the_golden_bytes_have_it(vector: str, made: CapabilitySet) -> None:
    data = json.loads((VECTORS / vector / "entry.json").read_bytes())["data"]
    assert canonical.encode(made.document()) == canonical.encode(data["capabilities"])
    assert made.sha256() == data["capabilities_sha256"]


@given(connect=PORTS, listen=PORTS, loopback=PORTS)
def test_ports_have_one_form(connect: list[int], listen: list[int], loopback: list[int]) -> None:
    made = ports(connect, listen, loopback)
    assert made == ports(reversed(connect), [*listen, *listen], {*loopback, *listen})
    assert made == ports(*made)
    assert set(made.listen) | set(made.listen_loopback) == {*listen, *loopback}
    assert not set(made.listen) & set(made.listen_loopback)
    assert all(list(each) == sorted(set(each)) for each in made)


def test_whether_anything_listens() -> None:
    assert not NO_PORTS.listens
    assert not Ports(connect=(1,)).listens
    assert Ports(listen=(1,)).listens
    assert Ports(listen_loopback=(1,)).listens


@pytest.mark.parametrize(
    ("network", "found", "words"),
    [
        (Network.ALL, NO_PORTS, "all"),
        (Network.BLOCKED, NO_PORTS, "blocked"),
        (Network.PORTS, Ports(connect=(53, 443)), "ports (connect to 53, 443)"),
        (
            Network.PORTS,
            Ports((1,), (2,), (3,)),
            "ports (connect to 1; listen on 2; listen for this host on 3)",
        ),
    ],
)
def test_a_network_in_words(network: Network, found: Ports, words: str) -> None:
    document = CapabilitySet((), network, found).document()["network"]
    assert isinstance(document, dict)
    assert network_words(document) == words
