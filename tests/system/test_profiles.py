"""Profiles with the installed command: real programs under the profile that is made for them, and attacks."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.system.conftest import NONO, Ended, missing

if TYPE_CHECKING:
    from tests.system.conftest import Site

BUILT_IN = [
    *("agent", "ci-strict", "claude-code", "codex", "default", "go-dev", "java-dev", "node-dev"),
    *("opencode", "python-dev", "rust-dev"),
]


def program(name: str) -> str:
    """Return the path of a program of the system; these tests want it, but not every machine has it."""
    found = shutil.which(name, path="/usr/local/bin:/usr/bin:/bin:/usr/lib/go/bin")
    if found is None:
        missing(f"there is no {name} in /usr")
    return found


def worked(ended: Ended) -> bytes:
    assert ended.status == 0, ended.stderr + ended.stdout.decode()
    return ended.stdout


def chain(site: Site) -> list[str]:
    return [str(file["name"]) for file in site.record().intent["profile"]]


# --- what is recorded ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_built_in_profile_launches(site: Site, name: str) -> None:
    worked(site.run("-p", name, "--", "/bin/true"))
    assert chain(site)[-1] == name
    assert site.record().intent["network"]["mode"] == ("blocked" if name == "ci-strict" else "all")


def test_the_chain_is_recorded_by_the_digests_of_its_files(site: Site) -> None:
    base = site.base / "base.jsonc"
    base.write_text('// the base\n{"extends": "node-dev",}\n')
    mine = site.config / "profiles" / "mine.jsonc"
    mine.parent.mkdir(parents=True, mode=0o700)
    mine.write_text(json.dumps({"extends": str(base), "filesystem": {"read": ["/opt", "/nonexistent/x"]}}))
    mine.chmod(0o600)
    site.tidy = False  # the profile stays
    ended = site.run("-p", "mine", "--", "/bin/true")
    worked(ended)
    assert "filesystem.read /nonexistent/x does not exist" in ended.stderr
    shipped = subprocess.run(
        [NONO, "profile", "show", "node-dev", "--json"], env=site.environment, capture_output=True, check=True
    )
    digest = json.loads(shipped.stdout)["chain"][0]["sha256"]
    assert site.record().intent["profile"] == [
        {"name": "node-dev", "sha256": digest},
        {"name": "base", "sha256": hashlib.sha256(base.read_bytes()).hexdigest()},
        {"name": "mine", "sha256": hashlib.sha256(mine.read_bytes()).hexdigest()},
    ]


def test_the_default_profile_changes_nothing(site: Site) -> None:
    def granted() -> Any:
        files = site.record().start["capabilities"]["files"]
        return [grant for grant in files if grant["source"] != "system"]  # what is made for each launch

    worked(site.run("--", "/bin/true"))
    before = granted()
    worked(site.run("-p", "default", "--", "/bin/true"))
    assert granted() == before


def test_sources_and_missing_places(site: Site) -> None:
    (site.home / ".cargo").mkdir()
    (site.home / ".cargo" / "credentials.toml").touch()
    (site.home / ".cargo" / "registry").mkdir()
    (site.home / ".cargo" / "bin").mkdir()
    ended = site.run("-p", "rust-dev", "--", "/bin/true")
    worked(ended)
    assert "does not exist" not in ended.stderr
    files = site.record().files()
    found = {
        path.removeprefix(os.fsencode(site.home)).decode(): (grant["access"], grant["source"])
        for path, grant in files.items()
        if path.startswith(os.fsencode(site.home))
    }
    assert found == {
        "/.cargo/bin": ("read", "group:rust_runtime"),
        "/.cargo/registry": ("readwrite", "group:rust_caches"),
    }
    assert files[os.fsencode(site.project)]["source"] == "profile"


def test_a_group_that_is_left_out_grants_nothing(site: Site) -> None:
    profile = site.profile(groups={"exclude": ["process_information"]})
    assert b"Linux" in worked(site.run("--", "/bin/cat", "/proc/version"))
    assert site.run("-p", profile, "--", "/bin/cat", "/proc/version").status != 0
    assert b"/proc" not in site.record().files()


# --- programs --------------------------------------------------------------------------------------


def test_pytest_runs_in_a_virtual_environment(site: Site) -> None:
    """The Python of these tests, with its packages, in a project's own environment."""
    site.file(
        "pkg/test_it.py", "import pkg_under_test\ndef test_it():\n    assert pkg_under_test.answer() == 42\n"
    )
    site.file("lib/pkg_under_test.py", "def answer():\n    return 42\n")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", site.project / ".venv"], check=True)
    packages = Path(pytest.__file__).parents[1]
    (library,) = (site.project / ".venv" / "lib").iterdir()
    (library / "site-packages" / "there.pth").write_text(f"{packages}\n")
    grants = ("--read", sys.base_prefix, "--read", packages)
    ended = site.run(
        "-p", "python-dev", *grants, "--", ".venv/bin/python", "-m", "pytest", "-q", "--rootdir=.", "pkg",
        env={"PYTHONPATH": str(site.project / "lib")},
    )  # fmt: skip
    assert ended.status == 125  # nono would itself be started from what the command can write
    assert f"or take {site.project}/lib out of PYTHONPATH" in ended.stderr
    profile = site.profile(
        extends="python-dev", environment={"set_vars": {"PYTHONPATH": str(site.project / "lib")}}
    )
    ended = site.run(
        "-p", profile, *grants, "--", ".venv/bin/python", "-m", "pytest", "-q", "--rootdir=.", "pkg"
    )
    assert b"1 passed" in worked(ended)
    assert "PYTHONPATH" in site.record().start["environment"]
    assert (site.project / ".pytest_cache").is_dir()


