"""Serve nono-py's ``sandboxed_exec`` of ``/bin/true``; the grants are the arguments."""

import sys

from peer_sandbox import run_true
from serving import serve

serve(lambda: run_true(sys.argv[1:]))
