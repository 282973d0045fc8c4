"""Secrets leave the command line before it is recorded: each entry of each list, and the space between."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attest import canonical
from runtime.errors import UsageError
from runtime.redaction import DEFAULT, RULES, redact_command

SECRET = "hunter2-SECRET"  # long and odd enough to occur nowhere by itself

# Design 7, "Redaction lists", word by word.
FLAGS = "--token --password --api-key --apikey --secret --auth --bearer --access-token --client-secret"
HEADERS = "authorization proxy-authorization x-api-key x-auth-token cookie set-cookie"
QUERY_KEYS = "token access_token api_key apikey key secret password code state nonce client_secret"
ENVIRONMENT = (
    "ANTHROPIC_API_KEY AZURE_OPENAI_API_KEY COHERE_API_KEY GEMINI_API_KEY GOOGLE_API_KEY "
    "MISTRAL_API_KEY OPENAI_API_KEY TOGETHER_API_KEY AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN GH_TOKEN "
    "GITHUB_TOKEN HUGGINGFACE_API_TOKEN NONO_PROXY_TOKEN"
)


def redact(*arguments: str | bytes) -> list[Any]:
    argv = [argument.encode() if isinstance(argument, str) else argument for argument in arguments]
    return redact_command([b"program", *argv])[1:]


def everything(recorded: list[Any]) -> bytes:
    """Return all bytes that the recorded form gives away."""
    found = b""
    for value in recorded:
        if isinstance(value, str):
            found += value.encode() + b"\n"
        elif "base64" in value:
            found += base64.b64decode(value["base64"]) + b"\n"
        elif "parts" in value:
            found += everything(value["parts"])
    return found


def test_the_lists_are_those_of_the_design() -> None:
    assert DEFAULT.flags == set(FLAGS.encode().split())
    assert DEFAULT.headers == set(HEADERS.encode().split())
    assert DEFAULT.query_keys == set(QUERY_KEYS.encode().split())
    assert DEFAULT.environment == set(ENVIRONMENT.lower().encode().split())


def test_the_rules_are_those_of_the_schema() -> None:
    common = Path(canonical.__file__).parent / "schemas" / "common.json"
    schema = json.loads(common.read_text())["$defs"]["redacted"]
    assert list(RULES) == schema["properties"]["redacted"]["enum"]


@pytest.mark.parametrize("flag", FLAGS.split() + FLAGS.upper().split() + FLAGS.title().split())
def test_flags(flag: str) -> None:
    assert redact(flag, SECRET, "after") == [flag, {"redacted": "flag"}, "after"]
    assert redact(f"{flag}={SECRET} x") == [{"parts": [f"{flag}=", {"redacted": "flag"}]}]
    assert redact(f"run {flag} {SECRET} x") == [{"parts": [f"run {flag} ", {"redacted": "flag"}, " x"]}]
    assert redact(f"{flag}=") == [f"{flag}="]
    assert redact(flag) == [flag]
    assert redact(f"{flag}-file", "name") == [f"{flag}-file", "name"]


@pytest.mark.parametrize("header", HEADERS.split() + HEADERS.title().split())
def test_headers(header: str) -> None:
    expected = [{"parts": [f"{header}: ", {"redacted": "header"}]}]
    assert redact("-H", f"{header}: Bearer {SECRET}")[1:] == expected
    assert redact("--header", f"{header}: {SECRET}")[1:] == expected
    assert redact(f"{header}: {SECRET}") == expected
    assert redact(f"-H{header}:{SECRET}") == [{"parts": [f"-H{header}:", {"redacted": "header"}]}]
    assert redact(f"--header={header}: {SECRET}") == [
        {"parts": [f"--header={header}: ", {"redacted": "header"}]}
    ]
    assert redact(f"{header}:") == [f"{header}:"]


@pytest.mark.parametrize("key", QUERY_KEYS.split() + QUERY_KEYS.upper().split())
def test_query_keys(key: str) -> None:
    redacted = {"redacted": "query"}
    assert redact(f"https://h/?{key}={SECRET}") == [{"parts": [f"https://h/?{key}=", redacted]}]
    assert redact(f"h/p?a=1&{key}={SECRET}&b=2#c") == [{"parts": [f"h/p?a=1&{key}=", redacted, "&b=2#c"]}]
    assert redact(f"https://h/#{key}={SECRET}") == [{"parts": [f"https://h/#{key}=", redacted]}]
    assert redact(f"https://h/?x{key}=v") == [f"https://h/?x{key}=v"]
    encoded = "%" + f"{ord(key[0]):02X}" + key[1:]
    assert SECRET.encode() not in everything(redact(f"https://h/?{encoded}={SECRET}"))


@pytest.mark.parametrize("name", ENVIRONMENT.split() + ENVIRONMENT.lower().split())
def test_environment(name: str) -> None:
    redacted = {"redacted": "environment"}
    assert redact(f"{name}={SECRET}", "command") == [{"parts": [f"{name}=", redacted]}, "command"]
    assert redact(f"-e{name}={SECRET}") == [{"parts": [f"-e{name}=", redacted]}]
    assert redact(f"--env={name}={SECRET}") == [{"parts": [f"--env={name}=", redacted]}]
    assert redact(name) == [name]


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("https://u:S@h/p", ["https://", "@h/p"]),
        ("https://S@h/p", ["https://", "@h/p"]),
        ("HTTPS://u:S@h:443", ["HTTPS://", "@h:443"]),
        ("https://u:S@S@h/p@2x", ["https://", "@h/p@2x"]),
        ("postgresql://u:S?S#S@h/db", ["postgresql://", "@h/db"]),
        ("git+https://u:S'S\"S@h", ["git+https://", "@h"]),
        ("ssh://git:S@h/p", ["ssh://", "@h/p"]),
        ("--url=https://u:S@h", ["--url=https://", "@h"]),
    ],
)
def test_userinfo(url: str, parts: list[str]) -> None:
    expected = [{"parts": [parts[0], {"redacted": "url-userinfo"}, parts[1]]}]
    assert redact(url.replace("S", SECRET) if "HTTPS" not in url else url) == expected


@pytest.mark.parametrize(
    "argument",
    [
        "https://host/path",
        "https://host/@scope/package",
        "https://host?email=a@b",
        "ssh://git@host/x",
        "git@host:x",
        "--max-tokens",
        "a=b",
        "key=value",
        "Content-Type: application/json",
        "tokens?",
        "",
        "zażółć",
    ],
)
def test_what_is_no_secret_is_kept(argument: str) -> None:
    assert redact(argument) == [argument]


def test_the_flag_after_a_flag_is_a_value_and_a_flag() -> None:
    assert redact("--token", "--password", SECRET) == ["--token", {"redacted": "flag"}, {"redacted": "flag"}]


def test_the_name_of_the_program_is_kept_as_typed() -> None:
    assert redact_command([b"--token", b"x"]) == ["--token", "x"]
    assert redact_command([b"bin/\xff"]) == [{"base64": "YmluL/8="}]
    assert redact_command([]) == []


def test_several_secrets_in_one_url() -> None:
    assert redact(f"https://u:{SECRET}@h/?token={SECRET}&a=1") == [
        {"parts": ["https://", {"redacted": "url-userinfo"}, "@h/?token=", {"redacted": "query"}, "&a=1"]}
    ]


def test_bytes_that_are_no_text() -> None:
    assert redact(b"--token=\xff\xfe") == [{"parts": ["--token=", {"redacted": "flag"}]}]
    assert redact(b"\xff?token=\xfe&x=\xfd") == [
        {"parts": [{"base64": "/z90b2tlbj0="}, {"redacted": "query"}, {"base64": "Jng9/Q=="}]}
    ]
    assert redact("--token", b"\xff") == ["--token", {"redacted": "flag"}]


S = SECRET


@pytest.mark.parametrize(
    "script",
    [
        f"curl -H 'Authorization: Bearer {S}' https://h && make",
        f'curl -H "Authorization: Digest a=\\"b\\", response=\\"{S}\\"" https://h',
        f"curl -HCookie:{S} x",
        f"deploy --token {S}; echo done",
        f"deploy --token '{S} {S}' && echo done",
        f'deploy --token="{S} {S}"; echo done',
        f"deploy --token   \\\n  {S}".replace("\\\n", ""),
        f'bash -c "deploy --password \\"{S} {S}\\" x"',
        f"export GITHUB_TOKEN={S} && gh pr list",
        f"A=1 GH_TOKEN='{S} {S}' gh pr list",
        f"wget 'https://h/x?access_token={S}' -O y",
        f"git clone https://oauth2:{S}@h/x.git y",
        f'["curl", "--token", "{S} {S}", "x"]',
        f'{{"Authorization": "Bearer {S}", "Accept": "*/*"}}',
        f"{{'headers': {{'X-Api-Key': '{S}'}}}}",
        f'{{\\"cookie\\": \\"{S}; b={S}\\"}}',
        f'Cookie: "a"; b={S}',
        f"printf 'X-Api-Key: {S}\\n'",
        f"a=1&token={S}&b=2",
        f"token={S}&b=2",
        f"a --token --token {S}",
        f"a --token --password {S}",
        f"a --token b,--token {S}",
        f"a '--token' '--token', '{S}'",
    ],
)
def test_inside_of_a_script(script: str) -> None:
    assert S in script
    recorded = redact("-c", script)
    assert S.encode() not in everything(recorded)
    assert canonical.encode(recorded)


@pytest.mark.parametrize("tail", [" && make", "; echo done", " | tee log"])
def test_the_rest_of_a_script_stays_readable(tail: str) -> None:
    for command in (f"d --token {S}", f"d --token='{S}'", f"sudo GH_TOKEN={S}", f"curl -H 'cookie: {S}'"):
        assert redact(command + tail)[0]["parts"][-1].endswith(tail)


VALUES = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20).map(str.encode),
    st.binary(max_size=20).map(lambda data: data.replace(b"\0", b"")),
).map(lambda rest: b"5EcrE7" + rest + b"7Erc5E")
# A character that ends a part of a URL cannot stand in that part.
URL_VALUES = VALUES.map(lambda value: bytes(byte for byte in value if byte not in b"/?#&@ \t\r\n\v\f"))
AROUND = st.one_of(
    st.binary(max_size=20).map(lambda data: data.replace(b"\0", b"")),
    st.sampled_from([b"", b"https://h/?a=1&b=", b"--token", b"--auth=x", b"cookie: y", b"-H", b"'", b'"']),
)


def cased(names: str) -> st.SearchStrategy[bytes]:
    return st.tuples(st.sampled_from(names.split()), st.booleans()).map(
        lambda pair: (pair[0].upper() if pair[1] else pair[0].lower()).encode()
    )


PLACED = st.one_of(
    st.tuples(cased(FLAGS), VALUES).map(lambda pair: ([pair[0], pair[1]], pair[1])),
    st.tuples(cased(FLAGS), VALUES).map(lambda pair: ([pair[0] + b"=" + pair[1]], pair[1])),
    st.tuples(st.sampled_from([b"", b"-H", b"--header="]), cased(HEADERS), VALUES).map(
        lambda triple: ([triple[0] + triple[1] + b": " + triple[2]], triple[2])
    ),
    st.tuples(cased(ENVIRONMENT), VALUES).map(lambda pair: ([pair[0] + b"=" + pair[1]], pair[1])),
    st.tuples(st.sampled_from([b"http://", b"ssh://", b"x://"]), URL_VALUES).map(
        lambda pair: ([pair[0] + b"u:" + pair[1] + b"@host/p?a=b"], pair[1])
    ),
    st.tuples(st.sampled_from([b"http://h/p?", b"/p?a=b&", b"http://h#"]), cased(QUERY_KEYS), URL_VALUES).map(
        lambda triple: ([triple[0] + triple[1] + b"=" + triple[2] + b"&z=1"], triple[2])
    ),
)


@given(st.lists(AROUND, max_size=3), PLACED, st.lists(AROUND, max_size=3))
def test_a_secret_in_its_place_never_comes_out(
    before: list[bytes], placed: tuple[list[bytes], bytes], after: list[bytes]
) -> None:
    arguments, secret = placed
    recorded = redact(*before, *arguments, *after)
    given_away = everything(recorded)
    assert secret not in given_away
    assert b"5EcrE7" not in given_away
    assert b"7Erc5E" not in given_away
    assert len(recorded) == len(before) + len(arguments) + len(after)
    canonical.encode(recorded)


@given(st.lists(AROUND, max_size=4))
def test_the_form_is_always_the_one_of_the_record(arguments: list[bytes]) -> None:
    for argument, value in zip(arguments, redact(*arguments), strict=True):
        if isinstance(value, dict) and "parts" in value:
            assert len(value["parts"]) >= 2
            assert "" not in value["parts"]
        elif isinstance(value, str) or "base64" in value:
            assert canonical.text_bytes(value) == argument


@pytest.mark.parametrize(
    "pattern",
    [
        ",--token",
        "--token ",
        "://",
        "--token '",
        '--token="\\',
        "cookie:",
        "?token=",
        "GH_TOKEN='",
        "a" * 50 + "=",
        "x@",
    ],
)
def test_time_grows_with_the_length_only(pattern: str) -> None:
    def seconds(length: int) -> float:
        argument = (pattern * (length // len(pattern))).encode()
        times = []
        for _ in range(3):
            started = time.process_time()
            redact(argument)
            times.append(time.process_time() - started)
        return min(times)

    # An eight times longer argument takes eight times as long; 64 times would be quadratic.
    assert seconds(64_000) < 24 * max(seconds(8_000), 0.0005)


def test_a_policy_can_be_widened() -> None:
    policy = DEFAULT.extended(
        flags=[b"--Pin"], headers=[b"X-Mine"], query_keys=[b"Sig"], environment=[b"MY_TOKEN"]
    )
    argv = [b"p", b"--pin", b"1", b"x-mine: 2", b"/?sig=3", b"MY_TOKEN=4", b"--token", b"5"]
    assert not set(b"12345") & set(everything(redact_command(argv, policy)))
    assert policy.difference() == {
        "added": {
            "environment": ["my_token"],
            "flags": ["--pin"],
            "headers": ["x-mine"],
            "query_keys": ["sig"],
        },
        "removed": {"environment": [], "flags": [], "headers": [], "query_keys": []},
    }


def test_a_short_flag_can_be_added() -> None:
    assert redact_command([b"mysql", b"-p", b"x"], DEFAULT.extended(flags=[b"-p"])) == [
        "mysql",
        "-p",
        {"redacted": "flag"},
    ]


def test_a_policy_is_narrowed_on_purpose_only() -> None:
    policy = DEFAULT.unsafe_without(flags=[b"--Auth"], query_keys=[b"code"])
    assert redact_command([b"p", b"--auth", b"/?code=1"], policy) == ["p", "--auth", "/?code=1"]
    difference = policy.difference()
    assert difference["removed"] == {
        "environment": [],
        "flags": ["--auth"],
        "headers": [],
        "query_keys": ["code"],
    }
    with pytest.raises(UsageError, match="--unknown"):
        DEFAULT.unsafe_without(flags=[b"--unknown"])
    assert DEFAULT.difference() == {
        side: {"environment": [], "flags": [], "headers": [], "query_keys": []}
        for side in ("added", "removed")
    }


@pytest.mark.parametrize(
    "names",
    [
        {"flags": [b"token"]},
        {"flags": [b"--"]},
        {"flags": [b"--a b"]},
        {"flags": [b"--a=b"]},
        {"headers": [b""]},
        {"headers": [b"a:"]},
        {"query_keys": [b"a&b"]},
        {"environment": [b"\xff"]},
        {"environment": [b"A\n"]},
        {"environment": [b"A" * 257]},
        {"environment": [b"A%d" % n for n in range(257)]},
    ],
)
def test_what_is_no_name_is_refused(names: dict[str, list[bytes]]) -> None:
    with pytest.raises(UsageError):
        DEFAULT.extended(**names)
