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


# --- what runs outside later -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("profile", "kept", "cached"),
    [
        (
            "python-dev",
            ("cache/black/26/cache.pickle", "cache/pypoetry/virtualenvs/x/bin/python"),
            "cache/pip/x",
        ),
        ("node-dev", ("cache/node/corepack/v1/pnpm/9/bin/pnpm.cjs", "cache/prisma/engine"), "home/.npm/x"),
        ("java-dev", ("home/.m2/wrapper/dists/mvn", "home/.sbt/boot/sbt.jar"), "home/.m2/repository/x"),
    ],
)
def test_what_runs_from_among_caches_is_for_reading(
    site: Site, profile: str, kept: tuple[str, ...], cached: str
) -> None:
    for name in (*kept, cached):
        place = site.base / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("as it was\n")
    tries = "; ".join(
        f"cat {place}; (echo planted > {place}) 2>/dev/null; touch {place}.new"
        for place in (site.base / name for name in (*kept, cached))
    )
    ended = site.shell(tries, "-p", profile)
    assert ended.stdout == b"as it was\n" * 3, ended.stderr
    for name in kept:
        assert (site.base / name).read_text() == "as it was\n"
        assert not (site.base / f"{name}.new").exists()
    assert (site.base / cached).read_text() == "planted\n"


# --- the user's own profiles ---------------------------------------------------------------------------


@pytest.mark.parametrize("linked", ["profiles", "profiles/mine.json", "config.toml"])
def test_where_a_link_of_the_configuration_leads_cannot_be_granted_for_writing(
    site: Site, linked: str
) -> None:
    """Whoever keeps profiles in a repository of dotfiles: its next commit must not be the command's."""
    dotfiles = site.base / "dotfiles"
    (dotfiles / "profiles").mkdir(parents=True)
    (dotfiles / "profiles" / "mine.json").write_text("{}")
    (dotfiles / "config.toml").write_text("")
    link = site.config / linked
    link.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    link.symlink_to(dotfiles / linked)
    change = f"echo changed > {dotfiles / linked}/../x"
    ended = site.shell(change, "--allow", dotfiles)
    assert ended.status == 125
    assert site.record().outcome["not_started"]["code"] == "grant.untouchable"
    assert f"keep {link} outside" in ended.stderr
    link.unlink()
    assert site.run("--allow", dotfiles, "--", "/bin/true").status == 0


def test_a_name_says_nothing_where_others_decide_what_it_names(site: Site) -> None:
    """A link to any file of the user's own would do, one in a checkout of somebody else's repository."""
    site.file("hostile.json", '{"filesystem": {"read": ["/srv"]}}')
    directory = site.config / "profiles"
    directory.mkdir(mode=0o700, parents=True)
    (directory / "mine.json").symlink_to(site.project / "hostile.json")
    assert site.run("-p", "mine", "--dry-run", "--", "/bin/true").status == 0
    for writable in (directory, site.config):
        for mode in (0o770, 0o707, 0o1777):
            writable.chmod(mode)
            ended = site.run("-p", "mine", "--dry-run", "--", "/bin/true")
            assert ended.status == 125
            assert f"others can write to {writable}" in ended.stderr
        writable.chmod(0o700)
    assert site.run("-p", "default", "--dry-run", "--", "/bin/true").status == 0
    (directory / "mine.json").unlink()


# --- what is denied ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variable", "secret"),
    [
        ("XDG_CONFIG_HOME", "gh/hosts.yml"),
        ("XDG_CONFIG_HOME", "google-chrome-beta/Cookies"),
        ("XDG_DATA_HOME", "keyrings/login.keyring"),
        ("XDG_DATA_HOME", "fish/fish_history"),
    ],
)
def test_what_is_denied_stays_so_where_xdg_variables_have_moved_it(
    site: Site, variable: str, secret: str
) -> None:
    site.verdict = None  # there are other keys where the configuration is another
    moved = site.base / "moved"
    place = moved / secret
    place.parent.mkdir(parents=True)
    place.write_text("secret\n")
    profile = site.profile(filesystem={"read": [str(moved)]})
    for flags in (("--read", moved), ("--read", place.parent), ("--read-file", place), ("-p", profile)):
        assert site.run(*flags, "--", "/bin/cat", place).stdout == (
            b"secret\n"  # nobody knows it for one
        )
        ended = site.run(*flags, "--", "/bin/cat", place, env={variable: str(moved)})
        assert (ended.status, ended.stdout) == (125, b"")
    assert (
        site.run(
            "--read-file",
            place,
            "--bypass-protection",
            place,
            "--",
            "/bin/cat",
            place,
            env={variable: str(moved)},
        ).stdout
        == b"secret\n"
    )


@pytest.mark.parametrize(
    ("profile", "beside", "secrets"),
    [
        ("agent", ".config/git/config", (".config/git/credentials",)),
        ("python-dev", ".local/share/uv/python/x", (".local/share/uv/credentials/credentials.toml",)),
        ("python-dev", ".rye/shims/python", (".rye/credentials",)),
        ("rust-dev", ".cargo/config.toml", (".cargo/credentials.toml", ".cargo/credentials")),
        ("java-dev", ".sbt/boot/x", (".sbt/.credentials", ".ivy2/.credentials")),
    ],
)
def test_a_group_of_tools_shows_no_credentials(
    site: Site, profile: str, beside: str, secrets: tuple[str, ...]
) -> None:
    """They lie among what a tool needs; without a profile, a grant that holds them is refused."""
    unmoved = {
        "XDG_CONFIG_HOME": str(site.home / ".config"),
        "XDG_DATA_HOME": str(site.home / ".local/share"),
    }
    site.verdict = None  # the key lies elsewhere, so that nobody has pinned it here
    for name in (beside, *secrets):
        place = site.home / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"{name}\n")
    names = " ".join(str(site.home / name) for name in (beside, *secrets))
    ended = site.shell(f"cat {names}", "-p", profile, env=unmoved)
    assert ended.stdout.decode() == f"{beside}\n", ended.stderr
    assert ended.stderr.count("Permission denied") == len(secrets)
    for secret in secrets:
        place = site.home / secret
        for flag in ("--read-file", "--allow-file"):
            assert site.run(flag, place, "--", "/bin/cat", place, env=unmoved).status == 125
        assert site.run("--read", place.parent, "--", "/bin/cat", place, env=unmoved).status == 125
