"""Whatever a program changes in Telethon's reader is honoured, also after it was enabled and
classes were planned.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from inspect import isfunction
from typing import Any

import pytest
import telethon.utils
from telethon.extensions import BinaryReader, binaryreader
from telethon.tl import TLObject, custom, types
from telethon.tl.alltlobjects import tlobjects

from support.tl_outcomes import THEIRS, assert_same, position, read, reading
from support.tl_samples import SAMPLE, message, page, update

METHODS = [name for name, value in vars(BinaryReader).items() if isfunction(value) and value is not THEIRS]
# Without media, and with IDs that `get_peer_id` changes.
UNUSUAL_MESSAGES = [
    types.Message(id=1, peer_id=types.PeerUser(5), out=True, media=types.MessageMediaEmpty(), message=""),
    types.Message(id=2, peer_id=types.PeerChannel(-(10**12) - 7), from_id=types.PeerChat(-5), message=""),
]


@pytest.fixture(autouse=True)
def enabled() -> Iterator[None]:
    """Enables the reader, and reads everything often enough to be planned."""
    with reading(ours=True):
        for data in SAMPLE * 3:
            read(data)
        yield


def recorded(function: Callable[..., Any], calls: list[Any]) -> Callable[..., Any]:
    """Returns a method that appends its name and the reader's state to the calls."""

    @functools.wraps(function)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append((function.__name__, args, kwargs, vars(self).get("position")))
        return function(self, *args, **kwargs)

    return method


@pytest.mark.parametrize("name", METHODS)
def test_a_method_of_the_reader(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    monkeypatch.setattr(BinaryReader, name, recorded(getattr(BinaryReader, name), calls))
    assert_same(SAMPLE, calls)
    monkeypatch.undo()
    assert_same(SAMPLE)


def test_a_method_that_returns_another_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BinaryReader, "tgread_string", lambda self: self.tgread_bytes().decode("latin-1").upper())
    monkeypatch.setattr(BinaryReader, "tgread_date", BinaryReader.read_int)
    assert_same(SAMPLE)
    assert type(read(message()).results[0][0].date) is int


@pytest.mark.parametrize("name", list(vars(BinaryReader(b""))))
def test_an_attribute_of_the_reader_as_a_property(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []

    def change(self: BinaryReader, value: Any) -> None:
        calls.append(value if name != "stream" else None)
        vars(self)[f"own_{name}"] = value

    kept = property(lambda self: vars(self)[f"own_{name}"], change)
    monkeypatch.setattr(BinaryReader, name, kept, raising=False)
    assert_same(SAMPLE, calls)


def test_attribute_access_of_the_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def access(self: BinaryReader, name: str) -> Any:
        calls.append(name)
        return object.__getattribute__(self, name)

    monkeypatch.setattr(BinaryReader, "__getattribute__", access, raising=False)
    assert_same([page(), update()], calls)
    monkeypatch.undo()
    assert_same(SAMPLE)


@pytest.mark.parametrize("name", ["tlobjects", "core_objects", "_EPOCH", "TypeNotFoundError"])
def test_a_global_of_the_readers_module(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class OtherError(Exception):
        def __init__(self, *args: object) -> None:
            super().__init__("other", *args)

    original = getattr(binaryreader, name)
    others = {
        "tlobjects": {key: value for key, value in tlobjects.items() if value is not types.User},
        "core_objects": {types.User.CONSTRUCTOR_ID: types.User, 0x12345678: types.Chat},
        "TypeNotFoundError": OtherError,
        "_EPOCH": None if name != "_EPOCH" else original.replace(year=1971),
    }
    monkeypatch.setattr(binaryreader, name, others[name])
    assert_same([*SAMPLE, bytes.fromhex("78563412") + bytes(80)])
    monkeypatch.undo()
    assert_same(SAMPLE)


@pytest.mark.parametrize("id_", [types.User.CONSTRUCTOR_ID, types.PeerUser.CONSTRUCTOR_ID])
def test_a_class_that_is_removed_and_put_back(id_: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(tlobjects, id_)
    assert_same(SAMPLE)
    monkeypatch.undo()
    assert_same(SAMPLE)
    monkeypatch.setitem(tlobjects, id_, types.UserEmpty)
    assert_same(SAMPLE)
    monkeypatch.undo()
    assert_same(SAMPLE)


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (telethon.utils, "get_peer_id"),
        (telethon.utils, "get_peer"),
        (telethon.utils, "resolve_id"),
        (custom.chatgetter.ChatGetter, "__init__"),
        (custom.sendergetter.SenderGetter, "__init__"),
        (custom.message.Message, "__init__"),
        (types.MessageMediaEmpty, "__init__"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_what_a_message_calls(owner: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    original = getattr(owner, name)

    def replaced(*args: Any, **kwargs: Any) -> Any:
        calls.append((name, len(args), list(kwargs)))
        return original(*args, **kwargs)

    data = [message(), update(), *(made._bytes() for made in UNUSUAL_MESSAGES)]
    monkeypatch.setattr(owner, name, replaced)
    # When it is noticed, the class may be tried out.
    for _ in range(3):
        assert_same(data)
    assert_same(data, calls)
    monkeypatch.undo()
    assert_same(data)


def test_an_object_class_of_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its `from_reader` sees the reader where Telethon's would have left it, and reads from it."""
    calls: list[Any] = []

    class Own(TLObject):
        CONSTRUCTOR_ID = 0x0BADF00D

        def __init__(self, *parts: Any) -> None:
            self.parts = parts

        @classmethod
        def from_reader(cls, reader: BinaryReader) -> Own:
            parts = []
            for _ in range(2):
                calls.append((position(reader), reader._last))
                parts.append(reader.tgread_object())
            calls.append((position(reader), reader._last))
            if reader.read_int() == 7:
                raise LookupError("seven")
            return cls(*parts)

    def vector(*items: bytes) -> bytes:
        return b"\x15\xc4\xb5\x1c" + len(items).to_bytes(4, "little") + b"".join(items)

    def own(first: bytes, second: bytes, last: int = 1) -> bytes:
        return Own.CONSTRUCTOR_ID.to_bytes(4, "little") + first + second + last.to_bytes(4, "little")

    inner = own(message(), vector(page(), page()))
    inputs = [
        inner,
        vector(page(), inner, update(), inner),
        own(own(inner, vector()), vector(inner, update())),
        vector(update(), own(vector(page()), own(message(), inner, 7))),
        own(message(), message(), 7),
        vector(page(), inner)[:-3],
        vector(page(), inner)[:-30],
    ]
    assert_same(inputs, calls)
    monkeypatch.setitem(tlobjects, Own.CONSTRUCTOR_ID, Own)
    for _ in range(3):
        assert_same(inputs, calls)
    monkeypatch.undo()
    assert_same(inputs, calls)
