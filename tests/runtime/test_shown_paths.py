"""Paths in messages and questions: words of a shell, in which every character can be seen."""

from __future__ import annotations

import subprocess
import sys

import pytest

from attest.printable_text import is_printable
from runtime.kernel.path_names import shown

NAMES = [
    ("/usr/bin/make", "/usr/bin/make"),
    ("/w/a b", "'/w/a b'"),
    ("/w/it's", "'/w/it'\\''s'"),
    ("/w/naïve/日本", "'/w/naïve/日本'"),
    ("/w/a  b", "$'/w/a\\x20\\x20b'"),
    ("/w/a   b c", "$'/w/a\\x20\\x20\\x20b c'"),
    ("/w/" + " " * 200 + ".ssh", "$'/w/" + "\\x20" * 200 + ".ssh'"),
    ("/w/make\u034f", "$'/w/make\\xcd\\x8f'"),
    ("/w/ma\u200bke", "$'/w/ma\\xe2\\x80\\x8bke'"),
    ("/w/\u3164", "$'/w/\\xe3\\x85\\xa4'"),
    ("/w/\u2800\u2800", "$'/w/\\xe2\\xa0\\x80\\xe2\\xa0\\x80'"),
    ("/w/a\ufe0f", "$'/w/a\\xef\\xb8\\x8f'"),
    ("/w/a\U000e0101", "$'/w/a\\xf3\\xa0\\x84\\x81'"),
    ("/w/a\\x20  b", "$'/w/a\\\\x20\\x20\\x20b'"),
    ("/w/\udcff", "$'/w/\\xff'"),
    ("/w/\x1b[31m", "$'/w/\\x1b[31m'"),
    ("/w/\u00a0", "$'/w/\\xc2\\xa0'"),
    ("/w/##[error]x", "$'/w/#\\x23[error]x'"),
    ("/w/###vso[x", "$'/w/#\\x23#vso[x'"),
    ("", "''"),
]


@pytest.mark.parametrize(("name", "word"), NAMES)
def test_a_path_is_one_word_in_which_all_can_be_seen(name: str, word: str) -> None:
    path = name.encode("utf-8", "surrogateescape")
    assert shown(path) == word
    assert is_printable(word)
    assert "  " not in word
    done = subprocess.run(["/bin/bash", "-c", f"printf %s {word}"], capture_output=True, check=True)
    assert done.stdout == path


def test_names_that_differ_are_shown_differently() -> None:
    names = [name.encode("utf-8", "surrogateescape") for name, _ in NAMES]
    names += [b"/w/a b ", b"/w/ a b", b"/w/make\\xcd\\x8f", b"/w/a\\x20\\x20b"]
    assert len({shown(name) for name in names}) == len(names)


def test_plain_paths_need_no_other_module() -> None:
    """What a launch says of paths in ASCII costs it nothing more."""
    code = (
        "import sys\nfrom runtime.kernel.path_names import shown\n"
        "shown(b'/usr/bin/make'), shown(b'/w/a  b'), shown(b'/w/\\x1b')\n"
        "assert 'attest.printable_text' not in sys.modules\n"
        "shown('/w/\\u00e9'.encode())\n"
        "assert 'attest.printable_text' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
