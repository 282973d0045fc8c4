"""What every command gets without asking: the system, and nothing of the user."""

from __future__ import annotations

import os
import re

from runtime.capability.capabilities import Access
from runtime.capability.default_groups import DEFAULT_GRANTS
from runtime.capability.grants import resolve
from runtime.capability.protected import Guard, Untouchable, ledger_files
from runtime.kernel.path_names import is_beneath


def _granted() -> dict[bytes, tuple[Access, bool, str]]:
    with resolve(DEFAULT_GRANTS, workdir=b"/", guard=Guard(Untouchable()), warn=_unexpected) as found:
        return {grant.path: (grant.access, grant.directory, grant.source) for grant in found.files}


def _unexpected(warning: str) -> None:
    raise AssertionError(warning)


def test_programs_libraries_and_devices_are_there() -> None:
    granted = _granted()
    assert granted[b"/usr"] == (Access.READ, True, "group:system_paths")
    assert granted[b"/proc"] == (Access.READ, True, "group:process_information")
    assert granted[b"/etc/passwd"] == (Access.READ, False, "group:system_configuration")
    assert granted[b"/dev/null"] == (Access.READWRITE, False, "group:devices")
    assert granted[b"/dev/urandom"] == (Access.READ, False, "group:devices")


def test_links_into_usr_are_covered_once() -> None:
    granted = _granted()
    for name in (b"/bin", b"/sbin", b"/lib", b"/lib64"):
        if os.path.exists(name):
            real = os.path.realpath(name)
            assert [path for path in granted if is_beneath(real, path)] != []
            if is_beneath(real, b"/usr"):
                assert real not in granted


def test_nothing_of_the_user_and_nothing_secret() -> None:
    granted = _granted()
    secrets = [b"/etc/shadow", b"/etc/gshadow", b"/etc/ssl/private", b"/etc/ssh/ssh_host_ed25519_key",
               b"/etc/sudoers", b"/etc/machine-id", b"/root", b"/home", b"/tmp", b"/var/tmp", b"/run/user",
               b"/dev/pts/0", b"/dev/sda", b"/dev/shm", b"/sys", b"/var/lib", b"/etc"]  # fmt: skip
    for secret in secrets:
        reached = [path for path in granted if is_beneath(secret, path)]
        assert reached == [], secret


def test_writing_is_for_harmless_devices_alone() -> None:
    writable = {path for path, (access, _, _) in _granted().items() if access is not Access.READ}
    assert writable <= {b"/dev/null", b"/dev/zero", b"/dev/full", b"/dev/tty"}


def test_sources_have_the_form_that_the_record_demands() -> None:
    for request in DEFAULT_GRANTS:
        assert re.fullmatch(r"group:[a-z0-9_-]{1,64}", request.source)
        assert request.path.startswith(b"/")


def test_a_ledger_in_a_system_directory_is_refused_even_without_a_flag() -> None:
    import pytest

    from runtime.errors import GrantError

    guard = Guard(Untouchable(read_write=ledger_files(b"/usr/share/ledgers/l.db")))
    with pytest.raises(GrantError, match=r"cannot grant /usr \(group:system_paths\)"):
        resolve(DEFAULT_GRANTS, workdir=b"/", guard=guard, warn=_unexpected)
