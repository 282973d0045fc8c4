"""Log records to an OpenTelemetry collector: OTLP/HTTP with JSON, in requests of bounded size.

What a collector may ask for is bounded too: a request is tried a few times and no wait is longer than a few
seconds, whatever its Retry-After says; redirects are not followed, and of an answer some kilobytes are read.
Proxies of the environment are not used: what is sent goes to the host that was named.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import json
import os
import re
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from attest import __version__
from attest.printable_text import is_printable
from runtime.errors import CollectorError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

MAX_RECORDS = 512
MAX_BYTES = 1 << 20
"""A request is sent with the record that reaches one of these."""

ATTEMPTS = 5
FIRST_WAIT_SECONDS = 0.5
MAX_WAIT_SECONDS = 15.0
TIMEOUT_SECONDS = 20.0
ANSWER_SECONDS = 60.0
_MAX_ANSWER_BYTES = 1 << 16
_AGAIN = frozenset({429, 502, 503, 504})
"""OTLP/HTTP, "Retryable Response Codes"."""

_PATH = "/v1/logs"
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e]{1,8192}")


class Collector(NamedTuple):
    """Where records go.

    Attributes:
        host: its name or address.
        port: its port.
        path: of the request.
        tls: how it is known, or None for plain HTTP.
        headers: sent with each request; their values may be secrets.
    """

    host: str
    port: int
    path: str
    tls: ssl.SSLContext | None
    headers: Mapping[str, str]

    def shown(self) -> str:
        """Return its URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'http' if self.tls is None else 'https'}://{host}:{self.port}{self.path}"


