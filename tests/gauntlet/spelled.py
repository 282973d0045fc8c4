"""The same values in another spelling: an entry has one form, and what is signed in another is no entry."""

# ruff: noqa: E501  # a table with one row a line is easier to check than one that is wrapped

from __future__ import annotations

from typing import TYPE_CHECKING

from attest import entry
from tests.gauntlet.mutation import Mutation, ask
from tests.verify.conftest import INTENT, Book, session_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.gauntlet.mutation import Asked
    from tests.verify.conftest import Bench

SESSION = session_id(1)
VALUE = b'"start_time":100'


def put(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    return lambda body: body.replace(old, new)


SPELLINGS: list[tuple[str, str, str, Callable[[bytes], bytes]]] = [
    ("white space", "a second form of the same value", "entry.form", put(b'"v":1', b'"v": 1')),
    ("white space behind", "a second form of the same value", "entry.form", lambda body: body + b"\n"),
    ("white space before", "a second form of the same value", "entry.form", lambda body: b" " + body),
    ("a byte order mark", "a second form of the same value", "entry.form", lambda body: b"\xef\xbb\xbf" + body),
    ("a duplicate key", "one reader takes the first, one the second", "entry.form", lambda body: body[:-1] + b',"v":1}'),
    ("a duplicate key deep inside", "one reader takes the first, one the second", "entry.form", put(b'"run":"7"', b'"run":"8","run":"7"')),
    ("keys out of order", "a second form of the same value", "entry.form", lambda body: b'{"v":1,' + body[1:-7] + b"}"),
    ("a \\u form", "a second form of the same value", "entry.form", put(b"make", b"\\u006dake")),
    ("an escaped solidus", "a second form of the same value", "entry.form", put(b"/w/a", b"\\/w\\/a")),
    ("a \\u form of a control character in capitals", "a second form of the same value", "entry.form", put(b"make", b"\\u001F")),
    ("a float", "1.0 is another value to some readers", "entry.form", put(b'"v":1', b'"v":1.0')),
    ("a float deep inside", "1.0 is another value to some readers", "entry.form", put(VALUE, b'"start_time":100.0')),
    ("an exponent", "1e2 is another value to some readers", "entry.form", put(VALUE, b'"start_time":1e2')),
    ("minus zero", "-0 is another value to some readers", "entry.form", put(VALUE, b'"start_time":-0')),
    ("a leading zero", "no JSON at all, and taken by some readers", "entry.form", put(VALUE, b'"start_time":0100')),
    ("a plus sign", "no JSON at all, and taken by some readers", "entry.form", put(VALUE, b'"start_time":+100')),
    ("not a number", "no JSON at all, and taken by some readers", "entry.form", put(VALUE, b'"start_time":NaN')),
    ("2^53", "beyond it two integers are one float", "entry.form", put(VALUE, b'"start_time":9007199254740992')),
    ("2^64", "beyond what most readers hold", "entry.form", put(VALUE, b'"start_time":18446744073709551616')),
    ("-2^53", "beyond it two integers are one float", "entry.form", put(VALUE, b'"start_time":-9007199254740992')),
    ("a number below zero", "no clock starts there", "entry.schema", put(VALUE, b'"start_time":-1')),
    ("deep nesting", "a reader's stack is finite", "entry.form", put(b'"profile":[]', b'"profile":' + b"[" * 40 + b"]" * 40)),
    ("very deep nesting", "a reader's stack is finite", "entry.form", put(b'"profile":[]', b'"profile":' + b"[" * 20_000 + b"]" * 20_000)),
    ("a lone surrogate", "no text at all, and kept by some readers", "entry.form", put(b"make", b"\\ud800")),
    ("surrogates the wrong way round", "no text at all, and kept by some readers", "entry.form", put(b"make", b"\\udc00\\ud800")),
    ("a NUL that is not escaped", "what reads until the NUL sees another entry", "entry.form", put(b"make", b"ma\0ke")),
    ("a line end in a string", "no JSON at all, and taken by some readers", "entry.form", put(b"make", b"ma\nke")),
    ("a comment", "no JSON at all, and taken by some readers", "entry.form", lambda body: body + b"//x"),
    ("a trailing comma", "no JSON at all, and taken by some readers", "entry.form", lambda body: body[:-1] + b",}"),
    ("a second document", "a stream of entries in the place of one", "entry.form", lambda body: body + body),
    ("a key with a space", "keys are plain", "entry.form", put(b'"run":', b'"r n":')),
    ("a key that is not ASCII", "sorting differs by code unit and by code point", "entry.form", put(b'"run":', '"rün":'.encode())),
    ("an empty key", "keys are plain", "entry.form", put(b'"run":', b'"":')),
    ("needless base64", "two forms of one text", "entry.schema", put(b'"make"', b'{"base64":"bWFrZQ=="}')),
    ("base64 with stray bits", "two forms of the same bytes", "entry.schema", put(b'"make"', b'{"base64":"/x=="}')),
    ("base64 without padding", "two forms of the same bytes", "entry.schema", put(b'"make"', b'{"base64":"/w"}')),
    ("base64 of the URL alphabet", "two forms of the same bytes", "entry.schema", put(b'"make"', b'{"base64":"_w=="}')),
    ("a member too many", "a word that no schema knows", "entry.schema", put(b'"strategy"', b'"stranger":1,"strategy"')),
    ("a member too few", "a word that is left out", "entry.schema", put(b'"profile":[],', b"")),
    ("an array", "no entry", "entry.form", lambda _: b"[]"),
    ("a string", "no entry", "entry.form", lambda _: b'"entry"'),
    ("null", "no entry", "entry.form", lambda _: b"null"),
    ("nothing", "no entry", "entry.form", lambda _: b""),
    ("an empty object", "no entry", "entry.form", lambda _: b"{}"),
    ("a kind that is no string", "no entry", "entry.form", put(b'"kind":"launch.intent"', b'"kind":7')),
    ("no kind", "no entry", "entry.form", put(b'"kind":"launch.intent",', b"")),
    ("a true version", "true is 1 to some readers", "entry.form", put(b'"v":1', b'"v":true')),
    ("a day that does not exist", "a time that readers correct differently", "entry.schema", put(b"2026-11-24T", b"2026-11-31T")),
    ("a leap second", "a time that readers correct differently", "entry.schema", put(b"04:00:02.", b"04:00:60.")),
    ("another time zone", "a second form of the same time", "entry.schema", put(b"000Z", b"000+00:00")),
    ("a time without microseconds", "a second form of the same time", "entry.schema", put(b".000000Z", b"Z")),
    ("a session that is no UUIDv7", "an id of another making", "entry.schema", put(b"70008", b"40008")),
    ("a session in capitals", "a second form of the same id", "entry.schema", put(SESSION.encode(), (SESSION[:-1] + "A").encode())),
    ("no session", "an intent that belongs to nothing", "entry.schema", put(b'"session":"' + SESSION.encode() + b'"', b'"session":null')),
    ("another number", "an intent that is not the first of its session", "entry.schema", put(b'"seq":0', b'"seq":1')),
    ("too many bytes", "an entry that no tile format carries", "entry.size", put(b"make", b"m" * 65_536)),
]  # fmt: skip


def spelled(change: Callable[[bytes], bytes]) -> Callable[[Bench], Asked]:
    """Return a ledger of one intent, spelled otherwise before anything was hashed and signed."""

    def make(bench: Bench) -> Asked:
        book = Book()
        book.add(entry.INTENT, SESSION, INTENT)
        true = book.bodies[1]
        book.bodies[1] = change(true)
        assert book.bodies[1] != true
        return ask(bench, bench.write(book))

    return make


def no_text(data: bytes) -> Callable[[Bench], Asked]:
    """Return a ledger with bytes in an entry that are no UTF-8."""

    def make(bench: Bench) -> Asked:
        book = Book()
        book.add(entry.INTENT, SESSION, INTENT)
        body = book.bodies[1].replace(b"make", data)
        path = bench.write(book)
        bench.alter(path, ("UPDATE entry SET body = CAST(? AS TEXT) WHERE idx = 1", (body,)))
        return ask(bench, path)

    return make


NO_TEXT = {
    "a byte that never is": b"\xff",
    "an overlong form": b"\xc0\x80",
    "a surrogate": b"\xed\xa0\x80",
    "beyond Unicode": b"\xf4\x90\x80\x80",
    "a continuation alone": b"\x80",
}

MUTATIONS = [
    *(Mutation(f"an entry: {name}", why, 1, frozenset({code}), spelled(change), index=1) for name, why, code, change in SPELLINGS),
    *(Mutation(f"an entry that is no UTF-8: {name}", "readers replace it, each in its own way", 1, frozenset({"entry.form", "tree.root"}), no_text(data)) for name, data in NO_TEXT.items()),
]  # fmt: skip
"""The rows of this part."""
