"""The capability state file: what is written is what is read, and a hostile one is refused at once."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from attest import canonical
from runtime.capability.capabilities import (
    SYSTEM,
    USER,
    Access,
    CapabilitySet,
    FileGrant,
    Network,
    Reach,
    SocketGrant,
    ports,
)
from runtime.capability.capability_file import Around, CapabilityFile, Judged, Layer, remove_abandoned
from runtime.capability.capability_reading import MAX_BYTES, LaunchState, read_state
from runtime.capability.grants import Grants, OpenGrant
from runtime.capability.session import new_session_id
from runtime.errors import StateFileError

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = (b"/usr", b"/tmp")
AROUND = Layer(f"{'0' * 12}7{'0' * 3}8{'0' * 15}", CapabilitySet((), Network.ALL), ())
SOCKETS = (
    SocketGrant(b"/run/\xff", b"\xff", Reach.SOCKET, bind=True, source=USER),
    SocketGrant(b"/run", b"/run", Reach.SUBTREE, bind=False, source=USER),
)
JUDGED = Judged((b"/home/caf\xe9/.ssh",), (b"/l.db",), (), ("deny_credentials",), elevates=True)


@pytest.fixture
def grants() -> Iterator[Grants]:
    opened = [
        OpenGrant(
            FileGrant(name, b"caf\xe9", Access.READWRITE, directory=True, source=USER),
            os.open(name, os.O_PATH | os.O_CLOEXEC),
        )
        for name in NAMES
    ]
    with Grants(opened) as found:
        yield found


@pytest.fixture
def written(tmp_path: Path, grants: Grants) -> Iterator[CapabilityFile]:
    session = new_session_id()
    made = CapabilityFile(os.fsencode(tmp_path / "state"), session)
    capabilities = CapabilitySet(grants.files, Network.PORTS, ports([443], [80], [3000]), SOCKETS)
    made.write(session, capabilities, grants, JUDGED, Around((AROUND,), new_session_id()))
    yield made
    made.remove()


def test_what_is_written_is_read(written: CapabilityFile, grants: Grants) -> None:
    state = read_state(written.path)
    assert state.own.capabilities.files == grants.files
    assert state.own.capabilities.ports == ports([443], [80], [3000])
    assert state.own.capabilities.unix_sockets == SOCKETS
    assert state.around.layers == (AROUND,)
    assert state.judged == JUDGED
    assert [inode for _, inode in state.own.identities] == [os.stat(name).st_ino for name in NAMES]
    assert os.path.basename(written.path) == f"{state.own.session}.json".encode()


def test_it_is_of_this_user_alone_and_in_a_private_directory(written: CapabilityFile) -> None:
    assert stat.S_IMODE(os.stat(written.path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(os.path.dirname(written.path)).st_mode) == 0o700


def test_its_grant_is_for_reading_it(written: CapabilityFile) -> None:
    opened = written.grant()
    assert opened.grant == FileGrant(written.path, written.path, Access.READ, directory=False, source=SYSTEM)
    assert os.path.samestat(os.fstat(opened.descriptor), os.stat(written.path))
    os.close(opened.descriptor)


def test_it_is_never_another_file(tmp_path: Path) -> None:
    """A file, or a link, that lies there already is left alone."""
    session = new_session_id()
    place = tmp_path / "capabilities" / f"{session}.json"
    place.parent.mkdir()
    (tmp_path / "victim").write_text("kept")
    place.symlink_to(tmp_path / "victim")
    with pytest.raises(FileExistsError):
        CapabilityFile(os.fsencode(tmp_path), session)
    assert (tmp_path / "victim").read_text() == "kept"


def test_what_is_left_is_removed_by_its_session(tmp_path: Path) -> None:
    session = new_session_id()
    CapabilityFile(os.fsencode(tmp_path), session)
    assert [*(tmp_path / "capabilities").iterdir()] != []
    remove_abandoned(os.fsencode(tmp_path), session)
    remove_abandoned(os.fsencode(tmp_path), "caf\udce9")  # a name of ours can have been made by anybody
    assert [*(tmp_path / "capabilities").iterdir()] == []


def test_a_full_disk_is_an_error_and_no_half_file(written: CapabilityFile, grants: Grants) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, written._descriptor)
    os.close(full)
    with pytest.raises(OSError, match="No space"):
        written.write(new_session_id(), CapabilitySet((), Network.ALL), Grants(()), JUDGED, Around())
    written.remove()
    assert not os.path.exists(written.path)


# --- hostile ones ---------------------------------------------------------------------------------------


def changed(document: dict[str, Any], *keys: Any, value: Any) -> bytes:
    part: Any = document
    for key in keys[:-1]:
        part = part[key]
    part[keys[-1]] = value
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


OWN = ("layers", 0)
SET = (*OWN, "capabilities")
GRANT = (*SET, "files", 0)
AROUND_DOCUMENT = {
    "capabilities": AROUND.capabilities.document(),
    "identities": [],
    "session": AROUND.session,
}
CHANGES: list[tuple[tuple[Any, ...], Any]] = [
    ((*OWN, "session"), "../../etc/passwd"),
    ((*OWN, "session"), 7),
    ((*OWN, "session"), "\x1b]0;owned\x07"),
    (("unread",), "x"),
    (("layers",), []),
    (("layers",), {}),
    (("layers", 1), None),
    (("layers", 1, "more"), 1),
    (("layers",), [AROUND_DOCUMENT] * 17),
    (("version",), 1),
    (("version",), 3),
    (("elevates",), 1),
    (("elevates",), None),
    (("version",), "1"),
    (("version",), True),
    (("more",), 1),
    ((*OWN, "identities"), []),
    ((*OWN, "identities", 0), "1"),
    ((*OWN, "identities", 0), "01:2"),
    ((*OWN, "identities", 0), " 1:2"),
    ((*OWN, "identities", 0), 1),
    ((*OWN, "identities", 0), "9" * 5_000 + ":1"),
    (SET, None),
    (SET, []),
    ((*SET, "files"), {}),
    ((*SET, "files"), "ab"),
    ((*GRANT, "path"), "relative"),
    ((*GRANT, "path"), "/nul\0"),
    ((*GRANT, "path"), {"base64": "L3g="}),
    ((*GRANT, "path"), None),
    ((*GRANT, "access"), "all"),
    ((*GRANT, "access"), []),
    ((*GRANT, "type"), "device"),
    ((*GRANT, "type"), []),
    ((*GRANT, "source"), 1),
    ((*GRANT, "more"), 1),
    ((*SET, "network"), {"mode": "open"}),
    ((*SET, "network"), {"mode": "all", "connect": [1]}),
    ((*SET, "network", "connect"), [443, 443]),
    ((*SET, "network", "connect"), ["443"]),
    ((*SET, "network", "connect"), [True]),
    ((*SET, "network", "connect"), 443),
    (("denied_by",), [None]),
    (("closed",), "ab"),
    (("closed",), [["/"]]),
    (("bypass",), None),
]


@pytest.mark.parametrize(("keys", "value"), CHANGES, ids=map(repr, range(len(CHANGES))))
def test_what_a_launch_does_not_write_is_not_believed(
    written: CapabilityFile, tmp_path: Path, keys: tuple[Any, ...], value: Any
) -> None:
    document = canonical.decode_object(Path(os.fsdecode(written.path)).read_bytes())
    path = tmp_path / "state.json"
    path.write_bytes(changed(document, *keys, value=value))
    with pytest.raises(StateFileError):
        read_state(os.fsencode(path))


def hostile(path: Path) -> Iterator[str]:
    """Make one file after another at ``path`` and yield what it is."""
    for what, content in {
        "empty": b"",
        "no JSON": b"{",
        "a list": b"[]",
        "deep": b"[" * 100_000 + b"]" * 100_000,
        "a number": b"1" * 10_000,
        "not UTF-8": b'{"a":"\xff"}',
        "with an escape": b'{"session":"\x1b[2J"}',
        "twice a key": b'{"a":1,"a":1}',
        "zeros": bytes(4096),
    }.items():
        path.write_bytes(content)
        yield what
    with open(path, "wb") as file:
        file.truncate(1 << 40)
    yield "sparse and huge"
    path.unlink()
    os.mkfifo(path)
    yield "a FIFO that nobody writes to"
    path.unlink()
    path.mkdir()
    yield "a directory"
    path.rmdir()
    path.symlink_to("/etc/passwd")
    yield "a link"
    path.unlink()
    path.symlink_to(path)
    yield "a loop"
    path.unlink()
    yield "nothing"


def test_a_hostile_file_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    for what in hostile(path):
        with pytest.raises(StateFileError):
            pytest.fail(f"{what}: {read_state(os.fsencode(path))}")
    for device in (b"/dev/zero", b"/dev/tty", b"/dev/stdin", b"", b"/a\0b", b"x" * 5_000):
        with pytest.raises(StateFileError):
            read_state(device)


def test_what_others_can_write_is_not_believed(written: CapabilityFile) -> None:
    assert isinstance(read_state(written.path), LaunchState)
    os.chmod(written.path, 0o620)
    with pytest.raises(StateFileError, match="another user"):
        read_state(written.path)
    os.chmod(written.path, 0o600)
    if os.geteuid() == 0:  # only root gives files away
        os.chown(written.path, 65_534, -1)
        with pytest.raises(StateFileError, match="another user"):
            read_state(written.path)


def test_its_size_is_bounded(written: CapabilityFile) -> None:
    with open(written.path, "ab") as file:
        file.write(b" " * MAX_BYTES)
    with pytest.raises(StateFileError, match="larger"):
        read_state(written.path)
