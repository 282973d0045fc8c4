"""``nono audit send``: what is recorded, verified, to an OpenTelemetry collector."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from attest.errors import NonoError
from attest.written_time import TIMES
from runtime.cli import complain
from runtime.cli.chosen_ledger import chosen_ledger
from runtime.errors import CollectorError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

_EPILOG = """\
The ledger is verified first, as "nono audit export" does it, and each entry becomes a log record
(docs/exports.md, otlp), sent as OTLP/HTTP with JSON. A request is tried a few times when the collector is not
there or is busy, and then it is given up; records may arrive twice, and nono.origin with nono.index tells
them apart. Redirects and proxies are not followed.

A header with a secret is named with the variable that holds it, --header-env authorization=VARIABLE: a
command line is everybody's to read. http:// is for a collector on this host.

{times}

exit codes:
  0  everything holds, under a pinned key, and was taken by the collector
  1  tampering or corruption; nothing was sent, unless --unsafe-export-unverified was given
  2  could not check, or not deliver; what was delivered before that is said
  3  intact, but not what was required; it was sent when a pinned key is the ledger's

examples:
  nono audit send --otlp https://collector.example.com --header-env authorization=OTLP_AUTHORIZATION
  nono audit send --otlp http://localhost:4318 --since 1d
"""

_NOT_CHECKED = 2


def complete(parser: argparse.ArgumentParser) -> None:
    """Add the flags, most of which are the verifier's."""
    from verify.cli import export  # noqa: PLC0415  # the verifier, for this command alone

    to = parser.add_argument_group("where it is sent")
    to.add_argument(
        "--otlp",
        metavar="URL",
        required=True,
        help="the collector, https://HOST[:PORT][/PATH]; /v1/logs is added",
    )
    to.add_argument(
        "--header-env",
        metavar="H=VAR",
        action="append",
        default=[],
        help="a header, and the variable that holds its value; can be given more than once",
    )
    to.add_argument(
        "--ca-file",
        metavar="FILE",
        help="certificates (PEM) that the collector's must lead to; default: the system's",
    )
    to.add_argument("--unsafe-plain-http", action="store_true", help="http:// to another host")
    export.add_choice_flags(parser)
    parser.set_defaults(
        to="otlp", out=None, overwrite=False, controls=None, print_controls=None, region=None, account=None
    )
    parser.epilog = _EPILOG.format(times=TIMES)


def run(arguments: argparse.Namespace) -> int:
    """Send what is recorded; return the exit code.

    Raises:
        NonoError: there is no ledger, or the flags make no sense together.
    """
    from runtime.cli import otlp_sending  # noqa: PLC0415  # ssl, for this command alone
    from verify.cli import export  # noqa: PLC0415  # see above
    from verify.errors import NotCheckedError, UsageError  # noqa: PLC0415  # see above
    from verify.exports import otlp  # noqa: PLC0415  # see above

    to = otlp_sending.collector(
        arguments.otlp,
        otlp_sending.headers_from(os.environ, arguments.header_env),
        ca_file=arguments.ca_file,
        unsafe_plain_http=arguments.unsafe_plain_http,
    )
    sender = otlp_sending.Sender(to, otlp.BEGINNING, otlp.END)

    def guarded(act: Callable[[], object]) -> None:
        try:
            act()
        except CollectorError as error:
            raise NotCheckedError(str(error), code="export.undelivered") from None

    destination = export.Destination(
        lambda lines: guarded(lambda: sender.write(lines)), lambda: guarded(sender.finish), to.shown()
    )
    try:
        return export.export(arguments, os.fsdecode(chosen_ledger(arguments.ledger)), destination)
    except UsageError as error:
        raise NonoError(str(error), code="usage.invalid", hint=error.hint) from None
    except KeyboardInterrupt:
        complain(f"interrupted: {sender.delivered} records were delivered")
        return _NOT_CHECKED
    finally:
        sender.close()
