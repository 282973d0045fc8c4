"""``nono audit send``: to a receiver on loopback, with and without TLS, that takes, waits or refuses."""

from __future__ import annotations

import contextlib
import datetime
import http.server
import ipaddress
import json
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from runtime import cli
from runtime.cli import otlp_sending
from runtime.errors import CollectorError
from tests.cli.test_audit_export import ledger
from verify.exports import otlp

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["ledger"]  # the fixture
Capture = pytest.CaptureFixture[str]


class Receiver(http.server.ThreadingHTTPServer):
    """A collector.

    Attributes:
        answers: status, headers and body of the next answers; then 200.
        requests: path, headers and body of what came.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_side=True)
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        self.requests: list[tuple[str, dict[str, str], bytes]] = []

    def url(self, scheme: str = "http") -> str:
        return f"{scheme}://127.0.0.1:{self.server_port}"

    def indices(self) -> list[int]:
        """Return the indices of the records that were taken, each read as OTLP."""
        found = []
        for _, _, body in self.requests:
            document = json.loads(body)
            for logs in document["resourceLogs"]:
                for log in logs["scopeLogs"][0]["logRecords"]:
                    log.pop("traceId", None)  # hex here, base64 in the JSON of Protocol Buffers
            for logs in json_format.ParseDict(document, ExportLogsServiceRequest()).resource_logs:
                (record,) = logs.scope_logs[0].log_records
                found += [each.value.int_value for each in record.attributes if each.key == "nono.index"]
        return found

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of connections that the other end closed."""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        status, headers, answer = self.server.answers.pop(0) if self.server.answers else (200, {}, b"{}")
        if status == 200:
            self.server.requests.append((self.path, {**self.headers}, body))
        if status == 0:
            self.close_connection = True
            return
        self.send_response(status)
        for name, value in {"Content-Length": str(len(answer)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002  # as the base class has it
        """Say nothing."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with serving(Receiver()) as found:
        yield found


class serving:  # noqa: N801  # used as a function
    def __init__(self, receiver: Receiver) -> None:
        self.receiver = receiver
        self.thread = threading.Thread(target=receiver.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> Receiver:
        self.thread.start()
        return self.receiver

    def __exit__(self, *_: object) -> None:
        self.receiver.shutdown()
        self.receiver.server_close()
        self.thread.join()


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp_sending, "FIRST_WAIT_SECONDS", 0.001)
    monkeypatch.setattr(otlp_sending, "MAX_WAIT_SECONDS", 0.01)


def send(capfd: Capture, *arguments: str) -> tuple[int, str, str]:
    try:
        status = cli.main(["audit", "send", *arguments])
    except SystemExit as stop:
        status = int(stop.code or 0)
    captured = capfd.readouterr()
    return status, captured.out, captured.err


def test_every_entry_arrives_once(
    ledger: Path, receiver: Receiver, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "Bearer s3cr3t")
    status, out, err = send(capfd, "--otlp", receiver.url(), "--header-env", "authorization=SECRET")
    assert (status, err) == (0, "")
    assert out.startswith("verified: ")
    assert f"exported: 9 records as otlp to {receiver.url()}/v1/logs" in out
    assert "s3cr3t" not in out
    assert receiver.indices() == list(range(9))
    ((path, headers, _),) = receiver.requests
    assert (path, headers["authorization"]) == ("/v1/logs", "Bearer s3cr3t")
    assert headers["Content-Type"] == "application/json"


def test_many_records_are_several_requests(
    ledger: Path, receiver: Receiver, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(otlp_sending, "MAX_RECORDS", 4)
    assert send(capfd, "--otlp", f"{receiver.url()}/a/b", "--with-proofs")[0] == 0
    assert [len(json.loads(body)["resourceLogs"]) for _, _, body in receiver.requests] == [4, 4, 1]
    assert {path for path, _, _ in receiver.requests} == {"/a/b"}
    monkeypatch.setattr(otlp_sending, "MAX_BYTES", 1)
    assert send(capfd, "--otlp", receiver.url(), "--kind", "launch.start")[0] == 0
    assert receiver.indices()[9:] == [2, 6]


def test_a_busy_collector_is_asked_again_and_not_for_ever(
    ledger: Path, receiver: Receiver, capfd: Capture
) -> None:
    receiver.answers = [(503, {}, b""), (429, {"Retry-After": "999999"}, b""), (0, {}, b""), (504, {}, b"")]
    assert send(capfd, "--otlp", receiver.url())[0] == 0
    assert receiver.indices() == list(range(9))
    receiver.answers = [(503, {"Retry-After": "soon"}, b"")] * 9
    status, out, err = send(capfd, "--otlp", receiver.url())
    assert (status, out) == (2, "")
    assert err.startswith(f"not checked: {receiver.url()}/v1/logs did not take the records: it answers 503")
    assert "(5 attempts); 0 were delivered before that" in err
    assert len(receiver.answers) == 4


@pytest.mark.parametrize("status", [301, 307, 400, 401, 404, 413, 500])
def test_what_is_refused_is_not_asked_again(
    ledger: Path, receiver: Receiver, capfd: Capture, status: int
) -> None:
    receiver.answers = [(status, {"Location": f"{receiver.url()}/elsewhere"}, b"x" * 100_000)]
    ended, out, err = send(capfd, "--otlp", receiver.url())
    assert (ended, out) == (2, "")
    assert f"it answers {status};" in err
    assert receiver.requests == []


def test_what_the_collector_takes_only_a_part_of_is_said(
    ledger: Path, receiver: Receiver, capfd: Capture
) -> None:
    told = {"partialSuccess": {"rejectedLogRecords": "2", "errorMessage": "too \x1b[31mold"}}
    receiver.answers = [(200, {}, json.dumps(told).encode())]
    status, _, err = send(capfd, "--otlp", receiver.url())
    assert status == 2
    assert "it refused 2 records: too \\x1b[31mold; 7 were delivered before that" in err
    for answer in (b"", b"\xff", b"[]", b"[" * 60_000):
        receiver.answers = [(200, {}, answer)]
        assert send(capfd, "--otlp", receiver.url())[0] == 0


@pytest.mark.parametrize(
    "answer",
    [
        b'{"partialSuccess":[1]}',
        b'{"partialSuccess":{"rejectedLogRecords":"5x"}}',
        b'{"partialSuccess":{"rejectedLogRecords":1e999}}',
        b'{"partialSuccess":{"rejectedLogRecords":"3","errorMessage":"' + b"x" * 70_000 + b'"}}',
    ],
)
def test_a_refusal_that_cannot_be_read_is_no_success(
    ledger: Path, receiver: Receiver, capfd: Capture, answer: bytes
) -> None:
    receiver.answers = [(200, {}, answer)]
    status, _, err = send(capfd, "--otlp", receiver.url())
    assert status == 2
    assert "its answer cannot be read" in err


def test_a_collector_whose_answer_never_ends_is_given_up(
    ledger: Path, receiver: Receiver, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each byte comes in time, and the whole never does."""
    monkeypatch.setattr(otlp_sending, "ANSWER_SECONDS", 0.5)
    monkeypatch.setattr(otlp_sending, "ATTEMPTS", 1)
    with socket.create_server(("127.0.0.1", 0)) as dripping:

        def drip() -> None:
            connection, _ = dripping.accept()
            with connection, contextlib.suppress(OSError):
                while True:
                    connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                    time.sleep(0.01)

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        status, _, err = send(capfd, "--otlp", f"http://127.0.0.1:{dripping.getsockname()[1]}")
        thread.join(10)
    assert status == 2
    assert "did not take the records" in err


def test_nobody_there(ledger: Path, capfd: Capture) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        status, _, err = send(capfd, "--otlp", url)
    assert status == 2
    assert f"{url}/v1/logs did not take the records: Connection refused (5 attempts)" in err


def test_what_does_not_hold_is_not_sent(ledger: Path, receiver: Receiver, capfd: Capture) -> None:
    data = ledger.read_bytes()
    ledger.write_bytes(data.replace(b"launch.start", b"launch.stort"))
    status, out, err = send(capfd, "--otlp", receiver.url())
    assert (status, out) == (1, "")
    assert "exported: nothing" in err
    assert receiver.requests == []
    assert send(capfd, "--otlp", receiver.url(), "--unsafe-export-unverified")[0] == 1
    assert receiver.indices() == list(range(9))


def certificate(directory: Path, host: str) -> Path:
    """Make a certificate of its own for a host, with its key; return the file of both."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = directory / f"{host}.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2"])
def test_tls_is_checked(ledger: Path, tmp_path: Path, capfd: Capture, host: str) -> None:
    path = certificate(tmp_path, host)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    with serving(Receiver(context)) as receiver:
        status, _, err = send(capfd, "--otlp", receiver.url("https"))
        assert status == 2
        assert "its certificate does not hold" in err
        status, _, err = send(capfd, "--otlp", receiver.url("https"), "--ca-file", str(path))
        assert status == (0 if host == "127.0.0.1" else 2), err
        assert receiver.indices() == (list(range(9)) if host == "127.0.0.1" else [])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--otlp", "ftp://h"], "the URL of a collector is"),
        (["--otlp", "collector"], "the URL of a collector is"),
        (["--otlp", "https://h:99999"], "is no URL"),
        (["--otlp", "http://localhost:0"], "from 1 to 65535"),
        (["--otlp", "https://u:s3cr3t@h"], "neither user nor query"),
        (["--otlp", "https://h/?key=s3cr3t"], "neither user nor query"),
        (["--otlp", "http://192.0.2.1"], "without TLS anybody"),
        (["--otlp", "http://localhost.example"], "without TLS anybody"),
        (["--otlp", "https://h", "--ca-file", "/missing"], "cannot be used"),
        (["--otlp", "https://h", "--ca-file", "/dev/zero"], "it is not a regular file"),
        (["--otlp", "http://localhost", "--since", "2h", "--until", "3h"], "no time lies between"),
        (["--otlp", "http://localhost", "--ca-file", "/missing"], "are for https://"),
        (["--otlp", "https://h", "--header-env", "authorization"], "HEADER=VARIABLE"),
        (["--otlp", "https://h", "--header-env", "a b=HOME"], "HEADER=VARIABLE"),
        (["--otlp", "https://h", "--header-env", "x=NOT_THERE"], "NOT_THERE for the header x is not set"),
        (["--otlp", "https://h", "--header-env", "x=BAD"], "characters of no header"),
        (["--otlp", "https://h", "--header-env", "host=HOME"], "no header that can be set"),
        (["--otlp", "http://localhost", "--kind", "x"], "invalid choice"),
        ([], "--otlp"),
    ],
)
def test_what_cannot_be_meant(
    ledger: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    monkeypatch.setenv("BAD", "a\r\nx-evil: 1")
    status, out, err = send(capfd, *arguments)
    assert (status, out) == (2, "")
    assert words in err
    assert "s3cr3t" not in err


def test_proxies_of_the_environment_are_not_used(
    ledger: Path, receiver: Receiver, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert send(capfd, "--otlp", receiver.url())[0] == 0


def test_a_collector_that_says_nothing_is_given_up(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(otlp_sending, "TIMEOUT_SECONDS", 0.05)
    monkeypatch.setattr(otlp_sending, "ATTEMPTS", 2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        to = otlp_sending.collector(f"http://127.0.0.1:{silent.getsockname()[1]}", {})
        sender = otlp_sending.Sender(to, otlp.BEGINNING, otlp.END, sleep=lambda _: None)
        sender.write(otlp.BEGINNING + b"{}" + otlp.END)
        with pytest.raises(CollectorError, match="timed out"):
            sender.finish()
        sender.close()


def test_nothing_secret_is_in_what_the_collector_is_called() -> None:
    to = otlp_sending.collector("https://[::1]:1/x", {"authorization": "s3cr3t"})
    assert to.shown() == "https://[::1]:1/x"
