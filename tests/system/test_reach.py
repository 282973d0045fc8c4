"""What a command reaches: grants within grants, ways around by links and ``..``, secrets, and the system.

Each attempt is a line of shell that works outside; the test says which of them work inside.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.system.conftest import IS_ROOT, NONO, text_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.system.conftest import Argument, Site


def script(site: Site, attempts: Mapping[str, str]) -> str:
    """Return a script that makes each attempt in the project and prints the names of those that worked."""
    lines = [f"( {line} ) >/dev/null 2>&1 && echo '{name}'" for name, line in attempts.items()]
    return "\n".join((f"cd {site.project}", *lines, ":"))  # which no grant may cover


def outside(site: Site, attempts: Mapping[str, str]) -> set[str]:
    """Return which of the attempts work without nono."""
    done = subprocess.run(
        ["/bin/sh", "-c", script(site, attempts)],
        env=site.environment,
        cwd=site.project,
        check=True,
        capture_output=True,
    )
    return set(done.stdout.decode().split())


def inside(site: Site, attempts: Mapping[str, str], *flags: Argument) -> set[str]:
    """Return which of the attempts work in the sandbox."""
    ended = site.shell(script(site, attempts), *flags)
    assert ended.status == 0, ended.stderr
    return set(ended.stdout.decode().split())


# --- grants within grants ----------------------------------------------------------------------------


def test_a_write_grant_within_a_read_grant_opens_itself_alone(site: Site) -> None:
    site.file("out/deep/file", "x\n")
    site.file("out-of-it/file", "x\n")  # the same beginning, and no part of it
    site.file("top", "x\n")
    attempts = {
        "read-all": "cat top out/deep/file out-of-it/file",
        "write-within": "echo y > out/deep/made",
        "move-within": "mv out/deep/made out/moved",
        "link-within": "ln out/moved out/deep/linked",
        "write-beside": "echo y > made",
        "write-alike": "echo y > out-of-it/made",
        "move-out": "mv out/moved moved",
        "link-out": "ln out/deep/linked linked",
        "move-in": "mv top out/top",
        "replace-it": "mv out elsewhere && mkdir out",
    }
    assert inside(site, attempts, "--read", ".", "--allow", "out") == {
        "read-all", "write-within", "move-within", "link-within",
    }  # fmt: skip
    subprocess.run(["rm", "-r", "out"], cwd=site.project, check=True)
    site.file("out/deep/file", "x\n")
    assert outside(site, attempts) == set(attempts)


# mv copies what cannot be renamed; other programs do not.
RENAMES = """\
import os
os.makedirs("out/one/tree/sub")
os.makedirs("out/two")
open("out/one/file", "w").close()
os.link("out/one/file", "out/two/linked")
os.rename("out/one/file", "out/two/file")
os.rename("out/one/tree", "out/two/tree")
os.replace("out/two/tree/sub", "out/sub")
print(sorted(os.listdir("out")), sorted(os.listdir("out/two")), os.listdir("out/one"))
try:
    os.rename("out/two/file", "file")
except OSError as error:
    print(error.strerror)