def test_pip_uses_its_cache(site: Site) -> None:
    cache = site.cache.parent / "pip"  # XDG_CACHE_HOME
    cache.mkdir(parents=True)
    grants = ("--read", sys.base_prefix, "--read", sys.prefix)
    ended = site.run("-p", "python-dev", *grants, "--", sys.executable, "-m", "pip", "cache", "dir")
    assert worked(ended).decode().strip() == str(cache)
    script = f"echo x > {cache}/made && cat {cache}/made"
    assert worked(site.run("-p", "python-dev", "--", "/bin/sh", "-c", script)) == b"x\n"


def test_node_runs_and_npm_writes_its_cache(site: Site) -> None:
    program("node")
    npm = program("npm")
    (site.home / ".npm").mkdir()
    (site.home / ".npmrc").write_text("//registry.npmjs.org/:_authToken=secret\n")
    site.file("index.js", "require('fs').writeFileSync('out', String(6 * 7)); console.log(process.version)")
    site.file("package.json", '{"name": "it", "version": "1.0.0", "scripts": {"it": "node index.js"}}')
    assert worked(site.run("-p", "node-dev", "--", "node", "index.js")).startswith(b"v")
    assert (site.project / "out").read_text() == "42"
    assert b"v" in worked(site.run("-p", "node-dev", "--", npm, "run", "it"))
    site.file("dependency/package.json", '{"name": "dependency", "version": "2.0.0"}')
    worked(site.run("-p", "node-dev", "--", npm, "install", "--offline", "./dependency"))
    assert (site.project / "node_modules" / "dependency").exists()
    assert any((site.home / ".npm").iterdir())
    ended = site.run("-p", "node-dev", "--", "/bin/cat", site.home / ".npmrc")
    assert (ended.status, ended.stdout) == (1, b"")


def test_git_commits_as_the_user(site: Site) -> None:
    program("git")
    (site.home / ".gitconfig").write_text("[user]\n  name = Some Body\n  email = some@body.example\n")
    for profile in ("python-dev", "claude-code"):
        script = (
            f"git init -q {profile} && cd {profile} && echo x > f && git add f && git commit -qm x && git log"
        )
        assert b"Some Body <some@body.example>" in worked(
            site.run("-p", profile, "--", "/bin/sh", "-c", script)
        ), profile
    # Without the group git is told that there is no configuration, instead of dying on it.
    ended = site.run("--allow", ".", "--", "git", "config", "user.name")
    assert (ended.status, ended.stdout) == (1, b"")


def test_git_finds_its_configuration_through_a_link_and_in_its_other_place(site: Site) -> None:
    git = program("git")
    (site.home / "dotfiles").mkdir()
    (site.home / "dotfiles" / "gitconfig").write_text("[user]\n  name = Linked\n")
    (site.home / ".gitconfig").symlink_to("dotfiles/gitconfig")
    assert worked(site.run("-p", "python-dev", "--", git, "config", "user.name")) == b"Linked\n"
    (site.home / ".gitconfig").unlink()
    other = site.config.parent / "git" / "config"  # XDG_CONFIG_HOME
    other.parent.mkdir()
    other.write_text("[user]\n  name = Other\n")
    assert worked(site.run("-p", "python-dev", "--", git, "config", "user.name")) == b"Other\n"
    (site.home / ".gitconfig").write_text("[user]\n  name = Closed\n")
    profile = site.profile(filesystem={"read_file": [str(other)], "allow": ["$WORKDIR"]})
    ended = site.run("-p", profile, "--", git, "config", "user.name")
    assert (ended.status, ended.stdout, "fatal" in ended.stderr) == (1, b"", False)


