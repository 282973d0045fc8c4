"""Policies: what they say, what they refuse to say, and that each condition can fail."""

from __future__ import annotations

import contextlib
import copy
import glob
import hashlib
import io
import json
import os
import time
from typing import TYPE_CHECKING, Any

import jsonschema  # type: ignore[import-untyped]  # published without type information
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attest import entry
from attest.canonical import encode
from verify import cli, policy
from verify.conditions import Conditions
from verify.errors import NotCheckedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.verify.conftest import Bench, Book

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WORKED = sorted(glob.glob(os.path.join(ROOT, "docs", "policies", "*.toml")))
NOW = ("--now", "2026-11-24T04:10:00Z")


def save(bench: Bench, text: str, name: str = "policy.toml") -> str:
    with open(bench.path(name), "w", encoding="utf-8") as file:
        file.write(text)
    return bench.path(name)


def policy_of(conditions: str, part: str = "[every]") -> str:
    return f"version = 1\n{part}\n{conditions}\n"


def say(*arguments: str) -> tuple[int, str, str]:
    output, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(error):
        status = cli.main(list(arguments))
    return status, output.getvalue(), error.getvalue()


NETWORKS: dict[str, dict[str, Any]] = {
    "all": {"mode": "all"},
    "blocked": {"mode": "blocked"},
    "ports": {"connect": [443], "listen": [], "listen_loopback": [], "mode": "ports"},
}


def granting(shapes: Any, *grants: dict[str, Any], network: str = "blocked") -> dict[str, Any]:
    """Return a start whose capability set has these grants beside the usual ones."""
    files = [*shapes.CAPABILITIES["files"], *grants]
    capabilities: dict[str, Any] = {"files": files, "network": NETWORKS[network]}
    return dict(
        shapes.changed(
            shapes.START,
            capabilities=capabilities,
            capabilities_sha256=hashlib.sha256(encode(capabilities)).hexdigest(),
        )
    )


def grant(
    path: str, access: str = "readwrite", kind: str = "directory", source: str = "user"
) -> dict[str, Any]:
    return {"access": access, "asked": path, "path": path, "source": source, "type": kind}


# --- conditions, each met and each failed -----------------------------------------------------------


SESSION = f"{'0' * 12}7{'0' * 3}8{'0' * 15}"
PRIVATE = f"/tmp/nono-{'0a' * 10}"
D, E = "d" * 64, "e" * 64
MET_AND_FAILED = [
    ("exit = [0]", "exit = [1, 2]", "policy.exit"),
    ("network = 'blocked'", None, "policy.network"),
    ("unix_sockets = false", None, "policy.socket"),
    ("sysv_ipc = false", None, "policy.ipc"),
    ("executables = [{path = '/usr/bin/make'}]", "executables = [{path = '/x'}]", "policy.executable"),
    (f"executables = [{{sha256 = '{E}'}}]", f"executables = [{{sha256 = '{D}'}}]", "policy.executable"),
    (
        f"executables = [{{path = '/usr/bin/make', sha256 = '{E}'}}]",
        f"executables = [{{path = '/usr/bin/make', sha256 = '{D}'}}, {{path = '/x', sha256 = '{E}'}}]",
        "policy.executable",
    ),
    ("labels = {run = '7'}", "labels = {run = '8'}", "policy.label"),
    ("labels = {run = '7'}", "labels = {run = '7', job = 'x'}", "policy.label"),
    ("outputs = ['*.whl', '/w/a.whl', 'a.*', 'a.wh?']", "outputs = ['*.whl', '*.tar.gz']", "policy.output"),
    ("outputs = ['/w/*']", "outputs = ['/x/*']", "policy.output"),
    ("outputs = ['a.whl']", "outputs = ['whl']", "policy.output"),
    ("no_grant_under = ['/usr2', '/us']", "no_grant_under = ['/usr']", "policy.grant"),
    ("no_grant_under = ['/root']", "no_grant_under = ['/usr/lib/secret']", "policy.grant"),
    ("no_grant_under = ['/root']", "no_grant_under = ['/']", "policy.grant"),
    ("no_write_under = ['/usr', '/root']", None, "policy.write"),
    ("write_only_under = ['/nowhere']", None, "policy.write"),
    ("attested = true", None, "policy.attested"),
    ("bypass = false", None, "policy.bypass"),
]  # fmt: skip


@pytest.mark.parametrize(("met", "failed", "code"), MET_AND_FAILED)
def test_conditions_on_every_launch(
    bench: Bench, new_book: Callable[..., Book], met: str, failed: str | None, code: str
) -> None:
    book = new_book()
    book.launch()
    path = bench.write(book)
    holds = bench.verify(path, "--policy", save(bench, policy_of(met)))
    assert (holds.status, holds.codes) == (0, [])
    assert holds.document["policy"]["met"] is True
    if failed is not None:
        fails = bench.verify(path, "--policy", save(bench, policy_of(failed)))
        assert (fails.status, set(fails.codes)) == (3, {code})
        assert fails.document["policy"]["met"] is False


@pytest.mark.parametrize(("met", "failed", "code"), MET_AND_FAILED)
def test_conditions_on_one_launch(
    bench: Bench, new_book: Callable[..., Book], met: str, failed: str | None, code: str
) -> None:
    book = new_book()
    first = book.launch()
    book.launch()
    path = bench.write(book)
    holds = bench.verify(path, "--policy", save(bench, policy_of(met, "[[require]]")))
    assert (holds.status, holds.codes) == (0, [])
    assert [each["session"] for each in holds.document["required"]] == [first]
    if failed is not None:
        fails = bench.verify(path, "--policy", save(bench, policy_of(failed, "[[require]]")))
        assert (fails.status, fails.codes) == (3, ["policy.required"])
        assert [each["session"] for each in fails.document["required"]] == [None]


