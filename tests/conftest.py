"""What holds for all tests."""

from __future__ import annotations

import pytest
from hypothesis import settings

# How long an example may take is no property of ours: a busy machine is not a fault. Speed has benchmarks.
settings.register_profile("untimed", settings(), deadline=None)
settings.load_profile("untimed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a browser, by the fixture that it has it from."""
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.browser)
