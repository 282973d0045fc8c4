"""The main job, end to end, with nothing simulated: launch, record, verify, attack.

1. make a key; 2. build this project's own wheel inside the sandbox, network closed, one directory
writable; 3. let a second launch try to read the key, change the ledger and get out, after the same
attempts were seen to work outside; 4. check the record with ``nono-verify``; 5. change a copy of it and
see that found. Key, ledger and state lie in a temporary directory. It fails unless all of that was seen.
"""

import hashlib
import json
import os
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.prefix) / "bin"


def main() -> None:
    """Run every step."""
    with tempfile.TemporaryDirectory(prefix="nono-demo-") as directory:
        home = Path(directory)
        environment = {**os.environ}
        for name in ("CONFIG", "STATE", "CACHE"):
            environment[f"XDG_{name}_HOME"] = str(home / name.lower())
        ledger, key = home / "ledger" / "demo.db", home / "key.pem"

        step("make a key")
        show(run([BIN / "nono", "keygen", "--out", key], environment))

        step("build this project's wheel inside the sandbox: no network, one directory writable")
        wheel = build(ledger, key, environment)

        step("attack: the same attempts outside, where they must work, and inside, where they must not")
        attack(ledger, key, environment)

        step("verify the record with a program that trusts nothing but the public key")
        verdict = check(ledger, key, environment, expect=0)
        if f"{hashlib.sha256(wheel.read_bytes()).hexdigest()}" not in recorded_outputs(ledger):
            fail("the record does not hold the digest of the wheel that was built")

        step("change one recorded exit code in a copy, without the key, and verify again")
        check(tampered(ledger, home), key, environment, expect=1)

    print(f"\nAll of it was seen: built, refused, recorded, verified, and tampering found.\n{verdict}")


def build(ledger: Path, key: Path, environment: dict[str, str]) -> Path:
    """Build the wheel in a launch and return its path."""
    out = ROOT / "dist"
    out.mkdir(exist_ok=True)
    for old in out.glob("*.whl"):
        old.unlink()
    asked = [BIN / "python", "-I", "-c", "import attest; print(attest.__version__)"]
    version = run(asked, environment).strip()
    wheel = out / f"nono_attest-{version}-py3-none-any.whl"
    show(
        nono(
            ledger,
            key,
            environment,
            *("--read", ROOT, "--read", sys.base_prefix, "--allow", out, "--block-net", "--workdir", ROOT),
            *("--label", "job=demo", "--output", wheel),
            *("--", BIN / "python", "-m", "hatchling", "build", "-t", "wheel", "-d", out),
        )
    )
    if not wheel.is_file():
        fail("the wheel was not built")
    return wheel


def attack(ledger: Path, key: Path, environment: dict[str, str]) -> None:
    """Run the probe outside and inside, and fail unless every attempt works there and is refused here."""
    abstract = f"nono-demo-{os.getpid()}"
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as local:
        local.bind("\0" + abstract)
        local.listen()
        for listener in (server, local):
            threading.Thread(target=accept_all, args=(listener,), daemon=True).start()
        python, probe = BIN / "python", ROOT / "demo" / "probe.py"
        command = [python, probe, key, ledger, str(server.getsockname()[1]), abstract]
        outside = attempts(run(command, environment))
        granted = ("--read", ROOT, "--read", sys.base_prefix, "--block-net", "--workdir", ROOT)
        inside = attempts(nono(ledger, key, environment, *granted, "--", *command))
    for name, (done, why) in outside.items():
        if not done:
            fail(f"outside the sandbox this should have worked, so it shows nothing: {name}: {why}")
        done_inside, why_inside = inside.get(name, (True, None))
        if done_inside:
            fail(f"the sandboxed command could {name}")
        print(f"    {name:<40} outside: done   inside: {why_inside}")


def accept_all(listener: socket.socket) -> None:
    """Accept and drop connections until the listener is closed."""
    while True:
        try:
            listener.accept()[0].close()
        except OSError:
            return


def attempts(output: str) -> dict[str, tuple[bool, str | None]]:
    """Read what the probe printed."""
    found = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    if not found:
        fail("the probe did not run")
    return {attempt["attempt"]: (attempt["done"], attempt["why"]) for attempt in found}


def nono(ledger: Path, key: Path, environment: dict[str, str], *arguments: object) -> str:
    """Launch with this ledger and this key."""
    return run([BIN / "nono", "run", "--ledger", ledger, "--audit-sign-key", key, *arguments], environment)


def check(ledger: Path, key: Path, environment: dict[str, str], *, expect: int) -> str:
    """Verify a ledger, fail unless the exit code is the expected one, and return the verdict's first line."""
    command = [BIN / "nono-verify", ledger, "-k", key.with_suffix(".pub")]
    output = run(command, environment, expect=expect)
    show(output)
    return output.splitlines()[0]


def recorded_outputs(ledger: Path) -> set[str]:
    """Return the digests of the outputs that the ledger records."""
    with sqlite3.connect(f"file:{ledger}?mode=ro", uri=True) as database:
        bodies = [json.loads(body) for (body,) in database.execute("SELECT body FROM entry")]
    outcomes = [body["data"] for body in bodies if body["kind"] == "launch.outcome"]
    return {output.get("sha256") for outcome in outcomes for output in outcome["outputs"]}


def tampered(ledger: Path, home: Path) -> Path:
    """Return a copy in which somebody turned an exit code into another."""
    copy = home / "tampered.db"
    before = ledger.read_bytes()
    after = before.replace(b'"exit":0,', b'"exit":1,', 1)
    if after == before:
        fail("there is no exit code in the ledger that could be changed")
    copy.write_bytes(after)
    return copy


def run(command: list[object], environment: dict[str, str], *, expect: int = 0) -> str:
    """Run a command, fail unless it exits as expected, and return what it printed."""
    words = [str(word) for word in command]
    done = subprocess.run(words, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != expect:
        sys.stderr.write(done.stdout + done.stderr)
        fail(f"{Path(words[0]).name} ended with {done.returncode}, not {expect}")
    return done.stdout + done.stderr


def show(output: str) -> None:
    """Print a command's output, indented."""
    for line in output.splitlines():
        print(f"    {line}")


def step(text: str) -> None:
    """Print the heading of a step."""
    print(f"\n==> {text}", flush=True)


def fail(why: str) -> None:
    """End the demo: something that must be seen was not."""
    sys.exit(f"demo: {why}")


main()
