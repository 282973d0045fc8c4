"""What is different under WSL 2, by the file that says so: /proc/version, bound over in a mount namespace."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.system.conftest import IS_ROOT, NONO, Ended

if TYPE_CHECKING:
    from tests.system.conftest import Site

pytestmark = pytest.mark.skipif(not IS_ROOT, reason="only root binds a file over /proc/version")

VERSION = (
    "Linux version 5.15.167.4-microsoft-standard-WSL2 (root@f9c826d3017f) (gcc (GCC) 11.2.0) #1 SMP Tue\n"
)

# A filter with a listener around nono: the kernel then answers to a second one as that of WSL does to any.
WITH_LISTENER = """
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
allow = struct.pack("HBBI", 0x06, 0, 0, 0x7FFF0000)
program = ctypes.create_string_buffer(allow)
fprog = struct.pack("HxxxxxxQ", 1, ctypes.addressof(program))
assert libc.prctl(38, 1, 0, 0, 0) == 0
listener = libc.syscall(317, 1, 8, fprog)
assert listener >= 0, os.strerror(ctypes.get_errno())
os.set_inheritable(listener, True)
os.execv(sys.argv[1], sys.argv[1:])
"""


def on_wsl(
    site: Site,
    *command: object,
    listener: bool = False,
    fake: bool = True,
    variables: dict[str, str] | None = None,
) -> Ended:
    version = site.base / "version"
    version.write_text(VERSION)
    words = [str(word) for word in command]
    if listener:
        words = ["/usr/bin/python3", "-I", "-c", WITH_LISTENER, *words]
    if fake:
        bind = 'mount --bind "$0" /proc/version && exec "$@"'
        words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", bind, str(version), *words]
    done = subprocess.run(
        words,
        env=site.environment | (variables or {}),
        cwd=site.project,
        capture_output=True,
        check=False,
        timeout=60,
    )
    return Ended(done.returncode, done.stdout, done.stderr.decode())


def test_the_doctor_says_so_and_no_variable_makes_it(site: Site) -> None:
    ended = on_wsl(site, NONO, "doctor")
    assert b"WSL           version 2\n" in ended.stdout, ended.stderr
    assert b"give no listener for --listen-port, --open-port and --protect-metadata" in ended.stdout
    assert json.loads(on_wsl(site, NONO, "doctor", "--json").stdout)["wsl"] == 2
    pretended = {"WSL_DISTRO_NAME": "Debian", "WSL_INTEROP": "/run/WSL/8_interop"}
    assert (
        json.loads(on_wsl(site, NONO, "doctor", "--json", fake=False, variables=pretended).stdout)["wsl"]
        is None
    )


def test_an_ordinary_launch_works_there(site: Site) -> None:
    ended = on_wsl(site, NONO, "run", "--block-net", "--", "/bin/cat", "/proc/version")
    assert (ended.status, ended.stdout.decode()) == (0, VERSION), ended.stderr


def test_ports_to_listen_on_are_an_error_that_names_it(site: Site) -> None:
    flags = ("run", "--listen-port", "3017", "--", "/bin/true")
    ended = on_wsl(site, NONO, *flags, listener=True)
    assert ended.status == 125
    assert "which this kernel of WSL refuses" in ended.stderr
    assert "leave out --listen-port, --open-port and --protect-metadata" in ended.stderr
    assert site.record().outcome["not_started"]["code"] == "enforcement.wsl"
    ended = on_wsl(site, NONO, *flags, listener=True, fake=False)
    assert ended.status == 125
    assert site.record().outcome["not_started"]["code"] == "enforcement.nested"
    # Where a listener can be had, as on this kernel, the name of the kernel refuses nothing.
    assert on_wsl(site, NONO, *flags).status == 0