@pytest.mark.parametrize(
    ("condition", "change", "code"),
    [
        ("network = 'blocked'", {"network": "all"}, "policy.network"),
        ("network = 'blocked'", {"network": "ports"}, "policy.network"),
        ("no_write_under = ['/etc']", {"grants": [grant("/etc/x")]}, "policy.write"),
        ("no_write_under = ['/etc']", {"grants": [grant("/")]}, "policy.write"),
        ("no_write_under = ['/etc']", {"grants": [grant("/etc/x", "write", "file")]}, "policy.write"),
        ("no_grant_under = ['/root']", {"grants": [grant("/root/.ssh/id", "read", "file")]}, "policy.grant"),
        ("no_grant_under = ['/root']", {"grants": [grant("/", "read")]}, "policy.grant"),
        ("write_only_under = ['/w', '/x/']", None, None),
        ("write_only_under = ['/w']", {"grants": [grant("/")]}, "policy.write"),
        ("write_only_under = ['/w']", {"grants": [grant("/w2")]}, "policy.write"),
        ("write_only_under = ['/w']", {"grants": [grant("/w"), grant("/w/a", "write", "file")]}, ""),
        ("no_write_under = ['/w/secret']", {"grants": [grant("/w", "read"), grant("/w/other")]}, ""),
        ("no_grant_under = ['/w/secret']", {"grants": [grant("/w/secretary")]}, ""),
        # A file that is granted opens itself and nothing beside it.
        ("no_grant_under = ['/w/a/b']", {"grants": [grant("/w/a", "read", "file")]}, ""),
        # What every launch has of nono itself, and what only looks like it.
        ("no_grant_under = ['/tmp']", {"grants": [grant(PRIVATE, source="system")]}, ""),
        ("no_grant_under = ['/tmp']", {"grants": [grant("/tmp/nono-1", source="system")]}, "policy.grant"),
        ("write_only_under = ['/w']", {"grants": [grant("/dev/null", "write", "file", "system")]}, ""),
        ("write_only_under = ['/w']", {"grants": [grant("/log", "write", "file", "system")]}, "policy.write"),
        ("no_grant_under = ['/tmp']", {"grants": [grant(PRIVATE, source="profile")]}, "policy.grant"),
        ("no_grant_under = ['/dev']", {"grants": [grant("/dev/pts/3", "readwrite", "file", "system")]}, ""),
        ("no_grant_under = ['/dev/shm']", {"grants": [grant("/dev/shm/x", "read", "file", "system")]},
            "policy.grant"),
        ("write_only_under = ['/w']", {"grants": [grant("/dev/shm/x", "write", "file", "system")]},
            "policy.write"),
        # A path that does not mean what it says is in no known place.
        ("write_only_under = ['/w']", {"grants": [grant("/w/../etc")]}, "policy.undecided"),
        ("no_grant_under = ['/root']", {"grants": [grant("//root")]}, "policy.undecided"),
        ("no_grant_under = ['/root']", {"grants": [grant("/w/./x")]}, "policy.undecided"),
        ("no_grant_under = ['/root']", {"grants": [grant("/root/")]}, "policy.undecided"),
        ("no_grant_under = ['/root']", {"grants": [grant("root")]}, "policy.undecided"),
        ("no_grant_under = ['/root']", {"grants": [grant("")]}, "policy.undecided"),
        ("no_grant_under = ['/root']", {"grants": [grant("/dev/../root/x", "read", "file", "system")]},
            "policy.undecided"),
    ],
)  # fmt: skip
def test_places_and_networks(
    bench: Bench,
    new_book: Callable[..., Book],
    shapes: Any,
    condition: str,
    *,
    change: dict[str, Any] | None,
    code: str | None,
) -> None:
    if change is None:  # a slash at the end is no canonical path
        assert say("policy", "check", save(bench, policy_of(condition)))[0] == 2
        return
    intent = shapes.changed(shapes.INTENT, network=NETWORKS[change.get("network", "blocked")])
    start = granting(shapes, *change.get("grants", ()), network=change.get("network", "blocked"))
    for beside in (False, True):
        book = new_book()
        shown = copy.deepcopy(start)
        if beside:
            shown["capabilities"] = book.beside(start["capabilities"])
        book.launch(intent=intent, start=shown)
        found = bench.verify(bench.write(book), "--policy", save(bench, policy_of(condition)))
        assert (found.status, found.codes) == ((3, [code]) if code else (0, []))


def test_what_the_record_does_not_show_is_not_met(
    bench: Bench, new_book: Callable[..., Book], shapes: Any
) -> None:
    book = new_book()
    book.launch(start=shapes.changed(shapes.START, capabilities=book.beside(shapes.CAPABILITIES)))
    book.blobs.clear()
    path = bench.write(book)
    found = bench.verify(path, "--policy", save(bench, policy_of("network = 'blocked'")))
    assert (found.status, found.codes) == (3, ["blob.withheld", "policy.undecided"])
    found = bench.verify(path, "--policy", save(bench, policy_of("network = 'blocked'", "[[require]]")))
    assert (found.status, found.codes) == (3, ["policy.required", "blob.withheld"])
    # What is not asked about may be withheld, as far as the policy is concerned.
    found = bench.verify(path, "--policy", save(bench, policy_of("exit = [0]")))
    assert found.codes == ["blob.withheld"]
    assert found.document["policy"]["met"] is True


def test_interpreters_are_asked_about_too(bench: Bench, new_book: Callable[..., Book], shapes: Any) -> None:
    book = new_book()
    shell = {"held": "lease", "path": "/bin/dash", "sha256": "a" * 64, "size": 1}
    book.launch(start=shapes.changed(shapes.START, interpreters=[shell]))
    path = bench.write(book)
    found = bench.verify(path, "--policy", save(bench, policy_of("executables = [{path = '/usr/bin/make'}]")))
    assert found.codes == ["policy.executable"]
    both = "executables = [{path = '/usr/bin/make'}, {path = '/bin/dash'}]"
    assert bench.verify(path, "--policy", save(bench, policy_of(both))).status == 0


