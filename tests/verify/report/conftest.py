"""Reports of small ledgers, and a real browser to open them in."""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
import os
import re
import shutil
import struct
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect, sync_playwright

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, BrowserContext, Dialog, Page

    from tests.verify.conftest import Bench, Book

ARGUMENTS = (
    "--no-sandbox",  # it shows our own page alone, and root has no other way
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)
WAIT = 120_000  # milliseconds; on a machine that does much else too
expect.set_options(timeout=WAIT)
CHECKED = "html:not([data-check=none]):not([data-check=checking])"
# One question to the browser instead of three; a selector is waited for from frame to frame that is drawn.
_UNTIL_CHECKED = f"""() => new Promise((resolve, reject) => {{
  const end = Date.now() + {WAIT};
  const look = () => {{
    if (document.readyState === "complete" && document.documentElement.matches({CHECKED!r})) {{
      resolve(document.documentElement.dataset.check);
    }} else if (Date.now() > end) {{
      reject(new Error("it is not checked: " + document.documentElement.dataset.check));
    }} else {{
      setTimeout(look, 2);
    }}
  }};
  look();
}})"""

_BLOCK = re.compile(r'(<script type="[^"]*" id="nono-(\w+)"[^>]*>)([^<]*)(</script>)')
_DIGEST = re.compile(r'data-sha256="[0-9a-f]*"')


class Report:
    """A page as a file, which can be changed as somebody would who has it.

    Attributes:
        path: where it lies.
        text: all of it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.text = path.read_text(encoding="utf-8")

    def block(self, name: str) -> str:
        return next(found[3] for found in _BLOCK.finditer(self.text) if found[2] == name)

    def document(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.block("report"))
        return document

    def frames(self) -> list[tuple[int, bytes]]:
        data = gzip.decompress(base64.b64decode(self.block("entries")))
        found, at = [], 0
        while at < len(data):
            index, length = struct.unpack_from(">QI", data, at)
            found.append((index, data[at + 12 : at + 12 + length]))
            at += 12 + length
        return found

    def replace_block(self, name: str, text: str) -> None:
        """Put another block in the place of one, and leave the rest as it is."""
        self.text = _BLOCK.sub(
            lambda found: f"{found[1]}{text}{found[4]}" if found[2] == name else found[0], self.text
        )

    def forge(
        self, document: dict[str, Any] | None = None, frames: list[tuple[int, bytes]] | None = None
    ) -> None:
        """Put in other data, and make everything fit that needs no signature."""
        said = self.document() if document is None else document
        if frames is not None:
            said["entries"] = len(frames)
            said["bytes"] = sum(len(body) for _, body in frames)
            packed = gzip.compress(b"".join(struct.pack(">QI", at, len(body)) + body for at, body in frames))
            self.replace_block("entries", base64.b64encode(packed).decode())
        self.replace_block("report", json.dumps(said).replace("<", "\\u003c"))
        blocks = "\n".join(self.block(name) for name in ("report", "entries", "blobs"))
        self.text = _DIGEST.sub(f'data-sha256="{hashlib.sha256(blocks.encode()).hexdigest()}"', self.text)

    def save(self) -> Report:
        self.path.write_text(self.text, encoding="utf-8")
        return self

    def static_text(self) -> str:
        """Return the words that are there before any script runs."""
        before = self.text.partition('<script type="application/json"')[0]
        return html.unescape(re.sub(r"<style>.*?</style>|<[^>]*>", " ", before, flags=re.DOTALL))


class Reporter:
    """Makes reports with the command."""

    def __init__(self, bench: Bench, directory: Path, run: Any) -> None:
        self.bench = bench
        self.directory = directory
        self._run = run
        self._count = 0

    def command(self, ledger: str, *arguments: str, key: str | None = "key.pub") -> tuple[int, str, Path]:
        """Return exit code, output and the place of the page, whether it is there or not."""
        self._count += 1
        path = self.directory / f"report-{self._count}.html"
        pins = ["-k", self.bench.path(key)] if key else []
        status, output = self._run(["report", ledger, *pins, "--html", os.fspath(path), *arguments])
        return status, output, path

    def of(self, book: Book, *arguments: str, key: str | None = "key.pub") -> Report:
        status, output, path = self.command(self.bench.write(book), *arguments, key=key)
        assert status in {0, 1, 3}, output
        return Report(path)


@pytest.fixture
def reporter(bench: Bench, tmp_path: Path, shapes: Any) -> Reporter:
    return Reporter(bench, tmp_path, shapes.run)


class Opened:
    """A page in a browser, as far as a test looks at it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.errors: list[str] = []
        self.dialogs: list[str] = []
        self.requests: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("dialog", self._dialog)

    def _dialog(self, dialog: Dialog) -> None:
        self.dialogs.append(dialog.message)
        dialog.dismiss()

    def open(self, report: Report, fragment: str = "") -> Opened:
        self.check(report, fragment)
        return self

    def check(self, report: Report, fragment: str = "") -> str:
        """Open a report and return how its check ended."""
        self.page.goto(f"file://{report.path}{fragment}", wait_until="commit")
        found: str = self.page.evaluate(_UNTIL_CHECKED)
        return found

    @property
    def result(self) -> str:
        found: str = self.page.evaluate("document.documentElement.dataset.check")
        return found

    @property
    def status(self) -> str:
        return self.page.inner_text("#check-status")

    @property
    def steps(self) -> str:
        return self.page.inner_text("#check-steps")

    @property
    def alarm(self) -> str:
        return self.page.inner_text("#alarm")

    def ready(self) -> Opened:
        """Wait until the launches are shown."""
        self.page.wait_for_selector("html[data-ready=true]")
        return self


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = shutil.which("chromium") or shutil.which("google-chrome")
    assert found is not None, "the tests need a browser: sh tests/require-system-packages.sh"
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=found, headless=True, args=list(ARGUMENTS))
        yield opened
        opened.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    made = browser.new_context(viewport={"width": 1280, "height": 900})
    made.set_default_timeout(WAIT)
    yield made
    made.close()


@pytest.fixture
def opened(context: BrowserContext) -> Opened:
    return Opened(context.new_page())
