"""Secrets of the command: it gets them, and nothing and nobody else does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.system.conftest import NONO, wait_for

if TYPE_CHECKING:
    from tests.system.conftest import Ended, Site

FILE, VARIABLE, PASSWORD = "f1le-secret-0aa", "v4riable-secret-0bb", "p4ssword-secret-0cc"
SECRETS = (FILE, VARIABLE, PASSWORD)

BACK_END = f"""
from keyring.backend import KeyringBackend

class Plain(KeyringBackend):
    priority = 1
    def get_password(self, service, username):
        return {{("nono", "api_key"): {PASSWORD!r}}}.get((service, username))
    def set_password(self, *_): raise NotImplementedError
    def delete_password(self, *_): raise NotImplementedError
"""

# The installed nono, with a back end of a keyring beside it.
WITH_KEYRING = "import sys; sys.path.append(sys.argv.pop(1)); from runtime.cli import main; sys.exit(main())"


def with_keyring(site: Site) -> tuple[Any, ...]:
    directory = site.base / "back_end"
    directory.mkdir(exist_ok=True)
    (directory / "back_end_of_tests.py").write_text(BACK_END)
    site.environment["PYTHON_KEYRING_BACKEND"] = "back_end_of_tests.Plain"
    return (sys.executable, "-I", "-B", "-c", WITH_KEYRING, directory)


def secret_file(site: Site, content: str = FILE + "\n", name: str = "secret") -> str:
    path = site.base / name
    path.write_text(content)
    path.chmod(0o600)
    return f"file://{path}"


def everything_kept(site: Site) -> dict[str, bytes]:
    """Return all that nono keeps, by path, its index and its write-ahead logs included."""
    tops = (site.state, site.config, site.cache)
    return {str(path): path.read_bytes() for top in tops for path in top.rglob("*") if path.is_file()}


def require_absent(found: dict[str, bytes]) -> None:
    for where, content in found.items():
        for secret in SECRETS:
            assert secret.encode() not in content, where


def test_secrets_show_nowhere_but_in_the_commands_environment(site: Site) -> None:
    """All three kinds at once; seen by the command, by hooks, in /proc from within and without, on disk."""
    site.tidy = False  # who reads the ledger leaves files beside it
    program = with_keyring(site)
    seen = "env > {0}; cat /proc/$PPID/environ >> {0}"
    hooks = {
        kind: {"script": str(site.hook(f"{kind}-hook", seen.format(site.base / kind)))}
        for kind in ("before", "after")
    }
    profile = site.profile(session_hooks=hooks, env_credentials={"FROM_PROFILE": "keyring://nono/api_key"})
    script = (
        "env > environment; s=$(readlink /proc/self | cut -d/ -f1); m=$PPID;"
        " n=$(grep ^PPid: /proc/$m/status | cut -f2); for pid in $m $n; do"
        " tr '\\0' ' ' < /proc/$pid/cmdline >> cmdlines;"
        " for file in environ mem maps auxv; do cat /proc/$pid/$file >> stolen 2>> refused; done; done;"
        f" echo {VARIABLE} > /dev/null; touch ready; until [ -e go ]; do sleep 0.02; done"
    )
    reader, writer = os.pipe()
    launch = site.start(
        "run", "-v", "--status-fd", str(writer), "--allow", site.project, "-p", profile,
        "--env-credential", "api_key", "--env-credential-map", secret_file(site), "FROM_FILE",
        "--env-credential-map", "env://SOURCE", "FROM_VARIABLE",
        "--", "/bin/sh", "-c", script.replace(VARIABLE, "$FROM_VARIABLE"),
        env={"SOURCE": VARIABLE, "OTHER": "value"}, program=program, pass_fds=(writer,),
    )  # fmt: skip
    wait_for((site.project / "ready").exists, "the command runs")
    found = {}
    for pid in (launch.pid, launch.monitor()):
        environ = Path(f"/proc/{pid}/environ").read_bytes()
        assert b"OTHER=value" in environ  # whoever is outside, and may, reads it
        assert b"SOURCE=xxx" in environ
        found[f"environ of {pid}"] = environ
        found[f"cmdline of {pid}"] = Path(f"/proc/{pid}/cmdline").read_bytes()
    (site.project / "go").touch()
    ended = launch.wait()
    os.close(writer)
    assert ended.status == 0, ended.stderr
    environment = (site.project / "environment").read_text().splitlines()
    assert f"FROM_FILE={FILE}" in environment
    assert f"FROM_VARIABLE={VARIABLE}" in environment
    assert f"API_KEY={PASSWORD}" in environment
    assert f"FROM_PROFILE={PASSWORD}" in environment
    assert not any(line.startswith("SOURCE=") for line in environment)
    # The same that was read from outside is refused within; command lines are not, and have none of it.
    assert (site.project / "stolen").read_bytes() == b""
    assert len((site.project / "refused").read_text().splitlines()) == 8
    assert b"--env-credential" in (site.project / "cmdlines").read_bytes()
    assert b"OTHER=value" in (site.base / "before").read_bytes()
    assert b"OTHER=value" in (site.base / "after").read_bytes()
    with open(reader, "rb") as file:
        found["status"] = file.read()
    assert json.loads(found["status"])["exit"] == 0
    found["stderr"] = ended.stderr.encode()
    found |= {name: (site.base / name).read_bytes() for name in ("before", "after")}
    found["cmdlines"] = (site.project / "cmdlines").read_bytes()
    site.nono("audit", "list")  # makes the index
    for command in (("audit", "show", "last"), ("audit", "show", "last", "--json"), ("audit", "tail")):
        found[" ".join(command)] = site.nono(*command).stdout
    found["verdict"] = site.verify(None, "--format", "json").stdout
    kept = everything_kept(site)
    assert len([path for path in kept if ".db" in path]) >= 2
    require_absent(found | kept)
    assert (
        "secrets that the command gets: API_KEY (keyring://nono/api_key), FROM_FILE (file:///" in ended.stderr
    )
    assert site.record().intent["credentials"] == [
        {"reference": "keyring://nono/api_key", "source": "user", "variable": "API_KEY"},
        {"reference": f"file://{site.base}/secret", "source": "user", "variable": "FROM_FILE"},
        {"reference": "keyring://nono/api_key", "source": "profile", "variable": "FROM_PROFILE"},
        {"reference": "env://SOURCE", "source": "user", "variable": "FROM_VARIABLE"},
    ]
    names = site.record().start["environment"]
    assert {"API_KEY", "FROM_FILE", "FROM_VARIABLE", "FROM_PROFILE"} <= set(names)
    assert "SOURCE" not in names
    shown = found["audit show last"].decode()
    assert "FROM_PROFILE from keyring://nono/api_key (profile)" in shown


def test_a_secret_in_an_argument_is_taken_out_and_one_in_a_label_is_refused(site: Site) -> None:
    """A word that no rule knows, until it is a credential."""
    place = secret_file(site, "postgres\n")
    flags = ("--env-credential-map", place, "DATABASE")
    assert site.run(*flags, "--", "/bin/echo", "-dpostgres", "postgresql").status == 0
    assert site.record().intent["command"] == [
        "/bin/echo",
        {"parts": ["-d", {"redacted": "environment"}]},
        {"parts": [{"redacted": "environment"}, "ql"]},
    ]
    assert b"postgres" not in site.ledger().read_bytes()
    ended, status = site.status(*flags, "--label", "on=my postgres", "--", "/bin/true")
    assert (ended.status, status["not_started"]["code"]) == (125, "usage.label")
    ended = site.run(*flags, "--", "/no/postgres")
    assert ended.status == 127
    assert b"postgres" not in site.ledger().read_bytes()
    assert site.run("--label", "on=my postgres", "--", "/bin/true").status == 0


def test_what_cannot_be_had_is_an_error_before_anything_is_recorded(site: Site) -> None:
    site.environment["SOURCE"], site.environment["EMPTY"] = VARIABLE, ""
    open_to_others = site.base / "open"
    open_to_others.write_text(FILE)
    open_to_others.chmod(0o644)
    (site.base / "link").symlink_to("open")
    program = with_keyring(site)
    cases = [
        (("--env-credential", "no_such"), "credential.missing"),
        (("--env-credential", "api_key,no_such"), "credential.missing"),
        (("--env-credential", "api-key"), "credential.name"),
        (("--env-credential", ""), "credential.name"),
        (("--env-credential-map", "env://NO_SUCH", "A"), "credential.missing"),
        (("--env-credential-map", "env://EMPTY", "A"), "credential.empty"),
        (("--env-credential-map", f"file://{site.base}/no", "A"), "credential.missing"),
        (("--env-credential-map", f"file://{open_to_others}", "A"), "credential.mode"),
        (("--env-credential-map", f"file://{site.base}/link", "A"), "credential.link"),
        (("--env-credential-map", VARIABLE, "A"), "credential.reference"),
        (("--env-credential-map", "A", "env://SOURCE"), "credential.name"),
        (("--env-credential-map", "env://SOURCE", "LD_PRELOAD"), "credential.name"),
        (("--env-credential-map", "env://SOURCE", "NONO_SESSION_ID"), "credential.name"),
        (
            ("--env-credential", "api_key", "--env-credential-map", "env://SOURCE", "API_KEY"),
            "credential.name",
        ),
    ]
    for flags, code in cases:
        ended, status = site.status(*flags, "--", "/bin/true", program=program)
        assert (ended.status, status["not_started"]["code"]) == (125, code), flags
        require_absent({"stderr": ended.stderr.encode(), "status": json.dumps(status).encode()})
        assert len([line for line in ended.lines if line.startswith("nono: hint:")]) <= 1
        assert "Traceback" not in ended.stderr
    assert site.ledgers() == []


def test_the_signing_key_is_nobodys_credential(site: Site) -> None:
    key = site.key()
    copy = secret_file(site, "\n" + key.read_text(), "copy")
    os.link(key, site.base / "other")
    (site.base / "there").symlink_to(site.base)
    site.run("--", "/bin/true")  # makes the host key
    host_key = site.config / "keys" / "default.pem"
    assert host_key.exists()
    site.environment |= {"KEY": key.read_text(), "COPY": key.read_text()}
    own, in_variable = ("--audit-sign-key", str(key)), ("--audit-sign-key", "env://KEY")
    cases = [
        (own, f"file://{key}"), (own, f"file://{site.base}/there/key.pem"), (own, f"file://{site.base}/other"),
        (own, copy), (in_variable, "env://KEY"), (in_variable, "env://COPY"), (in_variable, copy),
        ((), f"file://{host_key}"), (("--no-audit",), f"file://{host_key}"), (own, f"file://{host_key}"),
        ((), f"file://{site.ledger()}"),
    ]  # fmt: skip
    for flags, place in cases:
        ended, status = site.status(*flags, "--env-credential-map", place, "A", "--", "/usr/bin/env")
        assert (ended.status, ended.stdout) == (125, b""), place
        assert status["not_started"]["code"] in ("credential.key", "credential.protected"), place
    # A key that signs nothing here is a secret like any other.
    ended = site.run("--env-credential-map", copy, "A", "--", "/usr/bin/env")
    assert ended.status == 0
    assert b"PRIVATE KEY" in ended.stdout


def test_in_which_order_an_environment_is_made(site: Site) -> None:
    hook = site.hook("hook", 'echo FROM_HOOK=hook >> "$NONO_ENV_FILE"; echo BOTH=hook >> "$NONO_ENV_FILE"')
    profile = site.profile(
        environment={"set_vars": {"BOTH": "set", "FROM_HOOK": "set"}, "deny": ["BOTH", "SOURCE"]},
        session_hooks={"before": {"script": str(hook)}},
        env_credentials={"BOTH": "env://SOURCE"},
    )
    ended = site.run("-p", profile, "--", "/usr/bin/env", env={"SOURCE": VARIABLE, "BOTH": "inherited"})
    lines = ended.stdout.decode().splitlines()
    assert {f"BOTH={VARIABLE}", "FROM_HOOK=hook"} <= set(lines)
    # The user's reference replaces the profile's, which is then not even looked at.
    flags = ("--env-credential-map", secret_file(site), "BOTH")
    ended = site.run("-p", profile, *flags, "--", "/usr/bin/env")
    assert f"BOTH={FILE}" in ended.stdout.decode().splitlines(), ended.stderr
    # A variable can keep its name.
    flags = ("--env-credential-map", "env://SOURCE", "SOURCE")
    ended = site.run(*flags, "--", "/usr/bin/env", env={"SOURCE": VARIABLE})
    assert f"SOURCE={VARIABLE}" in ended.stdout.decode().splitlines()
    assert "does not get" not in ended.stderr


def test_a_profile_opens_nothing_that_is_protected(site: Site) -> None:
    """A file of the user's own is theirs to name on the command line; a profile may be anybody's."""
    protected = site.home / ".aws" / "credentials"
    protected.parent.mkdir()
    protected.write_text(FILE)
    protected.chmod(0o600)
    (site.base / "there").symlink_to(protected.parent)
    for path in (protected, site.base / "there" / "credentials"):
        profile = site.profile(env_credentials={"A": f"file://{path}"})
        ended, status = site.status("-p", profile, "--", "/usr/bin/env")
        assert (ended.status, status["not_started"]["code"]) == (125, "credential.protected")
        assert FILE not in ended.stderr
    bypass = ("--bypass-protection", protected)
    ended = site.run("-p", profile, *bypass, "--", "/usr/bin/env")
    assert f"A={FILE}" in ended.stdout.decode(), ended.stderr
    ended = site.run("--env-credential-map", f"file://{protected}", "A", "--", "/usr/bin/env")
    assert f"A={FILE}" in ended.stdout.decode(), ended.stderr
    # Not even its user names what is nono's own.
    state = site.state / "heads"
    (head,) = state.iterdir()
    ended, status = site.status("--env-credential-map", f"file://{head}", "A", "--", "/usr/bin/env")
    assert (ended.status, status["not_started"]["code"]) == (125, "credential.protected")


def test_a_dry_run_has_no_value_and_asks_no_keyring(site: Site) -> None:
    known = ("--env-credential-map", secret_file(site), "A", "--env-credential-map", "env://SOURCE", "B")
    flags = ("--env-credential", "no_such", *known)
    ended = site.run("--dry-run", *flags, "--", "/bin/true", env={"SOURCE": VARIABLE})
    assert ended.status == 0, ended.stderr
    assert b"secret     NO_SUCH (keyring://nono/no_such)\n" in ended.stdout
    assert b"the keyring was not asked" in ended.stdout
    require_absent({"stdout": ended.stdout, "stderr": ended.stderr.encode()})
    ended = site.run("--dry-run", "--env-credential-map", "env://NO_SUCH", "B", "--", "/bin/true")
    assert ended.status == 125
    assert everything_kept(site) == {}


# What fails while the secrets are at hand; each leaves a traceback or a refusal, and neither shows one.
FAILURES = {
    "the fork": "from runtime.processes import supervision; supervision.Supervision.begin = failing",
    "the preparation": "from runtime.sandbox import enforcement; enforcement.prepare = failing",
    "the environment": "from runtime.capability import environment; environment.build = failing",
    "the start": "from runtime.launcher import record; record.LaunchRecord.start = failing",
    "the wait": "from runtime.processes import supervision; supervision.Supervision.wait = failing",
    "the outcome": "from runtime.launcher import record; record.LaunchRecord.outcome = failing",
}


@pytest.mark.parametrize("failure", FAILURES)
def test_a_fault_of_nono_shows_no_secret(site: Site, failure: str) -> None:
    site.tidy = False  # what a fault leaves is not asked here, nor how its record verifies
    site.verdict = None
    code = (
        "import sys\ndef failing(*arguments, **named):\n    raise RuntimeError('injected')\n"
        f"{FAILURES[failure]}\nfrom runtime.cli import main\nsys.exit(main())\n"
    )
    ended = site.run(
        "--env-credential-map", secret_file(site), "A", "--env-credential-map", "env://SOURCE", "B",
        "--", "/bin/true", env={"SOURCE": VARIABLE}, program=(sys.executable, "-I", "-B", "-c", code),
    )  # fmt: skip
    assert ended.status == 125
    assert "RuntimeError: injected" in ended.stderr
    require_absent(everything_kept(site) | {"stderr": ended.stderr.encode()})


def test_a_fault_is_one_where_it_is_injected(site: Site) -> None:
    """The probe of the test above finds a secret that is shown."""
    with pytest.raises(AssertionError):
        require_absent({"anywhere": f"RuntimeError: {VARIABLE}".encode()})
    ended = site.run("--env-credential-map", secret_file(site), "A", "--", "/usr/bin/env")
    with pytest.raises(AssertionError):
        require_absent({"the command's own output": ended.stdout})


def launch_from_python(site: Site, code: str, **variables: str) -> Ended:
    done = subprocess.run(
        [sys.executable, "-P", "-B", "-c", code],
        env=site.environment | variables,
        cwd=site.project,
        capture_output=True,
        check=False,
        timeout=60,
    )
    from tests.system.conftest import Ended

    return Ended(done.returncode, done.stdout, done.stderr.decode())


def test_from_python_again_and_again(site: Site) -> None:
    code = """