def test_profiles(bench: Bench, new_book: Callable[..., Book], shapes: Any) -> None:
    chain = [{"name": "base", "sha256": "1" * 64}, {"name": "release", "sha256": "2" * 64}]
    book = new_book()
    book.launch(intent=shapes.changed(shapes.INTENT, profile=chain))
    path = bench.write(book)
    for text, codes in (
        ("profiles = [{name = 'release'}, {name = 'base'}]", []),
        (f"profiles = [{{sha256 = '{'1' * 64}'}}, {{name = 'release'}}]", []),
        ("profiles = [{name = 'release'}]", ["policy.profile"]),
        (f"profiles = [{{name = 'release', sha256 = '{'1' * 64}'}}, {{name = 'base'}}]", ["policy.profile"]),
    ):
        assert bench.verify(path, "--policy", save(bench, policy_of(text))).codes == codes
    without = new_book()
    without.launch()
    found = bench.verify(
        bench.write(without), "--policy", save(bench, policy_of("profiles = [{name = 'release'}]"))
    )
    assert found.codes == ["policy.profile"]


def test_the_configuration_of_the_host(bench: Bench, new_book: Callable[..., Book], shapes: Any) -> None:
    condition = f"system_configurations = ['{'1' * 64}', '{'2' * 64}']"
    for configuration, codes in (
        ({"system": "2" * 64}, []),
        ({"system": "1" * 64, "user": "3" * 64}, []),
        ({"system": "3" * 64}, ["policy.configuration"]),
        ({"user": "1" * 64}, ["policy.configuration"]),  # the user's is not the host's
    ):
        book = new_book()
        book.launch(intent=shapes.changed(shapes.INTENT, configuration=configuration))
        found = bench.verify(bench.write(book), "--policy", save(bench, policy_of(condition)))
        assert found.codes == codes
    without = new_book()
    without.launch()
    found = bench.verify(bench.write(without), "--policy", save(bench, policy_of(condition)))
    assert (found.status, found.codes) == (3, ["policy.configuration"])


def test_hooks(bench: Bench, new_book: Callable[..., Book], shapes: Any) -> None:
    def ledger(exit_code: int | None) -> str:
        book = new_book()
        session = book.new_session()
        book.add(entry.INTENT, session, shapes.changed(shapes.INTENT, hooks={"before": shapes.HOOK}))
        result = shapes.changed(shapes.HOOK_RESULT, exit=exit_code)
        book.add(entry.HOOK_RESULT, session, result)
        book.add(entry.START, session, shapes.START)
        book.add(entry.OUTCOME, session, shapes.OUTCOME)
        book.attest(session)
        return bench.write(book)

    for condition, exit_code, codes in (
        ("hooks.before = {}", 0, []),
        ("hooks.before = {path = '/h/before'}", 0, []),
        (f"hooks.before = {{sha256 = '{'c' * 64}'}}", 0, []),
        ("hooks.before = {path = '/h/other'}", 0, ["policy.hook"]),
        ("hooks.after = {}", 0, ["policy.hook"]),
        ("hooks.before = {}", 1, ["policy.hook"]),
    ):
        found = bench.verify(ledger(exit_code), "--policy", save(bench, policy_of(condition)))
        assert found.codes == codes, condition


def test_a_bypass(bench: Bench, new_book: Callable[..., Book], shapes: Any) -> None:
    book = new_book()
    book.launch(intent=shapes.changed(shapes.INTENT, bypass_protection=["/root/.ssh"]))
    found = bench.verify(bench.write(book), "--policy", save(bench, policy_of("bypass = false")))
    assert (found.status, found.codes) == (3, ["policy.bypass"])


def test_launches_that_never_ran(bench: Bench, new_book: Callable[..., Book], shapes: Any) -> None:
    book = new_book()
    session = book.new_session()
    book.add(entry.INTENT, session, shapes.INTENT)
    book.add(entry.OUTCOME, session, shapes.REFUSED)
    book.attest(session)
    path = bench.write(book)
    # It reached nothing, so what is asked of its reach holds; nothing is shown by it either.
    found = bench.verify(path, "--policy", save(bench, policy_of("network = 'blocked'\nattested = true")))
    assert (found.status, found.codes) == (0, [])
    found = bench.verify(path, "--policy", save(bench, policy_of("network = 'blocked'", "[[require]]")))
    assert (found.status, found.codes) == (3, ["policy.required"])
    found = bench.verify(path, "--policy", save(bench, policy_of("exit = [0]")))
    assert (found.status, found.codes) == (3, ["policy.exit"])


def test_an_exec_that_failed_shows_nothing(bench: Bench, new_book: Callable[..., Book], shapes: Any) -> None:
    """All was ready, and then nothing ran: it is no launch that a requirement can be met by."""
    book = new_book()
    session = book.new_session()
    book.add(entry.INTENT, session, shapes.INTENT)
    book.add(entry.START, session, shapes.START)
    outputs = [{"path": "/w/a.whl", "unhashed": "missing"}]
    book.add(entry.OUTCOME, session, shapes.changed(shapes.REFUSED, outputs=outputs))
    book.attest(session)
    path, asked = bench.write(book), "executables = [{path = '/usr/bin/make'}]"
    assert bench.verify(path).status == 0
    assert bench.verify(path, "--policy", save(bench, policy_of(asked))).status == 0
    found = bench.verify(path, "--policy", save(bench, policy_of(asked, "[[require]]")))
    assert (found.status, found.codes) == (3, ["policy.required"])


def test_a_direct_launch_does_not_show_how_it_ended(
    bench: Bench, new_book: Callable[..., Book], shapes: Any
) -> None:
    book = new_book()
    session = book.new_session()
    book.add(entry.INTENT, session, shapes.changed(shapes.INTENT, strategy="direct", outputs=[]))
    book.add(entry.START, session, shapes.START)
    path = bench.write(book)
    for condition in ("exit = [0]", "outputs = ['*.whl']"):
        found = bench.verify(path, "--policy", save(bench, policy_of(condition)))
        assert (found.status, found.codes) == (3, ["policy.undecided"])
    assert bench.verify(path, "--policy", save(bench, policy_of("network = 'blocked'"))).status == 0


