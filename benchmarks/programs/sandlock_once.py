"""Run ``/bin/true`` once with sandlock; the grants are ``ACCESS:PATH`` arguments, the network is closed."""

import sys

from sandlock import Sandbox

grants = [argument.partition(":") for argument in sys.argv[1:]]
result = Sandbox(
    fs_readable=[path for _, _, path in grants],
    fs_writable=[path for access, _, path in grants if access == "readwrite"],
).run(["/bin/true"])
if not result.success:
    raise SystemExit(f"sandlock: {result!r}")
