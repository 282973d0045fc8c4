"""A hundred launches at once on one ledger: all recorded, and none of them collides with another for long."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING, Any

from tests.system.conftest import NONO, missing

if TYPE_CHECKING:
    from tests.system.conftest import Site

LAUNCHES = 100
BUSY_RETRIES = 2
_PATIENCE_SECONDS = 400

# How SQLite sleeps when it finds a ledger locked; Python sleeps by another clock.
_SQLITE_SLEEPS = re.compile(r"^(?:nanosleep\(|clock_nanosleep\(CLOCK_REALTIME, 0)", re.MULTILINE)


def test_a_hundred_launches_at_once_are_all_recorded(site: Site) -> None:
    if shutil.which("strace") is None:
        missing("strace is not installed")
    assert site.run("--silent", "--", "/bin/true").status == 0  # key, ledger and filter are there
    logs = [site.base / f"trace-{number}" for number in range(LAUNCHES)]
    running = [
        site.start(
            *("run", "--label", f"number={number}", "--", "/bin/sh", "-c", f"exit {number % 7}"),
            program=("strace", "-o", log, "-e", "trace=nanosleep,clock_nanosleep", NONO),
        )
        for number, log in enumerate(logs)
    ]
    # The tracer stops each of their 4,000 system calls, so all of them may end after a minute or more.
    ended = [each.wait(_PATIENCE_SECONDS) for each in running]
    assert [each.status for each in ended] == [number % 7 for number in range(LAUNCHES)], [
        each.stderr for number, each in enumerate(ended) if each.status != number % 7
    ]
    retries = [len(_SQLITE_SLEEPS.findall(log.read_text(errors="replace"))) for log in logs]
    assert max(retries) <= BUSY_RETRIES, retries
    records = site.records()
    assert len(records) == LAUNCHES + 1
    said: dict[Any, Any] = {
        record.intent["labels"].get("number"): record.outcome["exit"] for record in records
    }
    assert said.pop(None) == 0
    assert said == {str(number): number % 7 for number in range(LAUNCHES)}
    assert all(record.kinds[-1] == "launch.attestation" for record in records)