import os
from runtime import launch
for _ in range(3):
    result = launch(["/bin/sh", "-c", 'test "$A" = "$EXPECTED" && test -z "$SOURCE"'], credentials={"A": "env://SOURCE"})
    assert result.exit == 0, result
    assert "SOURCE" not in os.environ
    with open("/proc/self/environ", "rb") as file:
        assert b"SOURCE=" + b"x" * len(os.environ["EXPECTED"]) in file.read().split(b"\\0")
"""
    ended = launch_from_python(site, code, SOURCE=VARIABLE, EXPECTED=VARIABLE)
    assert ended.status == 0, ended.stderr
    assert len(site.records()) == 3
    assert VARIABLE.encode() not in site.ledger().read_bytes()


def test_from_python_by_many_threads_at_once(site: Site) -> None:
    """What one launch took out of the environment is there for the others, and for nobody else."""
    code = """
import os, threading
from runtime import launch
ended = []
def work():
    ended.append(launch(["/bin/sh", "-c", 'test "$A" = "$EXPECTED" && test -z "$SOURCE"'],
                        credentials={"A": "env://SOURCE"}).exit)
threads = [threading.Thread(target=work) for _ in range(6)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(ended, "SOURCE" in os.environ)
"""
    ended = launch_from_python(site, code, SOURCE=VARIABLE, EXPECTED=VARIABLE)
    assert ended.stdout == b"[0, 0, 0, 0, 0, 0] False\n", ended.stderr
    assert len(site.records()) == 6
    assert VARIABLE.encode() not in site.ledger().read_bytes()


def test_an_inner_nono_takes_from_the_outer_ones_command(site: Site) -> None:
    """A secret that was handed in is a variable like any other there, and can be handed on."""
    import orjson

    code = [os.path.dirname(os.path.dirname(os.path.abspath(orjson.__file__))), sys.prefix, sys.base_prefix]
    ended = site.run(
        *(word for path in code for word in ("--read", path)), "--env-credential-map", secret_file(site), "A",
        "--", NONO, "run", "--no-audit", "--env-credential-map", "env://A", "B", "--", "/usr/bin/env",
    )  # fmt: skip
    lines = ended.stdout.decode().splitlines()
    assert f"B={FILE}" in lines, ended.stderr
    assert not any(line.startswith("A=") for line in lines)
