"""Named tuples that cost little to define: :class:`typing.NamedTuple` without its look at the annotations.

Under ``from __future__ import annotations`` every annotation is a text, and ``typing`` compiles each when the
class is defined: two thirds of what a definition costs, and a launch makes some forty of them. Type checkers
see ``typing``'s own; at run time nobody asks what the annotations say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import NamedTuple
else:
    from collections import namedtuple

    _OF_THE_CLASS = frozenset({"__module__", "__qualname__", "__annotations__"})

    class _Definition(type):
        def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, object]) -> type:
            if not bases:
                return super().__new__(cls, name, bases, namespace)
            if bases != (NamedTuple,):
                raise TypeError("a named tuple has no other base")
            fields = namespace.get("__annotations__", {})
            given = [field for field in fields if field in namespace]
            if given != list(fields)[len(fields) - len(given) :]:
                raise TypeError("a field without a default cannot follow one that has it")
            made = namedtuple(  # the typed one is what this stands for
                name,
                fields,
                defaults=[namespace[field] for field in given],
                module=namespace["__module__"],
            )
            made.__annotations__ = fields
            made.__qualname__ = namespace["__qualname__"]
            for key, value in namespace.items():
                if key not in _OF_THE_CLASS and key not in fields:
                    setattr(made, key, value)
            return made

    class NamedTuple(metaclass=_Definition):
        """The base of named tuples, as ``typing.NamedTuple``; what is made does not have it as a base."""


__all__ = ["NamedTuple"]
