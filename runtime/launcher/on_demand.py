"""What programs of Python launch by; the module that does it is imported by the first call.

:mod:`runtime.launcher.calling` brings threads, sockets and what else a host program needs, none of which
``nono run`` has a use for. They are functions, and no attributes that are looked up on demand: such a look,
which ``from runtime import launch`` is one of, would import it all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtime.launcher.calling import alaunch, launch, start
else:

    def launch(*arguments, **options):
        """Run a command inside the sandbox, record it, and return how it ended; see ``calling``."""
        from runtime.launcher import calling  # noqa: PLC0415  # that is what this is for

        return calling.launch(*arguments, **options)

    def start(*arguments, **options):
        """Begin a launch, and return it while it runs; see ``calling``."""
        from runtime.launcher import calling  # noqa: PLC0415  # that is what this is for

        return calling.start(*arguments, **options)

    async def alaunch(*arguments, **options):
        """Do what ``launch`` does without blocking the event loop; see ``calling``."""
        from runtime.launcher import calling  # noqa: PLC0415  # that is what this is for

        return await calling.alaunch(*arguments, **options)


__all__ = ["alaunch", "launch", "start"]
