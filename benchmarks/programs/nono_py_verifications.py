"""Serve nono-py's ``verify_log`` of a session directory; the second argument is the number of its events."""

import sys

from nono_py import audit
from serving import serve


def call() -> None:
    """Verify once."""
    result = audit.verify_log(directory)
    if not result["records_verified"] or result["event_count"] != int(size):
        raise SystemExit(f"verify_log: {result}")


directory, size = sys.argv[1:]
serve(call)
