"""The launch: capabilities, profiles, sandbox, hooks, environment, supervision, and the ``nono`` command.

For programs of Python: :func:`launch` runs a command inside the sandbox and records it, :func:`alaunch` does
so in an event loop, and :func:`start` returns while it runs. What they take is said in
:mod:`runtime.calling`, which is imported by the first of them: ``nono run`` needs none of it.
"""

from typing import TYPE_CHECKING

from runtime.errors import LaunchError
from runtime.launch import LaunchResult

if TYPE_CHECKING:
    from runtime.calling import alaunch, launch, start
else:

    def launch(*arguments, **options):
        """Run a command inside the sandbox, record it, and return how it ended; see ``runtime.calling``."""
        from runtime import calling  # noqa: PLC0415  # threads and sockets, which the command has no use for

        return calling.launch(*arguments, **options)

    def start(*arguments, **options):
        """Begin a launch, and return it while it runs; see ``runtime.calling``."""
        from runtime import calling  # noqa: PLC0415  # see above

        return calling.start(*arguments, **options)

    async def alaunch(*arguments, **options):
        """Do what ``launch`` does without blocking the event loop; see ``runtime.calling``."""
        from runtime import calling  # noqa: PLC0415  # see above

        return await calling.alaunch(*arguments, **options)


__all__ = ["LaunchError", "LaunchResult", "alaunch", "launch", "start"]