def collector(
    url: str, headers: Mapping[str, str], *, ca_file: str | None = None, unsafe_plain_http: bool = False
) -> Collector:
    """Return the collector at ``url``.

    Args:
        url: ``https://HOST[:PORT][/PATH]``; without a path the one of OTLP/HTTP is meant. ``http`` is for
        this
            host alone.
        headers: sent with each request.
        ca_file: certificates (PEM) that the collector's must lead to; by default the system's.
        unsafe_plain_http: send to another host without TLS.

    Raises:
        CollectorError: it cannot be meant (``usage.invalid``).
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise _usage(f"{url!r} is no URL") from None
    if port == 0:
        raise _usage("the port of a collector is from 1 to 65535")
    if parts.scheme not in {"http", "https"} or not host or not is_printable(url) or " " in url:
        raise _usage("the URL of a collector is https://HOST[:PORT][/PATH]")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise _usage("the URL of a collector has neither user nor query: others can read it", _SECRETS)
    if parts.scheme == "http" and not unsafe_plain_http and not _is_loopback(host):
        raise _usage(
            "without TLS anybody on the way can read and change what is sent",
            "https://, or --unsafe-plain-http",
        )
    if parts.scheme == "http" and ca_file is not None:
        raise _usage("the certificates of --ca-file are for https://, and this is http://")
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or name.lower() in _OWN_HEADERS:
            raise _usage(f"{name!r} is no header that can be set")
        if not _HEADER_VALUE.fullmatch(value):
            raise _usage(
                f"the value for the header {name} is empty, too long, or has characters of no header"
            )
    try:
        host.encode("idna")
        parts.path.encode("ascii")
    except UnicodeError:
        raise _usage(
            "the URL of a collector has a host of DNS, and a path in ASCII: escape others as %XX"
        ) from None
    path = _PATH if parts.path in {"", "/"} else parts.path
    tls = None if parts.scheme == "http" else _tls(ca_file)
    return Collector(host, port or (80 if tls is None else 443), path, tls, dict(headers))


def _tls(ca_file: str | None) -> ssl.SSLContext:
    if ca_file is not None and os.path.exists(ca_file) and not os.path.isfile(ca_file):
        raise _usage(f"the certificates in {ca_file} cannot be used: it is not a regular file")
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise _usage(f"the certificates in {ca_file} cannot be used: {error.strerror or error}") from None


class Sender:
    """Sends lines of OTLP JSON (:mod:`verify.exports.otlp`) to a collector, several in a request.

    Attributes:
        delivered: how many records the collector has taken.
    """

    def __init__(
        self,
        to: Collector,
        beginning: bytes,
        end: bytes,
        *,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self.delivered = 0
        self._to = to
        self._beginning, self._end = beginning, end
        self._sleep = sleep
        self._waiting: list[bytes] = []
        self._bytes = 0
        self._connection: http.client.HTTPConnection | None = None

    def write(self, lines: bytes) -> None:
        """Take lines, each with its end.

        Raises:
            CollectorError: a request did not get through, or the collector refused some of it.
        """
        for line in lines.splitlines(keepends=True):
            logs = line[len(self._beginning) : -len(self._end)]
            self._waiting.append(logs)
            self._bytes += len(logs)
            if len(self._waiting) >= MAX_RECORDS or self._bytes >= MAX_BYTES:
                self._send()

    def finish(self) -> None:
        """Send what is left.

        Raises:
            CollectorError: as :meth:`write`.
        """
        if self._waiting:
            self._send()

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _send(self) -> None:
        body = self._beginning + b",".join(self._waiting) + self._end.rstrip(b"\n")
        problem = ""
        for attempt in range(ATTEMPTS):
            wait = min(FIRST_WAIT_SECONDS * 2**attempt, MAX_WAIT_SECONDS)
            try:
                status, retry_after, answer = self._post(body)
            except ssl.SSLCertVerificationError as error:
                raise self._failed(f"its certificate does not hold: {error.verify_message}") from None
            except (OSError, http.client.HTTPException) as error:
                self.close()
                problem = str(getattr(error, "strerror", None) or error or type(error).__name__)
            else:
                if 200 <= status < 300:
                    self._taken(answer)
                    return
                problem = f"it answers {status}"
                if status not in _AGAIN:
                    raise self._failed(problem)
                if retry_after is not None and re.fullmatch("[0-9]{1,9}", retry_after):
                    wait = min(max(wait, float(retry_after)), MAX_WAIT_SECONDS)
            if attempt + 1 < ATTEMPTS:
                self._sleep(wait)
        raise self._failed(f"{problem} ({ATTEMPTS} attempts)")

    def _post(self, body: bytes) -> tuple[int, str | None, bytes]:
        if self._connection is None:
            to = self._to
            self._connection = (
                http.client.HTTPConnection(to.host, to.port, timeout=TIMEOUT_SECONDS)
                if to.tls is None
                else http.client.HTTPSConnection(to.host, to.port, timeout=TIMEOUT_SECONDS, context=to.tls)
            )
        headers = {
            **self._to.headers,
            "Content-Type": "application/json",
            "User-Agent": f"nono/{__version__}",
        }
        self._connection.request("POST", self._to.path, body, headers)
        # A time-out is of each byte: this one is of the answer as a whole.
        watch = threading.Timer(ANSWER_SECONDS, _cut_off, [self._connection.sock])
        watch.daemon = True
        watch.start()
        try:
            response = self._connection.getresponse()
            answer = response.read(_MAX_ANSWER_BYTES)
        finally:
            watch.cancel()
        if not response.isclosed():  # there is more of it than anybody wants
            self.close()
        return response.status, response.getheader("Retry-After"), answer

    def _taken(self, answer: bytes) -> None:
        """Count a request that got through; what the collector did not take of it is an error."""
        count = len(self._waiting)
        self._waiting, self._bytes = [], 0
        rejected, why = _partial_success(answer, count)
        self.delivered += max(0, count - rejected)
        if rejected:
            raise self._failed(f"it refused {rejected} records{f': {why}' if why else ''}")

    def _failed(self, why: str) -> CollectorError:
        return CollectorError(
            f"{self._to.shown()} did not take the records: {why}; {self.delivered} were delivered before that"
        )


def _cut_off(connection: socket.socket | None) -> None:
    if connection is not None:
        with contextlib.suppress(OSError):  # it has just been closed
            connection.shutdown(socket.SHUT_RDWR)


def _partial_success(answer: bytes, sent: int) -> tuple[int, str]:
    """Return how many records an ExportLogsServiceResponse says were refused, and why."""
    try:
        told = json.loads(answer).get("partialSuccess") or {}
        rejected = int(told.get("rejectedLogRecords") or 0)
        return min(max(rejected, 0), sent), str(told.get("errorMessage") or "")[:200]
    except (ValueError, AttributeError, TypeError, RecursionError, OverflowError):
        # Empty, or no JSON: the request succeeded. What speaks of a part and cannot be read is no success.
        return (sent, "its answer cannot be read") if b"partialSuccess" in answer else (0, "")


def headers_from(environment: Mapping[str, str], named: Sequence[str]) -> dict[str, str]:
    """Return headers whose values lie in variables: a value on a command line is everybody's to read.

    Args:
        environment: the variables.
        named: ``HEADER=VARIABLE``, each.

    Raises:
        CollectorError: one is not of that form, or there is no such variable (``usage.invalid``).
    """
    found = {}
    for each in named:
        header, equals, variable = each.partition("=")
        if not equals or not variable or not _HEADER_NAME.fullmatch(header):
            raise _usage("--header-env takes HEADER=VARIABLE", _SECRETS)
        if variable not in environment:
            raise _usage(f"the variable {variable} for the header {header} is not set")
        found[header] = environment[variable]
    return found


_SECRETS = "a header that is secret: --header-env authorization=VARIABLE"
_OWN_HEADERS = frozenset(
    {"content-type", "content-length", "host", "transfer-encoding", "user-agent", "connection"}
)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _usage(message: str, hint: str | None = None) -> CollectorError:
    return CollectorError(message, code="usage.invalid", hint=hint)
