"""Libraries that only some commands need: which, and how one comes to where this program is installed.

A hint names the library and not this project's extra: the project is installed from a checkout or a wheel,
and an index that knows nothing of it would be asked for its name.
"""

from __future__ import annotations

REQUIREMENTS = {
    "keyring": "keyring>=25",
    "mcp": "mcp>=2",
    "parquet": "pyarrow>=17",
    "postgres": "psycopg[binary]>=3.2",
    "timestamps": "rfc3161-client>=1.0.6",
}
"""What each extra of ``pyproject.toml`` stands for."""


def hint(extra: str) -> str:
    """Return how to install what an extra stands for, whichever way this program was installed."""
    wanted = REQUIREMENTS[extra]
    return f"pip install '{wanted}' where nono is installed, or pipx inject nono-attest '{wanted}'"
