"""The ledger is true, and not what was asked for: the evidence of another build, or a policy that is not met."""

# ruff: noqa: E501  # a table with one row a line is easier to check than one that is wrapped

from __future__ import annotations

import copy
import os
from typing import TYPE_CHECKING, Any

from tests.gauntlet.mutation import Mutation, ask
from tests.verify.conftest import (
    CAPABILITIES,
    INTENT,
    KEY,
    OUTCOME,
    START,
    STRANGER,
    Book,
    changed,
    session_id,
    three_launches,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.gauntlet.mutation import Asked
    from tests.verify.conftest import Bench

_HEAD = "version = 1\n"


def one_launch(**members: Any) -> Callable[[], Book]:
    """Return a maker of a ledger of one launch; ``members`` are those of :meth:`Book.launch`."""

    def make() -> Book:
        book = Book()
        book.launch(**members)
        return book

    return make


def withheld() -> Book:
    """Return a ledger whose capability set lay beside its entry, and was taken away."""
    book = Book()
    book.launch(start=changed(START, capabilities=book.beside(CAPABILITIES)))
    book.blobs.clear()
    return book


def granting(path: str) -> Any:
    """Return a start whose capability set has one grant more; its digest is wrong, which is found as well."""
    capabilities = copy.deepcopy(CAPABILITIES)
    grant = {"access": "readwrite", "asked": path, "path": path, "source": "user", "type": "directory"}
    capabilities["files"].append(grant)
    return capabilities


def put(bench: Bench, name: str, data: bytes | str, mode: int = 0o600) -> str:
    """Write a file and return its path."""
    path = bench.path(name)
    with open(path, "wb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
        file.write(data if isinstance(data, bytes) else data.encode())
    return path


def under(
    policy: bytes | str, of: Callable[[], Book] = three_launches, *words: str
) -> Callable[[Bench], Asked]:
    """Return what asks for a ledger under a policy."""
    return lambda bench: ask(bench, bench.write(of()), "--policy", put(bench, "policy.toml", policy), *words)


def asking(*words: str, of: Callable[[], Book] = three_launches) -> Callable[[Bench], Asked]:
    """Return what asks for a ledger with more words."""
    return lambda bench: ask(bench, bench.write(of()), *words)


def another_file(bench: Bench) -> Asked:
    return ask(bench, bench.write(three_launches()), "--require-output", put(bench, "a.whl", "another wheel"))


def attesting(key: bytes, mode: int = 0o600) -> Callable[[Bench], Asked]:
    """Return what asks for a signed verdict with a key."""

    def make(bench: Bench) -> Asked:
        pem = put(bench, "verdicts.pem", key, mode)
        out = bench.path("verdict.json")
        return ask(bench, bench.write(three_launches()), "--attest", pem, "--attest-out", out)

    return make


def attesting_nowhere(bench: Bench) -> Asked:
    pem, out = put(bench, "verdicts.pem", STRANGER.pem()), bench.path("no/such/place.json")
    return ask(bench, bench.write(three_launches()), "--attest", pem, "--attest-out", out)


def every(condition: str) -> str:
    return f"{_HEAD}[every]\n{condition}\n"


def unmet(name: str, why: str, code: str, make: Callable[[Bench], Asked]) -> Mutation:
    return Mutation(name, why, 3, frozenset({code}), make)


def unchecked(name: str, why: str, code: str, make: Callable[[Bench], Asked]) -> Mutation:
    return Mutation(name, why, 2, frozenset({code}), make)


def unfinished() -> Book:
    book = Book()
    book.add("launch.intent", book.new_session(), INTENT)
    return book


OPEN = changed(INTENT, network={"mode": "all"})

MUTATIONS = (
    # --- the evidence of something else
    unmet("last week's evidence", "an older build passes for this one", "require.label", asking("--require-label", "run=8")),
    unmet("a label that another launch has", "two launches together are not one", "require.label", asking("--require-label", "run=7", "--require-label", "job=release")),
    unmet("a failed build", "what failed has made nothing that counts", "require.label", asking("--require-label", "run=7", of=one_launch(outcome=changed(OUTCOME, exit=1)))),
    unmet("a swapped wheel", "another file under the right name", "require.output", another_file),
    unmet("a launch of another ledger", "the launch that is meant is not in here", "require.session", asking("--session", session_id(99))),
    # --- policies that are not met
    unmet("a policy on exit codes", "a failure passes for a success", "policy.exit", under(every("exit = [3]"), one_launch())),
    unmet("a policy on programs", "another program of the same name ran", "policy.executable", under(every(f"executables = [{{path = '/usr/bin/make', sha256 = '{'0' * 64}'}}]"), one_launch())),
    unmet("a policy on labels", "a launch for something else", "policy.label", under(every("labels = {job = 'release'}"), one_launch())),
    unmet("a policy on outputs", "what was to be made was not", "policy.output", under(every("outputs = ['*.tar.gz']"), one_launch())),
    unmet("a policy on profiles", "a launch without its profile", "policy.profile", under(every("profiles = [{name = 'release'}]"), one_launch())),
    unmet("a policy on hosts", "a launch that its host held to nothing", "policy.configuration", under(every(f"system_configurations = ['{'1' * 64}']"), one_launch())),
    unmet("a policy on hooks", "a launch without its hook", "policy.hook", under(every("hooks.before = {}"), one_launch())),
    unmet("a policy on bypasses", "a protection was lifted", "policy.bypass", under(every("bypass = false"), one_launch(intent=changed(INTENT, bypass_protection=["/root/.ssh"])))),
    unmet("a policy on places", "a place was open that should be closed", "policy.grant", under(every("no_grant_under = ['/usr/share']"), one_launch())),
    unmet("a policy on one launch at least", "none is what was asked for", "policy.required", under(f"{_HEAD}[[require]]\nexit = [7]\n", one_launch())),
    Mutation("a policy on a set that was taken away", "what is not shown cannot be judged", 3, frozenset({"policy.undecided", "blob.withheld"}), under(every("network = 'blocked'"), withheld)),
    Mutation("a policy on networks", "the network was open", 1, frozenset({"policy.network", "launch.capabilities"}), under(every("network = 'blocked'"), one_launch(intent=OPEN, start=changed(START, capabilities={**CAPABILITIES, "network": {"mode": "all"}})))),
    unmet("a policy on execs", "what it started in turn was not seen", "policy.execs", under(every("execs = 'trace'"))),
    Mutation("a policy on UNIX sockets", "a service of the host was within reach", 1, frozenset({"policy.socket", "launch.capabilities"}), under(every("unix_sockets = false"), one_launch(start=changed(START, capabilities={**CAPABILITIES, "unix_sockets": [{"access": "connect", "asked": "/run/x", "path": "/run/x", "source": "user", "type": "socket"}]})))),
    Mutation("a policy on System V", "memory of a process outside was within reach", 1, frozenset({"policy.ipc", "launch.capabilities"}), under(every("sysv_ipc = false"), one_launch(start=changed(START, capabilities={**CAPABILITIES, "ipc": "sysv"})))),
    Mutation("a policy on writing", "more could be written than should be", 1, frozenset({"policy.write", "launch.capabilities"}), under(every("write_only_under = ['/w']"), one_launch(start=changed(START, capabilities=granting("/etc"))))),
    Mutation("a policy on attestations", "a launch that was lost, though accepted, is not attested", 3, frozenset({"policy.attested", "launch.unfinished"}), under(every("attested = true"), unfinished)),
    unmet("a policy on memory", "an older copy passes when nothing is remembered", "policy.remembered", under(f"{_HEAD}ledger.remembered = true\n")),
    unmet("a policy on age", "old evidence is put forward as new", "policy.head_age", under(f"{_HEAD}ledger.head_age = '1h'\n", three_launches, "--now", "2026-12-24T04:00:00Z")),
    unmet("a policy on age, from the future", "what is dated ahead would be new for ever", "policy.head_age", under(f"{_HEAD}ledger.head_age = '1h'\n", three_launches, "--now", "2026-01-01T00:00:00Z")),
    # --- policies that are none
    unchecked("an empty policy", "a file that requires nothing is passed by all", "policy.empty", under(_HEAD)),
    unchecked("an empty file for a policy", "a policy that was lost must not pass for one", "policy.form", under("")),
    unchecked("a policy with a word that nobody knows", "a misspelt condition would silently not be there", "policy.form", under(every("netwrok = 'blocked'"))),
    unchecked("a policy of another version", "it may mean something else", "policy.form", under("version = 2\n[every]\nexit = [0]\n")),
    unchecked("any bytes for a policy", "a policy that was lost must not pass for one", "policy.form", under(b"\xff" * 100)),
    unchecked("a policy without an end", "a file that fills the memory", "policy.form", under("#" * 3_000_000)),
    unchecked("a policy that is not there", "a policy that was lost must not pass for one", "policy.unreadable", asking("--policy", "no/such/policy.toml")),
    unchecked("a required file that is not there", "a file that nobody has was made by nobody", "require.unreadable", asking("--require-output", "no/such/file")),
    # --- signed verdicts
    unchecked("a verdict signed by the ledger's own key", "a ledger would vouch for itself", "attest.ledger_key", attesting(KEY.pem())),
    unchecked("a verdict signed by a key that others have", "anyone could have signed it", "attest.key", attesting(STRANGER.public.pem())),
    unchecked("a signed verdict that cannot be written", "nobody would get it", "attest.unwritable", attesting_nowhere),
)  # fmt: skip
