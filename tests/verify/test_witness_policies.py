"""Witness policies: the specification's example and rules, every way to be wrong, and what a quorum is."""

from __future__ import annotations

import base64
import hashlib
import itertools
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from attest.cosignature import Witness
from attest.keys import PublicKey, SigningKey
from attest.note import Verifier
from verify import NotCheckedError, witness_policy

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from verify.witness_policy import WitnessPolicy


def witness(number: int, name: str | None = None) -> Witness:
    secret = Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)
    return Witness(name or f"witness.example/{number}", PublicKey(secret.public_key().public_bytes_raw()))


LOG = Verifier("example.com/log", SigningKey(b"\x40" * 32).public)
NAMES = ("X1", "X2", "X3", "Y1", "Y2", "Y3")
WITNESSES = {name: witness(number) for number, name in enumerate(NAMES, 1)}
LINES = "".join(f"witness {name} {each.vkey()}\n" for name, each in WITNESSES.items())

# The example of the specification, with keys.
EXAMPLE = f"""\
log {LOG.vkey()}

witness X1 {WITNESSES["X1"].vkey()}
witness X2 {WITNESSES["X2"].vkey()}
witness X3 {WITNESSES["X3"].vkey()}
group X-witnesses 2 X1 X2 X3

witness Y1 {WITNESSES["Y1"].vkey()}
witness Y2 {WITNESSES["Y2"].vkey()}
witness Y3 {WITNESSES["Y3"].vkey()}
group Y-witnesses any Y1 Y2 Y3

group X-and-Y all X-witnesses Y-witnesses
quorum X-and-Y
"""


def parse(text: str | bytes) -> WitnessPolicy:
    return witness_policy.parse(text.encode() if isinstance(text, str) else text, "policy")


def met(policy: WitnessPolicy, names: Iterable[str]) -> bool:
    return policy.is_met({WITNESSES[name] for name in names})


def test_the_example_of_the_specification() -> None:
    policy = parse(EXAMPLE)
    assert policy.logs == (LOG,)
    assert list(policy.witnesses) == [name.encode() for name in NAMES]
    for count in range(7):
        for names in itertools.combinations(NAMES, count):
            enough = sum(name[0] == "X" for name in names) >= 2 and any(name[0] == "Y" for name in names)
            assert met(policy, names) is enough
    assert not policy.is_met({witness(9)})


def test_the_order_of_lines_is_free_where_nothing_is_used_before_it_is_defined() -> None:
    policy = parse(f"{LINES}quorum X1\ngroup later any X1 X2\nlog {LOG.vkey()}\n")
    assert policy.quorum == b"X1"
    assert (met(policy, ["X1"]), met(policy, ["X2"])) == (True, False)


@pytest.mark.parametrize(
    "text",
    [
        f"# comment\n\n \t \n  # another \xe9\n\t log \t{LOG.vkey()}  \n{LINES}\tquorum\tX1 \n",
        f"log {LOG.vkey()} https://l.example/\nwitness X {witness(1).vkey()} https://w.example/\nquorum X\n",
        f"witness w\xe9 {witness(1).vkey()}\nquorum w\xe9\n",
        f"witness any {witness(1).vkey()}\ngroup all any any\nquorum all\n",
        f"witness 2 {witness(1).vkey()}\ngroup 3 1 2\nquorum 3\n",
        f"witness quorum {witness(1, 'ü/w').vkey()}\nquorum quorum\n",
    ],
    ids=["white space and comments", "addresses", "other octets", "any and all", "numbers", "keyword"],
)
def test_what_the_specification_allows(text: str) -> None:
    policy = parse(text)
    assert not policy.is_met(set())
    assert policy.is_met({witness(1), witness(1, "ü/w")})


def test_names_are_octets_and_never_characters() -> None:
    """A Kelvin sign is no K, and what is not UTF-8 is a name as well."""
    kelvin = "\u212a".encode()
    lines = b"witness K %b\nwitness %b %b\nwitness \xff %b\n" % (
        witness(1).vkey().encode(), kelvin, witness(2).vkey().encode(), witness(3).vkey().encode(),
    )  # fmt: skip
    policy = parse(lines + b"quorum " + kelvin + b"\n")
    assert (policy.is_met({witness(1)}), policy.is_met({witness(2)})) == (False, True)
    assert parse(lines + b"quorum \xff\n").shown([witness(3)]) == ("\\xff",)
    assert parse(lines + b"quorum \xff\n").is_met({witness(3)})