def test_what_is_seen_of_execs(bench: Bench, new_book: Callable[..., Book], shapes: Any) -> None:
    allowed = {"allow": [{"asked": "/usr", "path": "/usr"}], "tracing": "allow"}
    for found, met in (
        (None, []),
        ({"tracing": "none"}, []),
        ({"tracing": "trace"}, ["trace"]),
        (allowed, ["trace", "allow"]),
    ):
        book, intent, start = new_book(), shapes.INTENT, shapes.START
        if found is not None:
            start = shapes.changed(start, execs=found)
        if found == allowed:
            intent = shapes.changed(intent, execs={"allow": ["/usr"], "tracing": "allow"})
        book.launch(intent=intent, start=start)
        path = bench.write(book)
        for asked in ("trace", "allow"):
            codes = bench.verify(path, "--policy", save(bench, policy_of(f"execs = '{asked}'"))).codes
            assert codes == ([] if asked in met else ["policy.execs"]), (found, asked)


def test_unix_sockets(bench: Bench, new_book: Callable[..., Book], shapes: Any) -> None:
    """They lie in places as files do, and can be closed altogether."""
    granted = {"access": "connect", "asked": "/run/x", "source": "user", "type": "directory"}
    intent = shapes.changed(shapes.INTENT, unix_sockets=[granted])
    start = granting(shapes)
    start["capabilities"]["unix_sockets"] = [{**granted, "path": "/run/x"}]
    start["capabilities_sha256"] = hashlib.sha256(encode(start["capabilities"])).hexdigest()
    book = new_book()
    book.launch(intent=intent, start=start)
    path = bench.write(book)
    for condition, codes in (
        ("unix_sockets = false", ["policy.socket"]),
        ("no_grant_under = ['/run/x/y']", ["policy.grant"]),
        ("no_grant_under = ['/run/z']", []),
        ("no_write_under = ['/run/x']", []),
    ):
        assert bench.verify(path, "--policy", save(bench, policy_of(condition))).codes == codes


def test_system_v(bench: Bench, new_book: Callable[..., Book], shapes: Any) -> None:
    start = granting(shapes)
    start["capabilities"]["ipc"] = "sysv"
    start["capabilities_sha256"] = hashlib.sha256(encode(start["capabilities"])).hexdigest()
    book = new_book()
    book.launch(intent=shapes.changed(shapes.INTENT, ipc="sysv"), start=start)
    path = bench.write(book)
    assert bench.verify(path, "--policy", save(bench, policy_of("sysv_ipc = false"))).codes == ["policy.ipc"]
    assert bench.verify(path, "--policy", save(bench, policy_of("unix_sockets = false"))).codes == []


def test_what_was_not_enforced_is_not_met(bench: Bench, new_book: Callable[..., Book], shapes: Any) -> None:
    """A capability set says what was to be; a feature may be waived, and the policy may accept that."""
    for feature, condition, code in (
        ("network", "network = 'blocked'", "policy.network"),
        ("filter", "unix_sockets = false", "policy.socket"),
        ("filter", "sysv_ipc = false", "policy.ipc"),
        ("filesystem", "no_grant_under = ['/root']", "policy.grant"),
        ("filesystem", "no_write_under = ['/root']", "policy.grant"),
        ("filesystem", "write_only_under = ['/w']", "policy.grant"),
    ):
        start = copy.deepcopy(shapes.START)
        start["enforcement"]["achieved"][feature] = start["enforcement"]["required"][feature] = False
        start["enforcement"]["waived"] = [feature]
        book = new_book()
        book.launch(start=start)
        text = f"version = 1\naccept.waived = ['{feature}']\n[every]\n"
        path = bench.write(book)
        found = bench.verify(path, "--policy", save(bench, text + condition))
        assert (found.status, found.codes) == (3, ["launch.accepted", code])
        assert bench.verify(path, "--policy", save(bench, text + "exit = [0]")).status == 0
        required = f"{text}exit = [0]\n[[require]]\n{condition}"
        found = bench.verify(path, "--policy", save(bench, required))
        assert (found.status, found.codes) == (3, ["policy.required", "launch.accepted"])


def test_lost_launches_are_accepted_by_name(bench: Bench, new_book: Callable[..., Book], shapes: Any) -> None:
    book = new_book()
    book.launch()
    lost, open_ = book.new_session(), book.new_session()
    book.add(entry.INTENT, lost, shapes.INTENT)
    book.add(entry.LOST, lost, {"found": "another-boot"})
    book.add(entry.INTENT, open_, shapes.INTENT)
    path = bench.write(book)
    assert bench.verify(path).status == 3
    both = f"version = 1\naccept.lost = ['{lost}', '{open_}']\n[every]\nnetwork = 'blocked'\n"
    found = bench.verify(path, "--policy", save(bench, both))
    assert (found.status, found.codes) == (0, ["launch.accepted"] * 2)
    one = f"version = 1\naccept.lost = ['{lost}']\n[every]\nnetwork = 'blocked'\n"
    found = bench.verify(path, "--policy", save(bench, one))
    assert (found.status, found.codes) == (3, ["launch.accepted", "launch.unfinished"])
    # To be accepted is not to be attested.
    found = bench.verify(path, "--policy", save(bench, both + "attested = true\n"))
    assert (found.status, found.codes.count("policy.attested")) == (3, 2)


def test_waived_features_are_accepted_by_name(
    bench: Bench, new_book: Callable[..., Book], shapes: Any
) -> None:
    start = copy.deepcopy(shapes.START)
    start["enforcement"]["achieved"]["ioctl"] = start["enforcement"]["achieved"]["scope"] = False
    start["enforcement"]["waived"] = ["ioctl", "scope"]
    book = new_book()
    book.launch(start=start)
    path = bench.write(book)
    for waived, status, codes in (
        (["ioctl", "scope"], 0, ["launch.accepted"]),
        (["ioctl"], 3, ["launch.degraded"]),
    ):
        text = f"version = 1\naccept.waived = {waived}\n[every]\nexit = [0]\n"
        found = bench.verify(path, "--policy", save(bench, text))
        assert (found.status, found.codes) == (status, codes)


