"""What others say of a ledger: forged, about something else, from a time that cannot be, or not there at all."""

# ruff: noqa: E501  # a table with one row a line is easier to check than one that is wrapped

from __future__ import annotations

from typing import TYPE_CHECKING

from attest import note
from attest.cosignature import Witness
from tests.gauntlet.mutation import Asked, Mutation, ask
from tests.verify.conftest import KEY, STRANGER, Book, three_launches
from tests.verify.cosigning import ASKED, MONDAY, NOW, A, Scene

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.verify.conftest import Bench


def witnessed(make: Callable[[Scene], object], *more: str) -> Callable[[Bench], Asked]:
    """Return what asks for a ledger under a witness policy, after something was done to both."""

    def asked(bench: Bench) -> Asked:
        scene = Scene(bench, three_launches())
        make(scene)
        path = bench.write(scene.book)
        return ask(bench, path, "--witness-policy", str(scene.policy), "--now", ASKED, *more)

    return asked


def forged(scene: Scene) -> None:
    signed = scene.book.note(5)
    scene.append(5, signed + A.line(signed, MONDAY, over="x\n"))


def of_another_size(scene: Scene) -> None:
    signed = scene.book.note(4)
    scene.append(5, signed + A.line(signed, MONDAY))


def of_another_log(scene: Scene) -> None:
    scene.anchor(5, (A, MONDAY))
    scene.define(f"log {note.Verifier('another.example/log', STRANGER.public).vkey()}", "quorum A")


def own_key(scene: Scene) -> None:
    scene.anchor(5, (A, MONDAY))
    scene.policy.write_text(f"witness own {Witness('own.example', KEY.public).vkey()}\nquorum own\n")


def with_file(flag: str, data: bytes | None) -> Callable[[Bench], Asked]:
    """Return what asks with a file of these bytes, or with one that is not there."""

    def asked(bench: Bench) -> Asked:
        if data is not None:
            with open(bench.path("given"), "wb") as file:
                file.write(data)
        return ask(bench, bench.write(three_launches()), flag, bench.path("given"))

    return asked


def lagging(bench: Bench) -> Asked:
    with open(bench.path("policy.toml"), "w", encoding="utf-8") as file:
        file.write("version = 1\nledger.anchor_lag = '1h'\n")
    return ask(bench, bench.write(Book()), "--policy", bench.path("policy.toml"))


MUTATIONS = (
    Mutation("a cosignature that a known witness did not make", "a witness that never looked passes for one that did", 1, frozenset({"witness.signature"}), witnessed(forged)),
    Mutation("a cosignature over another size", "what was seen of less passes for more", 1, frozenset({"anchor.evidence"}), witnessed(of_another_size)),
    Mutation("evidence that is none", "any bytes pass for a cosigned checkpoint", 1, frozenset({"anchor.form"}), witnessed(lambda scene: scene.append(5, "garbage"))),
    Mutation("a cosignature of the future", "what is dated ahead would be new for ever", 3, frozenset({"witness.time", "witness.quorum"}), witnessed(lambda scene: scene.anchor(5, (A, NOW + 3600)))),
    Mutation("no cosignature at all", "nobody looked", 3, frozenset({"witness.quorum"}), witnessed(lambda scene: None)),
    Mutation("the witnesses of another log", "a quorum that is about something else", 3, frozenset({"witness.log", "witness.quorum"}), witnessed(of_another_log)),
    Mutation("a ledger that is its own witness", "the key of the ledger says that it saw the ledger", 3, frozenset({"witness.own_key", "witness.quorum"}), witnessed(own_key)),
    Mutation("a witness policy that is not there", "a policy that was lost must not pass for one", 2, frozenset({"witness.unreadable"}), with_file("--witness-policy", None)),
    Mutation("an empty witness policy", "a policy that was lost must not pass for one", 2, frozenset({"witness.form"}), with_file("--witness-policy", b"")),
    Mutation("a witness policy without an end", "a file that fills the memory", 2, frozenset({"witness.form"}), with_file("--witness-policy", b"#" * 3_000_000)),
    Mutation("roots that are not there", "whose timestamps count is not known", 2, frozenset({"timestamp.unreadable"}), with_file("--tsa-roots", None)),
    Mutation("roots that are none", "whose timestamps count is not known", 2, frozenset({"timestamp.form"}), with_file("--tsa-roots", b"none\n")),
    Mutation("a policy on what others saw", "nobody looked", 3, frozenset({"policy.anchor_lag"}), lagging),
)  # fmt: skip
