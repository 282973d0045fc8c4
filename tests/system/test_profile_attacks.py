"""What a profile, or a command under one, could try beyond what it says."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.system.conftest import Site


# --- hooks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", ["{bin}/sh", "/usr/bin/env sh", "/usr/bin/env -S sh -e", "{bin}/wrapped"])
def test_what_runs_a_hook_cannot_be_granted_for_writing(site: Site, line: str) -> None:
    """Whoever can replace its interpreter runs outside of the sandbox when the hook does the next time."""
    tools = site.project / "bin"
    tools.mkdir()
    shutil.copy("/bin/sh", tools / "sh")
    site.script("bin/wrapped", 'exec /bin/sh "$@"')
    hook = site.hook("hook", "exit 0")
    hook.write_text(f"#!{line.format(bin=tools)}\nexit 0\n")
    hook.chmod(0o755)
    profile = site.profile(session_hooks={"before": {"script": str(hook)}})
    path = {"PATH": f"{tools}:{site.environment['PATH']}"}
    assert site.run("-p", profile, "--read", site.project, "--", "/bin/true", env=path).status == 0
    ended = site.run("-p", profile, "--allow", site.project, "--", "/bin/true", env=path)
    assert ended.status == 125
    assert f"bin/{'wrapped' if 'wrapped' in line else 'sh'}" in ended.stderr
    assert site.record().outcome["not_started"]["code"] == "grant.untouchable"
