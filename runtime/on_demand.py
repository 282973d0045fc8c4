"""What programs of Python launch by; the module that does it is imported by the first call.

:mod:`runtime.calling` brings threads, sockets and what else a host program needs, none of which ``nono run``
has a use for. That these are functions, and no attributes that are looked up on demand, is due to the module
:mod:`runtime.launch`: importing that gives the package an attribute of this name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtime.calling import alaunch, launch, start
else:

    def launch(*arguments, **options):
        """Run a command inside the sandbox, record it, and return how it ended; see ``runtime.calling``."""
        from runtime import calling  # noqa: PLC0415  # that is what this is for

        return calling.launch(*arguments, **options)

    def start(*arguments, **options):
        """Begin a launch, and return it while it runs; see ``runtime.calling``."""
        from runtime import calling  # noqa: PLC0415  # that is what this is for

        return calling.start(*arguments, **options)

    async def alaunch(*arguments, **options):
        """Do what ``launch`` does without blocking the event loop; see ``runtime.calling``."""
        from runtime import calling  # noqa: PLC0415  # that is what this is for

        return await calling.alaunch(*arguments, **options)


__all__ = ["alaunch", "launch", "start"]
