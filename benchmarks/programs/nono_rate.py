"""Serve a block of ``launch()`` calls by many threads at once: how long it takes, or how much CPU time.

Arguments: how many threads, how many launches in a block, ``wall`` or ``cpu``. The CPU time is of all
processes: this one, the zygote, the monitors and the commands.
"""

from __future__ import annotations

import os
import sys
import threading

from serving import serve

from runtime import launch

WRITERS, LAUNCHES, KIND = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]


def work() -> None:
    """Do one thread's share."""
    for _ in range(LAUNCHES // WRITERS):
        try:
            result = launch(["/bin/true"], block_net=True, input=b"", capture=True)
            done = result.exit_status == 0 and bool(result.entries)
        except Exception as error:  # noqa: BLE001  # whatever it is, no figure is made of it
            print(f"launch: {error}", file=sys.stderr)
            done = False
        if not done:
            os._exit(1)


def block() -> None:
    """Launch a block."""
    threads = [threading.Thread(target=work) for _ in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def zygote() -> int:
    """Return the pid of this process's zygote, which is no child of it."""
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
        except OSError:
            continue
        if words[-2:-1] == [b"%d" % os.getpid()] and b"zygote" in b" ".join(words):
            return int(name)
    raise SystemExit("there is no zygote")


def used_seconds(pid: int) -> float:
    """Return the CPU time of a process and the children that it has waited for (proc_pid_stat(5))."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def cpu() -> float:
    """Launch a block, and return the CPU time that it took."""
    pids = (os.getpid(), zygote())
    before = sum(map(used_seconds, pids))
    block()
    return sum(map(used_seconds, pids)) - before


block()  # the zygote, the ledger and the modules
serve(block, cpu if KIND == "cpu" else None)
