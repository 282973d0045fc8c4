"""The launch: capabilities, profiles, sandbox, hooks, environment, supervision, and the ``nono`` command.

For programs of Python: :func:`launch` runs a command inside the sandbox and records it, :func:`alaunch` does
so in an event loop, and :func:`start` returns while it runs. What they take is said in
:mod:`runtime.launcher.calling`, which is imported by the first of them: ``nono run`` needs none of it.
"""

from runtime.errors import LaunchError
from runtime.launcher.launch import LaunchResult
from runtime.launcher.on_demand import alaunch, launch, start

__all__ = ["LaunchError", "LaunchResult", "alaunch", "launch", "start"]
