"""Secrets leave the command line before it is recorded: each entry of each list, and the space between."""

from __future__ import annotations

import base64
import json
import random
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attest import canonical
from runtime.errors import UsageError
from runtime.secrets.redaction import RULES, Redactor
from runtime.secrets.redaction_policy import DEFAULT, Policy

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


def redact_command(
    argv: list[bytes], policy: Policy = DEFAULT, variables: dict[bytes, bytes] | None = None
) -> list[Any]:
    return Redactor(policy, variables).command(argv)


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


def test_the_lists_hold_those_of_the_design() -> None:
    assert set(FLAGS.encode().split()) <= DEFAULT.flags
    assert set(HEADERS.encode().split()) <= DEFAULT.headers
    assert set(QUERY_KEYS.encode().split()) <= DEFAULT.query_keys
    assert set(ENVIRONMENT.lower().encode().split()) <= DEFAULT.environment


def test_the_default_is_made_of_names_that_a_user_could_give_too() -> None:
    assert DEFAULT.extended(**DEFAULT.names()) == DEFAULT


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
    assert redact(f"https://h/?{key}x=v") == [f"https://h/?{key}x=v"]
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
        *(
            ",--token",
            "--token ",
            "--token '",
            '--token="\\',
            '--token \\"',
            "--token $(",
            "x=--token=",
            "--a-token=",
        ),
        *("-u ", "curl -u", "-uaa:", "mysql -p", "config set token ", "; ", "docker "),
        *("://", "cookie:", "a:", " :", "password:", "password: '", '"password":', "\ntoken: x"),
        *("?token=", "a" * 50 + "=", "a=", "key=", "&key=a", "key=a&&", "x@"),
        *("GH_TOKEN='", "token=", "token =", "token = '", "\ntoken = x", "$(", "`", "'\"", "]=", "token=="),
        *("ghp_", "%ghp_", "sk-", "sk_live_", "AKIA", "eyJ", "eyJ.", "eyJaaaaaaaaaa.", "eyJ" + "a" * 20),
        *("-----BEGIN ", "-----BEGIN PRIVATE KEY-----", "hooks.slack.com/services/"),
    ],
)
def test_time_grows_with_the_length_only(pattern: str) -> None:
    # An eight times longer argument takes eight times as long; 64 times would be quadratic.
    assert seconds(pattern, 32_000) < 24 * max(seconds(pattern, 4_000), 0.0005)


