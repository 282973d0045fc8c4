"""What is found out about containers and WSL, from files that stand for theirs."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from runtime.capability import unix_sockets
from runtime.cli import main
from runtime.errors import EnforcementError
from runtime.kernel import surroundings, syscalls
from runtime.sandbox import enforcement

if TYPE_CHECKING:
    from pathlib import Path

WSL_2 = "Linux version 5.15.167.4-microsoft-standard-WSL2 (root@f9c826d3017f) (gcc (GCC) 11.2.0) #1 SMP Tue\n"
WSL_1 = "Linux version 4.4.0-19041-Microsoft (Microsoft@Microsoft.com) (gcc version 5.4.0) #1 Fri\n"
DEBIAN = "Linux version 6.12.9-amd64 (debian-kernel@lists.debian.org) (x86_64-linux-gnu-gcc-14) #1 SMP\n"


def put(root: Path, name: str, content: str = "") -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")


@pytest.mark.parametrize(
    ("files", "version"),
    [
        ({"proc/version": WSL_2}, 2),
        ({"proc/version": WSL_1}, 1),
        ({"proc/version": DEBIAN}, None),
        ({"proc/version": DEBIAN, "proc/sys/fs/binfmt_misc/WSLInterop": ""}, 2),
        ({"proc/version": DEBIAN, "proc/sys/fs/binfmt_misc/WSLInterop-late": ""}, 2),
        ({}, None),
    ],
)
def test_wsl_is_known_by_its_kernel_or_its_interpreter(
    tmp_path: Path, files: dict[str, str], version: int | None
) -> None:
    for name, content in files.items():
        put(tmp_path, name, content)
    assert surroundings.wsl(str(tmp_path)) == version


def test_wsl_is_not_known_by_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WSL_DISTRO_NAME", "Debian")
    monkeypatch.setenv("WSL_INTEROP", "/run/WSL/8_interop")
    assert surroundings.wsl(str(tmp_path)) is None


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("run/.containerenv", "", "podman"),
        (".dockerenv", "", "docker"),
        ("run/systemd/container", "systemd-nspawn\n", "systemd-nspawn"),
        ("run/systemd/container", "\x1b]0;x\x07", "a container"),
        ("etc/hostname", "x", None),
    ],
)
def test_a_container_is_known_by_its_mark(tmp_path: Path, name: str, content: str, found: str | None) -> None:
    put(tmp_path, name, content)
    assert surroundings.container(str(tmp_path)) == found


def test_security_modules(tmp_path: Path) -> None:
    assert surroundings.boot_modules(str(tmp_path)) is None
    put(tmp_path, "sys/kernel/security/lsm", "lockdown,capability,landlock,yama")
    assert surroundings.boot_modules(str(tmp_path)) == ("lockdown", "capability", "landlock", "yama")


@pytest.mark.parametrize(("version", "said"), [(2, ".wslconfig"), (1, "wsl --set-version")])
def test_the_doctor_says_what_is_different_under_wsl(
    version: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    for name in ("CACHE", "CONFIG", "STATE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name))
    monkeypatch.setattr(surroundings, "wsl", lambda: version)
    main(["doctor"])
    out = capfd.readouterr().out
    assert f"WSL           version {version}\n" in out
    assert said in out


@pytest.mark.parametrize(
    ("scope", "hinted"), [("0", False), ("1", False), ("2", True), ("3", True), ("x", False)]
)
def test_a_policy_about_tracing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scope: str, hinted: bool
) -> None:
    put(tmp_path, "scope", f"{scope}\n")
    monkeypatch.setattr(enforcement, "_PTRACE_SCOPE", str(tmp_path / "scope"))
    monkeypatch.setattr(syscalls, "seccomp_filtered", lambda: False)
    hint = enforcement.tracing_hint(errno.EPERM)
    assert (hint is not None and f"kernel.yama.ptrace_scope is {scope}" in hint) is hinted


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOSYS, errno.EACCES])
def test_without_a_filter_none_is_blamed(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr(syscalls, "seccomp_filtered", lambda: False)
    assert enforcement.filter_hint(number, ("seccomp",)) is None
    monkeypatch.setattr(syscalls, "seccomp_filtered", lambda: True)
    assert "allow seccomp" in str(enforcement.filter_hint(number, ("seccomp",)))


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOMEM, errno.E2BIG, 0, None])
def test_what_no_filter_answers_is_not_blamed_on_one(
    monkeypatch: pytest.MonkeyPatch, number: int | None
) -> None:
    monkeypatch.setattr(syscalls, "seccomp_filtered", lambda: True)
    assert enforcement.filter_hint(number, ("seccomp",)) is None


def test_unix_sockets_are_not_granted_under_wsl(monkeypatch: pytest.MonkeyPatch) -> None:
    unix_sockets.require_mediation()
    monkeypatch.setattr(surroundings, "wsl", lambda: 2)
    with pytest.raises(EnforcementError, match="cannot be granted under WSL") as caught:
        unix_sockets.require_mediation()
    assert caught.value.exit_status == 125
    assert "--allow-unix-socket" in (caught.value.hint or "")
