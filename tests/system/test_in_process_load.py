"""Three hundred launches at once from one program: all recorded, the ledger verified, nothing left behind."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from typing import TYPE_CHECKING

from tests.system.conftest import BIN

if TYPE_CHECKING:
    from tests.system.conftest import Site

LAUNCHES = 300

HOST = f"""
import gc, json, os, resource, threading, time
from runtime import launch
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

def held(pid):
    with open(f"/proc/{{pid}}/statm") as file:
        return len(os.listdir(f"/proc/{{pid}}/fd")), int(file.read().split()[1]) * resource.getpagesize()

def children():
    with open("/proc/self/task/%d/children" % os.getpid()) as file:
        return file.read().split()

def is_of_our_zygote(pid):
    # A monitor that it has forked looks the same until it has ended.
    try:
        with open(f"/proc/{{pid}}/cmdline", "rb") as file: words = file.read().split(b"\\0")
    except OSError:
        return False
    return words[-2:-1] == [b"%d" % os.getpid()] and b"zygote" in b" ".join(words)

def zygote():
    end = time.monotonic() + 60
    while time.monotonic() < end:
        found = [name for name in os.listdir("/proc") if name.isdigit() and is_of_our_zygote(name)]
        if len(found) == 1:
            return found[0]
        time.sleep(0.05)
    raise AssertionError(found)

def all_at_once(run):
    # All of them run before the first one ends: each opens a FIFO, which somebody writes to when the last has
    # begun. The kernel lets them wait; three hundred that look again and again would keep both cores busy.
    go = f"go.{{run}}"
    os.mkfifo(go)
    exits, failed = {{}}, []
    def work(number):
        try:
            script = f": > begun/{{run}}.{{number}}; : < {{go}}"
            command = ["/bin/sh", "-c", f"{{script}}; exit {{number % 100}}"]
            exits[number] = launch(command, allow=["."], block_net=True, input=b"", capture=True)
        except BaseException as error:
            failed.append(repr(error))
    threads = [threading.Thread(target=work, args=(number,)) for number in range({LAUNCHES})]
    for thread in threads: thread.start()
    begun = 0
    end = time.monotonic() + 300
    while begun < {LAUNCHES} and not failed and time.monotonic() < end:
        begun = sum(name.startswith(f"{{run}}.") for name in os.listdir("begun"))
        time.sleep(0.05)
    writer = os.open(go, os.O_RDWR)  # which waits for no reader
    for thread in threads: thread.join()
    os.close(writer)
    assert not failed, failed[:3]
    assert begun == {LAUNCHES}, begun
    assert all(exits[number].exit == number % 100 for number in range({LAUNCHES}))

os.mkdir("begun")
launch(["/bin/true"], block_net=True)
states = []
for run in "ab":
    all_at_once(run)
    gc.collect()
    states.append([held("self"), held(zygote())])
print(json.dumps([*states, threading.active_count(), children()]))
"""


def test_three_hundred_at_once_are_all_recorded_and_leave_nothing(site: Site) -> None:
    done = subprocess.run(
        [BIN / "python", "-I", "-c", HOST],
        env=site.environment,
        cwd=site.project,
        capture_output=True,
        check=False,
        timeout=580,
    )
    assert done.returncode == 0, done.stderr.decode()
    *states, threads, children = json.loads(done.stdout)
    for (before, memory), (after, later) in zip(*states, strict=True):  # the program, and its zygote
        assert before == after
        assert later < memory * 1.1 + (8 << 20)
    assert threads == 1
    assert children == []
    kinds = Counter(entry["kind"] for entry in site.entries())
    assert kinds == {
        "ledger.genesis": 1,
        **dict.fromkeys(
            ("launch.intent", "launch.start", "launch.outcome", "launch.attestation"), 2 * LAUNCHES + 1
        ),
    }
