"""``nono doctor``: what this kernel and installation can enforce, and what to do about what is missing."""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import sys
import tempfile
from typing import TYPE_CHECKING

from attest import __version__, canonical
from attest.errors import NonoError
from runtime.capability import running_images
from runtime.cli import config
from runtime.cli.audit_document import write_document
from runtime.cli.published_schemas import write_schema
from runtime.cli.terminal import write_lines
from runtime.errors import EnforcementError, LaunchError
from runtime.kernel import surroundings, syscalls
from runtime.kernel.path_names import shown
from runtime.policy import limits
from runtime.policy.configuration import read_configuration, read_system_configuration
from runtime.policy.request import LaunchRequest
from runtime.policy.resolution import Places, Resolution
from runtime.sandbox import confinement, enforcement, enforcement_probe
from runtime.secrets import signing_key
from store import locations
from store.private_directories import make_private

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from attest.canonical import Json
    from runtime.errors import LimitError
    from runtime.policy.configuration import Configuration
    from runtime.policy.system_configuration import SystemConfiguration
    from runtime.sandbox.enforcement_probe import Finding

EPILOG = """\
Each feature is tried, in a child process that restricts itself; and each limit, in a control group that is
made for it.

--json writes one object, whose form nono doctor --schema prints.

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
    either = parser.add_mutually_exclusive_group()
    either.add_argument("--json", action="store_true", help="write the findings as one JSON object")
    either.add_argument("--schema", action="store_true", help="print the form of what --json writes")


def run(arguments: argparse.Namespace) -> int:
    """Try everything and say what was found."""
    if arguments.schema:
        return write_schema("doctor")
    findings, protects, cache = _tried(locations.cache_directory())
    try:
        refused = enforcement_probe.refused_calls()
        unheld = {member: error for member in limits.MEMBERS if (error := confinement.why_not(member))}
    except OSError as error:
        raise EnforcementError(f"cannot try anything: {error.strerror}") from None
    configured, faulty = _configured()
    able = not refused and not faulty and all(finding.enforced for finding in findings if finding.required)
    if arguments.json:
        document = _document(findings, protects=protects, able=able) | {
            "cache": cache,
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
                *_lines_of_cache(cache),
                *lines,
                *_lines_of_limits(unheld),
                *_lines_about(refused),
                "",
                _VERDICT[able],
            ]
        )
    return 0 if able else 1


def _tried(cache: bytes) -> tuple[tuple[Finding, ...], bool | None, dict[str, Json]]:
    """Return what was found about features and running images, and what is said of the cache.

    Where it cannot be used launches do without it, so it is tried in another place then.

    Raises:
        EnforcementError: nothing can be tried there either.
        GrantError: launches are refused for where the cache lies.
    """
    try:
        make_private(cache)
        findings, protects = enforcement_probe.probe(cache), running_images.protected(cache)
    except OSError as error:
        why = error.strerror
    else:
        return findings, protects, {"path": canonical.text(cache), "error": None}
    _require_grants()
    try:
        with tempfile.TemporaryDirectory(prefix="nono-doctor-") as name:
            directory = os.fsencode(name)
            findings, protects = enforcement_probe.probe(directory), running_images.protected(directory)
    except OSError as error:
        raise EnforcementError(
            f"cannot try anything in {shown(cache)} ({why}), nor in another place: {error.strerror}",
            hint="make it writable, or set XDG_CACHE_HOME",
        ) from None
    return findings, protects, {"path": canonical.text(cache), "error": why}


def _require_grants() -> None:
    """Refuse a cache that lies in what every launch is granted, as launches do.

    Raises:
        GrantError: it does.
    """
    request = LaunchRequest((b"true",), os.environb)
    with contextlib.ExitStack() as cleanup:
        try:
            asked = Resolution(request, Places.of_user(), notify=lambda _: None, cleanup=cleanup)
        except LaunchError:  # what is configured refuses it, which is said in its own line
            return
        asked.grants(asked.guard(()))


def _lines_of_cache(cache: dict[str, Json]) -> list[str]:
    if cache["error"] is None:
        return []
    where = shown(canonical.text_bytes(cache["path"]))
    return [
        f"{'cache':<10} {where} cannot be used ({cache['error']}): each launch takes longer",
        f"{'':<10} hint: make it writable, or set XDG_CACHE_HOME",
    ]


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