def test_nothing_excuses_tampering(bench: Bench, book: Book) -> None:
    path = bench.alter(
        bench.write(book), "UPDATE entry SET body = replace(body, 'make', 'fake') WHERE idx = 1"
    )
    found = bench.verify(path, "--policy", save(bench, policy_of("exit = [0]")), "--require-label", "run=7")
    assert found.status == 1
    assert found.document["policy"]["met"] is False


def test_the_age_of_the_newest_entry(bench: Bench, book: Book) -> None:
    path = bench.write(book)
    asked = save(bench, "version = 1\nledger.head_age = '10m'\n")
    for now, status in (
        ("2026-11-24T04:10:00Z", 0),
        ("2026-11-24T04:10:30Z", 3),
        ("2026-11-24T03:51:00Z", 0),  # a clock that is a little behind
        ("2026-11-24T03:50:00Z", 3),  # an entry of the future could always be said to be new
    ):
        found = bench.verify(path, "--policy", asked, "--now", now)
        assert (found.status, found.codes) == (status, ["policy.head_age"] * (status == 3)), now
    assert bench.verify(path, "--policy", asked).status == 3  # by the clock


def test_memory_can_be_required(bench: Bench, book: Book) -> None:
    path, kept = bench.write(book), bench.path("kept")
    asked = save(bench, "version = 1\nledger.remembered = true\n")
    found = bench.verify(path, "--policy", asked)
    assert (found.status, found.codes) == (3, ["policy.remembered"])
    status, _, _ = say(path, "-k", bench.path("key.pub"), "--policy", asked, "--save-checkpoint", kept)
    assert status == 3
    assert bench.verify(path, "--policy", asked, "--checkpoint", kept).status == 0


def test_many_grants_are_a_few_findings(bench: Bench, new_book: Callable[..., Book], shapes: Any) -> None:
    book = new_book()
    book.launch(start=granting(shapes, *(grant(f"/w/{number}") for number in range(50))))
    found = bench.verify(bench.write(book), "--policy", save(bench, policy_of("no_write_under = ['/w']")))
    assert found.codes == ["policy.write"] * 4


def test_many_grants_and_many_places_take_no_longer_than_the_grants(
    bench: Bench, new_book: Callable[..., Book], shapes: Any
) -> None:
    """Of 20,000 grants on 256 places, each with each would be ten million comparisons."""
    places = [f"/secret/{number}" for number in range(256)]
    policies = [
        save(bench, policy_of(f"{name} = {places}"), f"{name}.toml")
        for name in ("no_grant_under", "no_write_under", "write_only_under")
    ]
    for path, codes in ((f"/w/{'d/' * 20}", [[], [], ["policy.write"]]), ("/secret", None)):
        grants = [grant(f"{path}{number}" if path.endswith("/") else path) for number in range(20_000)]
        start = granting(shapes, *grants)
        book = new_book()
        book.launch(start={**start, "capabilities": book.beside(start["capabilities"])})
        ledger = bench.write(book)
        for number, asked in enumerate(policies):
            before = time.process_time()
            status, output, _ = say(
                ledger, "-k", bench.path("key.pub"), "--policy", asked, "--format", "json"
            )
            assert time.process_time() - before < 5
            found = {each["code"] for each in json.loads(output)["findings"]}
            expected = (
                {"policy.grant" if number == 0 else "policy.write"} if codes is None else {*codes[number]}
            )
            assert (status, found) == (3 if expected else 0, expected)


@given(
    places=st.lists(
        st.text("ab/", max_size=6).map(lambda text: "/" + text.strip("/")), min_size=1, max_size=4
    ),
    path=st.text("ab/", max_size=6).map(lambda text: "/" + text.strip("/")),
    is_directory=st.booleans(),
)
def test_places_are_found_as_the_words_say(places: list[str], path: str, *, is_directory: bool) -> None:
    """A grant opens a place when it is the place, lies in it, or is a directory that holds it."""

    def lies_in(path: str, place: str) -> bool:
        return (path + "/").startswith(place.rstrip("/") + "/")

    places = list(dict.fromkeys(place for place in places if "//" not in place))
    if not places or "//" in path:
        return
    asked = {"access": "readwrite", "asked": path, "path": path, "source": "user",
        "type": "directory" if is_directory else "file"}  # fmt: skip
    start = {
        "enforcement": {"achieved": {"network": True, "filesystem": True}},
    }
    shown: Any = {"files": [asked], "network": {"mode": "blocked"}}
    opened = any(lies_in(path, place) or (is_directory and lies_in(place, path)) for place in places)
    inside = any(lies_in(path, place) for place in places)
    for conditions, fails in (
        (Conditions(no_grant_under=tuple(places)), opened),
        (Conditions(no_write_under=tuple(places)), opened),
        (Conditions(write_only_under=tuple(places)), not inside),
    ):
        assert bool(list(conditions.start(start, shown, SESSION))) is fails


@pytest.mark.parametrize(
    ("name", "access", "kind", "source", "is_own"),
    [
        ("{session}.json", "read", "file", "system", True),
        ("{session}.json", "readwrite", "file", "system", False),
        ("{session}.json", "read", "file", "user", False),
        ("{session}.json", "read", "directory", "system", False),
        ("{session}.json.pem", "read", "file", "system", False),
        (f"{'0' * 12}7{'0' * 3}8{'1' * 15}.json", "read", "file", "system", False),
    ],
)
def test_the_file_that_says_what_a_launch_may_do_is_its_own_alone(
    name: str, access: str, kind: str, source: str, is_own: bool
) -> None:
    path = f"/root/.local/state/nono/capabilities/{name.format(session=SESSION)}"
    shown: Any = {"files": [grant(path, access, kind, source)], "network": {"mode": "blocked"}}
    start = {"enforcement": {"achieved": {"network": True, "filesystem": True}}}
    found = [*Conditions(no_grant_under=("/root",)).start(start, shown, SESSION)]
    assert [failure.code for failure in found] == ([] if is_own else ["policy.grant"])