"""


def test_files_and_directories_are_renamed_and_linked_across_a_write_grant(site: Site) -> None:
    """What fences the launch in must not take that away; out of a grant it stays closed."""
    (site.project / "out").mkdir()
    ended = site.python(RENAMES, "--read", ".", "--allow", "out")
    assert ended.status == 0, ended.stderr
    found, refused = ended.stdout.decode().splitlines()
    assert found == "['one', 'sub', 'two'] ['file', 'linked', 'tree'] []"
    assert refused in ("Permission denied", "Invalid cross-device link")
    assert (site.project / "out" / "two" / "file").exists()


def test_a_read_grant_within_a_write_grant_takes_nothing_away_and_says_so(site: Site) -> None:
    site.file("vendor/file", "x\n")
    said = (
        "nono: --read vendor does not keep the command from writing there: it lies in the write grant on"
        f" {site.project}, and a grant takes nothing away"
    )
    ended = site.shell("echo y > vendor/file && cat vendor/file", "--read", "vendor", "--allow", ".")
    assert (ended.stdout, ended.lines.count(said)) == (b"y\n", 1)
    for flags in (
        ("--read", "vendor"),
        ("--read", ".", "--allow", "vendor"),
        ("--allow", ".", "--allow-cwd"),
    ):
        assert "does not keep" not in site.run(*flags, "--", "/bin/true").stderr, flags
    assert site.run("-s", "--read", "vendor", "--allow", ".", "--", "/bin/true").stderr == ""
    # What is asked for itself is as it was asked, whatever a profile grants.
    site.file("file", "x\n")
    attempts = {"read": "cat file", "write": "echo y > file"}
    assert inside(site, attempts, "-p", "python-dev") == {"read", "write"}
    assert inside(site, attempts, "-p", "python-dev", "--read", ".") == {"read"}


def test_a_single_file_is_that_file_alone(site: Site) -> None:
    site.file("it", "x\n")
    site.file("other", "x\n")
    attempts = {
        "read": "cat it",
        "write": "echo y > it",
        "read-other": "cat other",
        "list": "ls .",
        "replace": "mv it was && echo y > it",
        "remove": "rm it",
        "make": "echo y > made",
    }
    assert inside(site, attempts, "--allow-file", "it") == {"read", "write"}
    assert inside(site, attempts, "--allow-file", "it", "--read", ".") == {
        "read",
        "write",
        "read-other",
        "list",
    }
    assert outside(site, attempts) == set(attempts)


# --- ways around -------------------------------------------------------------------------------------


def test_no_way_leads_around_a_grant(site: Site) -> None:
    """Links, ``..``, /proc's own links and descriptors: what counts is where they lead."""
    secret = site.base / "beside" / "secret"
    secret.parent.mkdir()
    secret.write_text("x\n")
    site.file("granted/file", "x\n")
    (site.project / "granted" / "link").symlink_to(secret)
    (site.project / "granted" / "up").symlink_to("../..")
    (site.project / "granted" / "chain").symlink_to("up/beside")
    attempts = {
        "within": "cat granted/../granted/./file",
        "in-and-out": "cat granted/../../beside/secret",
        "link": "cat granted/link",
        "link-write": "echo y >> granted/link",
        "up": "cat granted/up/beside/secret",
        "chain": "ls granted/chain",
        "new-link": f"ln -sf {secret} granted/new && cat granted/new",
        "hard-link": "ln beside/secret granted/hard || ln ../beside/secret granted/hard",
        "through-root": f"cat /proc/self/root{secret}",
        "through-cwd": "cat /proc/self/cwd/../beside/secret",
        "through-shell": f"cat /proc/$$/root{secret}",
        "descriptor": "exec 5< granted/.. && cat /proc/self/fd/5/../beside/secret",
        "enter": "cd ../beside",
        "copy": "cp ../beside/secret granted/copy",
    }
    # To enter a directory is no access that Landlock knows; what is in there stays closed.
    assert inside(site, attempts, "--allow", "granted") == {"within", "enter"}
    (site.project / "granted" / "new").unlink()
    everything = outside(site, attempts)
    assert everything | {"descriptor"} == set(attempts)


def test_a_grant_is_where_its_path_leads_when_the_launch_begins(site: Site) -> None:
    """By links and ``..``; what the command makes of the names afterwards opens nothing."""
    for name in ("one", "two"):
        site.file(f"{name}/file", f"{name}\n")
    (site.project / "link").symlink_to("one")
    swap = (
        f"cd {site.project}; rm link 2>/dev/null; ln -s two link; cat one/file; cat link/file; cat two/file"
    )
    ended = site.shell(swap, "--allow", "two/../link", "--allow", "link/../one/.")
    assert ended.stdout == b"one\none\n"  # the link stays: the directory that holds it is not granted
    assert [os.readlink(site.project / "link")] == ["one"]
    assert {os.fsencode(site.project / "one")} == {
        path for path in site.record().files() if path.startswith(os.fsencode(site.project))
    }


