"""Run ``/bin/true`` once with nono-py's ``sandboxed_exec``; the grants are the arguments."""

import sys

from peer_sandbox import run_true

run_true(sys.argv[1:])
