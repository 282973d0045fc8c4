"""The advice about commands: by name, allow before block, and no more than advice."""

from __future__ import annotations

import pytest

from runtime.errors import LaunchError, UsageError
from runtime.policy.blocked_commands import ADVICE, MAX_NAMES, require_unblocked, united


@pytest.mark.parametrize("name", [*ADVICE, b"mkfs.ext4", b"mkfs.vfat"])
@pytest.mark.parametrize("directory", [b"", b"/usr/bin/", b"./", b"../x/"])
def test_the_list_holds_wherever_the_command_lies(name: bytes, directory: bytes) -> None:
    with pytest.raises(LaunchError) as caught:
        require_unblocked((), (), directory + name)
    assert caught.value.code == "command.blocked"
    assert caught.value.exit_status == 125
    assert f"the command {name.decode()} is blocked: it " in str(caught.value)
    assert "advice at start-up" in str(caught.value.hint)
    assert "any shell gets around" in str(caught.value.hint)
    assert f"--allow-command {name.decode()}" in str(caught.value.hint)
    require_unblocked((name,), (), directory + name)


@pytest.mark.parametrize(
    "name", [b"rmdir", b"RM", b"rm.sh", b"xrm", b"rm/x", b"mkfsx", b"pseudo", b"ls", b"sh"]
)
def test_what_only_looks_like_one_is_none(name: bytes) -> None:
    require_unblocked((), (), name)


def test_the_file_that_a_name_leads_to_counts_as_well() -> None:
    with pytest.raises(LaunchError, match="the command rm is blocked"):
        require_unblocked((), (), b"./clean", b"/usr/bin/rm")
    require_unblocked((b"clean",), (), b"./clean", b"/usr/bin/rm")
    require_unblocked((b"rm",), (), b"./clean", b"/usr/bin/rm")


def test_names_of_ones_own() -> None:
    with pytest.raises(LaunchError, match="the command npm is blocked: you or the profile block it"):
        require_unblocked((), (b"npm",), b"/opt/npm")
    require_unblocked((b"npm",), (b"npm",), b"/opt/npm")
    require_unblocked((), (b"np",), b"/opt/npm")


def test_one_form_of_what_was_asked() -> None:
    assert united((b"b", b"a"), (b"a", b"c")) == (b"a", b"b", b"c")
    assert united((), ()) == ()


@pytest.mark.parametrize("name", [b"", b"/bin/rm", b"a/", b".", b"..", b"a\0", b"x" * 256])
def test_what_is_no_name_is_refused(name: bytes) -> None:
    with pytest.raises(UsageError) as caught:
        united((name,))
    assert caught.value.code == "usage.command_name"
    assert str(caught.value).isprintable()


def test_too_many_names() -> None:
    names = [b"c%d" % number for number in range(MAX_NAMES + 1)]
    assert len(united(names[:-1])) == MAX_NAMES
    with pytest.raises(UsageError, match="more than 64 names"):
        united(names[:40], names[40:])
