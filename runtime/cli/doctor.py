"""``nono doctor``: what this kernel and installation can enforce, and what to do about what is missing."""

from __future__ import annotations

import errno
import os
import platform
import sys
from typing import TYPE_CHECKING

from attest import __version__, canonical
from attest.errors import NonoError
from runtime import (
    confinement,
    enforcement,
    enforcement_probe,
    limits,
    running_images,
    signing_key,
    surroundings,
    syscalls,
)
from runtime.cli import config
from runtime.cli.audit_document import write_document
from runtime.cli.terminal import write_lines
from runtime.configuration import read_configuration, read_system_configuration
from runtime.errors import EnforcementError
from runtime.path_names import shown
from store import locations
from store.private_directories import make_private

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from attest.canonical import Json
    from runtime.configuration import Configuration
    from runtime.enforcement_probe import Finding
    from runtime.errors import LimitError
    from runtime.system_configuration import SystemConfiguration

EPILOG = """\
Each feature is tried, in a child process that restricts itself; and each limit, in a control group that is
made for it.

exit codes:
  0  everything that a launch requires can be enforced
  1  something is missing: launches are refused (exit code 125); or nothing could be tried
  2  usage: the command line cannot be meant

examples:
  nono doctor
  nono doctor --json
"""


_VERDICT = {
    True: "launches can be enforced here",
    False: "launches will be refused here (exit code 125)",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``nono doctor``."""
    parser.add_argument("--json", action="store_true", help="write the findings as one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Try everything and say what was found."""
    cache = locations.cache_directory()
    try:
        make_private(cache)
        findings = enforcement_probe.probe(cache)
        refused = enforcement_probe.refused_calls()
        protects = running_images.protected(cache)
        unheld = {member: error for member in limits.MEMBERS if (error := confinement.why_not(member))}
    except OSError as error:
        raise EnforcementError(
            f"cannot try anything in {shown(cache)}: {error.strerror}",
            hint="make it writable, or set XDG_CACHE_HOME",
        ) from None
    configured, faulty = _configured()
    able = not refused and not faulty and all(finding.enforced for finding in findings if finding.required)
    if arguments.json:
        document = _document(findings, protects=protects, able=able) | {
            "configuration": configured,
            "container": surroundings.container(),
            "limits": {member: _held(unheld.get(member)) for member in limits.MEMBERS},
            "refused_calls": [*refused],
            "seccomp_filtered": syscalls.seccomp_filtered(),
            "security_modules": surroundings.boot_modules(),
            "wsl": surroundings.wsl(),
        }
        write_document(document)
    else:
        lines = _lines(findings, protects=protects)
        write_lines(
            [
                *_lines_of_configuration(configured),
                *lines,
                *_lines_of_limits(unheld),
                *_lines_about(refused),
                "",
                _VERDICT[able],
            ]
        )
    return 0 if able else 1


def _configured() -> tuple[dict[str, dict[str, Json]], bool]:
    """Return which configuration is in force, and whether one of its files refuses every launch."""
    found: dict[str, dict[str, Json]] = {}
    readers: dict[str, tuple[bytes, Callable[[], Configuration | SystemConfiguration | None]]] = {
        "user": (config.user_path(), lambda: read_configuration(locations.config_directory())),
        "system": (config.system_path(), read_system_configuration),
    }
    for whose, (path, read) in readers.items():
        sha256 = error = None
        try:
            said = read()
            sha256 = None if said is None else said.sha256
        except NonoError as fault:
            error = str(fault).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        found[whose] = {"path": canonical.text(path), "sha256": sha256, "error": error}
    return found, any(each["error"] is not None for each in found.values())


def _lines_of_configuration(configured: dict[str, dict[str, Json]]) -> list[str]:
    lines = []
    for whose, file in configured.items():
        state = f"FAULTY: {file['error']}" if file["error"] else f"sha256 {file['sha256']}"
        if file["error"] is None and file["sha256"] is None:
            state = "(no file)"
        name = "config" if whose == "user" else "host's"
        lines.append(f"{name:<10} {shown(canonical.text_bytes(file['path']))} {state}")
    return lines


def _abi() -> int | None:
    try:
        return syscalls.landlock_abi()
    except OSError:
        return None


def _document(findings: tuple[Finding, ...], *, protects: bool | None, able: bool) -> dict[str, object]:
    return {
        "able": able,
        "features": {
            finding.feature: {
                "enforced": finding.enforced,
                "hint": finding.hint,
                "required": finding.required,
            }
            for finding in findings
        },
        "kernel": platform.release(),
        "landlock_abi": _abi(),
        "python": platform.python_version(),
        "running_images_protected": protects,
        "version": __version__,
    }


def _lines(findings: tuple[Finding, ...], *, protects: bool | None) -> list[str]:
    abi = _abi()
    landlock = "not available" if abi is None else f"ABI {abi}"
    key = signing_key.default_path(locations.config_directory())
    lines = [
        f"nono       {__version__}, Python {platform.python_version()} at {sys.executable}",
        f"kernel     {platform.release()}, Landlock {landlock}",
        f"host key   {shown(key)}{'' if os.path.exists(key) else ' (made by the first launch)'}",
        f"ledgers    {shown(locations.ledgers_directory(locations.state_directory()))}",
        "",
    ]
    said: set[str] = set()
    for finding in findings:
        verdict = "enforced" if finding.enforced else "MISSING" if finding.required else "not here"
        lines.append(f"{finding.feature:<13} {verdict}{'' if finding.required else ' (not required)'}")
        if finding.hint is not None:
            lines.append(f"{'':<13} hint: {finding.hint if finding.hint not in said else 'the same'}")
            said.add(finding.hint)
    image = {True: "refused, as it should be", False: "NOT refused", None: "could not be tried"}[protects]
    lines.append(f"{'image':<13} writing to a running program is {image}")
    if protects is False:
        lines.append(f"{'':<13} hint: update the kernel; some releases of 6.11 and 6.12 have this fault")
    return lines


def _held(error: LimitError | None) -> dict[str, Json]:
    return {"enforced": error is None, "hint": None if error is None else _sentence(error)}


def _sentence(error: LimitError) -> str:
    text = f"{error}: {error.hint}" if error.hint else str(error)
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _lines_of_limits(unheld: dict[str, LimitError]) -> list[str]:
    """Return which limits hold here, and what stands in the way of the others."""
    held = ", ".join(limits.flag_of(limits.name_of(each)) for each in limits.MEMBERS if each not in unheld)
    lines = [f"{'limits':<13} {held}"]
    for member, error in unheld.items():
        lines.append(f"{'':<13} not here (not required): {limits.flag_of(limits.name_of(member))}")
        lines.append(f"{'':<13} hint: {_sentence(error)}")
    return lines


def _lines_about(refused: tuple[str, ...]) -> list[str]:
    """Return what is said about the system calls, and about what this process is in."""
    lines = []
    if refused:
        lines.append(f"{'calls':<13} REFUSED: {', '.join(refused)}")
        if (hint := enforcement.filter_hint(errno.EPERM, refused)) is not None:
            lines.append(f"{'':<13} hint: {hint}")
    container, version = surroundings.container(), surroundings.wsl()
    if container is not None:
        lines.append(f"{'container':<13} {container}")
    if version is not None:
        lines.append(f"{'WSL':<13} version {version}")
        notes = surroundings.WSL_NOTES if version > 1 else surroundings.WSL_1_NOTES
        lines += [f"{'':<13} note: {note}" for note in notes]
    return lines