# --- --require-label, --require-output, --session ------------------------------------------------------


def test_required_labels(bench: Bench, new_book: Callable[..., Book], shapes: Any) -> None:
    book = new_book()
    book.launch()
    right = book.launch(intent=shapes.changed(shapes.INTENT, labels={"run": "42", "job": "release"}))
    path = bench.write(book)
    found = bench.verify(path, "--require-label", "run=42", "--require-label", "job=release")
    assert (found.status, [each["session"] for each in found.document["required"]]) == (0, [right])
    assert f"session {right}" in found.text
    for labels in (["run=43"], ["run=7", "job=release"], ["run="], ["run=4"]):
        found = bench.verify(path, *(word for label in labels for word in ("--require-label", label)))
        assert (found.status, found.codes) == (3, ["require.label"]), labels


def test_a_build_that_failed_is_no_evidence(bench: Bench, new_book: Callable[..., Book], shapes: Any) -> None:
    wheel = bench.path("a.whl")
    with open(wheel, "wb") as file:
        file.write(b"wheel")
    outputs = [{"path": "/w/a.whl", "sha256": hashlib.sha256(b"wheel").hexdigest(), "size": 5}]
    asked = ("--require-label", "run=7", "--require-output", wheel)
    for outcome, status in (
        (shapes.changed(shapes.OUTCOME, outputs=outputs), 0),
        (shapes.changed(shapes.OUTCOME, outputs=outputs, exit=1), 3),
        (shapes.changed(shapes.SIGNALLED, outputs=outputs), 3),
        (shapes.OUTCOME, 3),  # another file
    ):
        book = new_book()
        book.launch(outcome=outcome)
        found = bench.verify(bench.write(book), *asked)
        assert found.status == status
    # The label is one launch's, the file another's: of neither build it is the evidence.
    book = new_book()
    book.launch(intent=shapes.changed(shapes.INTENT, labels={"run": "6"}),
                outcome=shapes.changed(shapes.OUTCOME, outputs=outputs))  # fmt: skip
    book.launch()
    found = bench.verify(bench.write(book), *asked)
    assert (found.status, found.codes) == (3, ["require.output"])


def test_what_is_not_complete_meets_nothing(bench: Bench, new_book: Callable[..., Book], shapes: Any) -> None:
    book = new_book()
    session = book.new_session()
    book.add(entry.INTENT, session, shapes.INTENT)
    book.add(entry.START, session, shapes.START)
    book.add(entry.OUTCOME, session, shapes.OUTCOME)
    found = bench.verify(bench.write(book), "--require-label", "run=7")
    assert (found.status, found.codes) == (3, ["require.label", "launch.unfinished"])
    book.add(entry.LOST, session, {"found": "another-boot"})
    found = bench.verify(bench.write(book), "--require-label", "run=7")
    assert (found.status, found.codes) == (3, ["require.label", "launch.lost"])


