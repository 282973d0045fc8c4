"""What holds for all tests."""

from __future__ import annotations

from hypothesis import settings

# How long an example may take is no property of ours: a busy machine is not a fault. Speed has benchmarks.
settings.register_profile("untimed", settings(), deadline=None)
settings.load_profile("untimed")
