"""Session hooks: who may be one, that the judged bytes are what runs, and that none can stall a launch."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import stat
import time
from typing import TYPE_CHECKING, Any

import pytest

from attest import schema
from runtime.capability import hooks
from runtime.capability.hook_request import AFTER, BEFORE, Hook
from runtime.capability.hooks import HookResult, LoadedHook, load, run
from runtime.errors import HookError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from attest.canonical import Json

SESSION = "0192f0c1a2b37def8123456789abcdef"
NOBODY = 65534


def script(path: Path, body: str = "", mode: int = 0o755) -> bytes:
    path.write_text("#!/bin/sh\n" + body)
    path.chmod(mode)
    return os.fsencode(path.parent.resolve() / path.name)


def hook(path: bytes, kind: str = BEFORE, timeout_seconds: int = 20) -> Hook:
    return Hook(kind, path, timeout_seconds, required=False)


class Stage:
    """Loads and runs hooks, each in one private directory, and checks what they leave behind."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.private = home / "private"
        self.private.mkdir(mode=0o700)
        self.loaded: list[LoadedHook] = []

    def load(self, body: str, *, kind: str = BEFORE, timeout_seconds: int = 20) -> LoadedHook:
        path = script(self.home / f"hook{len(self.loaded)}", body)
        self.loaded.append(load(hook(path, kind, timeout_seconds)))
        return self.loaded[-1]

    def run(self, loaded: LoadedHook, **changes: Any) -> HookResult:
        arguments: dict[str, Any] = {
            "environment": {b"PATH": b"/usr/bin:/bin", b"OUT": os.fsencode(self.home / "out")},
            "key_names": (),
            "session": SESSION,
            "workdir": b"/work/dir",
            "directory": os.fsencode(self.private),
        }
        result = run(loaded, **(arguments | changes))
        document: dict[str, Json] = {
            "kind": "hook.result",
            "seq": 1,
            "session": SESSION,
            "v": 1,
            "data": result.document(),
        }
        schema.check_entry(document | {"time": "2026-01-01T00:00:00.000000Z"})
        return result

    def script(self, body: str, *, kind: str = BEFORE, timeout_seconds: int = 20) -> HookResult:
        return self.run(self.load(body, kind=kind, timeout_seconds=timeout_seconds))

    @property
    def out(self) -> str:
        return (self.home / "out").read_text()


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    before = len(os.listdir("/proc/self/fd"))
    stage = Stage(tmp_path)
    yield stage
    for loaded in stage.loaded:
        loaded.close()
    assert len(os.listdir("/proc/self/fd")) == before
    assert list(stage.private.iterdir()) == []


