"""What reading an input results in, by Telethon's reader or ours, and how two results differ."""

from __future__ import annotations

import operator
import re
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from telethon.extensions import BinaryReader
from telethon.tl import TLObject

from telethon_session_rust import tl_reader


@contextmanager
def reading(ours: bool) -> Iterator[None]:
    """Makes our reader, or Telethon's, the one in use, and afterwards the one that was."""
    was_enabled = tl_reader.is_enabled()
    _use(ours)
    try:
        yield
    finally:
        _use(was_enabled)


def _use(ours: bool) -> None:
    if ours:
        assert tl_reader.enable()
    else:
        tl_reader.disable()
    assert (BinaryReader.tgread_object is THEIRS) is not ours


_was_enabled = tl_reader.is_enabled()
tl_reader.disable()
# Telethon's own function.
THEIRS = BinaryReader.tgread_object
if _was_enabled:
    tl_reader.enable()


@dataclass
class Outcome:
    """The object or the error of each call, and the state of the reader after each."""

    results: list[tuple[Any, Exception | None]]
    states: list[tuple[int, Any]]
    attributes: list[str]


def read(data: bytes, times: int = 1, make_reader: Callable[[bytes], BinaryReader] = BinaryReader) -> Outcome:
    """Calls `tgread_object` this often, also after an error."""
    reader = make_reader(data)
    results: list[tuple[Any, Exception | None]] = []
    states = []
    for _ in range(times):
        try:
            results.append((reader.tgread_object(), None))
        except Exception as error:
            results.append((None, error))
        states.append((position(reader), reader._last))
    return Outcome(results, states, list(vars(reader)))


def position(reader: BinaryReader) -> int:
    """Returns the position without calling a method of the reader. Before 1.40, it is a `BytesIO`'s."""
    return reader.position if hasattr(reader, "position") else reader.stream.tell()


def both(inputs: Iterable[tuple[bytes, int]]) -> Iterator[tuple[Outcome, Outcome]]:
    """Reads every input with Telethon's reader, then every one with ours."""
    inputs = list(inputs)
    with reading(ours=False):
        theirs = [read(data, times) for data, times in inputs]
    with reading(ours=True):
        ours = [read(data, times) for data, times in inputs]
    return zip(theirs, ours, strict=True)


def assert_same(
    inputs: Iterable[bytes],
    calls: list[Any] | None = None,
    times: int = 1,
    make_reader: Callable[[bytes], BinaryReader] = BinaryReader,
) -> None:
    """Reads with ours, which is enabled, and with Telethon's own function in its place, without
    `disable()`. Both must make the same calls.
    """
    calls, inputs, sides = [] if calls is None else calls, list(inputs), []
    ours = BinaryReader.tgread_object
    assert ours is not THEIRS
    # Comparing objects may have made some.
    calls.clear()
    for function in (THEIRS, ours):
        BinaryReader.tgread_object = function
        outcomes = [read(data, times, make_reader) for data in inputs]
        sides.append((outcomes, calls.copy()))
        calls.clear()
    for number, outcomes in enumerate(zip(sides[0][0], sides[1][0], strict=True)):
        found = difference(*outcomes)
        assert not found, f"input {number}: {found}"
    found = difference_of_values(sides[0][1], sides[1][1])
    assert not found, f"calls: {found}"


def difference(theirs: Outcome, ours: Outcome) -> str | None:
    """Returns where the outcomes differ, or `None`."""
    for number, (left, right) in enumerate(zip(theirs.results, ours.results, strict=True)):
        where = f"call {number}"
        if isinstance(left[1], RecursionError) and isinstance(right[1], RecursionError):
            # Where it is raised depends on how many frames a reader needs.
            return None
        found = (
            difference_of_errors(left[1], right[1])
            or difference_of_values(left[0], right[0])
            or difference_of_values(theirs.states[number], ours.states[number])
        )
        if found:
            return f"{where}: {found}"
    return difference_of_values(theirs.attributes, ours.attributes)


def difference_of_errors(theirs: BaseException | None, ours: BaseException | None) -> str | None:
    if (theirs is None) != (ours is None) or type(theirs) is not type(ours):
        return f"{theirs!r:.300} became {ours!r:.300}"
    if theirs is None or ours is None:
        return None
    return (
        difference_of_values(*(_without_addresses(error) for error in (theirs, ours)))
        or difference_of_values(vars(theirs), vars(ours))
        or difference_of_errors(theirs.__context__, ours.__context__)
        or difference_of_errors(theirs.__cause__, ours.__cause__)
    )


def _without_addresses(error: BaseException) -> list[Any]:
    """Returns text and arguments. The text of a `memoryview` has its address."""
    return [re.sub(" at 0x[0-9a-f]+>", ">", text) if type(text) is str else text for text in (str(error), *error.args)]


def difference_of_values(theirs: Any, ours: Any) -> str | None:
    """Compares recursively, without recursion: exact types, order of attributes, and values."""
    todo: list[tuple[Any, Any, Any]] = [((), theirs, ours)]
    while todo:
        path, left, right = todo.pop()
        kind = type(left)
        if kind is not type(right):
            return f"{_joined(path)}: {kind} became {type(right)}"
        if kind is list or kind is tuple:
            if len(left) != len(right):
                return f"{_joined(path)}: {len(left)} items became {len(right)}"
            todo += [((path, number), *pair) for number, pair in enumerate(zip(left, right, strict=True))]
        elif kind is dict or isinstance(left, TLObject):
            first, second = (left, right) if kind is dict else (vars(left), vars(right))
            if list(first) != list(second):
                return f"{_joined(path)}: {kind}: keys {list(first)} became {list(second)}"
            todo += [((path, name), value, second[name]) for name, value in first.items()]
        elif not _equal(kind, left, right):
            return f"{_joined(path)}: {left!r:.300} became {right!r:.300}"
    return None


def _equal(kind: type, left: Any, right: Any) -> bool:
    return left is right or _EQUAL.get(kind, operator.eq)(left, right)


_EQUAL: dict[type, Callable[[Any, Any], bool]] = {
    # Also the sign of zero and the bits of NaN.
    float: lambda left, right: struct.pack("<d", left) == struct.pack("<d", right),
    datetime: lambda left, right: left == right and left.tzinfo is right.tzinfo and left.fold == right.fold,
}


def _joined(path: Any) -> str:
    names = []
    while path:
        path, name = path
        names.append(str(name))
    return ".".join(reversed(names)) or "it"


def difference_of_texts(theirs: Any, ours: Any) -> str | None:
    """Compares what is computed from an object: `to_dict`, `str` and `stringify`."""
    for describe in (_to_dict, str, TLObject.stringify):
        texts = []
        for value in (theirs, ours):
            try:
                texts.append((describe(value), None))
            except Exception as error:
                texts.append((None, error))
        (left, left_error), (right, right_error) = texts
        found = difference_of_errors(left_error, right_error) or difference_of_values(left, right)
        if found:
            return f"{describe.__name__}: {found}"
    return None


def _to_dict(value: TLObject) -> Any:
    return value.to_dict()


def everything_in(value: Any) -> Iterator[TLObject]:
    """Yields all objects in what was read."""
    todo = [value]
    while todo:
        value = todo.pop()
        if isinstance(value, list):
            todo += value
        elif isinstance(value, TLObject):
            yield value
            todo += vars(value).values()