def test_a_session_alone(bench: Bench, new_book: Callable[..., Book], shapes: Any) -> None:
    book = new_book()
    good = book.launch()
    bad = book.launch(outcome=shapes.changed(shapes.OUTCOME, exit=1))
    path, asked = bench.write(book), save(bench, policy_of("exit = [0]"))
    assert bench.verify(path, "--policy", asked).status == 3
    assert bench.verify(path, "--policy", asked, "--session", good).status == 0
    assert bench.verify(path, "--policy", asked, "--session", bad).status == 3
    assert bench.verify(path, "--session", bad, "--require-label", "run=7").codes == ["require.label"]
    found = bench.verify(path, "--session", "0" * 32)
    assert (found.status, found.codes) == (3, ["require.session"])
    assert found.document["session"] == "0" * 32
    # It limits the policy, and not the replay.
    broken = bench.alter(path, "UPDATE entry SET body = replace(body, 'make', 'fake') WHERE idx = 5")
    assert bench.verify(broken, "--policy", asked, "--session", good).status == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["--require-label", "run"], ["--require-label", "=x"], ["--require-label", "a b=x"],
        ["--require-label", "run=1", "--require-label", "run=2"],
        ["--session", "last"], ["--session", "0192"], ["--session", "G" * 32],
        ["--now", "yesterday"], ["--now", "2026-02-30T00:00:00Z"],
        ["--now", "2026-11-24"], ["--now", ""],
        ["--require-output", "missing"], ["--require-output", "."], ["--require-output", "a\0b"],
        ["--policy", "missing"], ["--policy", "."], ["--policy", "a\0b"],
    ],
)  # fmt: skip
def test_bad_requests(
    bench: Bench, book: Book, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(bench.directory)
    for form in ("text", "json", "sarif", "junit", "github"):
        status, output, error = say(
            bench.write(book), "-k", bench.path("key.pub"), *arguments, "--format", form
        )
        assert status == 2
        assert "Traceback" not in output + error
        assert output or error.startswith("not checked: ")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there is no FIFO there")
def test_a_fifo_is_no_output(bench: Bench, book: Book) -> None:
    os.mkfifo(bench.path("fifo"))
    status, output, _ = say(bench.write(book), "--require-output", bench.path("fifo"))
    assert status == 2
    assert "no regular file, so no output" in output


# --- the file -------------------------------------------------------------------------------------------


NO_POLICIES = {
    "empty": "",
    "no version": "[every]\nexit = [0]\n",
    "another version": "version = 2\n[every]\nexit = [0]\n",
    "unknown part": "version = 1\n[evry]\nexit = [0]\n",
    "unknown condition": "version = 1\n[every]\nexits = [0]\n",
    "no exit code": "version = 1\n[every]\nexit = [256]\n",
    "a word for a list": "version = 1\n[every]\nexit = '0'\n",
    "relative path": "version = 1\n[every]\nno_grant_under = ['etc']\n",
    "dots": "version = 1\n[every]\nno_grant_under = ['/etc/../root']\n",
    "home": "version = 1\n[every]\nno_grant_under = ['~/.ssh']\n",
    "wider network": "version = 1\n[every]\nnetwork = 'all'\n",
    "empty every": "version = 1\n[every]\n",
    "empty require": "version = 1\n[[require]]\n",
    "empty list": "version = 1\n[every]\nexit = []\n",
    "no digest": "version = 1\n[every]\nexecutables = [{sha256 = 'ABC'}]\n",
    "any file": "version = 1\n[every]\nexecutables = [{}]\n",
    "no session": "version = 1\naccept.lost = ['last']\n[every]\nexit = [0]\n",
    "no duration": "version = 1\nledger.head_age = '1 week'\n",
    "zero duration": "version = 1\nledger.head_age = '0s'\n",
    "a date": "version = 1\n[every]\nexit = [2020-01-01]\n",
    "infinity": "version = 1\n[every]\nexit = [inf]\n",
    "too many digits": f"version = 1\n[every]\nexit = [{'9' * 5000}]\n",
    "not TOML": "version = 1\n[every\n",
    "twice": "version = 1\n[every]\nexit = [0]\nexit = [1]\n",
    "too deep": "version = 1\nx = " + "[" * 5000 + "]" * 5000,
    "too long": "version = 1\n#" + "x" * policy.MAX_BYTES,
    "attested false": "version = 1\n[every]\nattested = false\n",
    "bypass true": "version = 1\n[every]\nbypass = true\n",
}


@pytest.mark.parametrize("text", NO_POLICIES.values(), ids=NO_POLICIES)
def test_what_is_no_policy(bench: Bench, book: Book, text: str) -> None:
    path = save(bench, text)
    status, output, error = say("policy", "check", path)
    assert (status, output) == (2, "")
    assert error.startswith(f"not checked: {path} is no policy: ")
    assert len(error) < 1000
    found = bench.verify(bench.write(book), "--policy", path)
    assert (found.status, found.codes) == (2, ["policy.form"])


def test_a_policy_that_requires_nothing(bench: Bench, book: Book) -> None:
    for text in ("version = 1\n", "version = 1\n[accept]\nwaived = ['ioctl']\n"):
        path = save(bench, text)
        assert say("policy", "check", path)[0] == 2
        found = bench.verify(bench.write(book), "--policy", path)
        assert (found.status, found.codes) == (2, ["policy.empty"])


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_whatever_a_file_holds(data: bytes) -> None:
    with contextlib.suppress(NotCheckedError):
        policy.parse(b"version = 1\n" + data, "x")


def test_the_published_schema_says_the_same_as_another_reader() -> None:
    """The schema is one that other validators take, and it judges the worked policies alike."""
    import tomllib

    schema = json.loads(policy.schema_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    assert len(WORKED) == 3
    for path in WORKED:
        with open(path, "rb") as file:
            validator.validate(tomllib.load(file))
    for name, text in NO_POLICIES.items():
        with contextlib.suppress(ValueError, RecursionError):
            document = tomllib.loads(text)
            if name not in {"a date", "infinity", "too long"}:
                assert not validator.is_valid(document), name


# --- nono-verify policy -----------------------------------------------------------------------------------


def test_check_and_explain(bench: Bench) -> None:
    status, output, error = say("policy", "check", *WORKED)
    assert (status, error) == (0, "")
    assert output == "".join(f"{path}: a policy\n" for path in WORKED)
    status, output, error = say("policy", "explain", *WORKED)
    assert (status, error) == (0, "")
    for words in (
        "the newest entry is at most 6 hours old",
        "every launch had no network",
        "every launch had an after-hook, /opt/billing/hooks/thaw, that succeeded",
        "at least one complete launch (require 1) has as its program",
        "accepted: a launch that waived the feature metadata of the sandbox",
    ):
        assert words in output
    status, output, _ = say("policy", "explain", "--format", "json", WORKED[0], bench.path("missing"))
    first, second = map(json.loads, output.splitlines())
    assert status == 2
    assert (first["error"], second["error"]["code"]) == (None, "policy.unreadable")
    assert first["requires"]
    _, output, _ = say("policy", "check", "--format", "json", "--nothing")
    with open(os.path.join(ROOT, "verify", "schemas", "policy-files.json"), encoding="utf-8") as file:
        form = json.load(file)
    jsonschema.Draft202012Validator.check_schema(form)
    for document in (first, second, json.loads(output)):
        jsonschema.Draft202012Validator(form).validate(document)
        assert not jsonschema.Draft202012Validator(form).is_valid({**document, "more": 1})


def test_every_condition_is_explained(bench: Bench) -> None:
    """Each condition of the schema adds a sentence, so that none can be forgotten."""
    schema = json.loads(policy.schema_text())["$defs"]["conditions"]["properties"]
    samples = {
        "attested": "true", "bypass": "false", "executables": "[{path = '/x'}]", "execs": "'allow'",
        "exit": "[0, 1, 2]",
        "hooks": "{before = {}}", "labels": "{a = 'b'}", "network": "'blocked'", "no_grant_under": "['/x']",
        "no_write_under": "['/x', '/y']", "outputs": "['x']", "profiles": "[{name = 'x'}]",
        "system_configurations": f"['{'1' * 64}']",
        "sysv_ipc": "false", "unix_sockets": "false", "write_only_under": "['/x']",
    }  # fmt: skip
    assert samples.keys() == schema.keys()
    with open(os.path.join(ROOT, "docs", "policies.md"), encoding="utf-8") as file:
        documented = file.read()
    for name, value in samples.items():
        text = policy_of(f"{name} = {value}")
        _, output, _ = say("policy", "explain", save(bench, text))
        assert output.count("\n") == 2, name
        assert f"`{name}" in documented


def test_a_hostile_name_reaches_no_terminal(bench: Bench) -> None:
    path = save(bench, policy_of('labels = {a = "\\u001b[2J"}'))
    _, output, _ = say("policy", "explain", path)
    assert "\x1b" not in output
    assert "\\x1b[2J" in output


def test_usage(bench: Bench) -> None:
    for arguments in ([], ["check"], ["judge", "x"], ["check", "--format", "xml", "x"]):
        status, output, error = say("policy", *arguments)
        assert (status, output) == (2, "")
        assert error.startswith("not checked: ")
    status, output, _ = say("policy", "check", "--format", "json", "--nothing", "x")
    assert (status, json.loads(output)["error"]["code"]) == (2, "input.usage")


# --- the worked policies, met and not met -------------------------------------------------------------------


def test_the_release_build(bench: Bench, new_book: Callable[..., Book], shapes: Any) -> None:
    worked = os.path.join(ROOT, "docs", "policies", "release-build.toml")
    start = granting(shapes, grant("/home/builder/work/tool"))
    intent = shapes.changed(shapes.INTENT, labels={"job": "release", "run": "42"})
    book = new_book()
    book.launch(intent=intent, start=start)
    assert bench.verify(bench.write(book), "--policy", worked, *NOW).status == 0
    for change, code in (
        ({"outcome": shapes.changed(shapes.OUTCOME, exit=1)}, "policy.exit"),
        ({"start": granting(shapes, grant("/home/builder"))}, "policy.grant"),
        ({"start": granting(shapes, grant("/srv"))}, "policy.write"),
        ({"intent": shapes.changed(intent, labels={"job": "test"})}, "policy.required"),
    ):
        book = new_book()
        book.launch(**{"intent": intent, "start": start, **change})
        found = bench.verify(bench.write(book), "--policy", worked, *NOW)
        assert found.status == 3
        assert code in found.codes


def test_the_agent(bench: Bench, new_book: Callable[..., Book], shapes: Any) -> None:
    worked = os.path.join(ROOT, "docs", "policies", "agent.toml")
    start = granting(shapes, grant("/home/me/project"), network="all")
    intent = shapes.changed(shapes.INTENT, network={"mode": "all"})
    book = new_book()
    book.launch(intent=intent, start=start, outcome=shapes.changed(shapes.OUTCOME, exit=1))
    path, kept = bench.write(book), bench.path("agent.checkpoint")
    assert say(path, "-k", bench.path("key.pub"), "--policy", worked, "--save-checkpoint", kept)[0] == 3
    assert say(path, "-k", bench.path("key.pub"), "--policy", worked, "--save-checkpoint", kept)[0] == 0
    book.launch(intent=intent, start=granting(shapes, grant("/home/me"), network="all"))
    found = bench.verify(bench.write(book), "--policy", worked, "--checkpoint", kept)
    assert set(found.codes) == {"policy.grant", "policy.write"}


def test_the_production_job(bench: Bench, new_book: Callable[..., Book], shapes: Any) -> None:
    worked = os.path.join(ROOT, "docs", "policies", "strict-production.toml")
    asked = policy.read(worked).every
    assert asked is not None
    program, profile = asked.executables[0], asked.profiles[0]
    hooks = {
        name: {"path": path, "required": name == "before", "sha256": "1" * 64, "timeout_seconds": 10}
        for name, path in (("before", "/opt/billing/hooks/freeze"), ("after", "/opt/billing/hooks/thaw"))
    }
    output = "/srv/billing/out/2026-11.csv"

    def ledger(**changes: Any) -> str:
        book = new_book()
        session = book.new_session()
        chain = [{"name": profile.path, "sha256": profile.sha256}]
        book.add(entry.INTENT, session, shapes.changed(
            shapes.INTENT, hooks=hooks, labels={"service": "billing"}, profile=chain, outputs=[output],
        ))  # fmt: skip
        book.add(entry.HOOK_RESULT, session, shapes.HOOK_RESULT)
        image = {"held": "lease", "path": program.path, "sha256": program.sha256, "size": 1}
        book.add(entry.START, session, {
            **granting(shapes, grant("/srv/billing/out")), "executable": image, **changes,
        })  # fmt: skip
        book.add(entry.OUTCOME, session, shapes.changed(
            shapes.OUTCOME, outputs=[{"path": output, "sha256": "2" * 64, "size": 1}]
        ))  # fmt: skip
        book.add(entry.HOOK_RESULT, session, shapes.changed(shapes.HOOK_RESULT, hook="after"))
        book.attest(session)
        return bench.write(book)

    assert bench.verify(ledger(), "--policy", worked, *NOW).codes == []
    swapped = {"held": "lease", "path": program.path, "sha256": "0" * 64, "size": 1}
    found = bench.verify(ledger(executable=swapped), "--policy", worked, *NOW)
    assert (found.status, found.codes) == (3, ["policy.executable"])
    late = bench.verify(ledger(), "--policy", worked, "--now", "2026-11-26T04:00:00Z")
    assert late.codes == ["policy.head_age"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[every]\nno_grant_under = ['~/.ssh']", 'every.no_grant_under.0: "~/.ssh" is no absolute path'),
        ("[every]\nexecutables = [{path = 'make'}]", 'every.executables.0.path: "make" is no absolute path'),
        ("[every]\nexecutables = [{sha256 = 'ABC'}]", 'every.executables.0.sha256: "ABC" is no SHA-256'),
        ("[ledger]\nhead_age = '36'", 'ledger.head_age: "36" is no duration, such as 90s'),
        ("[accept]\nlost = ['last']", 'accept.lost.0: "last" is no whole session id'),
    ],
)
def test_what_is_wrong_is_said_in_words(bench: Bench, text: str, words: str) -> None:
    path = save(bench, f"version = 1\n{text}\n")
    status, _, error = say("policy", "check", path)
    assert (status, f"{path} is no policy: {words}" in error) == (2, True), error
    assert "does not match" not in error
