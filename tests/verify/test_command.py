"""The command: keys from where they may come from, one sentence for bad input, nothing raw on a terminal."""

# ruff: noqa: E501  # a table with one case a line is easier to check than one that is wrapped

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import jsonschema  # type: ignore[import-untyped]  # published without type information
import orjson
import pytest

from attest import canonical
from attest.keys import SigningKey
from attest.note import Verifier
from attest.printable_text import is_printable
from verify import render, trust
from verify.cli import ledger, main
from verify.launches import Launches

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.verify.conftest import Bench, Book

KEY = SigningKey(b"\x01" * 32)
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = main(arguments)
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.mark.parametrize(
    "arguments",
    [(), ("--frobnicate",), ("a", "b"), ("a", "--format", "xml"), ("a", "--format"), ("a", "-k"), ("trust",), ("trust", "add"), ("trust", "x"), ("a", "--form", "json")],
)  # fmt: skip
def test_bad_usage(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]) -> None:
    status, out, err = said(capsys, *arguments)
    assert (status, out) == (2, "")
    assert err.startswith("not checked: ")
    own = "nono-verify trust add" if arguments == ("trust", "add") else "nono-verify trust"
    assert err.endswith(f"hint: {own if arguments[:1] == ('trust',) else 'nono-verify'} --help\n")


@pytest.mark.parametrize(
    "flag",
    ["-k", "--public-key-file=", "--origin=", "--checkpoint=", "--save-checkpoint=", "--format=", "--write="],
)
def test_the_mark_is_no_value(
    capsys: pytest.CaptureFixture[str], bench: Bench, book: Book, flag: str
) -> None:
    """argparse of Python 3.12 and older makes an empty list of it, and a requirement that is empty is none."""
    path, key = bench.write(book), bench.path("key.pub")
    for arguments in ((f"{flag}--", "-k", key, "--", path), (path, "-k", key, f"{flag}--")):
        status, out, err = said(capsys, *arguments)
        assert (status, out) == (2, "")
        assert err.startswith("not checked: argument ")
        assert f"{flag.removesuffix('=')}" in err.split(":")[1]
        assert ": -- is no value\n" in err
    assert said(capsys, "-k", key, "--", path)[0] == 0


@pytest.mark.parametrize(
    "arguments",
    [("--format", "json"), ("a", "b", "--format=json"), ("proof", "--format", "json"), ("proof", "a", "b", "c", "--format", "json")],
)  # fmt: skip
def test_bad_usage_in_json(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]) -> None:
    status, out, err = said(capsys, *arguments)
    assert (status, err) == (2, "")
    document = json.loads(out)
    assert (document["exit"], document["findings"][0]["code"]) == (2, "input.usage")
    assert ("proof" in document["schema"]) is (arguments[0] == "proof")


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("trust", "--help")])
def test_help(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]) -> None:
    status, out, err = said(capsys, *arguments)
    assert (status, err) == (0, "")
    assert "nono-verify" in out


@pytest.mark.parametrize("origin", ["", "x", "Test/" + "0" * 32, "test/" + "0" * 31, "test/" + "g" * 32])
def test_an_origin_that_is_none(bench: Bench, book: Book, origin: str) -> None:
    assert bench.verify(bench.write(book), "--origin", origin).codes == ["input.usage"]


BAD_KEYS: dict[str, bytes] = {
    "empty": b"",
    "text": b"hello\n",
    "binary": bytes(range(256)),
    "private": KEY.pem(),
    "cut": KEY.public.pem()[:60],
    "of another type": b"-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEAAAA\n-----END PUBLIC KEY-----\n",
    "of small order": b"-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAAQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n-----END PUBLIC KEY-----\n",
    "a certificate": b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
    "a vkey with another id": b"test/x+00000000+AYqI491 0CfGV\n",
    "a vkey of a witness": b"test+0dd95d79+BIqI490=\n",
    "too long": b"-----BEGIN PUBLIC KEY-----\n" + b"A" * 70_000,
}


