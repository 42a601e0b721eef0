"""Unusual arguments: a hypothesis strategy, and functions that create each value as often as
needed.
"""

from __future__ import annotations

import array
import enum
import math
import sys
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from hypothesis import strategies as st
from telethon.crypto import AuthKey
from telethon.sessions import MemorySession
from telethon.tl import types

from support import entities

KEY = AuthKey(bytes(range(256)))


class OwnError(Exception):
    """Raised by the objects of this module themselves."""


def raising(method: str, base: type = object, *arguments: Any) -> Any:
    def fail(*_: Any) -> Any:
        raise OwnError(method)

    return type("Raising", (base,), {method: property(fail) if method in ("__class__", "__dict__") else fail})(
        *arguments
    )


class RaisesOnAttributes:
    """Raises the given error when an attribute is read."""

    def __init__(self, error: type[Exception]) -> None:
        self.__dict__["error"] = error

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("__"):
            return object.__getattribute__(self, name)
        raise object.__getattribute__(self, "__dict__")["error"](name)


class PretendsToBeUser:
    __class__ = types.User  # type: ignore[assignment]


class Text(str):
    """A text whose methods return something else than its value."""

    def lower(self) -> str:
        return "low"

    def __str__(self) -> str:
        return "another"

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = str.__hash__


class Number(int):
    def __index__(self) -> int:
        return 5

    def __int__(self) -> int:
        return 6

    def __str__(self) -> str:
        return "7"


class HasIndex:
    """Not an `int`, but usable as an index, as numpy's numbers are."""

    def __index__(self) -> int:
        return 5


class Numbers(enum.IntEnum):
    ONE = 1


def generator(completes: bool) -> Iterator[Any]:
    yield entities.user(5, 5)
    if not completes:
        raise OwnError("in the middle")


def cyclic_list() -> list[Any]:
    cycle: list[Any] = []
    cycle += [entities.user(5, 5), cycle, (cycle,), {"users": cycle}]
    return cycle


METHODS_TO_RAISE = [
    f"__{name}__" for name in ("class", "dict", "iter", "len", "eq", "bool", "hash", "str", "repr", "index")
]
MAKERS: dict[str, Callable[[], Any]] = {
    "an object": object,
    "a class": lambda: types.User,
    "another class": lambda: MemorySession,
    "an abstract class": lambda: Iterator,
    "a module": lambda: sys,
    "a function": lambda: len,
    "...": lambda: ...,
    "a bytearray": lambda: bytearray(b"anna"),
    "a memoryview": lambda: memoryview(b"anna"),
    "a memoryview with gaps": lambda: memoryview(b"abcdef")[::2],
    "an array": lambda: array.array("i", [1, 2]),
    "a range": lambda: range(3),
    "a cycle": cyclic_list,
    "a generator": lambda: generator(completes=True),
    "a generator that raises": lambda: generator(completes=False),
    "a text with overrides": lambda: Text("anna"),
    "a number with overrides": lambda: Number(1),
    "an enum's number": lambda: Numbers.ONE,
    "like a number": HasIndex,
    "pretends to be a User": PretendsToBeUser,
    "a User": lambda: entities.user(5, 6, username="Uu"),
    "a Channel": lambda: entities.channel(5, 6),
    "a Chat": lambda: entities.chat(5),
    "an InputPeerUser": lambda: types.InputPeerUser(5, 6),
    "an InputPeerSelf": types.InputPeerSelf,
    "an InputPeerEmpty": types.InputPeerEmpty,
    "a PeerUser": lambda: types.PeerUser(5),
    "a PeerChat": lambda: types.PeerChat(5),
    "a PeerChannel": lambda: types.PeerChannel(5),
    "a State": lambda: types.updates.State(1, 2, entities.DATE, 3, 0),
    "an InputDocument": lambda: types.InputDocument(1, 2, b""),
    "InputDocument": lambda: types.InputDocument,
    "InputPhoto": lambda: types.InputPhoto,
    "an AuthKey": lambda: deepcopy(KEY),
    **{
        f"raises {error.__name__} for attributes": lambda error=error: RaisesOnAttributes(error)
        for error in (AttributeError, TypeError, ValueError, KeyError, OwnError)
    },
    **{f"raises for {method}": lambda method=method: raising(method) for method in METHODS_TO_RAISE},
    "a text that raises for lower": lambda: raising("lower", str, "anna"),
    "a text that raises for __len__": lambda: raising("__len__", str, "anna"),
    "a number that raises for __index__": lambda: raising("__index__", int, 1),
    "a number that raises for __bool__": lambda: raising("__bool__", int, 1),
    "a list that raises for __iter__": lambda: raising("__iter__", list, [entities.user(5, 5)]),
    "a list that raises for __len__": lambda: raising("__len__", list, [entities.user(5, 5)]),
}


@dataclass(frozen=True)
class Made:
    """A value of `MAKERS`."""

    name: str


def fresh(value: Any) -> Any:
    """Returns a new copy of the value, which the caller may consume or change."""
    return MAKERS[value.name]() if isinstance(value, Made) else deepcopy(value)


EDGES = [
    *(None, True, False, 0, 1, -7, 7, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**200),
    *(0.0, 1.0, -7.0, 1.5, 1e300, math.nan, math.inf, -math.inf, Decimal(1), Fraction(1), 1j),
    *("", "anna", "1", "+1", " 1 ", "1.0", "a\0b", "\ud800", "anna\udfff", "\udc80", "x" * 70_000, "7" * 400),
    *(b"", b"anna", b"1", [], [1, 2], [256], [1.5], (), (5,), {}, {"a": 1}, set(), {1}, frozenset([1])),
    entities.DATE,
]
EVERYTHING = [*EDGES, *map(Made, MAKERS)]

# Surrogates too, and NUL.
texts = st.text(st.characters(exclude_categories=()), max_size=8)
plain = st.one_of(
    st.integers(-9, 9) | st.integers() | st.floats() | st.decimals() | st.fractions() | st.complex_numbers(),
    texts | st.text("0123456789+-. e_", max_size=5) | st.binary(max_size=8) | st.datetimes(),
)
values = st.recursive(
    plain,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.tuples(inner),
        st.dictionaries(st.text(max_size=2), inner, max_size=2),
        st.sets(st.integers(), max_size=2),
    ),
    max_leaves=4,
)
