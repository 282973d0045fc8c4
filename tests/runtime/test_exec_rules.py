"""Rules about images, and what they are asked of: by their words alone, and of real programs."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.capability import exec_rules
from runtime.capability.capabilities import NO_PORTS, Access, CapabilitySet, FileGrant, Network
from runtime.capability.exec_rules import ExecRules, Rule, SeenImage
from runtime.errors import LaunchError, UsageError
from runtime.kernel import loaders

if TYPE_CHECKING:
    from collections.abc import Callable

TRUE = os.path.realpath("/bin/true")
A, B = "a" * 64, "b" * 64


def image(path: bytes = b"/usr/bin/x", sha256: str | None = A, **other: object) -> SeenImage:
    fields = {"is_linked": True, "size": 1, "problem": None, "is_loader": False, **other}
    return SeenImage(path=path, sha256=sha256, **fields)  # type: ignore[arg-type]  # what is given fits


def granting(*paths: tuple[str, Access, bool]) -> CapabilitySet:
    files = tuple(
        FileGrant(os.fsencode(path), os.fsencode(path), access, directory=directory, source="user")
        for path, access, directory in paths
    )
    return CapabilitySet(files, Network.BLOCKED, NO_PORTS, ())


NOTHING = granting()


# --- judging ----------------------------------------------------------------------------------------


def test_without_rules_everything_runs_and_what_is_odd_is_said() -> None:
    rules = ExecRules(None)
    assert rules.judge(image()) == (True, "traced")
    for odd, word in (
        (image(is_linked=False), "no path leads to it"),
        (image(sha256=None, problem="too large"), "too large"),
        (image(is_loader=True), "loader"),
    ):
        granted, reason = rules.judge(odd)
        assert granted
        assert word in reason
    assert rules.document() == {"tracing": "trace"}


def test_rules_allow_what_they_say_and_nothing_else() -> None:
    rules = ExecRules((Rule(b"d", A, None), Rule(b"/opt/x", None, b"/opt/x")))
    assert rules.judge(image())[0]
    assert rules.judge(image(b"/opt/x/tool", B))[0]
    assert rules.judge(image(b"/opt/x/deep/er/tool", B))[0]
    for other in (b"/opt/xy", b"/opt/xy/tool", b"/opt/tool", b"/opt/x/../tool", b"tool", b"?"):
        path = os.path.normpath(other)
        assert rules.judge(image(path, B)) == (False, "no --exec-allow covers it")
    assert not ExecRules(()).judge(image())[0]


@pytest.mark.parametrize("sha256", [A, B])
@pytest.mark.parametrize("path", [b"/opt/x/tool", b"/usr/bin/x"])
def test_no_rule_allows_what_has_no_path_no_digest_or_runs_anything(path: bytes, sha256: str) -> None:
    rules = ExecRules((Rule(b"d", A, None), Rule(b"e", B, None), Rule(b"/opt/x", None, b"/opt/x")))
    rules.take_command(A)
    assert rules.judge(image(path, sha256))[0]
    assert not rules.judge(image(path, sha256, is_linked=False))[0]
    assert not rules.judge(image(path, None, problem="it cannot be read"))[0]
    assert not rules.judge(image(path, sha256, is_loader=True))[0]


def test_the_command_is_allowed_by_its_digest_alone() -> None:
    rules = ExecRules(())
    rules.take_command(A)
    assert rules.judge(image(b"/anywhere"))[0]
    assert not rules.judge(image(b"/anywhere", B))[0]
    rules = ExecRules(())
    rules.take_command(None)  # it could not be hashed: nothing has that digest
    assert not rules.judge(image(sha256=None, problem="x"))[0]


# --- resolving ---------------------------------------------------------------------------------------


def test_a_rule_is_a_digest_a_program_or_a_directory(tmp_path: Path) -> None:
    shutil.copyfile(TRUE, tmp_path / "tool")
    (tmp_path / "link").symlink_to("tool")
    digest = hashlib.sha256(Path(TRUE).read_bytes()).hexdigest()
    asked = (
        A.encode(),
        b"sha256:" + B.encode(),
        b"tool",
        b"link",
        b"/usr",
        b"./../" + os.fsencode(tmp_path.name),
    )
    tool, here = os.fsencode(tmp_path / "tool"), os.fsencode(tmp_path)
    found = exec_rules.resolve(asked, workdir=here, capabilities=NOTHING)
    assert [(rule.sha256, rule.path) for rule in found] == [
        (A, None), (B, None), (digest, tool), (digest, tool), (None, b"/usr"), (None, here),
    ]  # fmt: skip
    assert [rule.asked for rule in found] == list(asked)


def test_what_looks_like_a_digest_and_is_none_is_a_path(tmp_path: Path) -> None:
    for asked in (A.upper().encode(), A[:-1].encode(), A.encode() + b"0", b"sha1:" + A.encode()):
        with pytest.raises(LaunchError) as caught:
            exec_rules.resolve((asked,), workdir=os.fsencode(tmp_path), capabilities=NOTHING)
        assert caught.value.code == "exec.rule"


@pytest.mark.parametrize(
    ("grants", "refused"),
    [
        ((("/opt/x", Access.READ, True),), False),
        ((("/opt", Access.READ, True), ("/opt/y", Access.WRITE, True)), False),
        ((("/opt/xy", Access.READWRITE, True),), False),
        ((("/opt/x", Access.READWRITE, True),), True),
        ((("/opt", Access.WRITE, True),), True),
        ((("/", Access.WRITE, True),), True),
        ((("/opt/x/deep/file", Access.WRITE, False),), True),
    ],
)
def test_a_directory_is_one_in_which_the_command_cannot_write(
    tmp_path: Path, grants: tuple[tuple[str, Access, bool], ...], refused: bool
) -> None:
    directory = tmp_path / "opt/x"
    directory.mkdir(parents=True)
    below = tuple((f"{tmp_path}{path}".rstrip("/"), access, kind) for path, access, kind in grants)
    asked = (os.fsencode(directory),)
    if not refused:
        assert exec_rules.resolve(asked, workdir=b"/", capabilities=granting(*below))
        return
    with pytest.raises(LaunchError) as caught:
        exec_rules.resolve(asked, workdir=b"/", capabilities=granting(*below))
    assert caught.value.code == "exec.writable"


def test_what_no_rule_can_be_made_of_is_refused_before_any_file_is_looked_at() -> None:
    for asked in ((b"",), (b"a\0b",), (b"x" * 4_097,), (b"/usr",) * 257):
        with pytest.raises(UsageError) as caught:
            exec_rules.check(asked)
        assert caught.value.code == "usage.exec"
    exec_rules.check((b"/usr",) * 256)
    with pytest.raises(UsageError):
        exec_rules.check((b"/" + b"x" * 200,) * 200)


def test_rules_that_no_entry_could_hold_are_refused(tmp_path: Path) -> None:
    """Each is short as it is typed, and long as it is recorded."""
    deep = tmp_path.joinpath(*["d" * 200] * 10)
    deep.mkdir(parents=True)
    links = []
    for number in range(30):
        (deep / str(number)).mkdir()
        (tmp_path / f"l{number}").symlink_to(deep / str(number))
        links.append(b"l%d" % number)
    here = os.fsencode(tmp_path)
    assert len(exec_rules.resolve(links[:5], workdir=here, capabilities=NOTHING)) == 5
    with pytest.raises(UsageError) as caught:
        exec_rules.resolve(links, workdir=here, capabilities=NOTHING)
    assert caught.value.code == "usage.exec"


def test_a_digest_is_of_all_of_a_file_and_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(3_000_000))
    with path.open("rb") as file:
        wanted = hashlib.sha256(path.read_bytes()).hexdigest()
        assert exec_rules.digest(file.fileno(), lambda: True) == wanted
        with pytest.raises(exec_rules.UnhashedError, match="ended"):
            exec_rules.digest(file.fileno(), lambda: False)
        monkeypatch.setattr(exec_rules, "MAX_HASHED_BYTES", 2_000_000)
        with pytest.raises(exec_rules.UnhashedError, match="more than"):
            exec_rules.digest(file.fileno(), lambda: True)
    (tmp_path / "empty").touch()
    with (tmp_path / "empty").open("rb") as file:
        assert exec_rules.digest(file.fileno(), lambda: True) == hashlib.sha256().hexdigest()


# --- loaders -----------------------------------------------------------------------------------------


@pytest.fixture
def is_loader(tmp_path: Path) -> Callable[[bytes], bool]:
    def ask(content: bytes) -> bool:
        path = tmp_path / "image"
        path.write_bytes(content)
        with path.open("rb") as file:
            return loaders.is_loader(file.fileno())

    return ask


def system_loader() -> Path:
    data = Path(TRUE).read_bytes()
    at = data.find(b"/lib")
    return Path(os.fsdecode(data[at : data.index(b"\0", at)]))


def test_the_systems_loader_is_one_and_its_programs_are_none(is_loader: Callable[[bytes], bool]) -> None:
    assert is_loader(system_loader().read_bytes())
    for program in ("true", "sh", "ls"):
        assert not is_loader(Path(os.path.realpath(f"/bin/{program}")).read_bytes())


@pytest.mark.parametrize(
    ("flags", "expected"),
    [((), False), (("-static",), False), (("-static-pie",), False), (("-no-pie",), False),
     (("-shared", "-fPIC", "-Wl,-soname,ld-mine.so"), True)],
)  # fmt: skip
def test_what_a_compiler_makes(
    tmp_path: Path, is_loader: Callable[[bytes], bool], flags: tuple[str, ...], expected: bool
) -> None:
    source, program = tmp_path / "source.c", tmp_path / "program"
    source.write_text("int main(void) { return 0; }\n", encoding="utf-8")
    cc = shutil.which("cc")
    assert cc is not None
    subprocess.run([cc, *flags, "-o", program, source], check=True, capture_output=True)
    assert is_loader(program.read_bytes()) is expected


def test_a_32_bit_loader_is_one_too(is_loader: Callable[[bytes], bool]) -> None:
    header = b"\x7fELF\x01\x01\x01" + bytes(9) + b"\x03\x00\x03\x00\x01\x00\x00\x00" + bytes(4)
    header += (52).to_bytes(4, "little") + bytes(8) + b"\x34\x00\x20\x00\x01\x00\x28\x00\x00\x00\x00\x00"
    dynamic = (
        b"\x02\x00\x00\x00" + (84).to_bytes(4, "little") + bytes(8) + (16).to_bytes(4, "little") + bytes(12)
    )
    tags = b"\x0e\x00\x00\x00\x01\x00\x00\x00" + bytes(8)
    assert is_loader(header + dynamic + tags)
    assert is_loader(header + dynamic + bytes(16))  # as musl's, which names itself nowhere
    assert not is_loader(header + dynamic + b"\xfb\xff\xff\x6f\x00\x00\x00\x08" + bytes(8))
    assert not is_loader(header + b"\x03" + dynamic[1:] + tags)


@given(data=st.data())
def test_no_content_is_a_traceback(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    content = bytearray(system_loader().read_bytes()[:8_192])
    for _ in range(data.draw(st.integers(0, 8))):
        content[data.draw(st.integers(0, 300))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.sampled_from([0, 4, 5, 16, 52, 63, 64, 65, 200, 4_096, 8_192]))
    path = tmp_path_factory.getbasetemp() / "mutated"
    path.write_bytes(bytes(content[:cut]))
    with path.open("rb") as file:
        assert loaders.is_loader(file.fileno()) in (True, False)