def test_go_builds_with_its_caches(site: Site) -> None:
    go = program("go")
    cache = site.cache.parent / "go-build"  # XDG_CACHE_HOME
    cache.mkdir(parents=True)
    (site.home / "go" / "pkg").mkdir(parents=True)
    site.file("go.mod", "module example.org/it\n\ngo 1.18\n")
    site.file("main.go", 'package main\n\nimport "fmt"\n\nfunc main() { fmt.Println(6 * 7) }\n')
    environment = {"GOTOOLCHAIN": "local", "GOFLAGS": "-mod=mod"}
    worked(site.run("-p", "go-dev", "--", go, "build", "-o", "it", ".", env=environment))
    assert worked(site.run("-p", "go-dev", "--", "./it")) == b"42\n"
    assert any(cache.iterdir())


def test_cargo_builds_with_the_toolchain_of_a_home(site: Site) -> None:
    """rustup's toolchain is copied by links into the test's own home, where the group looks for it."""
    cargo, rustc = program("cargo"), program("rustc")
    for place in (".cargo/registry", ".cargo/git"):
        (site.home / place).mkdir(parents=True)
    (site.home / ".cargo" / "credentials.toml").write_text('[registry]\ntoken = "secret"\n')
    site.file("Cargo.toml", '[package]\nname = "it"\nversion = "0.1.0"\nedition = "2018"\n')
    site.file("src/main.rs", 'fn main() { println!("{}", 6 * 7); }\n')
    ended = site.run("-p", "rust-dev", "--", cargo, "build", "--offline", "-q", env={"RUSTC": rustc})
    worked(ended)
    assert worked(site.run("-p", "rust-dev", "--", "target/debug/it")) == b"42\n"
    assert site.run("-p", "rust-dev", "--", "/bin/cat", site.home / ".cargo/credentials.toml").status == 1


def test_java_compiles_and_maven_reads_its_settings(site: Site) -> None:
    javac, java = program("javac"), program("java")
    site.file("It.java", "class It { public static void main(String[] a) { System.out.println(6 * 7); } }")
    worked(site.run("-p", "java-dev", "--", javac, "It.java"))
    assert worked(site.run("-p", "java-dev", "--", java, "-cp", ".", "It")) == b"42\n"
    maven = program("mvn")
    (site.home / ".m2" / "repository").mkdir(parents=True)
    (site.home / ".m2" / "settings.xml").write_text("<settings><offline>true</offline></settings>")
    site.file("pom.xml", "<project><modelVersion>4.0.0</modelVersion><groupId>a</groupId>"
              "<artifactId>b</artifactId><version>1</version></project>")  # fmt: skip
    option = f"-Duser.home={site.home}"  # Java asks the user database
    worked(site.run("-p", "java-dev", "--", maven, "-q", "validate", env={"MAVEN_OPTS": option}))
    profile = site.profile(extends="java-dev", groups={"exclude": ["java_settings"]})
    ended = site.run("-p", profile, "--", maven, "-q", "validate", env={"MAVEN_OPTS": option})
    assert ended.status != 0  # what the group is for


