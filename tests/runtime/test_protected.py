"""The secrets of the user and the ground that nono stands on: what no grant may open."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.capability import protected
from runtime.capability.capabilities import PROFILE, USER, Access, group_source
from runtime.capability.default_groups import DEFAULT_DENIALS
from runtime.capability.grant_request import GrantRequest
from runtime.capability.protected import Guard, Untouchable, ledger_files, own_code_paths
from runtime.errors import GrantError, UsageError
from runtime.kernel.path_names import absolute, every_name, homes, join, normalise, shown, walk

HOME = b"/home/somebody"  # never made: nothing that is denied need exist
ROOT = Path(__file__).resolve().parents[2]


def guard(
    untouchable: Untouchable | None = None, *, bypass: tuple[bytes, ...] = (), home: bytes = HOME
) -> Guard:
    return Guard(untouchable or Untouchable(), bypass=bypass, home_directories=[home])


def judge(
    judged_by: Guard,
    path: bytes,
    *,
    access: Access = Access.READ,
    directory: bool = True,
    canonical: bytes | None = None,
    source: str = USER,
) -> None:
    judged_by.judge(GrantRequest(access, path, directory, source), canonical, path=path)


def refusal(judged_by: Guard, path: bytes, **how: object) -> GrantError:
    with pytest.raises(GrantError) as caught:
        judge(judged_by, path, **how)  # type: ignore[arg-type]  # passed on as given
    return caught.value


# What design 3 lists, one example a pattern; written out, so that a lost entry is seen.
SECRETS = [
    ".ssh", ".gnupg", ".aws", ".azure", ".config/gcloud", ".gcloud", ".kube", ".docker",
    ".git-credentials", ".netrc", ".npmrc", ".pypirc", ".cargo/credentials", ".cargo/credentials.toml",
    ".vault-token", ".credentials", ".secrets", ".keys", ".pki", ".terraform.d", ".config/op",
    ".config/gh", ".password-store", ".1password", ".op", ".local/share/keyrings", ".mozilla",
    ".config/google-chrome", ".config/google-chrome-beta", ".config/chromium", ".config/BraveSoftware",
    ".config/microsoft-edge", ".bash_history", ".python_history", ".zsh_history", ".history", ".bashrc",
    ".profile", ".zshrc", ".bash_profile", ".zshenv", ".config/fish", ".env", ".envrc",
]  # fmt: skip


@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_is_refused_as_itself_from_inside_and_from_above(secret: str) -> None:
    path = HOME + b"/" + secret.encode()
    for name, directory in [(path, True), (path, False), (path + b"/id", False), (path + b"/a/b", True)]:
        error = refusal(guard(), name, directory=directory)
        assert error.code == "grant.protected"
        assert "--bypass-protection" in str(error.hint)
    above = os.path.dirname(path)
    assert refusal(guard(), above).code == "grant.protected"
    assert refusal(guard(), b"/home").code == "grant.protected"


@pytest.mark.parametrize(
    "name",
    [".sshfoo", ".ss", "ssh", ".config/ghost", ".cargo/registry", ".cargo/bin", "src/.ssh", "history.txt",
     ".local/share/keyringsx", ".dockerfiles", "src/.env", ".envrc.d"],
)  # fmt: skip
def test_components_are_compared_and_not_prefixes(name: str) -> None:
    judge(guard(), HOME + b"/" + name.encode())


def test_a_single_file_contains_nothing() -> None:
    judge(guard(), HOME, directory=False)


def test_a_bypass_lifts_what_it_names_and_nothing_beside_it() -> None:
    lifted = guard(bypass=(HOME + b"/.ssh",))
    judge(lifted, HOME + b"/.ssh")
    judge(lifted, HOME + b"/.ssh/known_hosts", directory=False)
    assert refusal(lifted, HOME + b"/.aws").code == "grant.protected"
    assert b"/.ssh".decode() not in str(refusal(lifted, HOME))


def test_a_bypass_of_something_inside_does_not_lift_the_whole() -> None:
    lifted = guard(bypass=(HOME + b"/.ssh/known_hosts",))
    judge(lifted, HOME + b"/.ssh/known_hosts", directory=False)
    refusal(lifted, HOME + b"/.ssh/id_ed25519", directory=False)
    refusal(lifted, HOME + b"/.ssh/known_hosts.old", directory=False)
    refusal(lifted, HOME + b"/.ssh")


def test_a_star_is_lifted_for_one_name_or_as_it_is_written() -> None:
    one = guard(bypass=(HOME + b"/.cargo/credentials.toml",))
    judge(one, HOME + b"/.cargo/credentials.toml", directory=False)
    refusal(one, HOME + b"/.cargo/credentials", directory=False)
    refusal(one, HOME + b"/.cargo")
    every = guard(bypass=(HOME + b"/.cargo/credentials*",))
    judge(every, HOME + b"/.cargo/credentials", directory=False)
    judge(every, HOME + b"/.cargo")


@pytest.mark.parametrize("path", [HOME, HOME + b"/src", b"/", HOME + b"/.sshfoo", b"/etc"])
def test_a_bypass_must_name_something_protected(path: bytes) -> None:
    with pytest.raises(UsageError):
        guard(bypass=(path,))


def test_no_bypass_lifts_what_nono_stands_on() -> None:
    with pytest.raises(UsageError, match="nono itself stands on it"):
        guard(Untouchable(read_write=(b"/srv/l.db",)), bypass=(b"/srv/l.db",))


def test_both_homes_are_protected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    account = os.fsencode(pwd.getpwuid(os.getuid()).pw_dir)
    assert homes() == (os.fsencode(tmp_path), normalise(account))
    judged_by = Guard(Untouchable())
    for home in (os.fsencode(tmp_path), account):
        assert refusal(judged_by, home + b"/.ssh").code == "grant.protected"


@pytest.mark.parametrize("value", [None, "", "relative/home"])
def test_without_a_usable_home_variable_the_account_counts(
    value: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if value is None:
        monkeypatch.delenv("HOME", raising=False)
    else:
        monkeypatch.setenv("HOME", value)
    account = os.fsencode(pwd.getpwuid(os.getuid()).pw_dir)
    assert homes() == (normalise(account),)
    refusal(Guard(Untouchable()), account + b"/.gnupg")


def test_the_target_of_a_denied_link_is_denied(tmp_path: Path) -> None:
    home, vault = tmp_path / "home", tmp_path / "vault"
    home.mkdir()
    (vault / "ssh").mkdir(parents=True)
    (vault / "hist").touch()
    (home / ".ssh").symlink_to(vault / "ssh")
    (home / ".sh_history").symlink_to("../vault/hist")
    judged_by = guard(home=os.fsencode(home))
    for path, directory in [("ssh", True), ("ssh/id", False), ("hist", False), ("", True)]:
        refusal(judged_by, os.fsencode(vault / path), directory=directory)
    lifted = guard(home=os.fsencode(home), bypass=(os.fsencode(home / ".ssh"),))
    judge(lifted, os.fsencode(vault / "ssh"))
    refusal(lifted, os.fsencode(vault / "hist"), directory=False)


def test_a_link_above_a_denied_path_that_does_not_exist_yet(tmp_path: Path) -> None:
    home, real = tmp_path / "home", tmp_path / "real"
    home.mkdir()
    real.mkdir()
    (home / ".config").symlink_to(real)
    judged_by = guard(home=os.fsencode(home))
    refusal(judged_by, os.fsencode(real))
    refusal(judged_by, os.fsencode(real / "gh" / "hosts.yml"), directory=False)
    judge(judged_by, os.fsencode(real / "editor"))


def test_a_home_reached_by_a_link(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "home").symlink_to("data")
    judged_by = guard(home=os.fsencode(tmp_path / "home"))
    refusal(judged_by, os.fsencode(tmp_path / "data" / ".ssh"))
    refusal(judged_by, os.fsencode(tmp_path / "home" / ".ssh"))
    lifted = guard(
        home=os.fsencode(tmp_path / "home"), bypass=(os.fsencode(tmp_path / "data" / ".ssh" / "config"),)
    )
    judge(lifted, os.fsencode(tmp_path / "home" / ".ssh" / "config"), directory=False)


def test_dot_dot_after_a_link_in_home_is_the_kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere" / "deep").mkdir(parents=True)
    (tmp_path / "elsewhere" / "home" / ".ssh").mkdir(parents=True)
    (tmp_path / "link").symlink_to("elsewhere/deep")
    monkeypatch.setenv("HOME", f"{tmp_path}/link/../home")
    really = os.fsencode(tmp_path / "elsewhere" / "home")
    assert os.path.samefile(homes()[0], really)
    for path in (b"/.ssh", b"/.ssh/id", b"/.cargo/credentials.toml", b""):
        assert refusal(Guard(Untouchable()), really + path).code == "grant.protected"
    lifted = Guard(Untouchable(), bypass=[join(homes()[0], b".ssh")])
    judge(lifted, really + b"/.ssh")
    refusal(lifted, really + b"/.aws")


@pytest.mark.parametrize("value", ["/home//u/", "/home/./u"])
def test_a_home_without_dot_dot_is_tidied(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", value)
    assert homes()[0] == b"/home/u"


def test_each_link_on_the_way_is_judged(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    (tmp_path / "first").symlink_to("second")
    (tmp_path / "second").symlink_to(home / ".ssh" / "later")  # nothing there yet
    refusal(guard(home=os.fsencode(home)), os.fsencode(tmp_path / "first"))


def test_a_hard_link_to_a_secret_is_the_secret(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / ".netrc").write_text("secret")
    other, harmless = tmp_path / "other", tmp_path / "harmless"
    os.link(home / ".netrc", other)
    harmless.touch()
    judged_by = guard(home=os.fsencode(home))
    judge(judged_by, os.fsencode(harmless), directory=False, canonical=os.fsencode(harmless))
    refusal(judged_by, os.fsencode(other), directory=False, canonical=os.fsencode(other))


def test_a_second_mount_of_the_home_hides_nothing(tmp_path: Path) -> None:
    """Names differ there; the objects are the same."""
    for name in ("home/.ssh", "home/src", "second"):
        (tmp_path / name).mkdir(parents=True)
    program = (
        "import sys\n"
        "from runtime.capability.protected import Guard, Untouchable\n"
        "from runtime.capability.grant_request import GrantRequest\n"
        "from runtime.capability.grants import resolve\n"
        "from runtime.capability.capabilities import Access\n"
        "from runtime.errors import GrantError\n"
        "base = sys.argv[1].encode()\n"
        "guard = Guard(Untouchable(), home_directories=[base + b'/home'])\n"
        "for name in (b'', b'/.ssh', b'/src'):\n"
        "    try:\n"
        "        request = GrantRequest(Access.READ, base + b'/second' + name, True)\n"
        "        resolve([request], workdir=b'/', guard=guard, warn=print).close()\n"
        "        print('granted')\n"
        "    except GrantError as error:\n"
        "        print(error.code)\n"
    )
    mine = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    mounted = 'mount --bind "$1/home" "$1/second" && exec "$2" -c "$3" "$1"'
    shell = ["sh", "-c", mounted, "sh", str(tmp_path), sys.executable, program]
    command = ["unshare", "--mount", *mine, *shell]
    done = subprocess.run(command, capture_output=True, text=True, env=_environment(), check=False)
    if done.returncode != 0 and re.match("unshare:|mount:", done.stderr):
        if os.environ.get("CI") == "true" and os.geteuid() == 0:
            pytest.fail(f"must work here: {done.stderr}")
        pytest.skip(f"no mount namespace to be had: {done.stderr}")
    assert (done.stdout.split(), done.stderr) == (["grant.protected", "grant.protected", "granted"], "")


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), sysconfig.get_path("purelib")])}


LEDGER = Untouchable(read_write=(*ledger_files(b"/srv/state/l.db"), b"/srv/etc/nono"))


@pytest.mark.parametrize("access", list(Access))
@pytest.mark.parametrize(
    ("path", "directory"),
    [
        (b"/srv/state/l.db", False),
        (b"/srv/state/l.db-wal", False),
        (b"/srv/state/l.db-shm", False),
        (b"/srv/state/l.db-journal", False),
        (b"/srv/state", True),
        (b"/srv", True),
        (b"/", True),
        (b"/srv/etc/nono", True),
        (b"/srv/etc/nono/config.toml", False),
        (b"/srv/x/../state", True),
    ],
)
def test_ledger_key_and_state_are_closed_to_every_access(
    path: bytes, directory: bool, access: Access
) -> None:
    assert refusal(guard(LEDGER), path, directory=directory, access=access).code == "grant.untouchable"


@pytest.mark.parametrize("path", [b"/srv/state/l.dbx", b"/srv/state/other", b"/srv/statement", b"/srv/etc/n"])
def test_what_merely_lies_near_the_ledger_can_be_granted(path: bytes) -> None:
    judge(guard(LEDGER), path, access=Access.READWRITE)


def test_the_way_to_the_ledger_is_closed_too(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "log").symlink_to("../real")
    judged_by = guard(Untouchable(read_write=(os.fsencode(tmp_path / "project" / "log" / "l.db"),)))
    for closed in ("real", "project", "project/log"):
        refusal(judged_by, os.fsencode(tmp_path / closed), access=Access.WRITE)
    (tmp_path / "project" / "src").mkdir()
    judge(judged_by, os.fsencode(tmp_path / "project" / "src"), access=Access.WRITE)


def test_own_code_is_closed_to_writing_alone() -> None:
    judged_by = guard(Untouchable(write=(b"/repo/.venv", b"/opt/hook.sh")))
    for path in (b"/repo", b"/repo/.venv", b"/repo/.venv/lib/x", b"/opt", b"/opt/hook.sh"):
        judge(judged_by, path, access=Access.READ)
        for access in (Access.WRITE, Access.READWRITE):
            assert refusal(judged_by, path, access=access).code == "grant.untouchable"
    judge(judged_by, b"/repo/src", access=Access.READWRITE)


def test_a_refusal_prints_the_corrected_command(tmp_path: Path) -> None:
    for name in ("src", "te st", ".venv", ".git"):
        (tmp_path / name).mkdir()
    judged_by = guard(Untouchable(write=(os.fsencode(tmp_path / ".venv"),)))
    base = os.fsencode(tmp_path)
    judged = GrantRequest(Access.READWRITE, b".", directory=True)
    with pytest.raises(GrantError) as caught:
        judged_by.judge(judged, base, path=base)
    assert caught.value.hint == "grant only --read . --allow ./src --allow './te st'"
    with pytest.raises(GrantError) as caught:
        judged_by.judge(
            GrantRequest(Access.WRITE, b"$WORKDIR", directory=True, source=PROFILE), base, path=base
        )
    assert caught.value.hint == "grant only filesystem.write '$WORKDIR/src' filesystem.write '$WORKDIR/te st'"


def test_a_profile_or_a_hook_is_to_be_kept_elsewhere(tmp_path: Path) -> None:
    """To read the working directory alone is no answer for a command that is to write there."""
    profile = os.fsencode(tmp_path / "build.json")
    (tmp_path / "build.json").touch()
    judged_by = guard(Untouchable(obeyed=(profile,)))
    base = os.fsencode(tmp_path)
    judge(judged_by, base, access=Access.READ)
    asked = GrantRequest(Access.READWRITE, b"$WORKDIR", directory=True, source=PROFILE)
    away = f"keep {tmp_path}/build.json outside of everything that the command may write to"
    with pytest.raises(GrantError) as caught:
        judged_by.judge(asked, base, path=base)
    assert caught.value.hint == f"{away}, or grant only filesystem.read '$WORKDIR'"
    written = GrantRequest(Access.WRITE, profile, directory=False)
    with pytest.raises(GrantError) as caught:
        judged_by.judge(written, profile, path=profile)
    assert caught.value.hint == away


def test_a_suggested_command_is_one_that_would_pass(tmp_path: Path) -> None:
    for name in ("a", "state", "z"):
        (tmp_path / name).mkdir()
    judged_by = guard(
        Untouchable(
            read_write=(os.fsencode(tmp_path / "state" / "l.db"),), write=(os.fsencode(tmp_path / "a"),)
        )
    )
    hint = str(refusal(judged_by, os.fsencode(tmp_path), access=Access.READWRITE).hint)
    assert re.findall(r"--\S+ \S+", hint) == [f"--allow {tmp_path}/z,"]


@pytest.mark.parametrize("path", [b"/proc", b"/proc/sys/kernel", b"/proc/1", b"/sys", b"/sys/fs/cgroup"])
def test_kernel_interfaces_are_readable_at_most(path: bytes) -> None:
    judge(guard(), path)
    refusal(guard(), path, access=Access.WRITE)
    refusal(guard(), path, access=Access.READWRITE, directory=False)


@pytest.mark.parametrize("path", [b"/", b"/dev", b"/dev/pts", b"/dev/mapper", b"/dev/../dev", b"//"])
def test_whole_trees_are_never_granted(path: bytes) -> None:
    # Without anything that is protected: the rule must not hang on where a home lies.
    assert refusal(Guard(Untouchable(), home_directories=[]), path).code == "grant.untouchable"


def test_the_interpreter_and_what_it_imports_are_own_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lib").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path / "lib"))
    monkeypatch.syspath_prepend(str(tmp_path / "later.zip"))  # imported as soon as somebody makes it
    judged_by = Guard(Untouchable(write=own_code_paths()), home_directories=[])
    closed = [
        os.fsencode(tmp_path),
        os.fsencode(tmp_path / "lib"),
        os.fsencode(tmp_path / "lib" / "x.py"),
        os.fsencode(tmp_path / "later.zip"),
        os.fsencode(sys.executable),
        os.path.realpath(os.fsencode(sys.executable)),
        os.fsencode(sys.prefix),
        os.fsencode(sys.base_prefix),
        os.fsencode(os.path.dirname(os.path.dirname(os.path.abspath(protected.__file__)))),
        os.fsencode(ROOT),
        b"/etc/ld.so.preload",
        b"/etc",
        b"/usr/lib",
    ]
    for path in closed:
        assert refusal(judged_by, path, access=Access.WRITE).code == "grant.untouchable", path
    (tmp_path / "work").mkdir()
    judge(judged_by, os.fsencode(tmp_path / "work"), access=Access.READWRITE)


def test_the_user_site_is_own_code_before_it_exists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    judged_by = Guard(Untouchable(write=own_code_paths()), home_directories=[])
    refusal(judged_by, os.fsencode(tmp_path / ".local"), access=Access.WRITE)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site = tmp_path / ".local" / "lib" / version / "site-packages"
    refusal(judged_by, os.fsencode(site), access=Access.WRITE)


def test_a_virtual_environment_in_the_repository(tmp_path: Path) -> None:
    """The trap of design 3, with a real environment and its real interpreter."""
    repository = tmp_path / "repo"
    (repository / "src").mkdir(parents=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", repository / ".venv"], check=True)
    program = (
        "from runtime.capability.protected import Guard, Untouchable, own_code_paths\n"
        "from runtime.capability.grant_request import GrantRequest\n"
        "from runtime.capability.grants import resolve\n"
        "from runtime.capability.capabilities import Access\n"
        "from runtime.errors import GrantError\n"
        "guard = Guard(Untouchable(write=own_code_paths()), home_directories=[])\n"
        "def ask(access, path):\n"
        "    request = GrantRequest(access, path, True)\n"
        "    return resolve([request], workdir=b'..', guard=guard, warn=print)\n"
        "import os; os.chdir('src'); workdir = os.path.dirname(os.getcwdb())\n"
        "resolve([GrantRequest(Access.READ, b'.', True), GrantRequest(Access.READWRITE, b'src', True)],"
        " workdir=workdir, guard=guard, warn=print).close()\n"
        "try:\n"
        "    resolve([GrantRequest(Access.READWRITE, b'.', True)],\n"
        "        workdir=workdir, guard=guard, warn=print)\n"
        "except GrantError as error:\n"
        "    print(error); print(error.hint)\n"
    )
    done = subprocess.run(
        [repository / ".venv" / "bin" / "python", "-P", "-c", program],
        cwd=repository, env=_environment(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    venv = repository / ".venv"
    assert done.stdout.splitlines() == [
        f"cannot grant --allow . for writing: it contains {shown(os.fsencode(venv))},"
        " and a write there reaches what nono itself runs or obeys",
        "grant only --read . --allow ./src, or keep the virtual environment"
        f" {shown(os.fsencode(venv))} elsewhere",
    ]


def test_a_default_is_judged_by_what_is_really_there(tmp_path: Path) -> None:
    default = GrantRequest(Access.READ, os.fsencode(tmp_path), True, group_source("system_paths"))
    home = tmp_path / "service"
    home.mkdir()
    judged_by = guard(home=os.fsencode(home))
    judged_by.judge_default(default, os.fsencode(tmp_path))
    (home / ".ssh").mkdir()
    with pytest.raises(GrantError, match="group:system_paths"):
        guard(home=os.fsencode(home)).judge_default(default, os.fsencode(tmp_path))
    with pytest.raises(GrantError, match="group:system_paths"):
        guard(Untouchable(read_write=(os.fsencode(tmp_path / "l.db"),))).judge_default(
            default, os.fsencode(tmp_path)
        )


COMPONENT = st.binary(min_size=1, max_size=12).filter(
    lambda name: not set(name) & {0, 47} and name not in (b".", b"..")
)
FIRST_COMPONENTS = frozenset(
    pattern.split(b"/")[0]
    for patterns in DEFAULT_DENIALS.values()
    for pattern in patterns
    if b"*" not in pattern
)


@given(COMPONENT, st.lists(COMPONENT, max_size=3))
def test_every_name_below_a_secret_is_refused(leaf: bytes, deeper: list[bytes]) -> None:
    refusal(guard(), b"/".join([HOME, b".ssh", leaf, *deeper]), directory=False)


@given(st.sampled_from(sorted(FIRST_COMPONENTS)), COMPONENT)
def test_a_longer_component_is_another_component(component: bytes, more: bytes) -> None:
    name = component + more
    if name in FIRST_COMPONENTS or name.endswith(b"_history"):
        return
    judge(guard(), HOME + b"/" + name, directory=False)


@given(st.lists(st.one_of(COMPONENT, st.sampled_from([b".", b"..", b""])), max_size=8))
def test_normalising_is_what_the_kernel_does_where_there_are_no_links(parts: list[bytes]) -> None:
    path = b"/nonexistent-root/" + b"/".join(parts)
    once = normalise(path)
    assert normalise(once) == once
    assert once.startswith(b"/")
    assert not {b".", b".."} & set(once.split(b"/"))
    assert every_name(path)[-1] == once == os.path.normpath(path).replace(b"//", b"/")


@given(st.binary(min_size=1, max_size=40).filter(lambda path: 0 not in path))
def test_a_shown_path_is_one_word_of_a_shell_without_control_characters(path: bytes) -> None:
    text = shown(path)
    assert text.isprintable()
    if not path.startswith(b"~"):
        bash = shutil.which("bash")
        if bash is not None and len(path) < 12:
            done = subprocess.run([bash, "-c", f"printf %s {text}"], capture_output=True, check=True)
            assert done.stdout == path


def test_the_walk_names_every_link(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("d/../d")
    base = os.fsencode(os.path.realpath(tmp_path))
    names, links = walk(base + b"/a/x")
    assert names == (base + b"/a/x", base + b"/b/x", base + b"/d/x")
    assert links == (base + b"/a", base + b"/b")


def test_a_loop_of_links_ends(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert os.fsencode(tmp_path / "a") in every_name(os.fsencode(tmp_path / "a"))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (b"~", b"/h"),
        (b"~/x", b"/h/x"),
        (b"x", b"/w/x"),
        (b"../x", b"/w/../x"),
        (b"/x", b"/x"),
        (b"./~", b"/w/./~"),
    ],
)
def test_what_a_path_means(path: bytes, expected: bytes) -> None:
    assert absolute(path, workdir=b"/w", home=b"/h") == expected


@pytest.mark.parametrize("path", [b"", b"a\0b", b"~root", b"~root/x"])
def test_what_no_path_can_mean(path: bytes) -> None:
    with pytest.raises(UsageError):
        absolute(path, workdir=b"/w", home=b"/h")
    with pytest.raises(UsageError, match="no home directory"):
        absolute(b"~/x", workdir=b"/w", home=None)
