"""Named tuples are what ``typing`` would have made of the same definition."""

from __future__ import annotations

import pickle
import typing
from typing import Any

import pytest

from attest import named_tuples


class Ours(named_tuples.NamedTuple):
    """A place."""

    path: bytes
    depth: int = 3
    names: tuple[str, ...] = ()

    @property
    def doubled(self) -> int:
        """Twice the depth."""
        return self.depth * 2

    @classmethod
    def root(cls) -> Ours:
        """Return the root."""
        return cls(b"/", 0)

    def __str__(self) -> str:
        return "a place"


class Theirs(typing.NamedTuple):
    """A place."""

    path: bytes
    depth: int = 3
    names: tuple[str, ...] = ()


def test_it_is_a_named_tuple_like_any_other() -> None:
    ours, theirs = Ours(b"/x"), Theirs(b"/x")
    assert tuple(ours) == tuple(theirs)
    assert Ours._fields == Theirs._fields
    assert Ours._field_defaults == Theirs._field_defaults
    assert repr(ours) == "Ours(path=b'/x', depth=3, names=())"
    assert ours._replace(depth=4)._asdict() == {"path": b"/x", "depth": 4, "names": ()}
    assert isinstance(ours, tuple)
    assert not hasattr(ours, "__dict__")
    assert Ours.__match_args__ == Theirs.__match_args__
    assert Ours._make([b"/x", 3, ()]) == ours == Ours(path=b"/x", names=()) == Ours(b"/x", names=())
    assert hash(ours) == hash(theirs)
    assert (Ours.__module__, Ours.__qualname__, Ours.__doc__) == (__name__, "Ours", "A place.")
    assert typing.get_type_hints(Ours) == typing.get_type_hints(Theirs)
    with pytest.raises(AttributeError):
        ours.depth = 1  # type: ignore[misc]  # it cannot be set, and that is what is tested


@pytest.mark.parametrize(
    ("values", "named", "why"),
    [
        ((), {}, "needs a value for path"),
        ((), {"depth": 1}, "needs a value for path"),
        ((b"/", 1, (), 2), {}, "has 3 fields, not 4"),
        ((b"/",), {"path": b"/"}, "was given two values for path"),
        ((b"/",), {"length": 1}, "has no field length"),
    ],
)
def test_values_and_fields_must_meet(values: tuple[Any, ...], named: dict[str, Any], why: str) -> None:
    with pytest.raises(TypeError):
        Theirs(*values, **named)
    with pytest.raises(TypeError, match=why):
        Ours(*values, **named)


def test_what_is_no_field_is_not_replaced() -> None:
    with pytest.raises(TypeError, match="has no field length"):
        Ours(b"/")._replace(length=1)  # type: ignore[call-arg]  # as is tested


def test_methods_are_its_own() -> None:
    assert Ours(b"/x").doubled == 6
    assert Ours.root() == (b"/", 0, ())
    assert str(Ours.root()) == "a place"


def test_it_travels() -> None:
    there = pickle.loads(pickle.dumps(Ours.root()))  # what was written a moment ago
    assert type(there) is Ours


def test_what_typing_refuses_is_refused() -> None:
    with pytest.raises(TypeError, match="default"):

        class Wrong(named_tuples.NamedTuple):
            first: int = 1
            second: int  # type: ignore[misc]  # as is tested

    with pytest.raises(TypeError, match="base"):

        class Mixed(named_tuples.NamedTuple, dict[str, int]):  # type: ignore[misc]  # as is tested
            first: int