def test_an_agent_works_in_its_own_places_and_not_in_those_of_others(site: Site) -> None:
    """A stand-in for the program: it does with its files what Claude Code does with them."""
    (site.home / ".claude").mkdir()
    (site.home / ".claude.json").write_text("{}")
    (site.home / ".codex").mkdir()
    (site.home / ".codex" / "auth.json").write_text("secret")
    agent = site.base / "bin" / "claude"
    agent.parent.mkdir()
    agent.write_text(
        "#!/bin/sh\n"
        'echo changed > "$HOME/.claude.json" && echo x > "$HOME/.claude/history.jsonl" && echo x > made\n'
        'cat "$HOME/.codex/auth.json" 2>/dev/null\n'
        '(echo x > "$HOME/.claude.json.tmp") 2>/dev/null && echo beside\n'
        "env\n"
    )
    agent.chmod(0o755)
    environment = {
        "PATH": f"{agent.parent}:/usr/bin:/bin",
        "GITHUB_TOKEN": "t0ken-of-somebody",
        "ANTHROPIC_API_KEY": "its-own-key-0000",
        "TERM": "dumb",
    }
    ended = site.run("-p", "claude-code", "--", "claude", env=environment)
    out = worked(ended)
    assert (site.home / ".claude.json").read_text() == "changed\n"
    assert (site.project / "made").exists()
    assert b"secret" not in out
    assert b"beside" not in out
    assert b"t0ken-of-somebody" not in out
    assert b"ANTHROPIC_API_KEY=its-own-key-0000" in out
    assert "variables that the profile keeps from the command: GITHUB_TOKEN" in ended.stderr
    names = site.record().start["environment"]
    assert "ANTHROPIC_API_KEY" in names
    assert "GITHUB_TOKEN" not in names
    assert b"its-own-key-0000" not in site.ledger().read_bytes()


def test_an_agent_without_a_profile_is_told_of_one(site: Site) -> None:
    site.script("claude", "exit 3")
    ended = site.run("--read", ".", "--", "./claude")
    assert ended.status == 3
    assert "there is a profile for claude: nono run -p claude-code" in ended.stderr
    assert site.run("--silent", "--read", ".", "--", "./claude").stderr == ""
    assert site.record().intent["profile"] == []


@pytest.mark.parametrize(
    ("agent", "hint"),
    [
        ("codex", "there is a profile for codex: nono run -p codex -- "),
        ("opencode", "there is a profile for opencode: nono run -p opencode -- "),
        ("openclaw", "begin one: nono profile init openclaw --extends agent"),
        ("swival", "begin one: nono profile init swival --extends agent"),
        ("claude.sh", None),
    ],
)
def test_each_agent_is_told_what_works(site: Site, agent: str, hint: str | None) -> None:
    """A hint names a profile that is there, or the command that begins one."""
    site.script(agent, "exit 3")
    ended = site.run("--read", ".", "--", f"./{agent}")
    assert ended.status == 3
    if hint is None:
        assert "profile" not in ended.stderr
        return
    assert hint in ended.stderr
    site.tidy = False  # the profile stays
    if "init" in hint:
        assert site.nono(*hint.partition("nono ")[2].split()).status == 0
    profile = hint.partition(" -p ")[2].split()[0] if " -p " in hint else agent
    ended = site.run("-p", profile, "--", f"./{agent}")
    assert "there is" not in ended.stderr
    assert site.record().intent["profile"][-1]["name"] == profile


def test_a_strict_build_has_neither_network_nor_home_nor_tokens(site: Site) -> None:
    (site.home / ".gitconfig").write_text("[user]\n  name = x\n")
    (site.home / ".codex").mkdir()
    script = 'cat "$HOME/.gitconfig"; ls "$HOME"; echo made > out; env'
    environment = {"GITHUB_TOKEN": "t0ken", "GITHUB_SHA": "abc", "CI": "true"}
    ended = site.run("-p", "ci-strict", "--allow", ".", "--", "/bin/sh", "-c", script, env=environment)
    out = worked(ended)
    assert b"GITHUB_SHA=abc" in out
    assert b"t0ken" not in out
    assert b"name = x" not in out
    assert (site.project / "out").exists()
    connect = "import socket; socket.create_connection(('127.0.0.1', 9), 1)"
    ended = site.run(
        "-p", "ci-strict", *site.python_grants(), "--", os.path.realpath(sys.executable), "-Ic", connect
    )
    assert ended.stdout == b""
    assert "PermissionError" in ended.stderr
    ended = site.run("-p", "ci-strict", "--read", site.home / ".codex", "--", "/bin/true")
    assert ended.status == 125
    assert "deny_agent_credentials" in ended.stderr


# --- attacks ---------------------------------------------------------------------------------------


