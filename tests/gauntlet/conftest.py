"""The fixtures of the verifier's tests, whose builder and whose command the gauntlet uses."""

from tests.verify.conftest import _no_trust, bench

__all__ = ["_no_trust", "bench"]
