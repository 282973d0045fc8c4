"""A report: written by the command, opened in a headless browser until its page has checked itself."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from typing import TYPE_CHECKING, Any

import large_ledger
from measuring import BenchmarkError, Ceiling, Limit, Result, Subject, in_turn
from workspace import installed_command

if TYPE_CHECKING:
    from collections.abc import Callable

    from measuring import Bar
    from workspace import Workspace

NAME = "report"
WRITTEN = "nono-verify report, 1,000 launches, whole process"
OPENED = "its page, opened and checked"
LARGE = "the page of 10,000 launches, opened and checked"

BARS: tuple[Bar, ...] = ()

_LAUNCHES, _LARGE_LAUNCHES = 1_000, 10_000
_PER_LAUNCH = 4
_OPENED_SECONDS = 2.0
_STALL_SECONDS = 0.25
_WAIT_MS = 120_000
_FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip

# The page is busy while a task of its is; what a reader notices is the longest of them.
_WATCH = """
globalThis.longest = 0;
new PerformanceObserver((list) => {
  for (const task of list.getEntries()) globalThis.longest = Math.max(globalThis.longest, task.duration);
}).observe({ type: "longtask", buffered: true });
"""


def measure(workspace: Workspace, *, quick: bool) -> Result:
    """Write and open reports in turn."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415  # for this benchmark alone

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise BenchmarkError("no Chromium: sh tests/require-system-packages.sh")
    small = _ledger(workspace, "reported", _LAUNCHES)
    large = _ledger(workspace, "reported-large", _LARGE_LAUNCHES)
    pages = [workspace.directory("pages") + f"/{name}.html" for name in ("small", "large")]
    for ledger, page in zip((small, large), pages, strict=True):
        _write(ledger, page, workspace)
    with contextlib.ExitStack() as stack:
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=chromium, headless=True, args=list(_FLAGS))
        stack.callback(browser.close)
        stalls: list[float] = []
        subjects = [
            Subject(WRITTEN, lambda times: [_write(small, pages[0], workspace) for _ in range(times)], 1),
            Subject(OPENED, _opened(browser, pages[0], []), 1),
            Subject(LARGE, _opened(browser, pages[1], stalls), 1),
        ]
        measured = in_turn(subjects, rounds=3 if quick else 10)
    sizes = [os.path.getsize(page) / 1e6 for page in pages]
    notes = [
        f"four entries a launch, of {large_ledger.average_bytes(small[0]):.0f} bytes;"
        f" the pages have {sizes[0]:.1f} and {sizes[1]:.1f} MB",
        "opened: from the command to the browser until all launches are shown and the check has ended",
    ]
    longest = sorted(stalls)[len(stalls) // 2]
    limits = (Limit("the longest task of 10,000 launches, median", longest, _STALL_SECONDS, "s"),)
    ceilings = (Ceiling(OPENED, _OPENED_SECONDS),)
    return Result(NAME, "reports", measured, [], BARS, notes, ceilings, limits)


def _ledger(workspace: Workspace, name: str, launches: int) -> tuple[str, str]:
    return large_ledger.build(workspace, name, 1 + _PER_LAUNCH * (launches + 1), per_launch=_PER_LAUNCH)


def _write(ledger: tuple[str, str], page: str, workspace: Workspace) -> float:
    path, key = ledger
    words = [installed_command("nono-verify"), "report", path, "-k", key, "--html", page, "--overwrite"]
    words += ["--limit", str(_LARGE_LAUNCHES + 1)]
    begun = time.perf_counter()
    done = subprocess.run(words, env=workspace.environment, capture_output=True, check=False)
    seconds = time.perf_counter() - begun
    if done.returncode != 0:
        raise BenchmarkError(f"nono-verify report: {done.stdout!r} {done.stderr!r}")
    return seconds


def _opened(browser: Any, path: str, stalls: list[float]) -> Callable[[int], list[float]]:
    def sample(times: int) -> list[float]:
        seconds = []
        for _ in range(times):
            context = browser.new_context()
            page = context.new_page()
            page.add_init_script(_WATCH)
            begun = time.perf_counter()
            page.goto(f"file://{path}")
            page.wait_for_selector("html[data-ready=true]", timeout=_WAIT_MS)
            seconds.append(time.perf_counter() - begun)
            said = page.evaluate("document.documentElement.dataset.check")
            if said != "agrees":
                raise BenchmarkError(f"the page says: {said}")
            stalls.append(page.evaluate("globalThis.longest") / 1_000)
            context.close()
        return seconds

    return sample