def test_launches_within_launches_only_narrow(site: Site) -> None:
    """Three deep, each with other grants: what is open is what all of them open, and nothing comes back."""
    for name in ("both", "outer", "inner"):
        site.file(f"{name}/file", "x\n")
    code = ("--read", sys.prefix, "--read", sys.base_prefix)
    attempts = {name: f"cat {name}/file" for name in ("both", "outer", "inner")}
    attempts["write"] = "echo y > both/made"

    def within(command: str, *grants: str) -> str:
        launch = ("run", "--no-audit", *code, *grants, "--", "/bin/sh", "-c", command)
        places = "unset XDG_STATE_HOME XDG_CONFIG_HOME XDG_CACHE_HOME"
        return f'cd {site.project}; {places}; HOME="$TMPDIR" exec {NONO} {shlex.join(launch)}'

    innermost = within(script(site, attempts), "--read", "both", "--allow", "inner")
    middle = within(innermost, "--allow", "both", "--allow", "inner")
    ended = site.shell(middle, *code, "--allow", "both", "--allow", "outer", "--block-net")
    assert (ended.status, ended.stdout) == (0, b"both\n"), ended.stderr


# --- what is secret ----------------------------------------------------------------------------------


# One of each group that denies; every name of them is tried in tests/runtime/test_protected.py.
SECRETS = [
    *(".ssh/id", ".config/gcloud/c", ".npmrc", ".cargo/credentials.toml", ".password-store/p"),
    *(".mozilla/p", ".bash_history", ".bashrc"),
]
ALIKE = {
    "--read": [".sshfoo/id", ".ssh.bak/id", ".config/gcloud-notes/c", ".mozillas/p"],
    "--read-file": [".npmrc.md", ".cargo/config.toml", ".bash_history2", "bashrc"],
}


def test_secrets_stay_closed_and_what_is_called_alike_does_not(site: Site) -> None:
    """No flag alone opens one; a grant of its neighbour opens the neighbour."""
    alike = [name for names in ALIKE.values() for name in names]
    for name in (*SECRETS, *alike):
        path = site.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x\n")
    attempts = {name: f"cat ~/{name}" for name in (*SECRETS, *alike)}
    assert outside(site, attempts) == set(attempts)
    assert inside(site, attempts) == set()
    grants = [word for name in ALIKE["--read"] for word in ("--read", f"~/{os.path.dirname(name)}")]
    grants += [word for name in ALIKE["--read-file"] for word in ("--read-file", f"~/{name}")]
    assert inside(site, attempts, *grants) == set(alike)
    for number, name in enumerate(SECRETS):
        path = site.home / name
        grant = (
            ("--read-file", f"~/{name}"),
            ("--write-file", path),
            ("--allow-file", f"../home/{name}"),
            ("--allow", path.parent),
        )[number % 4]
        ended = site.run("--dry-run", *grant, "--", "/bin/true")
        assert (ended.status, ended.stdout) == (125, b""), grant
        assert "hint: " in ended.stderr


def test_a_home_and_what_is_above_it_are_refused(site: Site) -> None:
    (site.home / ".ssh").mkdir()
    for flag, path in (
        ("--read", "~"), ("--write", "~/"), ("--allow", site.home), ("--read", "../home"), ("--read", "/"),
    ):  # fmt: skip
        assert site.run("--dry-run", flag, path, "--", "/bin/true").status == 125, (flag, path)
    assert site.run("--dry-run", "--allow-cwd", "--", "/bin/true", cwd=site.home).status == 125


def test_a_bypass_opens_what_it_names_and_needs_a_grant(site: Site) -> None:
    for name in (".ssh/config", ".ssh/id", ".aws/credentials"):
        (site.home / name).parent.mkdir(exist_ok=True)
        (site.home / name).write_text("x\n")
    attempts = {name: f"cat ~/{name}" for name in (".ssh/config", ".ssh/id", ".aws/credentials")}
    attempts["write"] = "echo y > ~/.ssh/made"
    config = ("--read-file", "~/.ssh/config")
    assert inside(site, attempts, "--bypass-protection", "~/.ssh") == set()
    assert inside(site, attempts, "--bypass-protection", "~/.ssh", *config) == {".ssh/config"}
    assert inside(site, attempts, "--bypass-protection", "~/.ssh", "--read", "~/.ssh") == {
        ".ssh/config", ".ssh/id",
    }  # fmt: skip
    assert inside(site, attempts, "--bypass-protection", "~/.ssh/config", *config) == {".ssh/config"}
    for bypass, grant in (
        ("~/.ssh", "~/.aws"),  # another secret
        ("~/.ssh/config", "~/.ssh"),  # one file of it, not the whole
        ("~/.aws", "~/.ssh"),
        ("~/.ssh", "~"),
    ):
        ended = site.run(
            "--bypass-protection", bypass, "--read", grant, "--", "/bin/cat", site.home / ".ssh/id"
        )
        assert (ended.status, ended.stdout) == (125, b""), (bypass, grant)
    assert outside(site, attempts) == set(attempts)


