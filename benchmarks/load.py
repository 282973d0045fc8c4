"""``make load``: many commands at once for minutes, from one program; memory and descriptors stay flat.

Ends with 1 when a launch fails, the ledger does not verify, or something grows.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import subprocess
import sys
import threading
import time
from collections import Counter

from workspace import Workspace, installed_command

_SCRIPTS = (
    "true",
    "head -c 200000 /dev/zero; echo done >&2",
    "for i in 1 2 3 4 5; do /bin/true; done; exit 3",
    "sleep 600 & exit 0",
    "echo x > $TMPDIR/file; cat $TMPDIR/file",
    "kill -9 $$",
    "while :; do :; done",
)
"""Ends at once, output, processes, a survivor, files, a signal, and one that a time-out ends."""

_GROWTH_BYTES = 32 << 20


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        description="Launch many commands at once, for long.", allow_abbrev=False
    )
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--at-once", type=int, default=24)
    arguments = parser.parse_args()
    with Workspace() as workspace:
        os.environ.update(workspace.environment)
        os.chdir(workspace.directory("work"))
        return _load(arguments.minutes * 60, arguments.at_once)


def _load(seconds: float, at_once: int) -> int:
    from runtime import LaunchError, launch  # noqa: PLC0415  # with the workspace's variables

    launch(["/bin/true"], input=b"", capture=True, ledger="load.db")
    end = time.monotonic() + seconds
    counted: Counter[str] = Counter()
    problems: list[str] = []
    lock = threading.Lock()

    def work(number: int) -> None:
        while time.monotonic() < end and not problems:
            script = _SCRIPTS[number % len(_SCRIPTS)]
            number += 1
            try:
                result = launch(
                    ["/bin/sh", "-c", script],
                    block_net=True,
                    input=b"",
                    capture=True,
                    output_limit=10_000,
                    timeout=2,
                    ledger="load.db",
                )
            except LaunchError as error:
                problems.append(f"{script}: {error} [{error.code}]")
                return
            with lock:
                counted[f"{result.exit_status} {result.ended_by or ''}".strip()] += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(at_once)]
    for thread in threads:
        thread.start()
    warm: tuple[int, int] | None = None
    while any(thread.is_alive() for thread in threads):
        time.sleep(min(10.0, seconds / 5))
        now = _descriptors(), _resident()
        warm = warm or now
        total = sum(counted.values())
        print(f"{total:8,} launches  {now[0]:4} descriptors  {now[1] >> 20:4} MiB", flush=True)
    for thread in threads:
        thread.join()
    assert warm is not None
    launched = sum(counted.values()) + 1
    left = _descriptors(), _resident()
    print(f"{launched:,} launches, {launched / seconds:.0f}/s: {dict(counted)}")
    if left[0] > warm[0]:
        problems.append(f"descriptors: {warm[0]} at the beginning, {left[0]} at the end")
    if left[1] > warm[1] + _GROWTH_BYTES:
        problems.append(f"memory: {warm[1] >> 20} MiB at the beginning, {left[1] >> 20} at the end")
    problems += _verified(launched)
    for problem in problems[:10]:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


def _verified(launched: int) -> list[str]:
    key = os.path.join(os.environ["XDG_CONFIG_HOME"], "nono/keys/default.pub")
    verdict = subprocess.run(
        [installed_command("nono-verify"), "load.db", "--public-key-file", key],
        capture_output=True,
        text=True,
        check=False,
    )
    print(verdict.stdout.strip().splitlines()[0] if verdict.stdout else verdict.stderr)
    if verdict.returncode != 0:
        return [f"nono-verify exits with {verdict.returncode}: {verdict.stderr}"]
    found = re.search(r"([0-9,]+) launch", verdict.stdout)
    if found is None or int(found[1].replace(",", "")) != launched:
        return [f"the ledger does not have {launched} launches: {verdict.stdout}"]
    return []


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def _resident() -> int:
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


if __name__ == "__main__":
    sys.exit(main())
