"""orjson, with everything that it loads loaded before it.

Its own initialisation does not look whether an import of its worked. Interrupted in the middle of one, or
left without memory, it goes on with a null pointer, and the process crashes; with these loaded it runs no
Python code in which that could happen.
"""

from __future__ import annotations

import dataclasses  # noqa: F401  # see above, as the next ones
import datetime  # noqa: F401
import enum  # noqa: F401
import json  # noqa: F401
import uuid  # noqa: F401

import orjson

__all__ = ["orjson"]