def seconds(pattern: str, length: int) -> float:
    argument = (pattern * (length // len(pattern))).encode()
    times = []
    for _ in range(3):
        started = time.process_time()
        redact("-c", argument)
        times.append(time.process_time() - started)
    return min(times)


FRAGMENTS = [
    *("--token", "-u", "-pX", "curl", "mysql", "docker", "login", "config", "set", "token"),
    *("password", "Cookie:", '"key":', "'secret'", "https://", "@", "?", "&", "&&", ";", "=", "=="),
    *(":", "::", "-", ",", "{", "}", "[", "]", "(", ")", "$(", "${", "$", "\\", '\\"', "'", '"'),
    *("`", "<", ">", "|", "#", "%", "%3D", "ghp_", "sk-", "eyJ", ".", "AKIA", "api_key=", "TOKEN="),
    *("x", "/", "-----BEGIN PRIVATE KEY-----", "-----", " ", "\n", "\t", "aaaaaaaaaaaaaaaaaaaa"),
    *("\ntoken: ", "\ntoken = "),
]


def test_time_grows_with_the_length_only_whatever_is_repeated() -> None:
    source = random.Random(3)
    for _ in range(60):
        pattern = "".join(source.choices(FRAGMENTS, k=source.randint(1, 5)))
        ratio = seconds(pattern, 16_000) / max(seconds(pattern, 2_000), 0.0005)
        assert ratio < 24, (pattern, ratio)


def test_a_policy_can_be_widened() -> None:
    policy = DEFAULT.extended(
        flags=[b"--Pin"], headers=[b"X-Mine"], query_keys=[b"Card"], environment=[b"MY_PIN", b"*_CODE"]
    )
    argv = [b"p", b"--pin", b"1", b"x-mine: 2", b"/?card=3", b"MY_PIN=4", b"--token", b"5", b"A_CODE=1"]
    assert not set(b"12345") & set(everything(redact_command(argv, policy)))
    assert policy.difference() == {
        "added": {
            "environment": ["*_code", "my_pin"],
            "flags": ["--pin"],
            "headers": ["x-mine"],
            "query_keys": ["card"],
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
    # What another name covers would go on being taken out, which is not what was asked for.
    with pytest.raises(UsageError, match=r"\*token still covers gh_token") as refused:
        DEFAULT.unsafe_without(environment=[b"GH_TOKEN"])
    assert refused.value.hint == "remove that too"
    kept = DEFAULT.unsafe_without(environment=[b"GH_TOKEN", b"*token"])
    assert redact_command([b"env", b"GH_TOKEN=1", b"GITHUB_TOKEN=2"], kept) == [
        "env",
        "GH_TOKEN=1",
        {"parts": ["GITHUB_TOKEN=", {"redacted": "environment"}]},
    ]
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
        {"environment": [b"A*"]},
        {"environment": [b"*"]},
        {"environment": [b"*_"]},
        {"flags": [b"*token"]},
        {"flags": [b"--a,b"]},
        {"headers": [b"a[b"]},
    ],
)
def test_what_is_no_name_is_refused(names: dict[str, list[bytes]]) -> None:
    with pytest.raises(UsageError):
        DEFAULT.extended(**names)


TOKENS = [
    *(
        "ghp_",
        "gho_",
        "ghu_",
        "ghs_",
        "ghr_",
        "github_pat_11ABCDEFG0_",
        "glpat-",
        "gldt-",
        "npm_",
        "pypi-AgEIcHlwaS5vcmc",
    ),
    *(
        "sk-",
        "sk-ant-api03-",
        "sk-proj-",
        "sk-or-v1-",
        "sk_live_",
        "rk_test_",
        "AIza",
        "hf_",
        "gsk_",
        "ya29.",
        "hvs.",
    ),
    *(
        "xoxb-1234567890-",
        "xoxp-1234567890-",
        "xoxa-2-",
        "xoxr-",
        "xoxs-",
        "xapp-1-A",
        "dckr_pat_",
        "GOCSPX-",
    ),
    *("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.", "api.telegram.org/bot12345:", "tskey-auth-"),
]
BODY = "4f7Kq" * 8


@pytest.mark.parametrize("prefix", TOKENS)
@pytest.mark.parametrize(
    "around", ["{}", "say {} twice", '"{}"', "a={}", "a%3D{}&b", "a\\n{}", "({})", "x,{},y", "/{}/x", "my_{}"]
)
def test_a_token_is_known_by_its_form(prefix: str, around: str) -> None:
    token = prefix + BODY
    before, after = around.split("{}")
    recorded = redact("echo", around.format(token))[1]
    expected = [part for part in (before, {"redacted": "token-shape"}, after) if part]
    assert recorded == ({"parts": expected} if len(expected) > 1 else expected[0])


@pytest.mark.parametrize(
    "prefix", ["ghp_", "github_pat_", "sk-", "sk-ant-", "AKIA", "xoxb-", "eyJhbGci.", "npm_", "AIza"]
)
def test_a_prefix_alone_is_no_token(prefix: str) -> None:
    assert redact(prefix) == [prefix]
    assert redact(f"{prefix}x") == [f"{prefix}x"]


def test_key_ids_of_aws_have_one_length() -> None:
    for kind in ("AKIA", "ASIA"):
        assert redact(f"{kind}IOSFODNN7EXAMPLE") == [{"redacted": "token-shape"}]
        for other in (f"{kind}IOSFODNN7EXAMPL", f"{kind}IOSFODNN7EXAMPLES", f"X{kind}IOSFODNN7EXAMPLE"):
            assert redact(other) == [other]


@pytest.mark.parametrize(
    "word",
    [
        "sk-add-support-for-password-login",
        "sk-2024-01-31-rework-the-login-page",
        "task-4f7Kq4f7Kq4f7Kq4f7Kq4f7Kq",
        "npm_config_registry",
        "eyJhbGciOiJIUzI1NiJ9",
        "foo.bar.eyJ",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "-----BEGIN PUBLIC KEY-----",
        "4f7Kq" * 20,
    ],
)
def test_what_looks_a_little_like_a_token_is_kept(word: str) -> None:
    assert redact(word) == [word]


@pytest.mark.parametrize(
    "label", ["PRIVATE KEY", "RSA PRIVATE KEY", "OPENSSH PRIVATE KEY", "PGP PRIVATE KEY BLOCK"]
)
def test_private_keys(label: str) -> None:
    key = f"-----BEGIN {label}-----\n{SECRET}\n-----END {label}-----"
    taken = {"redacted": "token-shape"}
    assert redact(f"echo '{key}' > k") == [{"parts": ["echo '", taken, "' > k"]}]
    assert redact(key.replace("\n", "\\n") + " x") == [{"parts": [taken, " x"]}]
    # Cut before its end, all the rest is the key.
    assert redact(f"a{key[:-6]}") == [{"parts": ["a", taken]}]
    assert redact(f"a-----BEGIN {label}-----{SECRET}") == [{"parts": ["a", taken]}]
    other = "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n"
    assert redact(other + key) == [{"parts": [other, taken]}]


@pytest.mark.parametrize(
    ("argv", "rule"),
    [
        (["curl", "-u", "@"], "credentials"),
        (["curl", "-u@"], "credentials"),
        (["curl", "-sSu", "@"], "credentials"),
        (["curl", "-sSu@"], "credentials"),
        (["curl", "--user", "@"], "credentials"),
        (["curl", "--user=@"], "credentials"),
        (["curl", "-U", "@"], "credentials"),
        (["/usr/bin/curl", "--proxy-user", "@"], "credentials"),
        (["./unknown", "-u", "@"], "credentials"),
        (["docker", "run", "-u", "1:1", "image", "curl", "-u", "@"], "credentials"),
        (["sh", "-c", "docker run -u node:node x; curl -u '@' y"], "credentials"),
        (["sh", "-c", "./fetch -u @"], "credentials"),
        (["sh", "-c", "docker ps\n./fetch -u @"], "credentials"),
        (["mysql", "-p@"], "flag"),
        (["sh", "-c", "mysql -p'@' app"], "flag"),
        (["sshpass", "-p", "@", "ssh", "-p", "22", "host"], "flag"),
        (["docker", "login", "-p", "@"], "flag"),
        (["unknown", "--api_key", "@"], "flag"),
        (["unknown", "-db-password=@"], "flag"),
        (["sh", "-c", "x --token \\\n  @"], "flag"),
        (["aws", "configure", "set", "aws_secret_access_key", "@"], "environment"),
    ],
)
def test_options_that_some_programs_have(argv: list[str], rule: str) -> None:
    secret = f"ann:{SECRET}" if rule == "credentials" else SECRET
    recorded = redact_command([argument.replace("@", secret).encode() for argument in argv])
    assert SECRET.encode() not in everything(recorded)
    assert json.dumps(recorded).count('{"redacted"') == 1
    assert f'{{"redacted": "{rule}"}}' in json.dumps(recorded)


@pytest.mark.parametrize(
    "argv",
    [
        ["docker", "run", "-u", "node:node", "--user=1000:1000", "image"],
        ["docker", "run", "--name", "mongo", "-p", "27017:27017", "mongo"],
        ["./unknown", "-u", "1000:1000"],
        ["./unknown", "-u", "ann"],
        ["date", "-u", "+%H:%M"],
        ["git", "push", "-u", "git@host:x.git", "a:b"],
        ["ssh", "-p", "2222", "host"],
        ["mysql", "-p", "app"],
        ["openssl", "req", "-keyout", "k.pem", "-passin", "env:PW"],
        ["psql", "--no-password", "app"],
        ["docker", "login", "--password-stdin", "host"],
        ["git", "commit", "-m", "set token expiry to a day"],
        ["gh", "secret", "set", "GITHUB_TOKEN", "--repo", "acme/app"],
        ["curl", "-b", "cookies.txt"],
        ["sh", "-c", "make && state=1 ./x; code=$?"],
        ["sh", "-c", 'if [ "$TOKEN" == "" ]; then exit; fi'],
        ["grep", "-rn", "password", "."],
        ["x", "https://git@host/x.git", "git+https://git@host/y"],
    ],
)
def test_what_only_looks_like_an_option_with_a_secret_is_kept(argv: list[str]) -> None:
    assert redact_command([argument.encode() for argument in argv]) == argv


@pytest.mark.parametrize(
    "script",
    [
        'curl -H "Authorization: Bearer $TOKEN" https://h',
        "deploy --token ${GITHUB_TOKEN} --password=$PASSWORD",
        'deploy --token "$(cat /run/secrets/token)" now',
        "TOKEN=$(gh auth token) deploy",
        "export API_KEY=$api_key",
        'curl -u "$USER:$PASSWORD" https://h',
        "git clone https://x:${TOKEN}@h/x.git",
        "curl 'https://h/?token=${TOKEN}&a=1'",
        "client(api_key=os.environ['KEY'], token=os.getenv('T'))",
        "{'Authorization': f'Bearer {token}', 'password': None}",
        "env:\n  GITHUB_TOKEN: ${{ secrets.GITHUB_TOKEN }}\n",
        "class A:\n  password: str\n  token: Optional[str]\n  secret = request.secret\n",
    ],
)
def test_where_a_secret_is_may_be_known(script: str) -> None:
    assert redact_command([b"bash", b"-c", script.encode()]) == ["bash", "-c", script]


@pytest.mark.parametrize(
    "script",
    [
        "deploy --token $ecret-hunter2",
        "deploy --token '$(echo hunter2)'",
        'curl -H "Authorization: Basic $(echo -n ann:hunter2 | base64)" x',
        "deploy --token $(printf %s hunter2) x",
        "deploy --password ${A:-hunter2}",
        "PASSWORD=hunter2$HOME x",
        "curl -u $USER:hunter2 x",
        "git clone https://$USER:hunter2@h/x",
    ],
)
def test_what_only_begins_like_a_reference_is_taken_out(script: str) -> None:
    assert b"hunter2" not in everything(redact_command([b"bash", b"-c", script.encode()]))


def test_as_an_argument_of_its_own_nothing_is_a_reference() -> None:
    # No shell has seen it, so it is what it says.
    assert redact("--token", "$TOKEN") == ["--token", {"redacted": "flag"}]
    assert redact("--token=$TOKEN") == [{"parts": ["--token=", {"redacted": "flag"}]}]
    assert redact("PASSWORD=$ECRET") == [{"parts": ["PASSWORD=", {"redacted": "environment"}]}]


def test_the_first_word_of_a_script_is_not_all_of_it() -> None:
    script = f"GITHUB_TOKEN={SECRET} gh pr list"
    parts = ["GITHUB_TOKEN=", {"redacted": "environment"}]
    assert redact_command([b"env", script.encode()])[1] == {"parts": parts}
    for argv in (
        [b"sh", b"-c"],
        [b"/bin/bash", b"-euxc"],
        [b"sudo", b"dash", b"-lc"],
        [b"python3.11", b"-c"],
    ):
        assert redact_command([*argv, script.encode()])[-1] == {"parts": [*parts, " gh pr list"]}


@pytest.mark.parametrize(
    "text",
    [
        '{"user": "a", "password": "@", "b": 1}',
        '{"api-key":"@"}',
        "{'token' : '@'}",
        '{\\"secret\\":\\"@\\"}',
        "{password: '@'}",
        '{"password": @}',
        "[{'apiKey': u'@'}]",
        "API_TOKEN:@",
        "a:\n  password: @\n  b: c",
        "[db]\npassword = @\n",
        "x['MY_TOKEN'] = '@'",
        "token = '@'",
    ],
)
def test_members_and_settings(text: str) -> None:
    parts = text.split("@")
    recorded = redact("-d", text.replace("@", SECRET))[1]["parts"]
    assert SECRET.encode() not in everything(recorded)
    assert "".join(part for part in recorded if isinstance(part, str)) == "".join(parts)


def test_values_of_the_environment_are_taken_out_wherever_they_stand() -> None:
    variables = {
        b"GITHUB_TOKEN": b"opaque-1234",
        b"DB_PASSWORD": b"longer-opaque-1234",
        b"APP_TOKEN": b"short",
        b"PGPASSWORD": b"postgres",
        b"EDITOR": b"/usr/bin/vi-editor",
        b"A_SECRET": b"\xff\xfe-not-text",
        b"ONE_SECRET": b"averylongwordofletters",
        b"MY_PIN": b"12345678",
    }
    argv = [b"x", b"a=longer-opaque-1234.", *variables.values(), b"opaque-1234opaque-1234"]
    gone = {"redacted": "environment"}
    kept = ["short", "postgres", "/usr/bin/vi-editor"]
    assert redact_command(argv, DEFAULT, variables) == [
        "x",
        {"parts": ["a=", gone, "."]},
        gone,
        gone,
        *kept,
        gone,
        gone,
        "12345678",
        {"parts": [gone, gone]},
    ]
    narrowed = DEFAULT.unsafe_without(environment=[b"*token", b"github_token"])
    assert redact_command([b"x", b"opaque-1234"], narrowed, variables) == ["x", "opaque-1234"]
    assert (
        redact_command([b"x", b"12345678"], DEFAULT.extended(environment=[b"my_pin"]), variables)[1] == gone
    )


def test_a_sentence_loses_what_it_quotes() -> None:
    redactor = Redactor(DEFAULT, {b"A_TOKEN": SECRET.encode()})
    gone = "\u2039redacted\u203a"
    assert (
        redactor.sentence("command not found: GITHUB_TOKEN=abc") == f"command not found: GITHUB_TOKEN={gone}"
    )
    assert redactor.sentence(f"no ghp_{BODY} here, nor {SECRET}") == f"no {gone} here, nor {gone}"
    assert redactor.sentence("no such file: /a\udcff/b\u00fc") == "no such file: /a\udcff/b\u00fc"


def test_what_would_be_taken_out_is_found_in_other_texts() -> None:
    redactor = Redactor(DEFAULT, {b"A_TOKEN": SECRET.encode()})
    assert redactor.finds_in(SECRET.encode())
    assert redactor.finds_in(b"ghp_" + BODY.encode())
    assert not redactor.finds_in(b"build 42 of main")
