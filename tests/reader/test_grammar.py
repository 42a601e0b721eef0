"""Classes as Telethon's generator writes them, with any fields, are read natively; and with any
change to what it writes, as Python reads them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from telethon.tl import TLObject
from telethon.tl.alltlobjects import tlobjects

from support.counters import tally
from support.tl_outcomes import both, difference, reading
from telethon_session_rust import tl_reader

ID = 0x7E57C1A5
READS = [
    "read_int()",
    "read_int(signed=False)",
    "read_long()",
    "read_double()",
    "read_large_int(bits=128)",
    "read_large_int(bits=256)",
    "tgread_bytes()",
    "tgread_string()",
    "tgread_bool()",
    "tgread_date()",
    "tgread_object()",
]

words = st.integers(0, 2)
masks = st.integers(0, 31).map(lambda bit: 1 << bit)
conditions = st.none() | st.tuples(words, masks)
fields = st.one_of(
    st.tuples(st.just("flag"), st.tuples(words, masks)),
    st.tuples(st.just("value"), st.sampled_from(READS), conditions),
    st.tuples(st.just("vector"), st.sampled_from(READS), conditions, st.booleans()),
)


def write(fields: list[Any], has_docstring: bool) -> list[str]:
    """Returns the lines of a class as Telethon's generator writes them."""
    names = [f"field_{number}" for number in range(len(fields))]
    used = sorted({condition[0] for _, *rest in fields for condition in rest if isinstance(condition, tuple)})
    flags = {word: f"flags{place + 1 if place else ''}" for place, word in enumerate(used)}
    lines = ["class Sample(TLObject):", f" CONSTRUCTOR_ID = {ID}", " SUBCLASS_OF_ID = 1"]
    if fields:
        lines.append(f" def __init__(self, {', '.join(names)}):")
        lines += ["  '''Text.'''"] if has_docstring else []
        lines += [f"  self.{name} = {name}" for name in names]
    lines.append(" def to_dict(self): return {'_': 'Sample', **vars(self)}")
    lines += [" @classmethod", " def from_reader(cls, reader):"]
    lines += [f"  {variable} = reader.read_int()" for variable in flags.values()]
    for name, (form, *rest) in zip(names, fields, strict=True):
        if form == "flag":
            ((word, mask),) = rest
            lines.append(f"  _{name} = bool({flags[word]} & {mask})")
            continue
        read, condition = rest[:2]
        body = [f"_{name} = reader.{read}"]
        if form == "vector":
            body = [f"_{name} = []", "for _ in range(reader.read_int()):"]
            body += [f" _x = reader.{read}", f" _{name}.append(_x)"]
            body = ["reader.read_int()", *body] if rest[2] else body
        if condition:
            body = [f"if {flags[condition[0]]} & {condition[1]}:", *(f" {line}" for line in body)]
            body += ["else:", f" _{name} = None"]
        lines += [f"  {line}" for line in body]
    return [*lines, f"  return cls({', '.join(f'{name}=_{name}' for name in names)})"]


@contextmanager
def registered(lines: list[str]) -> Iterator[type[TLObject] | None]:
    """Registers the class; `None` if this is not Python."""
    namespace: dict[str, Any] = {"TLObject": TLObject}
    try:
        exec(compile("\n".join(lines), "sample.py", "exec", dont_inherit=True), namespace)
    except (SyntaxError, NameError):
        yield None
        return
    sample = tlobjects[ID] = namespace["Sample"]
    try:
        yield sample
    finally:
        del tlobjects[ID]


small = st.integers(0, 3).map(lambda number: number.to_bytes(4, "little"))
true = (0x997275B5).to_bytes(4, "little")
# What is likely to be whole values and short vectors: small numbers, flags, `bool`s, and objects.
likely = st.one_of(small, st.just(true), st.just(b"\x03ab\xff"), st.just(b"\xff" * 4))
inputs = st.lists(likely | st.binary(min_size=4, max_size=4), max_size=60)
# Without the length of a long vector, in which a changed loop need not read anything.
short_inputs = st.lists(likely, max_size=60)


def check(data: list[list[bytes]]) -> None:
    inputs = [ID.to_bytes(4, "little") + b"".join(pieces) for pieces in data]
    for theirs, ours in both((each, 1) for each in inputs * 2):
        found = difference(theirs, ours)
        assert not found, found


@given(fields=st.lists(fields, max_size=40), has_docstring=st.booleans(), data=st.lists(inputs, min_size=3, max_size=6))
def test_what_the_generator_writes(fields: list[Any], has_docstring: bool, data: list[list[bytes]]) -> None:
    with registered(write(fields, has_docstring)) as sample, reading(ours=True):
        assert sample is not None
        assert tl_reader.explain(sample) is None
        check(data)
        tally("reader: generated classes read natively")


CHANGES = [
    ("read_int()", "read_long()"),
    ("reader.read_int()", "reader.read_int(signed=True)"),
    ("append(_x)", "append(_x + _x)"),
    (" = None", " = 0"),
    ("bool(", "not ("),
    ("if flags", "if not flags"),
    ("&", "|"),
    ("&", "^"),
    ("=_field_1", "=_field_0"),
    ("self.field_1 = field_1", "self.field_1 = field_0"),
    ("self.field_0 = field_0", "self.field_0 = 5"),
    ("self.field_0", "self.other"),
    ("def __init__(self,", "def __init__(self, *,"),
    ("def from_reader(cls, reader)", "def from_reader(cls, reader, extra=1)"),
    ("class Sample(TLObject):", "class Sample(TLObject):\n __slots__ = ('field_0',)"),
    ("class Sample(TLObject):", "class Sample(TLObject):\n def __new__(cls, **k): return super().__new__(cls)"),
    ("return cls(", "return cls.__new__(cls) or cls("),
]


@given(
    fields=st.lists(fields, min_size=1, max_size=8),
    changes=st.lists(st.tuples(st.sampled_from(CHANGES), st.integers(0, 5)), max_size=3),
    moves=st.lists(st.tuples(st.sampled_from(["drop", "repeat", "swap"]), st.integers(0, 200)), max_size=2),
    data=st.lists(short_inputs, min_size=3, max_size=6),
)
def test_anything_else_is_honoured(fields: list[Any], changes: Any, moves: Any, data: list[list[bytes]]) -> None:
    lines = write(fields, True)
    for (old, new), place in changes:
        # A loop of 64-bit length that reads nothing would not end.
        places = [number for number, line in enumerate(lines) if old in line and "range" not in line]
        if places:
            number = places[place % len(places)]
            lines[number] = lines[number].replace(old, new)
    for move, place in moves:
        number = 1 + place % (len(lines) - 2)
        if move == "drop":
            del lines[number]
        elif move == "repeat":
            lines.insert(number, lines[number])
        else:
            lines[number], lines[number + 1] = lines[number + 1], lines[number]
    with registered(lines) as sample:
        if sample is not None:
            check(data)
            tally("reader: changed classes honoured")
