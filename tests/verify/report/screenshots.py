"""Make the pictures of docs/report.md anew: python -m tests.verify.report.screenshots"""

from __future__ import annotations

import hashlib
import os
import random
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from playwright.sync_api import sync_playwright

from attest.canonical import encode
from tests.verify import conftest as shapes
from tests.verify.report.conftest import ARGUMENTS

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PICTURES = Path(__file__).parents[3] / "docs" / "report"
COMMANDS = (
    ("pytest -q tests", "/usr/bin/pytest", 0.8), ("make release", "/usr/bin/make", 0.95),
    ("npm run build", "/usr/bin/npm", 0.9), ("go test -run 'Test Parse' ./...", "/usr/bin/go", 0.85),
    ("cargo clippy --all-targets", "/usr/bin/cargo", 0.9), ("git push origin main", "/usr/bin/git", 0.6),
)  # fmt: skip


def grants() -> dict[str, Any]:
    """Return a capability set as a launch has it."""
    files = [
        {"access": access, "asked": path, "path": path, "source": source, "type": "directory"}
        for access, path, source in (
            ("read", "/usr", "system"), ("read", "/lib", "system"),
            ("readwrite", "/home/ada/project", "user"), ("read", "/home/ada/project/vendor", "profile"),
            ("readwrite", "/home/ada/.cache/pip", "group:python"),
            ("read", "/home/ada/.config/git", "group:git"),
        )
    ]  # fmt: skip
    return {
        "files": files,
        "network": {"mode": "ports", "connect": [443], "listen": [], "listen_loopback": []},
    }


class Days(shapes.Book):
    """A ledger whose entries come at the time that is set."""

    moment = "2026-11-24T00:00:00.000000Z"

    def add(self, kind: str, session: str | None, data: dict[str, Any], **members: Any) -> int:
        return super().add(kind, session, data, **{"time": self.moment, **members})


def days() -> shapes.Book:
    """Return the ledger of some days' work."""
    chance = random.Random(4)
    book = Days(name="build.example.org")
    capabilities = grants()
    digest = hashlib.sha256(encode(capabilities)).hexdigest()
    for number in range(180):
        words, path, luck = COMMANDS[chance.randrange(len(COMMANDS))]
        minutes = number * 19 + chance.randrange(12) + number // 30 * 700
        book.moment = (
            f"2026-11-{24 + minutes // 1440:02d}T{minutes // 60 % 24:02d}:{minutes % 60:02d}:17.000000Z"
        )
        session = book.new_session()
        command = shlex.split(words)
        intent = shapes.changed(
            shapes.INTENT, command=command, labels={"run": str(number)}, outputs=[],
            host={**shapes.INTENT["host"], "name": "build-7"}, hooks={"before": shapes.HOOK},
            network=capabilities["network"], user={"gid": 1000, "groups": [1000], "uid": 1000},
        )  # fmt: skip
        start = shapes.changed(
            shapes.START, capabilities=capabilities, capabilities_sha256=digest,
            directory="/home/ada/project",
        )  # fmt: skip
        start["executable"] = {
            **start["executable"],
            "path": path,
            "sha256": f"{chance.getrandbits(256):064x}",
        }
        book.add("launch.intent", session, intent)
        book.add("hook.result", session, shapes.HOOK_RESULT)
        book.add("launch.start", session, start)
        denied = 0 if chance.random() < luck else 2
        for subject in ("/home/ada/.ssh/id_ed25519", "192.0.2.7:22")[:denied]:
            data = shapes.changed(shapes.DECISION, subject=subject)
            book.add("decision", session, data)
        failed = denied or chance.random() > luck
        outcome = shapes.changed(
            shapes.OUTCOME, outputs=[], exit=1 if failed else 0,
            duration_us=chance.randrange(10**5, 4 * 10**8),
        )  # fmt: skip
        outcome["counts"]["decisions"] = denied
        book.add("launch.outcome", session, outcome)
        book.attest(session)
    return book


def take(browser: Browser, page: Path, name: str, scheme: Any, row: int | None) -> None:
    """Take one picture."""
    context = browser.new_context(viewport={"width": 1120, "height": 860}, color_scheme=scheme)
    opened = context.new_page()
    opened.goto(f"file://{page}")
    opened.wait_for_selector("html[data-ready=true]")
    if row is not None:
        opened.click(f"#row-{row}")
        opened.wait_for_selector("#proof svg")
        opened.locator("#detail").screenshot(path=PICTURES / name)
    else:
        opened.screenshot(path=PICTURES / name, full_page=True)
    if shutil.which("pngquant") is not None:  # as small without what nobody sees
        subprocess.run(
            ["pngquant", "--force", "--ext", ".png", "--speed", "1", "32", str(PICTURES / name)], check=True
        )
    context.close()


def main() -> None:
    """Write the pictures."""
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as directory, sync_playwright() as playwright:
        bench = shapes.Bench(directory)
        page = Path(directory) / "report.html"
        ledger = days().write(str(Path(directory) / "ledger.db"))
        os.rename(bench.path("key.pub"), bench.path("ci.pub"))
        os.chdir(directory)  # so that names are short
        status, output = shapes.run(["report", ledger, "-k", "ci.pub", "--html", "report.html"])
        assert status == 0, output
        found = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=found, headless=True, args=list(ARGUMENTS))
        take(browser, page, "page.png", "light", None)
        take(browser, page, "launch.png", "dark", 2)
        browser.close()


if __name__ == "__main__":
    main()