def test_nothing_of_a_chain_can_be_granted_for_writing(site: Site) -> None:
    """The file in the middle of a chain is as much of a decision as the one that was named."""
    for name, parts in {
        "top": {},
        "middle": {"extends": "../kept/top.json"},
        "named": {"extends": str(site.project / "middle.json"), "filesystem": {"allow": ["$WORKDIR"]}},
    }.items():
        directory = site.project if name == "middle" else site.base / "kept"
        directory.mkdir(exist_ok=True)
        (directory / f"{name}.json").write_text(json.dumps(parts))
    ended = site.run("-p", site.base / "kept" / "named.json", "--", "/bin/true")
    assert ended.status == 125
    assert "middle.json" in ended.stderr
    assert site.record().outcome["not_started"]["code"] == "grant.untouchable"
    (site.base / "elsewhere").mkdir()
    (site.project / "middle.json").rename(site.base / "elsewhere" / "middle.json")
    (site.project / "middle.json").symlink_to(site.base / "elsewhere" / "middle.json")
    ended = site.run("-p", site.base / "kept" / "named.json", "--", "/bin/true")
    assert ended.status == 125  # the link could be replaced as well
    assert "middle.json" in ended.stderr


def test_a_profile_of_a_repository_grants_nothing_that_is_protected(site: Site) -> None:
    (site.home / ".ssh").mkdir()
    (site.home / ".ssh" / "id").write_text("secret")
    for path in ("~/.ssh", "$WORKDIR/../home/.ssh/id", "$WORKDIR/..", "/", str(site.state)):
        key = "read_file" if path.endswith("/id") else "read"
        (site.base / "kept").mkdir(exist_ok=True)
        profile = site.base / "kept" / "hostile.json"
        profile.write_text(json.dumps({"filesystem": {key: [path]}}))
        ended = site.run("-p", profile, "--", "/bin/cat", site.home / ".ssh" / "id")
        assert (ended.status, ended.stdout) == (125, b""), path
    assert {record.outcome["not_started"]["code"] for record in site.records()} <= {
        "grant.protected", "grant.untouchable",
    }  # fmt: skip


def test_what_is_wrong_with_a_chain_is_said_in_a_sentence_and_records_nothing(site: Site) -> None:
    site.file("a.json", '{"extends": "./b.jsonc"}')
    site.file("b.jsonc", '{"extends": ["./a.json",],}')
    for named, said in [
        ("a.json", "build upon each other in a circle"),
        ("pyhton-dev", "hint: did you mean python-dev?"),
        ("/etc/shadow.json", "no such file or directory"),
        ("./none", "no such file or directory"),
    ]:
        ended = site.run("-p", named, "--", "/bin/true")
        assert (ended.status, ended.stdout) == (125, b"")
        assert said in ended.stderr
        assert "Traceback" not in ended.stderr
    assert site.ledgers() == []


def test_a_profile_that_is_changed_by_its_own_hook_counts_as_it_was(site: Site) -> None:
    """What was hashed is what decides; the change counts for the next launch."""
    profile = site.base / "profile.json"
    hook = site.hook("hook", f'echo \'{{"filesystem": {{"allow": ["{site.project}"]}}}}\' > {profile}')
    profile.write_text(json.dumps({"session_hooks": {"before": {"script": str(hook)}}}))
    digest = hashlib.sha256(profile.read_bytes()).hexdigest()
    ended = site.run("-p", profile, "--", "/bin/sh", "-c", f"echo x > {site.project}/made")
    assert ended.status != 0
    assert not (site.project / "made").exists()
    assert site.record().intent["profile"] == [{"name": "profile", "sha256": digest}]


def test_the_value_of_a_secret_that_a_profile_sets_is_not_recorded(site: Site) -> None:
    profile = site.profile(environment={"set_vars": {"API_TOKEN": "hunter2hunter2"}})
    ended = site.run("-p", profile, "--", "/bin/sh", "-c", "printenv API_TOKEN; : hunter2hunter2")
    assert worked(ended) == b"hunter2hunter2\n"
    assert b"hunter2hunter2" not in site.ledger().read_bytes()
    assert "API_TOKEN" in site.record().start["environment"]


def test_profile_commands_of_the_installed_command(site: Site) -> None:
    for name in BUILT_IN:
        shown = site.nono("profile", "show", name, "--json")
        assert json.loads(worked(shown))["name"] == name
    assert worked(site.nono("profile", "validate", *BUILT_IN)).count(b": valid\n") == len(BUILT_IN)
    assert json.loads(worked(site.nono("profile", "schema")))["title"]
    worked(site.nono("profile", "init", "mine", "--extends", "python-dev"))
    site.tidy = False  # the profile stays
    worked(site.run("-p", "mine", "--", "/bin/true"))
    assert chain(site) == ["python-dev", "mine"]
