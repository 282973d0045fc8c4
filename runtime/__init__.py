"""The launch: capabilities, profiles, sandbox, hooks, environment, supervision, and the ``nono`` command.

For programs of Python: :func:`launch` runs a command inside the sandbox and records it, :func:`alaunch` does
so in an event loop, and :func:`start` returns while it runs. What they take is said in
:mod:`runtime.launcher.calling`.

What it offers is imported when it is first asked for: ``nono run`` needs none of it, and imports this before
:mod:`runtime.compiled_finder`.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtime.errors import LaunchError
    from runtime.launcher.calling import alaunch, launch, start
    from runtime.launcher.launch import LaunchResult

__all__ = ["LaunchError", "LaunchResult", "alaunch", "launch", "start"]

_PLACES = {
    "LaunchError": "runtime.errors",
    "LaunchResult": "runtime.launcher.launch",
    "alaunch": "runtime.launcher.calling",
    "launch": "runtime.launcher.calling",
    "start": "runtime.launcher.calling",
}


def __getattr__(name: str) -> object:
    """Import what is asked for from where it is."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib  # noqa: PLC0415  # here alone, and a launch has it from elsewhere

    found: object = getattr(importlib.import_module(_PLACES[name]), name)
    globals()[name] = found
    return found