# --- the system --------------------------------------------------------------------------------------


def test_of_the_system_what_programs_need_and_no_more(site: Site) -> None:
    """As it is without any flag; root may do all of this outside."""
    site.file("it", "x\n")
    other = subprocess.Popen(["/bin/sleep", "600"], env={})
    open_ = {
        "own-status": "cat /proc/self/status /proc/self/maps /proc/self/environ /proc/self/limits",
        "child-maps": "cat /proc/$$/maps",
        "machine": "cat /proc/cpuinfo /proc/meminfo /proc/version /proc/mounts",
        "users": "id; getent passwd root",
        "names": "getent hosts localhost",
        "libraries": "ldd /bin/sh",
        "programs": "ls /usr/bin /usr/lib",
        "null": "echo x > /dev/null && head -c 1 /dev/zero && head -c 1 /dev/urandom",
        "descriptors": "echo x | cat /dev/stdin && ls /dev/fd/ && echo x > /proc/self/fd/1",
        "time": "date && TZ=Europe/Berlin date",
    }
    closed = {
        "other-maps": f"cat /proc/{other.pid}/maps",
        "other-environ": f"cat /proc/{other.pid}/environ",
        "other-root": f"ls /proc/{other.pid}/root/",
        "kernel-setting": "cat /proc/sys/kernel/core_pattern > /proc/sys/kernel/core_pattern",
        "devices": "ls /dev",
        "homes": "ls /root",
        "temporary": "ls /tmp",
        "configuration": "ls /etc",
        "shadow": "cat /etc/shadow",
        "sysfs": "ls /sys/class",
        "var": "ls /var/log",
        "run": "ls /run",
        "root": "ls /",
        "program": "cp /bin/true /usr/local/bin/of-a-test",
        "here": "cat it",
    }
    only_root = {"kernel-setting", "homes", "shadow", "program"}
    attempts = {**open_, **closed}
    try:
        assert outside(site, attempts) == set(attempts) - (set() if IS_ROOT else only_root)
        # Not everybody may look at the first process outside either.
        assert inside(site, {**attempts, "first": "cat /proc/1/maps"}) == set(open_)
    finally:
        other.kill()
        other.wait()
        Path("/usr/local/bin/of-a-test").unlink(missing_ok=True)


# --- odd names ---------------------------------------------------------------------------------------


ODD = [
    b"a b",
    b"new\nline",
    b"q'u\"o",
    b"-rf",
    b"$(id)",
    b"*",
    b"\\",
    b"\xff\xfe",
    "caf\u00e9".encode(),
    b"\x1b[2J",
]


def test_odd_names_of_directories_commands_arguments_and_outputs(site: Site) -> None:
    """Each is a working directory, a command, an argument and an output, all in one launch."""
    for name in ODD:
        place = os.fsencode(site.base) + b"/w-" + name
        os.mkdir(place)
        command = os.path.join(place, name)
        with open(command, "wb") as file:
            file.write(b'#!/bin/sh\nprintf %s "$1" > "$2" && printf %s "$0"\n')
        os.chmod(command, 0o755)
        out = b"o-" + name
        ended = site.run(
            "--allow-writable-script", b"--workdir=" + place, b"--allow=" + place, b"--output=" + out,
            "--", b"./" + name, name, out,
        )  # fmt: skip
        assert (ended.status, ended.stdout) == (0, b"./" + name), ended.stderr
        with open(os.path.join(place, out), "rb") as file:
            assert file.read() == name
        assert all(character.isprintable() or character == "\n" for character in ended.stderr)
        assert [text_bytes(word) for word in site.record().intent["command"]] == [b"./" + name, name, out]
        assert text_bytes(site.record().outcome["outputs"][0]["path"]) in (out, os.path.join(place, out))
