"""What a reader has who tries what help texts and documents show: launches, a ledger, its key, a policy."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.system.conftest import Site


def furnish(site: Site) -> None:
    """Put into a site what the command lines name: a ledger of many entries, its key, policies, a profile."""
    site.file("dist/tool.whl", "built")
    output = ("--read", site.project / "dist", "--output", site.project / "dist/tool.whl")
    for _ in range(4):
        ended = site.run("--label", "run=42", *output, "--", "/bin/true")
        assert ended.status == 0, ended.stderr
    assert site.run("--", "/bin/false").status == 1
    shutil.copyfile(site.config / "keys/default.pub", site.project / "ci.pub")
    (site.project / "evidence").mkdir()
    for name in ("ci.db", "ledger.db", "LEDGER", "evidence/a.db", "evidence/b.db"):
        assert site.nono("audit", "snapshot", site.project / name).status == 0
    site.file("release.toml", 'version = 1\n[[require]]\nlabels = { run = "42" }\n')
    for name in ("build.jsonc", ".nono/build.jsonc"):
        site.file(name, '{"filesystem": {"read": ["$WORKDIR"]}} // and no more\n')
    site.file("mine.toml", "[launch]\nallow_cwd = true\n")
    site.file("host.toml", "[policy]\nrequire_audit = true\n")
