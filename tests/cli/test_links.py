"""Links in documents lead to files and headings that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    path.relative_to(ROOT)
    for place in ("*.md", "docs/**/*.md", "benchmarks/**/*.md", "tests/vectors/*/README.md")
    for path in ROOT.glob(place)
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


def anchors(document: Path) -> set[str]:
    """Return what headings of a document are called in links: in lower case, of words and hyphens."""
    text = re.sub(r"^```.*?^```$", "", document.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in HEADING.findall(text)}


def dead(document: Path, text: str) -> list[str]:
    """Return the links of a text that lead nowhere; those to other hosts are not followed."""
    found = []
    for link in LINK.findall(text):
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        if re.match("[a-z]+:", link):
            continue
        if not target.exists() or (anchor and anchor not in anchors(target)):
            found.append(link)
    return found


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_no_link_of_a_document_is_dead(document: Path) -> None:
    assert dead(ROOT / document, (ROOT / document).read_text(encoding="utf-8")) == []


def test_documents_are_looked_at_and_link_to_each_other() -> None:
    assert {Path("README.md"), Path("SECURITY.md"), Path("docs/in-process.md")} <= set(DOCUMENTS)
    assert len(LINK.findall((ROOT / "README.md").read_text(encoding="utf-8"))) >= 10


@pytest.mark.parametrize("link", ["docs/gone.md", "docs/in-process.md#gone", "#gone"])
def test_a_dead_link_is_found(link: str) -> None:
    assert dead(ROOT / "README.md", f"see [there]({link})") == [link]
