"""Readers that are not plain ones over bytes: derived classes, other buffers, methods of one
object, and unusual positions.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from telethon.extensions import BinaryReader

from support.tl_outcomes import assert_same, read, reading
from support.tl_samples import SAMPLE, message, page, update

HAS_STREAM = isinstance(BinaryReader(b"").stream, io.BytesIO)
INPUTS = [*SAMPLE, page() + update() + message()]


@pytest.fixture(autouse=True)
def enabled() -> Iterator[None]:
    with reading(ours=True):
        for data in SAMPLE * 3:
            read(data)
        yield


class Derived(BinaryReader):
    pass


class ShiftedIntegers(BinaryReader):
    def read_long(self, signed: bool = True) -> int:
        return super().read_long(signed) + 1


class OwnObjects(BinaryReader):
    depth = 0

    def tgread_object(self) -> Any:
        self.depth += 1
        return super().tgread_object()


class Bytes(bytes):
    def __getitem__(self, key: Any) -> Any:
        return super().__getitem__(key)


class OwnStream(io.BytesIO):
    def read(self, size: int | None = -1) -> bytes:
        return super().read(size).swapcase() if size == 8 else super().read(size)


def with_stream(stream: type) -> Callable[[bytes], BinaryReader]:
    """Replaces the stream of a reader by another buffer."""

    def make(data: bytes) -> BinaryReader:
        reader = BinaryReader(data)
        reader.stream = stream(data)
        return reader

    return make


def with_method(name: str) -> Callable[[bytes], BinaryReader]:
    """Gives one reader a method of its own."""

    def make(data: bytes) -> BinaryReader:
        reader = BinaryReader(data)
        original = getattr(reader, name)
        results: list[Any] = []

        def method(*args: Any, **kwargs: Any) -> Any:
            results.append(original(*args, **kwargs))
            return results[-1] if len(results) % 5 else original(*args, **kwargs)

        setattr(reader, name, method)
        return reader

    return make


def with_attribute(data: bytes) -> BinaryReader:
    reader = BinaryReader(data)
    reader.name = "ours"
    return reader


def closed(data: bytes) -> BinaryReader:
    reader = BinaryReader(data)
    reader.close()
    # `BytesIO` has no position when it is closed.
    reader.position = vars(reader).get("position", 0)
    return reader


MAKERS = {
    "derived": Derived,
    "integers": ShiftedIntegers,
    "objects": OwnObjects,
    "bytearray": lambda data: BinaryReader(bytearray(data)),
    "memoryview": lambda data: BinaryReader(memoryview(data)),
    "bytes": lambda data: BinaryReader(Bytes(data)),
    "attribute": with_attribute,
    "closed": closed,
    **{f"own_{name}": with_method(name) for name in ("read_int", "tgread_string", "tgread_object", "read")},
}
if HAS_STREAM:
    MAKERS["stream"] = with_stream(OwnStream)
    MAKERS["buffered"] = with_stream(lambda data: io.BufferedReader(io.BytesIO(data)))
else:
    MAKERS["str"] = with_stream(lambda data: data.decode("latin-1"))
    MAKERS["none"] = with_stream(lambda data: None)


@pytest.mark.parametrize("make_reader", MAKERS.values(), ids=MAKERS)
def test_reader(make_reader: Callable[[bytes], BinaryReader]) -> None:
    for _ in range(2):
        assert_same(INPUTS, make_reader=make_reader)


class Int(int):
    def __add__(self, other: int) -> int:
        return Int(int(self) + other)


POSITIONS = [4, 1, -4, -40, 10**6, 2**62, 2**63, -(2**63) - 1, True, Int(0), Int(4), 0.0, None, "0"]


@pytest.mark.parametrize("position", POSITIONS, ids=repr)
def test_position(position: Any) -> None:
    def make(data: bytes) -> BinaryReader:
        reader = BinaryReader(data)
        try:
            reader.set_position(position)
        except (ValueError, OverflowError, TypeError):
            # `BytesIO` refuses it.
            reader.set_position(8)
        return reader

    assert_same([*INPUTS, *(b"\0" * at + page() for at in (1, 4, 8))], make_reader=make)


def test_objects_that_follow_each_other() -> None:
    assert_same([page() + b"\xb5\x75\x72\x99" + update() + message() * 3 + b"\0", *INPUTS], times=7)


def test_a_vector_of_objects() -> None:
    """`tgread_vector` calls `tgread_object` for each."""
    data = b"\x15\xc4\xb5\x1c\x03\0\0\0" + message() + page() + update()
    with reading(ours=False):
        theirs = [made.stringify() for made in BinaryReader(data).tgread_vector()]
    with reading(ours=True):
        ours = [made.stringify() for made in BinaryReader(data).tgread_vector()]
    assert theirs == ours
