"""What lies around this process: a container, WSL, a policy about tracing. Facts for ``nono doctor``.

They are taken from files that the kernel or the container's runtime makes, never from variables, which
anybody can set; and they explain, they decide nothing: what can be enforced is found out by trying it.
"""

from __future__ import annotations

import os

_CONTAINER_MARKS = (("run/.containerenv", "podman"), (".dockerenv", "docker"))
_WSL_MARKS = ("proc/sys/fs/binfmt_misc/WSLInterop", "proc/sys/fs/binfmt_misc/WSLInterop-late")
_READ_BYTES = 4_096

WSL_NOTES = (
    "the kernel comes from Windows: for one with a newer Landlock run wsl --update there, or name your own "
    "in .wslconfig (kernel=, and lsm= in kernelCommandLine=)",
    "drives of Windows (/mnt/c) are a network file system, where a ledger is refused: keep it in the home",
    "its kernels give no listener for --listen-port, --open-port and --protect-metadata (EBUSY): such a "
    "launch is refused (125)",
    "a grant for /init lets a command start programs of Windows, which no sandbox of Linux holds",
)
"""What is different under WSL 2, a sentence each."""

WSL_1_NOTES = (
    "it has no kernel of Linux, so nothing can be enforced: wsl --set-version DISTRIBUTION 2 gives it one",
)
"""The same for version 1."""


def container(root: str = "/") -> str | None:
    """Return what made the container that this process is in, or None where no mark of one is found.

    Args:
        root: where the file system begins.
    """
    found = _read(os.path.join(root, "run/systemd/container")).strip()
    if found:
        return found if found.isascii() and found.replace("-", "").isalnum() else "a container"
    for mark, name in _CONTAINER_MARKS:
        if os.path.lexists(os.path.join(root, mark)):
            return name
    return None


def wsl(root: str = "/") -> int | None:
    """Return the version of the Windows Subsystem for Linux, 1 or 2, or None on another kernel.

    Args:
        root: where the file system begins.
    """
    version = _read(os.path.join(root, "proc/version")).lower()
    if "microsoft" in version:
        # The first version has no kernel of its own: it calls itself Linux 4.4.
        return 1 if version.startswith("linux version 4.4.") else 2
    return 2 if any(os.path.lexists(os.path.join(root, mark)) for mark in _WSL_MARKS) else None


def boot_modules(root: str = "/") -> tuple[str, ...] | None:
    """Return the security modules that are active, or None where that cannot be read.

    Args:
        root: where the file system begins.
    """
    found = _read(os.path.join(root, "sys/kernel/security/lsm")).strip()
    return tuple(found.split(",")) if found else None


def _read(path: str) -> str:
    """Return the beginning of what the file holds; empty when it cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return ""
    try:
        return os.read(descriptor, _READ_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
    finally:
        os.close(descriptor)
