"""What a way out is: one attempt of a launched command to get at what it was not given.

A way is data. :mod:`tests.escapes.test_ways` runs it outside of the sandbox, where it must work, and in a
launch by the installed ``nono``, where it must not; ``docs/escapes.md`` is written from the same rows.
"""

from __future__ import annotations

from dataclasses import dataclass

WORKS = "works"
"""The probe got what it went for."""
IN_VAIN = "in vain"
"""Every call was allowed, and nothing came of it."""
NOT_LAUNCHED = "not launched"
"""nono refused to launch it."""


@dataclass(frozen=True)
class Way:
    """One way out, and how it ends.

    Attributes:
        topic: one of :data:`tests.escapes.table.TOPICS`.
        name: unique, and the test's id.
        what: what is attempted, for the page.
        probe: arguments of the program that ``tests/escapes/probes`` is compiled to. ``{word}`` is filled in
            by :mod:`tests.escapes.arena`, which prepares what the words name.
        ends: how it may end in a launch: names of errnos or signals, ``in vain`` or ``not launched``.
        outside: how it must end without a sandbox. Where nothing harmless would succeed that is the errno
            with which the kernel itself answers after it has checked the permission.
        ordinary: how it ends without a sandbox for who is not root, where only root gets further. Then the
            row shows no more than that it is refused inside as well.
        lacking: how it ends without a sandbox where the kernel, or its configuration, has no such thing. Then
            the row shows no more than that it is refused inside as well.
        flags: of ``nono run``, beside the grants of the arena.
        stdin: what standard input is, for both: one of the arena's.
        leaks: whether a descriptor on the secret is open, and not close-on-exec, when it is started.
        machine: the only machine that it is written for; empty for all.
    """

    topic: str
    name: str
    what: str
    probe: tuple[str, ...]
    ends: tuple[str, ...] = ("EPERM",)
    outside: str = WORKS
    ordinary: tuple[str, ...] = ()
    lacking: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    stdin: str = ""
    leaks: bool = False
    machine: str = ""


@dataclass(frozen=True)
class Scenario:
    """A way out that takes more than one process can try alone: a test of its own shows how it ends.

    Attributes:
        topic: one of :data:`tests.escapes.table.TOPICS`.
        name: unique.
        what: what is attempted.
        ends: how it ends, in words.
        test: the test, as ``path::name``.
    """

    topic: str
    name: str
    what: str
    ends: str
    test: str


@dataclass(frozen=True)
class Open:
    """What a command can do, and ``SECURITY.md`` says so: shown to work inside, so that the page stays true.

    Attributes:
        name: unique.
        what: what it can do.
        probe: as of a :class:`Way`.
        why: why it is not closed.
        flags: as of a :class:`Way`.
    """

    name: str
    what: str
    probe: tuple[str, ...]
    why: str
    flags: tuple[str, ...] = ()
