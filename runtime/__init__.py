"""The launch: capabilities, profiles, sandbox, hooks, environment, supervision, and the ``nono`` command."""

from runtime.calling import launch
from runtime.errors import LaunchError
from runtime.launch import LaunchResult

__all__ = ["LaunchError", "LaunchResult", "launch"]