def gone(pid: int) -> bool:
    """Return whether a process has ended, or does while it is waited for; a zombie has."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
                if file.read().rpartition(")")[2].split()[0] == "Z":
                    return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.01)
    return False


# --- who may be a hook -------------------------------------------------------------------------------


def test_what_is_recorded_of_a_hook(tmp_path: Path) -> None:
    path = script(tmp_path / "hook", "exit 0\n")
    loaded = load(Hook(BEFORE, path, 30, required=True))
    content = (tmp_path / "hook").read_bytes()
    assert loaded.document() == {
        "path": os.fsdecode(path),
        "required": True,
        "sha256": hashlib.sha256(content).hexdigest(),
        "timeout_seconds": 30,
    }
    assert loaded.size == len(content)
    assert not os.get_inheritable(loaded.descriptor)
    loaded.close()


def test_the_copy_is_sealed(stage: Stage) -> None:
    loaded = stage.load("exit 0\n")
    with pytest.raises(PermissionError):
        os.write(loaded.descriptor, b"x")
    with pytest.raises(PermissionError):
        os.ftruncate(loaded.descriptor, 0)
    again = os.open(f"/proc/self/fd/{loaded.descriptor}", os.O_RDWR)
    try:
        with pytest.raises(PermissionError):
            os.pwrite(again, b"x", 0)
    finally:
        os.close(again)


@pytest.mark.parametrize(
    "spelling", ["hook", "./hook", "//hook", "/./hook", "/../{}/hook", "/hook/", "/h\0ook"]
)
def test_the_path_must_be_the_canonical_one(tmp_path: Path, spelling: str) -> None:
    script(tmp_path / "hook")
    path = spelling.format(tmp_path.name)
    path = str(tmp_path) + path if path.startswith("/") else path
    with pytest.raises(HookError, match="absolute and canonical") as caught:
        load(hook(path.encode()))
    assert caught.value.hint


@pytest.mark.parametrize("link", ["file", "directory"])
def test_no_symbolic_link_on_the_way(tmp_path: Path, link: str) -> None:
    (tmp_path / "real").mkdir()
    script(tmp_path / "real" / "hook")
    if link == "file":
        (tmp_path / "hook").symlink_to("real/hook")
        path = tmp_path / "hook"
    else:
        (tmp_path / "linked").symlink_to("real")
        path = tmp_path / "linked" / "hook"
    with pytest.raises(HookError, match="symbolic link"):
        load(hook(os.fsencode(path)))
    load(hook(os.fsencode(tmp_path / "real" / "hook"))).close()


def test_what_is_no_script_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o755)
    (tmp_path / "folder").mkdir()
    script(tmp_path / "file")
    for name, message in {
        "fifo": "regular file",
        "folder": "regular file",
        "absent": "No such file",
        "file/below": "Not a directory",
        "n" * 300: "too long",
    }.items():
        with pytest.raises(HookError, match=message):
            load(hook(os.fsencode(tmp_path / name)))


@pytest.mark.parametrize(
    ("mode", "message"),
    [(0o644, "may not be executed"), (0o775, "others can write"), (0o757, "others can write")],
)
def test_the_mode_of_the_script(tmp_path: Path, mode: int, message: str) -> None:
    path = script(tmp_path / "hook", mode=mode)
    with pytest.raises(HookError, match=message) as caught:
        load(hook(path))
    assert (caught.value.hint or "").startswith("chmod")


@pytest.mark.parametrize("mode", [0o775, 0o757, 0o777])
@pytest.mark.parametrize("depth", [0, 1])
def test_no_directory_above_may_be_writable_by_others(tmp_path: Path, mode: int, depth: int) -> None:
    inner = tmp_path / "outer" / "inner"
    inner.mkdir(parents=True)
    path = script(inner / "hook")
    load(hook(path)).close()
    loose = [inner, inner.parent][depth]
    loose.chmod(mode)
    with pytest.raises(HookError, match="others can write") as caught:
        load(hook(path))
    assert str(loose) in (caught.value.hint or "")
    # In a sticky one nobody else can replace the entry, and its owner is checked.
    loose.chmod(mode | stat.S_ISVTX)
    load(hook(path)).close()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away; the root run shows it")
@pytest.mark.parametrize("what", ["hook", "folder"])
def test_somebody_else_may_own_nothing_on_the_way(tmp_path: Path, what: str) -> None:
    (tmp_path / "folder").mkdir()
    path = script(tmp_path / "folder" / "hook")
    os.chown(path if what == "hook" else tmp_path / "folder", NOBODY, NOBODY)
    with pytest.raises(HookError, match="belongs to uid 65534"):
        load(hook(path))


def test_a_hook_of_root_is_good_for_everybody() -> None:
    path = os.path.realpath(b"/usr/bin/true")
    loaded = load(hook(path))
    with open(path, "rb") as file:
        assert loaded.sha256 == hashlib.sha256(file.read()).hexdigest()
    loaded.close()


def test_its_size_is_bounded(tmp_path: Path) -> None:
    path = script(tmp_path / "hook")
    os.truncate(path, hooks.MAX_SCRIPT_BYTES)
    load(hook(path)).close()
    os.truncate(path, hooks.MAX_SCRIPT_BYTES + 1)
    with pytest.raises(HookError, match="larger than 16 MiB"):
        load(hook(path))
    os.truncate(path, 1 << 40)
    with pytest.raises(HookError, match="larger than 16 MiB"):
        load(hook(path))


@pytest.mark.parametrize("seconds", [0, -1, 86_401])
def test_the_time_out_is_bounded(tmp_path: Path, seconds: int) -> None:
    with pytest.raises(HookError, match="time-out"):
        load(hook(script(tmp_path / "hook"), timeout_seconds=seconds))


def test_there_are_two_kinds(tmp_path: Path) -> None:
    with pytest.raises(HookError, match="before or after"):
        load(hook(script(tmp_path / "hook"), kind="during"))


# --- what runs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["rename", "rewrite", "removal"])
def test_the_judged_bytes_run_whatever_became_of_the_file(stage: Stage, by: str) -> None:
    loaded = stage.load('echo judged > "$OUT"\n')
    path = os.fsdecode(loaded.hook.script)
    if by == "rename":
        script(stage.home / "evil", 'echo evil > "$OUT"\n')
        os.rename(stage.home / "evil", path)
    elif by == "rewrite":
        script(stage.home / "hook0", 'echo evil > "$OUT"\n')
    else:
        os.unlink(path)
    assert stage.run(loaded).exit == 0
    assert stage.out == "judged\n"


def test_a_program_can_be_a_hook(stage: Stage) -> None:
    path = stage.home / "program"
    shutil.copyfile(os.path.realpath("/bin/false"), path)
    path.chmod(0o755)
    stage.loaded.append(load(hook(os.fsencode(path))))
    assert stage.run(stage.loaded[-1]).exit == 1


def test_the_environment_of_a_before_hook(stage: Stage) -> None:
    loaded = stage.load('env > "$OUT"; stat -c "mode=%a %s" "$NONO_ENV_FILE" >> "$OUT"\n')
    environment = {
        b"PATH": b"/usr/bin:/bin",
        b"OUT": os.fsencode(stage.home / "out"),
        b"MINE": b"kept",
        b"CI_KEY": b"do-not-show",
        b"NONO_CAP_FILE": b"outer",
        b"NONO_EXIT_CODE": b"outer",
    }
    result = stage.run(loaded, environment=environment, key_names=[b"CI_KEY"])
    assert (result.exit, result.failed) == (0, False)
    lines = dict(line.split("=", 1) for line in stage.out.splitlines())
    assert lines["NONO_SESSION_ID"] == SESSION
    assert lines["NONO_WORKDIR"] == "/work/dir"
    assert lines["NONO_HOOK_TYPE"] == "before"
    assert lines["NONO_HOOK_PATH"] == os.fsdecode(loaded.hook.script)
    assert lines["MINE"] == "kept"
    assert lines["mode"] == "600 0"
    assert not {"CI_KEY", "NONO_CAP_FILE", "NONO_EXIT_CODE"} & lines.keys()
    assert "do-not-show" not in stage.out


def test_the_environment_of_an_after_hook(stage: Stage) -> None:
    loaded = stage.load('env > "$OUT"; exit 3\n', kind=AFTER)
    result = stage.run(loaded, exit_code=137)
    assert (result.kind, result.exit, result.failed, result.exported) == ("after", 3, True, {})
    lines = stage.out.splitlines()
    assert "NONO_EXIT_CODE=137" in lines
    assert "NONO_HOOK_TYPE=after" in lines
    assert not any(line.startswith("NONO_ENV_FILE=") for line in lines)


def test_its_streams_and_its_group(stage: Stage, capfd: pytest.CaptureFixture[str]) -> None:
    secret = os.open("/proc/self/status", os.O_RDONLY)  # close-on-exec, as the ledger's are
    try:
        result = stage.script(
            'cat > "$OUT"; echo to stdout; echo to stderr >&2\n'
            'cut -d" " -f1,5 "/proc/$$/stat" >> "$OUT"; ls -l /proc/$$/fd >> "$OUT"\n'
        )
    finally:
        os.close(secret)
    assert result.exit == 0
    assert capfd.readouterr() == ("", "to stdout\nto stderr\n")
    first, *rest = stage.out.splitlines()  # nothing was read from standard input
    pid, group = first.split()
    assert pid == group
    assert os.getpgrp() != int(group)
    opened = "\n".join(rest)
    assert "0 -> /dev/null" in opened
    assert "/status" not in opened


def test_signals_that_python_ignores_work_in_a_hook(stage: Stage) -> None:
    assert signal.getsignal(signal.SIGPIPE) is signal.SIG_IGN
    result = stage.script('grep SigIgn /proc/self/status > "$OUT"; grep SigBlk /proc/self/status >> "$OUT"\n')
    assert result.exit == 0
    ignored, blocked = (int(line.split()[1], 16) for line in stage.out.splitlines())
    assert not ignored & (1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1)
    assert blocked == 0


@pytest.mark.parametrize("code", [0, 1, 126, 255])
def test_its_exit_code(stage: Stage, code: int) -> None:
    result = stage.script(f"exit {code}\n")
    assert (result.exit, result.signal, result.error, result.failed) == (code, None, None, code != 0)
    assert 0 < result.duration_us < 20_000_000


def test_the_signal_that_ended_it(stage: Stage) -> None:
    result = stage.script("kill -9 $$\n")
    assert (result.exit, result.signal, result.error, result.failed) == (None, 9, None, True)


@pytest.mark.parametrize(
    ("content", "message"), [(b"#!/no/such\n", "No such file"), (b"echo no line\n", "Exec format error")]
)
def test_what_does_not_start_is_an_error_not_an_exception(stage: Stage, content: bytes, message: str) -> None:
    path = stage.home / "hook"
    path.write_bytes(content)
    path.chmod(0o755)
    stage.loaded.append(load(hook(os.fsencode(path))))
    result = stage.run(stage.loaded[-1])
    assert message in (result.error or "")
    assert (result.exit, result.signal, result.failed) == (None, None, True)


def test_without_its_directory_it_does_not_run(stage: Stage) -> None:
    loaded = stage.load('echo ran > "$OUT"\n')
    result = stage.run(loaded, directory=os.fsencode(stage.home / "missing"))
    assert result.error == "No such file or directory"
    assert not (stage.home / "out").exists()


# --- time --------------------------------------------------------------------------------------------


def test_a_time_out_ends_the_whole_group(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks, "_TERM_SECONDS", 30.0)  # which is not waited for where it is obeyed
    started = time.monotonic()
    result = stage.script('sleep 60 & echo $! > "$OUT"; sleep 60\n', timeout_seconds=1)
    assert (result.timed_out, result.signal, result.failed) == (True, signal.SIGTERM, True)
    assert 1 <= time.monotonic() - started < 30
    assert 1_000_000 <= result.duration_us < 30_000_000
    assert gone(int(stage.out))


def test_who_ignores_term_is_killed(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks, "_TERM_SECONDS", 0.3)
    result = stage.script('trap "" TERM; echo $$ > "$OUT"; while :; do sleep 60; done\n', timeout_seconds=1)
    assert (result.timed_out, result.signal) == (True, signal.SIGKILL)
    assert gone(int(stage.out))


def test_a_child_that_ignores_term_is_killed_although_the_leader_obeys(stage: Stage) -> None:
    result = stage.script(
        'sh -c \'trap "" TERM; echo $$ > "$OUT"; while :; do sleep 60; done\' &\nsleep 60\n',
        timeout_seconds=1,
    )
    assert (result.timed_out, result.signal) == (True, signal.SIGTERM)
    assert gone(int(stage.out))


def test_a_hook_that_stops_itself_is_ended(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks, "_TERM_SECONDS", 0.3)
    result = stage.script('echo $$ > "$OUT"; kill -STOP $$\n', timeout_seconds=1)
    assert (result.timed_out, result.signal) == (True, signal.SIGKILL)
    assert gone(int(stage.out))


def test_what_obeys_term_with_exit_0_has_still_failed(stage: Stage) -> None:
    result = stage.script(
        'trap "exit 0" TERM; echo A=b > "$NONO_ENV_FILE"; sleep 60 & wait\n', timeout_seconds=1
    )
    assert (result.timed_out, result.exit, result.failed, result.exported) == (True, 0, True, {})


def test_what_it_leaves_behind_stalls_nothing(stage: Stage) -> None:
    started = time.monotonic()
    result = stage.script('sleep 60 & echo $! > "$OUT"\n')
    assert time.monotonic() - started < 10
    assert result.exit == 0
    pid = int(stage.out)
    os.kill(pid, 0)  # a helper that was started on purpose goes on
    os.kill(pid, signal.SIGKILL)


class Interrupted(BaseException):
    """Raised by a signal handler, as KeyboardInterrupt is."""


def test_an_interrupt_ends_the_hook_too(stage: Stage) -> None:
    def interrupt(*_: object) -> None:
        out = stage.home / "out"
        if not out.exists() or not out.read_text():  # on a busy machine it has not begun yet
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            return
        raise Interrupted

    previous = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.5)
        with pytest.raises(Interrupted):
            stage.script('echo $$ > "$OUT"; sleep 60\n')
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert gone(int(stage.out))


@pytest.mark.parametrize("body", ["exit 0\n", "sleep 0.2\n"])
def test_a_host_that_ignores_its_children(stage: Stage, body: str) -> None:
    previous = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        result = stage.script(body)
    finally:
        signal.signal(signal.SIGCHLD, previous)
    assert (result.error, result.failed) == ("its exit status is lost", True)


# --- exports -----------------------------------------------------------------------------------------


def exports(stage: Stage, body: str, **changes: Any) -> HookResult:
    return stage.run(stage.load(body), **changes)


def test_exports(stage: Stage) -> None:
    result = exports(
        stage,
        "cat >> \"$NONO_ENV_FILE\" <<'EOF'\n"
        "# a comment\n"
        "\n"
        "  \n"
        "A=1\n"
        "A=2\n"
        "EMPTY=\n"
        "_x9= a = 'b' \"c\" $HOME #d \n"
        "EOF\n"
        "printf 'CR=crlf\\r\\nRAW=\\377\\nLAST=no newline' >> \"$NONO_ENV_FILE\"\n",
    )
    assert result.exported == {
        b"A": b"2",
        b"EMPTY": b"",
        b"_x9": b" a = 'b' \"c\" $HOME #d ",
        b"CR": b"crlf",
        b"RAW": b"\xff",
        b"LAST": b"no newline",
    }
    assert result.dropped == ()
    assert result.document()["exported"] == ["A", "CR", "EMPTY", "LAST", "RAW", "_x9"]


def test_what_must_not_be_exported_is_dropped(stage: Stage) -> None:
    result = exports(
        stage,
        "printf '%s\\n' 'GOOD=1' 'LD_PRELOAD=/evil.so' 'BASH_FUNC_ls%%=() { evil; }' 'NONO_SESSION_ID=lie' "
        "'CI_KEY=x' '1A=x' 'A B=x' '=x' 'export C=x' 'no equals: hunter2' > \"$NONO_ENV_FILE\"\n"
        "printf 'NUL=a\\000b\\n' >> \"$NONO_ENV_FILE\"\n",
        key_names=[b"CI_KEY"],
    )
    assert result.exported == {b"GOOD": b"1"}
    dropped = dict(result.dropped)
    assert dropped[b"LD_PRELOAD"] == "it would make other programs run something"
    assert dropped[b"NONO_SESSION_ID"] == "only nono sets it"
    assert dropped[b"CI_KEY"] == "it holds a signing key"
    assert dropped[b"NUL"] == "its value holds a NUL"
    assert {dropped[b"line %d" % n] for n in (3, 6, 7, 8, 9, 10)} == {"not KEY=VALUE"}
    assert len(dropped) == 10
    assert "hunter2" not in repr(result)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('head -c 65537 /dev/zero > "$NONO_ENV_FILE"\n', "larger than 64 KiB"),
        ('truncate -s 1T "$NONO_ENV_FILE"\n', "larger than 64 KiB"),
        ('i=0; while [ $i -le 128 ]; do echo V$i=x; i=$((i+1)); done > "$NONO_ENV_FILE"\n', "more than 128"),
        ('ln -sf /etc/passwd "$NONO_ENV_FILE"\n', "cannot be read"),
        ('rm "$NONO_ENV_FILE"; mkfifo "$NONO_ENV_FILE"\n', "no regular file"),
    ],
)
def test_hostile_exports_are_refused_as_a_whole(stage: Stage, body: str, message: str) -> None:
    started = time.monotonic()
    result = exports(stage, body)
    assert message in (result.error or "")
    assert (result.exit, result.exported, result.failed) == (None, {}, True)
    assert time.monotonic() - started < 10


def test_a_directory_in_place_of_the_file(stage: Stage) -> None:
    result = exports(stage, 'rm "$NONO_ENV_FILE"; mkdir "$NONO_ENV_FILE"; echo "$NONO_ENV_FILE" > "$OUT"\n')
    assert "no regular file" in (result.error or "")
    os.rmdir(stage.out.strip())


def test_the_file_can_be_removed_or_replaced(stage: Stage) -> None:
    assert exports(stage, 'rm "$NONO_ENV_FILE"\n').exported == {}
    replaced = 'echo A=b > "$NONO_ENV_FILE.new"; mv "$NONO_ENV_FILE.new" "$NONO_ENV_FILE"\n'
    assert exports(stage, replaced).exported == {b"A": b"b"}


def test_a_failing_hook_exports_nothing(stage: Stage) -> None:
    result = exports(stage, 'echo A=b > "$NONO_ENV_FILE"; exit 1\n')
    assert (result.exit, result.exported) == (1, {})


def test_the_most_that_can_be_recorded_fits_an_entry(stage: Stage) -> None:
    name = "N" * 250
    result = exports(
        stage, f'i=100; while [ $i -lt 228 ]; do echo {name}$i=x; i=$((i+1)); done > "$NONO_ENV_FILE"\n'
    )
    assert len(result.exported) == hooks.MAX_EXPORTS
    assert len(repr(result.document())) < 65_535
