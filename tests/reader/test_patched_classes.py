"""Whatever a program changes in a TL class, or in a class that it derives and registers, is
honoured: before the class is planned, and afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from telethon.extensions import BinaryReader
from telethon.tl import TLObject, types
from telethon.tl.alltlobjects import tlobjects

from support.tl_outcomes import assert_same, position, read, reading
from support.tl_samples import SAMPLE, update
from telethon_session_rust import tl_reader

Calls = list[Any]
# With few attributes, with more than 30, the patched ones, and one that reads nothing.
CLASSES = [types.PeerUser, types.UserStatusOffline, types.Chat, types.User, types.Message, types.UserStatusRecently]
INPUTS = [*SAMPLE[:40], *SAMPLE[-20:], update(20, 20)]


@pytest.fixture(autouse=True)
def enabled() -> Iterator[None]:
    with reading(ours=True):
        for cls in CLASSES:
            tl_reader.explain(cls)
        yield


def plan(cls: type) -> None:
    tl_reader.explain(cls)
    for data in INPUTS * 3:
        read(data)


# What is changed: each returns the attributes to set on the class.


def with_from_reader(cls: Any, calls: Calls) -> dict[str, Any]:
    original = cls.from_reader.__func__

    def from_reader(cls: type, reader: BinaryReader) -> Any:
        calls.append((cls.__name__, position(reader), reader._last))
        made = original(cls, reader)
        calls.append((position(reader), reader._last))
        return made

    return {"from_reader": classmethod(from_reader)}


def with_static_from_reader(cls: Any, calls: Calls) -> dict[str, Any]:
    return {"from_reader": staticmethod(with_from_reader(cls, calls)["from_reader"].__get__(None, cls))}


def with_init(cls: Any, calls: Calls) -> dict[str, Any]:
    original = cls.__init__

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        calls.append((args, list(kwargs)))
        self.first = len(calls)
        original(self, *args, **kwargs)

    return {"__init__": __init__}


def with_failing_init(cls: Any, calls: Calls) -> dict[str, Any]:
    original = cls.__init__

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        if kwargs.get("id", kwargs.get("user_id", 1)) % 3 == 0:
            raise LookupError(f"refused {list(kwargs)}")

    return {"__init__": __init__}


def with_new(cls: Any, calls: Calls) -> dict[str, Any]:
    def __new__(cls: type, *args: Any, **kwargs: Any) -> Any:
        calls.append((cls.__name__, list(kwargs)))
        made = object.__new__(cls)
        made.made_by = "us"
        return made

    return {"__new__": __new__}


def with_setattr(cls: Any, calls: Calls) -> dict[str, Any]:
    def __setattr__(self: Any, name: str, value: Any) -> None:
        calls.append(name)
        object.__setattr__(self, name, value)

    return {"__setattr__": __setattr__}


def with_property(cls: Any, calls: Calls) -> dict[str, Any]:
    """Replaces an attribute of most classes."""

    def change(self: Any, value: Any) -> None:
        calls.append(value)
        vars(self)["kept"] = value

    return {name: property(lambda self: vars(self)["kept"], change) for name in ("id", "user_id", "was_online")}


def with_plain_values(cls: Any, calls: Calls) -> dict[str, Any]:
    """Does not change what is made, because attributes of the object hide those of the class."""
    return {"id": 5, "first_name": "x", "was_online": staticmethod(len), "extra": 1}


CHANGES = [
    with_from_reader,
    with_static_from_reader,
    with_init,
    with_failing_init,
    with_new,
    with_setattr,
    with_property,
    with_plain_values,
]
Change = Callable[[Any, Calls], dict[str, Any]]


def apply(monkeypatch: pytest.MonkeyPatch, target: type, change: Change, cls: type, calls: Calls) -> None:
    for name, value in change(cls, calls).items():
        monkeypatch.setattr(target, name, value, raising=False)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
# Python cannot restore `__new__` of a class.
@pytest.mark.parametrize("change", [change for change in CHANGES if change is not with_new])
@pytest.mark.parametrize("on_base", [False, True], ids=["", "base"])
def test_telethons_class(cls: type, change: Change, on_base: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: Calls = []
    plan(cls)
    # Telethon's own classes are not changed by what their base gets if they have it themselves.
    apply(monkeypatch, TLObject if on_base else cls, change, cls, calls)
    for _ in range(2):
        assert_same(INPUTS, calls)
    monkeypatch.undo()
    assert_same(INPUTS)
    assert tl_reader.explain(cls) is None


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("on_base", [False, True], ids=["", "base"])
@pytest.mark.parametrize("is_planned", [False, True], ids=["unplanned", "planned"])
def test_derived_class(
    cls: type, change: Change, on_base: bool, is_planned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: Calls = []
    base: Any = type(cls)("Base", (cls,), {})
    derived: Any = type(cls)("Derived", (base,), {})
    monkeypatch.setitem(tlobjects, cls.CONSTRUCTOR_ID, derived)
    if is_planned:
        plan(derived)
    apply(monkeypatch, base if on_base else derived, change, cls, calls)
    for _ in range(3):
        assert_same(INPUTS, calls)
    monkeypatch.delitem(tlobjects, cls.CONSTRUCTOR_ID)
    monkeypatch.setitem(tlobjects, cls.CONSTRUCTOR_ID, cls)
    assert_same(INPUTS)


def with_slots(cls: Any, calls: Calls) -> type:
    return type(cls)("Slotted", (cls,), {"__slots__": ("id", "user_id", "was_online")})


def with_slots_in_a_base(cls: Any, calls: Calls) -> type:
    class Slots:
        __slots__ = ("id", "user_id", "was_online")

    return type(cls)("Slotted", (Slots, cls), {})


def with_metaclass_call(cls: Any, calls: Calls) -> type:
    class Meta(type(cls)):
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            calls.append(list(kwargs))
            return super().__call__(*args, **kwargs)

    return Meta("Called", (cls,), {})


def with_another_class_made(cls: Any, calls: Calls) -> type:
    """Its `__new__` returns an object of another class, whose `__init__` Python does not call."""
    return type(cls)("Other", (cls,), {"__new__": lambda cls, **kwargs: types.PeerChat(len(kwargs))})


def with_access(cls: Any, calls: Calls) -> type:
    def __getattribute__(self: Any, name: str) -> Any:
        calls.append(name)
        return object.__getattribute__(self, name)

    return type(cls)("Watched", (cls,), {"__getattribute__": __getattribute__})


def with_from_bytes(cls: Any, calls: Calls) -> Any:
    """No class, but it has what the reader calls."""

    class Factory:
        @staticmethod
        def from_reader(reader: BinaryReader) -> Any:
            calls.append(position(reader))
            return [cls.from_reader(reader)]

    return Factory()


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
@pytest.mark.parametrize(
    "make",
    [with_slots, with_slots_in_a_base, with_metaclass_call, with_another_class_made, with_access, with_from_bytes],
)
def test_swapped_class(cls: type, make: Callable[[Any, Calls], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    calls: Calls = []
    made = make(cls, calls)
    plan(cls)
    for _ in range(2):
        with monkeypatch.context() as patch:
            patch.setitem(tlobjects, cls.CONSTRUCTOR_ID, made)
            if isinstance(made, type):
                tl_reader.explain(made)
            calls.clear()
            for _ in range(3):
                assert_same(INPUTS, calls)
        assert_same(INPUTS)
        assert tl_reader.explain(cls) is None
