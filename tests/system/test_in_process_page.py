"""The worked example of docs/in-process.md is run as it stands there."""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING

from tests.system.conftest import BIN, ROOT

if TYPE_CHECKING:
    from tests.system.conftest import Site

PAGE = (ROOT / "docs/in-process.md").read_text(encoding="utf-8")


def test_the_example_does_what_the_page_says(site: Site) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    done = subprocess.run(
        [BIN / "python", "-I", "-c", code],
        env=site.environment,
        cwd=site.project,
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr.decode()
    counted, raised, refused_inside, refused = json.loads(done.stdout)
    assert (counted["exit"], counted["stdout"].split()) == (0, ["3", "notes.txt"])
    assert raised["stdout"] == "QUIET"
    assert refused_inside["exit"] == 1
    assert "Permission denied" in refused_inside["stderr"]
    assert "no-such-program" in refused["refused"]
    sessions = {entry["session"] for entry in site.entries(site.project / "agent.db")} - {None}
    assert {counted["session"], raised["session"], refused_inside["session"]} < sessions
    assert len(sessions) == 4


def test_the_configuration_on_the_page_is_one() -> None:
    (configuration,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert json.loads(configuration)["mcpServers"]["nono"]["args"][0] == "mcp"
