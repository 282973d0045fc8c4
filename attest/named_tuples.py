"""Named tuples that cost little to define: :class:`typing.NamedTuple` without the code that it generates.

A launch makes some forty of them. ``typing`` compiles each annotation, and ``collections`` a constructor for
each class: 67 µs for a definition, of which 18 µs are left here, where one constructor serves all. To make
an instance takes 0.1 µs more, 0.7 µs with names or defaults. Type checkers see ``typing``'s own; at run time
nobody asks what the annotations say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import NamedTuple
else:
    from operator import itemgetter

    class _Record(tuple):
        """What all named tuples have; see ``collections.namedtuple`` for the meaning of each."""

        __slots__ = ()
        _fields = ()
        _field_defaults = {}  # noqa: RUF012  # each class has its own, as namedtuple would give it

        def __new__(cls, *values: object, **named: object) -> _Record:
            if named or len(values) != len(cls._fields):
                values = cls._completed(values, named)
            return tuple.__new__(cls, values)

        @classmethod
        def _completed(cls, values: tuple[object, ...], named: dict[str, object]) -> tuple[object, ...]:
            fields, defaults = cls._fields, cls._field_defaults
            rest = fields[len(values) :]
            for name in named:
                if name not in rest:
                    what = "was given two values for" if name in fields else "has no field"
                    raise TypeError(f"{cls.__name__} {what} {name}")
            known = {**defaults, **named} if named else defaults
            try:
                completed = (*values, *[known[field] for field in rest])
            except KeyError as missing:
                raise TypeError(f"{cls.__name__} needs a value for {missing.args[0]}") from None
            if len(completed) != len(fields):
                raise TypeError(f"{cls.__name__} has {len(fields)} fields, not {len(values)}")
            return completed

        @classmethod
        def _make(cls, values: object) -> _Record:
            return cls(*values)

        def _replace(self, /, **changes: object) -> _Record:
            values = [changes.pop(field, value) for field, value in zip(self._fields, self, strict=True)]
            if changes:
                raise TypeError(f"{type(self).__name__} has no field {', '.join(changes)}")
            return tuple.__new__(type(self), values)

        __replace__ = _replace  # copy.replace, since Python 3.13

        def _asdict(self) -> dict[str, object]:
            return dict(zip(self._fields, self, strict=True))

        def __repr__(self) -> str:
            named = ", ".join(f"{field}={value!r}" for field, value in self._asdict().items())
            return f"{type(self).__name__}({named})"

        def __getnewargs__(self) -> tuple[object, ...]:
            return tuple(self)

    class _Definition(type):
        def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, object]) -> type:
            if not bases:
                return super().__new__(cls, name, bases, namespace)
            if bases != (NamedTuple,):
                raise TypeError("a named tuple has no other base")
            fields = tuple(namespace.get("__annotations__", ()))
            given = tuple(field for field in fields if field in namespace)
            if given != fields[len(fields) - len(given) :]:
                raise TypeError("a field without a default cannot follow one that has it")
            defaults = {field: namespace[field] for field in given}
            for at, field in enumerate(fields):
                namespace[field] = property(itemgetter(at))
            namespace |= {
                "__slots__": (),
                "__match_args__": fields,
                "_fields": fields,
                "_field_defaults": defaults,
            }
            # A plain class: what is derived from it is an ordinary subclass.
            return type(name, (_Record,), namespace)

    class NamedTuple(metaclass=_Definition):
        """The base of named tuples, as ``typing.NamedTuple``; what is made does not have it as a base."""


__all__ = ["NamedTuple"]
