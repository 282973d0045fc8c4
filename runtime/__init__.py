"""The launch: capabilities, profiles, sandbox, hooks, environment, supervision, and the ``nono`` command."""

from runtime.errors import LaunchError
from runtime.launch import LaunchResult, launch

__all__ = ["LaunchError", "LaunchResult", "launch"]
