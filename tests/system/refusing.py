"""Run a program under a seccomp filter that refuses system calls, as the profile of a container does.

Usage: refusing.py CALL[,CALL...] ERRNO-NAME PROGRAM [ARGUMENT...]
"""

from __future__ import annotations

import errno
import os
import sys

import pyseccomp  # type: ignore[import-untyped]  # published without type information

if __name__ == "__main__":
    rules = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
    for name in sys.argv[1].split(","):
        rules.add_rule(pyseccomp.ERRNO(getattr(errno, sys.argv[2])), name)
    rules.load()
    os.execv(sys.argv[3], sys.argv[3:])
