"""A command that shows nothing at its start is ended, where nono sees whether it does."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.system.conftest import PYTHON
from tests.system.test_terminal import ended, terminals

if TYPE_CHECKING:
    from tests.system.conftest import Site
    from tests.system.test_terminal import Terminals

__all__ = ["terminals"]  # the fixture

SHORT = ("--startup-timeout", "500ms")


def test_a_command_that_shows_nothing_is_ended(terminals: Terminals) -> None:
    terminal = terminals.run("exec sleep 600", *SHORT)
    said, status = ended(terminal)
    assert status == 128 + signal.SIGTERM
    assert b"the command was ended: it had written nothing within 500 ms (--startup-timeout)" in said
    record = terminals.site.record()
    assert record.start["limits"] == {"startup_timeout_ms": 500}
    assert record.outcome["ended_by"] == "startup-time-out"


def test_one_that_does_not_heed_that_is_killed_after_the_grace(terminals: Terminals) -> None:
    terminal = terminals.run("trap '' TERM; while :; do sleep 0.02; done", *SHORT, "--timeout-grace", "200ms")
    assert ended(terminal)[1] == 128 + signal.SIGKILL
    assert terminals.site.record().outcome["ended_by"] == "startup-time-out"


def test_one_that_has_begun_can_be_silent_for_as_long_as_it_likes(terminals: Terminals) -> None:
    terminal = terminals.run("echo ready; sleep 4; exit 3", "--startup-timeout", "3s")
    said, status = ended(terminal)
    assert status == 3, said
    assert "ended_by" not in terminals.site.record().outcome


def test_what_is_typed_is_not_what_it_shows(terminals: Terminals) -> None:
    """Though it comes back from its terminal."""
    terminal = terminals.run("exec sleep 600", "--startup-timeout", "3s")
    terminal.sendline("hello")
    terminal.expect_exact("hello")
    said, status = ended(terminal)
    assert status == 128 + signal.SIGTERM, said
    assert terminals.site.record().outcome["ended_by"] == "startup-time-out"


def test_the_first_that_is_over_ends_it(terminals: Terminals) -> None:
    for flags, why in (
        (("--startup-timeout", "300ms", "--timeout", "1h"), "startup-time-out"),
        (("--startup-timeout", "1h", "--timeout", "300ms"), "time-out"),
    ):
        ended(terminals.run("exec sleep 600", *flags))
        assert terminals.site.record().outcome["ended_by"] == why


def test_what_was_refused_to_it_is_said(terminals: Terminals) -> None:
    site = terminals.site
    script = (
        "import socket, time\n"
        "try: socket.create_connection(('127.0.0.1', 9))\n"
        "except OSError: pass\n"
        "listening = socket.socket()\n"
        "try: listening.bind(('127.0.0.1', 5099)); listening.listen()\n"
        "except OSError: pass\n"
        "time.sleep(600)\n"
    )
    flags = (*site.python_grants(), "--listen-port", "5098", "--startup-timeout", "3s")
    terminal = terminals.nono("run", *flags, "--", PYTHON, "-I", "-c", script)
    said, status = ended(terminal)
    assert status == 128 + signal.SIGTERM
    assert b"5099" in said.partition(b"--startup-timeout)")[2], said


def test_the_profile_that_it_may_need_is_named_once_more(terminals: Terminals) -> None:
    site = terminals.site
    site.script("claude", "exec sleep 600")
    terminal = terminals.nono("run", "--read", ".", *SHORT, "--", "./claude")
    said, _ = ended(terminal)
    assert b"claude-code" in said.partition(b"(--startup-timeout)")[2], said


@pytest.mark.parametrize("shared", [False, True])
def test_where_nobody_sees_it_that_is_refused(terminals: Terminals, site: Site, shared: bool) -> None:
    if shared:
        said, status = ended(terminals.run("exec sleep 600", *SHORT, "--no-pty"))
        assert status == 125
        assert b"cannot hold the command to a start-up time-out" in said
    else:
        without, document = site.status(*SHORT, "--", "/bin/true")
        assert (without.status, document["not_started"]["code"]) == (125, "limit.unenforceable")
        assert "--timeout" in without.stderr
    assert site.record().outcome["not_started"]["code"] == "limit.unenforceable"


def test_a_profile_can_ask_for_it(terminals: Terminals) -> None:
    site = terminals.site
    profile = site.profile(limits={"startup_timeout": "400ms"})
    assert ended(terminals.run("exec sleep 600", "-p", profile))[1] == 143
    assert site.record().start["limits"] == {"startup_timeout_ms": 400}
    assert site.run("-p", profile, "--", "/bin/true").status == 125