def test_a_quorum_of_nobody_is_always_met() -> None:
    for text in ("quorum none\n", f"{LINES}quorum none\n", "quorum none\n" + LINES):
        assert parse(text).quorum is None
        assert parse(text).is_met(set())


VKEY = witness(1).vkey()
BAD = {
    "nothing": ("", "there is no quorum line"),
    "comments alone": ("# quorum none\n", "there is no quorum line"),
    "no quorum": (LINES, "there is no quorum line"),
    "two quorums": (f"{LINES}quorum X1\nquorum X1\n", "line 8 is a second quorum line"),
    "two quorums of nobody": ("quorum none\nquorum none\n", "line 2 is a second"),
    "quorum of two": (f"{LINES}quorum X1 X2\n", "line 7 is not: quorum NAME"),
    "quorum of what": (f"{LINES}quorum\n", "line 7 is not: quorum NAME"),
    "unknown quorum": (f"{LINES}quorum Z\n", "line 7 names 'Z', which no line above defines"),
    "quorum before": (f"quorum X1\n{LINES}", "line 1 names 'X1'"),
    "quorum of a log": (f"log {LOG.vkey()}\nquorum {LOG.name}\n", "which no line above defines"),
    "unknown keyword": ("Quorum none\n", "line 1 begins with none of"),
    "not cut at a hash": ("quorum none # nobody\n", "line 1 is not: quorum NAME"),
    "no key": ("witness X\nquorum none\n", "line 1 is not: witness"),
    "too many words": (f"witness X {VKEY} u v\nquorum none\n", "line 1 is not: witness"),
    "log without a key": ("log\nquorum none\n", "line 1 is not: log"),
    "log with a name": (f"log x {LOG.vkey()} u\nquorum none\n", "line 1 is not: log"),
    "bad key": ("witness X garbage\nquorum none\n", "line 1 has no key that can be used"),
    "witness with a log's type": (f"witness X {LOG.vkey()}\nquorum X\n", "not of type 0x04"),
    "log with a witness's type": (f"log {VKEY}\nquorum none\n", "not of type 0x01"),
    "id of another key": (
        f"witness X {VKEY.replace(VKEY.split('+')[1], 'ffffffff')}\nquorum X\n",
        "whose id is not its own",
    ),
    "same name": (f"witness X {VKEY}\nwitness X {witness(2).vkey()}\nquorum X\n", "defined already"),
    "group of that name": (f"{LINES}group X1 any X2\nquorum X1\n", "line 7 defines 'X1', which"),
    "witness of that name": (f"{LINES}group G any X1\nwitness G {witness(9).vkey()}\nquorum G\n", "already"),
    "none as witness": (f"witness none {VKEY}\nquorum none\n", "line 1 defines the name 'none'"),
    "none as group": (f"{LINES}group none any X1\nquorum none\n", "line 7 defines the name 'none'"),
    "none as member": (f"{LINES}group G any none\nquorum G\n", "line 7 has the member 'none'"),
    "same key": (f"witness X {VKEY}\nwitness Y {VKEY}\nquorum X\n", "line 2 has a key that is another w"),
    "same key, other key name": (
        f"witness X {VKEY}\nwitness Y {witness(1, 'other').vkey()}\nquorum X\n",
        "line 2 has a key that is another witness's",
    ),
    "same log": (f"log {LOG.vkey()}\nlog {LOG.vkey()}\nquorum none\n", "a key that is another log's"),
    "own witness": (
        f"log {LOG.vkey()}\nwitness X {Witness('w', LOG.key).vkey()}\nquorum X\n",
        "line 2 has a key that is a log's: no log is its own witness",
    ),
    "own log": (
        f"witness X {Witness('w', LOG.key).vkey()}\nlog {LOG.vkey()}\nquorum X\n",
        "line 2 has a key that is a witness's: no log is its own witness",
    ),
    "empty group": (f"{LINES}group G any\nquorum G\n", "line 7 is not: group"),
    "group without a rule": (f"{LINES}group G X1 X2\nquorum G\n", "line 7 does not say how many"),
    "more than there are": (f"{LINES}group G 4 X1 X2 X3\nquorum G\n", "line 7 needs 4 of 3 members"),
    "none needed": (f"{LINES}group G 0 X1 X2\nquorum G\n", "line 7 does not say how many"),
    "negative": (f"{LINES}group G -1 X1 X2\nquorum G\n", "line 7 does not say how many"),
    "leading zero": (f"{LINES}group G 01 X1 X2\nquorum G\n", "line 7 does not say how many"),
    "plus": (f"{LINES}group G +1 X1 X2\nquorum G\n", "line 7 does not say how many"),
    "underscore": (f"{LINES}group G 1_0 X1\nquorum G\n", "line 7 does not say how many"),
    "other digits": (f"{LINES}group G \u0661 X1\nquorum G\n", "line 7 does not say how many"),
    "huge": (f"{LINES}group G {'9' * 5_000} X1\nquorum G\n", "line 7 does not say how many"),
    "unknown member": (f"{LINES}group G any X1 Z\nquorum G\n", "line 7 names 'Z'"),
    "itself": (f"{LINES}group G any G\nquorum G\n", "line 7 names 'G', which no line above defines"),
    "later member": (f"{LINES}group G any H\ngroup H any X1\nquorum G\n", "line 7 names 'H'"),
    "member twice": (f"{LINES}group G 2 X1 X1\nquorum G\n", "line 7 has the member 'X1', which is a member"),
    "member of two": (f"{LINES}group G any X1\ngroup H all X1 X2\nquorum H\n", "line 8 has the member 'X1'"),
    "carriage return": (f"{LINES}quorum X1\r\n", "line 7 a byte 0x0d"),
    "vertical tab": (f"{LINES}quorum\x0bX1\n", "line 7 a byte 0x0b"),
    "NUL": ("quorum none\x00\n", "line 1 a byte 0x00"),
    "DEL": ("# \x7f\nquorum none\n", "line 1 a byte 0x7f"),
    "escape": ("quorum none\n\x1b[2J\n", "line 2 a byte 0x1b"),
    "next line is no white space": ("quorum\u0085none\n", "line 1 begins with none of"),
    "cut short": (f"{LINES}quorum X1", "line 7 does not end in a newline"),
    "byte order mark": ("\ufeffquorum none\n", "line 1 begins with none of"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_policy(name: str) -> None:
    text, said = BAD[name]
    with pytest.raises(NotCheckedError) as caught:
        parse(text)
    assert caught.value.code == "witness.form"
    assert said in str(caught.value)
    assert caught.value.hint


def test_a_key_of_another_type_of_cosignature_is_named() -> None:
    """ML-DSA-44, type 0x06: a quorum that silently needs it could never be met."""
    key = b"\x06" + bytes(1_312)
    name_id = hashlib.sha256(b"w\n" + key).digest()[:4].hex()
    with pytest.raises(NotCheckedError) as caught:
        parse(f"witness X w+{name_id}+{base64.b64encode(key).decode()}\nquorum X\n")
    assert "cosignatures of other types are not checked" in str(caught.value.hint)


def test_a_key_that_stands_where_a_policy_is_wanted_is_not_repeated() -> None:
    secret = "MC4CAQAwBQYDK2VwBCIEIAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB"
    with pytest.raises(NotCheckedError) as caught:
        parse(secret + "\n")
    assert secret[:8] not in f"{caught.value} {caught.value.hint}"


def test_two_witnesses_that_a_line_could_not_tell_apart() -> None:
    """Four bytes of key id: a pair of keys that share them under one name takes four seconds to find."""
    first, second = (Witness("w", SigningKey(seed.to_bytes(32, "big")).public) for seed in (35_399, 50_728))
    assert first.key_id() == second.key_id()
    with pytest.raises(NotCheckedError, match="line 2 has a key that cannot be told from another witness's"):
        parse(f"witness X {first.vkey()}\nwitness Y {second.vkey()}\nquorum X\n")


def test_what_the_specification_asks_to_be_possible_and_what_is_too_much() -> None:
    def lines(count: int) -> str:
        made = [
            Witness(f"w{number}", SigningKey(number.to_bytes(32, "big")).public)
            for number in range(1, count + 1)
        ]
        return "".join(f"witness {each.name} {each.vkey()}\n" for each in made)

    assert len(parse(lines(256) + "quorum w256\n").witnesses) == 256
    with pytest.raises(NotCheckedError, match="line 257 is one too many"):
        parse(lines(257) + "quorum w1\n")
    # A chain of groups as deep as there may be is no recursion.
    chain = "group g0 any w1\n" + "".join(f"group g{n} all g{n - 1}\n" for n in range(1, 256))
    policy = parse(lines(1) + chain + "quorum g255\n")
    assert policy.is_met(set(policy.witnesses.values()))
    assert not policy.is_met(set())
    with pytest.raises(NotCheckedError, match="at most 256 groups"):
        parse(lines(1) + chain + "group more any g255\nquorum more\n")
    with pytest.raises(NotCheckedError, match="too long"):
        parse(b"#" * witness_policy.MAX_BYTES + b"\n")
    assert parse(b"#" * (witness_policy.MAX_BYTES - 13) + b"\nquorum none\n").quorum is None


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (str(tmp_path / "nowhere"), str(tmp_path), "a\0b"):
        with pytest.raises(NotCheckedError) as caught:
            witness_policy.read(path)
        assert caught.value.code == "witness.unreadable"
    giant = tmp_path / "giant"
    with open(giant, "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(NotCheckedError, match="too long"):
        witness_policy.read(str(giant))


WORDS = st.sampled_from(
    [b"log", b"witness", b"group", b"quorum", b"none", b"any", b"all", b"1", b"2", b"X1", b"X2", b"G", b"#",
     LOG.vkey().encode(), witness(1).vkey().encode(), witness(2).vkey().encode(), b"\xff", b"\r", b"\x00"]
)  # fmt: skip


@given(
    st.lists(st.lists(WORDS, max_size=6).map(b" ".join), max_size=8).map(b"\n".join) | st.binary(max_size=200)
)
def test_whatever_is_read_is_a_policy_or_the_one_error(data: bytes) -> None:
    for text in (data, data + b"\n", EXAMPLE.encode().replace(b"2 X1", data)):
        policy = parsed_or_code(text)
        if isinstance(policy, str):
            assert policy == "witness.form"
        else:
            assert policy.is_met(set(policy.witnesses.values()))
            assert policy.is_met(set()) is (policy.quorum is None)


def parsed_or_code(text: bytes) -> WitnessPolicy | str:
    try:
        return parse(text)
    except NotCheckedError as error:
        return error.code


@st.composite
def trees(draw: st.DrawFn) -> tuple[str, dict[str, tuple[int, list[str]]]]:
    """Draw a policy over the six witnesses whose groups are drawn as they come, with its rules."""
    free, groups, text = list(NAMES), dict[str, tuple[int, list[str]]](), LINES
    for number in range(draw(st.integers(1, 5))):
        members = draw(st.lists(st.sampled_from(free), min_size=1, unique=True))
        threshold = draw(st.integers(1, len(members)))
        names = {1: ["any"], len(members): ["all"]}
        how = draw(st.sampled_from([str(threshold), *names.get(threshold, [])]))
        name = f"g{number}"
        text += f"group {name} {how} {' '.join(members)}\n"
        groups[name] = (threshold, members)
        free = [each for each in free if each not in members] + [name]
    return text + f"quorum g{len(groups) - 1}\n", groups


@given(trees(), st.sets(st.sampled_from(NAMES)))
def test_a_quorum_is_what_its_groups_say(
    drawn: tuple[str, dict[str, tuple[int, list[str]]]], cosigned: set[str]
) -> None:
    text, groups = drawn

    def counts(name: str) -> bool:
        if name in WITNESSES:
            return name in cosigned
        threshold, members = groups[name]
        return len([member for member in members if counts(member)]) >= threshold

    policy = parse(text)
    assert met(policy, cosigned) is counts(f"g{len(groups) - 1}")
    # One more witness never takes a quorum away.
    assert not met(policy, cosigned) or all(met(policy, cosigned | {name}) for name in NAMES)