@pytest.mark.parametrize("name", BAD_KEYS)
def test_a_bad_key_is_one_sentence(bench: Bench, book: Book, name: str) -> None:
    with open(bench.path("bad.pub"), "wb") as file:
        file.write(BAD_KEYS[name])
    found = bench.verify(bench.write(book), key="bad.pub")
    assert (found.status, found.codes) == (2, ["key.format"])
    assert len(found.text.splitlines()) <= 2
    # One bad key among good ones is not passed over.
    assert bench.verify(bench.write(book), "-k", bench.path("bad.pub")).status == 2


def test_a_key_that_cannot_be_read(bench: Bench, book: Book) -> None:
    path = bench.write(book)
    os.mkdir(bench.path("folder.pub"))
    assert bench.verify(path, key="missing.pub").codes == ["key.unreadable"]
    assert bench.verify(path, key="folder.pub").codes == ["key.unreadable"]
    assert bench.verify(path, key="a\0b").codes == ["key.unreadable"]


def test_the_key_in_the_environment(bench: Bench, book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    path = bench.write(book)
    vkey = Verifier(book.origin, KEY.public).vkey()
    for value in (bench.path("key.pub"), KEY.public.pem().decode(), "\n" + KEY.public.pem().decode(), vkey):
        monkeypatch.setenv("NONO_VERIFY_KEY", value)
        assert bench.verify(path, key=None).status == 0
    monkeypatch.setenv("NONO_VERIFY_KEY", "")
    assert bench.verify(path, key=None).codes == ["key.none_pinned"]
    monkeypatch.setenv("NONO_VERIFY_KEY", bench.path("missing.pub"))
    assert bench.verify(path, key=None).status == 2


def test_a_verifier_key_in_the_environment_is_never_a_file(
    bench: Bench, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkout that has a file of the key's very name must not replace the key."""
    path, vkey = bench.write(book), Verifier(book.origin, KEY.public).vkey()
    other = Verifier(book.origin, SigningKey(b"\x03" * 32).public).vkey()
    broken = vkey[:-4] + "AAA="
    monkeypatch.chdir(bench.directory)
    for name, planted in ((other, "key.pub"), (vkey, "stranger.pub"), (broken, "key.pub")):
        os.makedirs(os.path.dirname(name), exist_ok=True)
        shutil.copy(bench.path(planted), name)
    for value, expected in (
        (vkey, []), (f" {vkey}\n", []), (other, ["key.not_pinned"]), (broken, ["key.format"]),
    ):  # fmt: skip
        monkeypatch.setenv("NONO_VERIFY_KEY", value)
        assert bench.verify(path, key=None).codes == expected


def test_a_key_that_the_variable_names_and_that_is_not_there_is_said_to_be_the_variables(
    bench: Bench, book: Book, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = bench.write(book)
    for name in (bench.path("none"), path):
        monkeypatch.setenv("NONO_VERIFY_KEY", name)
        status, out, _ = said(capsys, path)
        assert status == 2
        assert "  hint: NONO_VERIFY_KEY names it; -k FILE names another\n" in out
    monkeypatch.delenv("NONO_VERIFY_KEY")
    assert "NONO_VERIFY_KEY" not in said(capsys, path, "-k", bench.path("none"))[1]


def test_a_key_that_is_named_alone_counts(bench: Bench, book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that names its key must not pass with another that the environment happens to hold."""
    monkeypatch.setenv("NONO_VERIFY_KEY", bench.path("key.pub"))
    assert bench.verify(bench.write(book), key="stranger.pub").codes == ["key.not_pinned"]


def test_the_trust_store(
    bench: Bench, book: Book, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", bench.path("configuration"))
    path, fingerprint = bench.write(book), KEY.public.fingerprint()
    place = os.path.join(bench.path("configuration"), "nono", "trust", f"{fingerprint}.pub")
    assert said(capsys, "trust", "list") == (0, "", "")
    assert said(capsys, "trust", "add", bench.path("key.pub")) == (0, f"trusted: {place}\n", "")
    assert said(capsys, "trust", "add", bench.path("key.pub"))[0] == 0
    assert said(capsys, "trust", "list") == (0, f"{fingerprint}  {place}\n", "")
    assert bench.verify(path, key=None).status == 0
    assert bench.verify(path, key="stranger.pub").status == 3
    assert said(capsys, "trust", "remove", bench.path("stranger.pub"))[0] == 2
    assert said(capsys, "trust", "remove", fingerprint[:7])[0] == 2
    assert said(capsys, "trust", "remove", fingerprint[:12]) == (0, f"removed: {place}\n", "")
    assert bench.verify(path, key=None).status == 3
    said(capsys, "trust", "add", bench.path("key.pub"))
    assert said(capsys, "trust", "remove", bench.path("key.pub"))[0] == 0
    with open(place, "wb") as file:
        file.write(b"rubbish")
    assert bench.verify(path, key=None).codes == ["key.format"]


@pytest.mark.skipif(sys.platform == "win32", reason="no such limit there")
def test_a_key_that_cannot_be_written_whole_leaves_the_trust_store_as_it_was(
    bench: Bench, book: Book, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As on a full disk. What was cut off was no key, and then nothing could be checked any more."""
    monkeypatch.setenv("XDG_CONFIG_HOME", bench.path("configuration"))
    path = bench.write(book)
    before = said(capsys, "trust", "add", bench.path("key.pub"))[1]
    limited = f'ulimit -f 0; exec "{sys.executable}" -B -m verify trust add "$1"'
    for key in ("key.pub", "stranger.pub"):
        done = subprocess.run(
            ["/bin/bash", "-c", limited, "bash", bench.path(key)],
            cwd=ROOT, check=False, capture_output=True, text=True,
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (2, "")
        assert "cannot write" in done.stderr
    place = os.path.dirname(before.removeprefix("trusted: ").rstrip("\n"))
    assert os.listdir(place) == [f"{KEY.public.fingerprint()}.pub"]
    assert bench.verify(path, key=None).status == 0


def test_a_verifier_key_in_the_trust_store_pins_its_ledger_too(
    bench: Bench,
    new_book: Callable[..., Book],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", bench.path("configuration"))
    books = [new_book(name=name) for name in ("a", "b")]
    paths = [bench.write(book) for book in books]
    for name, book in zip(("a.vkey", "b.vkey"), books, strict=True):
        with open(bench.path(name), "w", encoding="utf-8") as file:
            file.write(Verifier(book.origin, KEY.public).vkey())
    assert said(capsys, "trust", "add", bench.path("a.vkey"))[0] == 0
    assert [bench.verify(path, key=None).status for path in paths] == [0, 3]
    assert said(capsys, "trust", "list")[1].endswith(f"  for {books[0].origin}\n")
    assert said(capsys, "trust", "add", bench.path("b.vkey"))[0] == 0
    assert [bench.verify(path, key=None).status for path in paths] == [0, 0]
    assert said(capsys, "trust", "remove", bench.path("key.pub"))[1].count("removed: ") == 2
    assert [bench.verify(path, key=None).status for path in paths] == [3, 3]


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no owners there")
def test_a_trust_store_that_others_can_change(
    bench: Bench, book: Book, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", bench.path("my configuration"))
    path = bench.write(book)
    umask = os.umask(0)
    try:
        status, out, _ = said(capsys, "trust", "add", bench.path("key.pub"))
    finally:
        os.umask(umask)
    assert status == 0
    assert bench.verify(path, key=None).status == 0
    key = out.removeprefix("trusted: ").rstrip("\n")
    for place, modes in ((key, (0o644, 0o664, 0o646)), (os.path.dirname(key), (0o700, 0o770, 0o702))):
        for mode in modes[1:]:
            os.chmod(place, mode)
            found = bench.verify(path, key=None)
            assert (found.status, found.codes) == (2, ["key.store"])
            assert f"chmod go-w '{place}'\n" in found.text  # as it can be pasted
        if place != key:
            assert said(capsys, "trust", "add", bench.path("key.pub"))[0] == 2
        os.chmod(place, modes[0])
        if os.geteuid() == 0:
            os.chown(place, 65_534, -1)
            assert bench.verify(path, key=None).codes == ["key.store"]
            os.chown(place, 0, -1)
    assert bench.verify(path, key=None).status == 0
    assert bench.verify(path).status == 0  # a key that is named alone needs no store


def test_an_origin_pins_by_itself(
    bench: Bench, book: Book, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever else is in the trust store: an origin that is given is all that was asked for."""
    monkeypatch.setenv("XDG_CONFIG_HOME", bench.path("configuration"))
    path = bench.write(book)
    assert bench.verify(path, "--origin", book.origin, key=None).status == 0
    assert said(capsys, "trust", "add", bench.path("stranger.pub"))[0] == 0
    assert bench.verify(path, "--origin", book.origin, key=None).status == 0
    assert bench.verify(path, key=None).codes == ["key.not_pinned"]
    monkeypatch.setenv("NONO_VERIFY_KEY", bench.path("stranger.pub"))
    assert bench.verify(path, "--origin", book.origin, key=None).codes == ["key.not_pinned"]


def test_a_trust_store_that_cannot_be_read_is_not_in_the_way_of_a_key_that_is_named(
    bench: Bench, book: Book, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkdir(bench.path("configuration"))
    with open(bench.path("configuration/nono"), "w", encoding="utf-8"):
        monkeypatch.setenv("XDG_CONFIG_HOME", bench.path("configuration"))
    path = bench.write(book)
    status, out, err = said(capsys, path)
    assert (status, err) == (2, "")
    assert "cannot read the trust store" in out
    assert out.endswith("  hint: pin a key with -k FILE, or see whether HOME is another user's\n")
    assert said(capsys, path, "-k", bench.path("key.pub"))[0] == 0


@pytest.mark.skipif(sys.platform == "win32", reason="another place there")
def test_the_trust_store_is_never_in_the_folder_at_hand() -> None:
    assert trust.directory({"XDG_CONFIG_HOME": "/c", "HOME": "/h"}) == "/c/nono/trust"
    assert trust.directory({"XDG_CONFIG_HOME": "", "HOME": "/h"}) == "/h/.config/nono/trust"
    assert trust.directory({"XDG_CONFIG_HOME": "config", "HOME": "/h"}) == "/h/.config/nono/trust"
    # Without a HOME that names a place it is the account's, where nono keeps its keys as well.
    pwd = pytest.importorskip("pwd")
    own = f"{pwd.getpwuid(os.getuid()).pw_dir}/.config/nono/trust"
    for home in ({"HOME": "."}, {"HOME": ""}, {}):
        assert trust.directory({"XDG_CONFIG_HOME": "config", **home}) == own


@pytest.mark.skipif(sys.platform != "linux", reason="nono runs on Linux")
@pytest.mark.parametrize("home", [None, "", "relative", "/h"])
def test_the_trust_store_is_where_nono_puts_its_keys(
    monkeypatch: pytest.MonkeyPatch, home: str | None
) -> None:
    from runtime.secrets import key_files
    from store import locations

    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.delenv("HOME", raising=False)
    if home is not None:
        monkeypatch.setenv("HOME", home)
    ours = os.path.dirname(key_files.trusted_path(KEY.public, locations.config_directory()))
    assert trust.directory(os.environ) == os.fsdecode(ours)


def test_a_fingerprint_of_too_few_digits_is_called_that(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = said(capsys, "trust", "remove", "d43a")
    assert (status, out) == (2, "")
    assert err == (
        "not checked: d43a is too little of a fingerprint: at least 8 digits are needed\n"
        "  hint: nono-verify trust list shows them\n"
    )
    help_text = " ".join(said(capsys, "trust", "--help")[1].split())
    assert "8 or more of the fingerprint's first digits" in help_text
    assert "nono-verify trust add ci.pub" in help_text


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("x.db",)], ids=" ".join)
def test_what_cannot_be_written_is_not_always_a_verdict(arguments: tuple[str, ...]) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "verify", *arguments],
            check=False,
            stdout=full,
            stderr=subprocess.PIPE,
            cwd=ROOT,
        )
    assert done.returncode == 2
    assert done.stderr == b"not checked: standard output cannot be written: No space left on device\n"


def test_a_key_that_lies_beside_the_ledger_is_not_taken(bench: Bench, book: Book) -> None:
    path = bench.write(book)
    for name in ("ledger.pub", os.path.basename(path) + ".pub", "default.pub"):
        with open(bench.path(name), "wb") as file:
            file.write(KEY.public.pem())
    assert bench.verify(path, key=None).codes == ["key.none_pinned"]


HOSTILE = "\x1b]0;owned\x07\x1b[2J\r\n::error::x\u202eevil\u2028\u0085\x9b31m\u034f\u3164\u2800\ud800"


def test_what_is_not_printable_is_escaped() -> None:
    shown = render.printable(HOSTILE)
    assert is_printable(shown)
    assert shown == (
        "\\x1b]0;owned\\x07\\x1b[2J\\x0d\\x0a::error::x\\u202eevil\\u2028\\x85\\x9b31m\\u034f\\u3164\\u2800\\ud800"
    )
    assert render.printable("plain ünïcode / 日本") == "plain ünïcode / 日本"


def test_control_characters_of_a_ledger_never_reach_the_terminal(
    bench: Bench, new_book: Callable[..., Book]
) -> None:
    book = new_book()
    text = HOSTILE[:-1]
    book.add(text, "x" * 32, {"a": text})
    book.add("launch.intent", text, {text[2:5]: text})
    book.bodies.append(("{" + text).encode())
    path = bench.write(book)
    evil = bench.path("evil\x1b[2J\n.db")
    os.rename(path, evil)
    for found in (bench.verify(evil), bench.verify(evil + "\x07")):
        assert all(is_printable(line) for line in found.text.split("\n"))
        assert found.status in {1, 2}


def test_json_is_one_line_of_ascii(bench: Bench, book: Book) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "verify", bench.write(book), "--format", "json"],
        check=False, capture_output=True, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 3
    assert done.stdout.isascii()
    assert done.stdout.count(b"\n") == 1
    assert json.loads(done.stdout)["verdict"] == "not-met"


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are text elsewhere")
def test_a_path_that_is_not_utf_8_has_its_form_in_json(
    bench: Bench, book: Book, capsys: pytest.CaptureFixture[str]
) -> None:
    with open(os.path.join(ROOT, "verify", "schemas", "verdict.json"), encoding="utf-8") as file:
        validator = jsonschema.Draft202012Validator(json.load(file))
    path, key = bench.write(book), bench.path("k\udcff.pub")
    with open(key, "wb") as file:
        file.write(KEY.public.pem())
    status, out, _ = said(capsys, path, "-k", key, "--format", "json")
    document = orjson.loads(out)  # which takes no lone surrogate
    validator.validate(document)
    assert status == 0
    assert canonical.text_bytes(document["pins"][0]["source"]) == os.fsencode(key)
    for line in ((path, "-k", bench.path("none\udcff")), (bench.path("none\udcff"), "-k", key)):
        status, out, _ = said(capsys, *line, "--format", "json")
        document = orjson.loads(out)
        validator.validate(document)
        assert status == 2


def test_a_terminal_that_knows_ascii_only(bench: Bench, book: Book) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "verify", bench.write(book), "-k", bench.path("key.pub")],
        check=False, capture_output=True, cwd=ROOT, env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"verified: ")


def test_a_reader_that_goes_away(bench: Bench, book: Book) -> None:
    read, write = os.pipe()
    os.close(read)
    with subprocess.Popen(
        [sys.executable, "-m", "verify", bench.write(book), "-k", bench.path("key.pub")],
        stdout=write, stderr=subprocess.PIPE, cwd=ROOT,
    ) as process:  # fmt: skip
        os.close(write)
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert process.returncode == 2


class PanicError(BaseException):
    """What a library in Rust raises when it panics is no Exception either."""


@pytest.mark.parametrize(
    "error",
    [RuntimeError("a\x1b[2Jb"), MemoryError(), ImportError("no apsw"), KeyError("x"), PanicError("in Rust")],
)
def test_a_fault_of_the_verifier_is_no_tampering(
    bench: Bench,
    book: Book,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    path = bench.write(book)
    with monkeypatch.context() as patch:
        patch.setattr(ledger, "verify", fail)
        found = bench.verify(path)
    code = "input.memory" if isinstance(error, MemoryError) else "input.unexpected"
    assert (found.status, found.codes) == (2, [code])
    assert all(line.isprintable() for line in found.text.splitlines())
    with monkeypatch.context() as patch:
        patch.setattr(trust, "load", fail)
        status, out, err = said(capsys, "trust", "list")
    assert (status, out) == (2, "")
    assert err.startswith("not checked: ")


def test_python_memory_that_runs_out_is_no_tampering(
    bench: Bench, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Launches, "add", fail)
    assert bench.verify(bench.write(book)).codes == ["input.memory"]
