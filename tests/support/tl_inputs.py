"""Valid bytes of every TL class of the installed Telethon, without a schema: the class's own
`from_reader` says what it reads.

`from_reader` runs with a reader that returns placeholders. How a placeholder is used tells what it
is: flags are tested with `&`, the length of a vector goes to `range`, and the constructor gets the
others by name. All randomness comes from one `random.Random`, so a seed names an input.
"""

from __future__ import annotations

import gzip
import random
import struct
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from inspect import signature
from types import ModuleType
from typing import Any, ForwardRef, get_args

from telethon.tl import TLObject, core, types
from telethon.tl.alltlobjects import tlobjects

from support import tl_values

TRUE, FALSE, VECTOR = 0x997275B5, 0xBC799737, 0x1CB5C415
CLASSES: list[type[TLObject]] = sorted(tlobjects.values(), key=lambda cls: (cls.__module__, cls.__qualname__))
# Objects of an input, and levels, beyond which only classes without mandatory objects are chosen.
MAX_OBJECTS, MAX_DEPTH = 24, 8


class Placeholder:
    """The result of a read, whose value is decided when it is used or when all reads are known."""

    def __init__(self, kind: str, inputs: Inputs, bits: int = 32) -> None:
        self.kind, self.bits = kind, bits
        self.parameter: str | None = None
        self._inputs = inputs
        self._value: int | None = None

    def __and__(self, mask: int) -> int:
        if self._value is None:
            self._value = self._inputs.flags()
        return self._value & mask

    def __index__(self) -> int:
        if self._value is None:
            self._value = self._inputs.count()
        return self._value

    def encoded(self, cls: type) -> bytes:
        if self._value is not None:
            return struct.pack("<I", self._value & 0xFFFFFFFF)
        if self.kind == "object":
            return self._inputs.nested(fitting(cls, self.parameter))
        if self.kind == "int":
            return tl_values.integer(self._inputs.rng, self.bits)
        return tl_values.ENCODED[self.kind](self._inputs.rng)


class Recorder:
    """Has the methods of a `BinaryReader` that `from_reader` calls."""

    def __init__(self, inputs: Inputs) -> None:
        self._inputs = inputs
        self.placeholders: list[Placeholder] = []

    def read_int(self, signed: bool = True) -> Any:
        return self._add("int")

    def read_long(self, signed: bool = True) -> Any:
        return self._add("int", 64)

    def read_large_int(self, bits: int, signed: bool = True) -> Any:
        return self._add("int", bits)

    def read_double(self) -> Any:
        return self._add("double")

    def tgread_bytes(self) -> Any:
        return self._add("bytes")

    def tgread_string(self) -> Any:
        return self._add("string")

    def tgread_bool(self) -> Any:
        return self._add("bool")

    def tgread_date(self) -> Any:
        return self._add("int")

    def tgread_object(self) -> Any:
        return self._add("object")

    def _add(self, kind: str, bits: int = 32) -> Placeholder:
        self.placeholders.append(Placeholder(kind, self._inputs, bits))
        return self.placeholders[-1]


@dataclass
class Inputs:
    """Generates bytes. `style` says how flags are set: `all`, `none`, `one` or `mixed`."""

    rng: random.Random
    style: str = "mixed"

    def __post_init__(self) -> None:
        self._objects = self._depth = 0

    def of(self, cls: type[TLObject]) -> bytes:
        """Returns the bytes of an object of this class, with its constructor ID."""
        self._objects += 1
        self._depth += 1
        try:
            body = CORE[cls](self) if cls in CORE else self._body(cls)
        finally:
            self._depth -= 1
        return struct.pack("<I", cls.CONSTRUCTOR_ID) + body

    def nested(self, candidates: list[type[TLObject]]) -> bytes:
        """Returns an object that fits a field, or sometimes another, which readers accept too."""
        rng = self.rng
        if not candidates or rng.random() < 0.1:
            if rng.random() < 0.2:
                return self._bare()
            candidates = CLASSES
        if self._is_full:
            candidates = [cls for cls in candidates if cls in leaves()] if candidates is not CLASSES else []
            candidates = candidates or list(leaves())
        return self.of(rng.choice(candidates))

    def flags(self) -> int:
        if self._is_full or self.style == "none":
            return 0
        if self.style == "all":
            return 0xFFFFFFFF
        return 1 << self.rng.randrange(32) if self.style == "one" else self.rng.getrandbits(32)

    def count(self) -> int:
        if self._is_full:
            return 0
        return self.rng.choice([0, 1, 1, 2, 2, 3, -1, -(2**31)])

    @property
    def _is_full(self) -> bool:
        return self._objects >= MAX_OBJECTS or self._depth > MAX_DEPTH

    def _body(self, cls: type[TLObject]) -> bytes:
        recorder = Recorder(self)
        arguments = run(cls, recorder)
        for name, value in arguments.items():
            for placeholder in value if isinstance(value, list) else [value]:
                if isinstance(placeholder, Placeholder):
                    placeholder.parameter = name
        return b"".join(placeholder.encoded(cls) for placeholder in recorder.placeholders)

    def _bare(self) -> bytes:
        """Returns a boolean or a vector where an object is expected."""
        if self._is_full or self.rng.random() < 0.5:
            return struct.pack("<I", self.rng.choice([TRUE, FALSE]))
        count = self.count()
        self._depth += 1
        items = [self.nested(CLASSES) for _ in range(count)]
        self._depth -= 1
        return struct.pack("<Ii", VECTOR, count) + b"".join(items)


def run(cls: type[TLObject], recorder: Recorder) -> dict[str, Any]:
    """Runs a class's `from_reader` without making an object, and returns the arguments by name."""

    def constructor(**arguments: Any) -> dict[str, Any]:
        return arguments

    return cls.from_reader.__func__(constructor, recorder)


@cache
def leaves() -> dict[type[TLObject], None]:
    """Returns the classes of which an object without flags contains no other object, in order."""

    def is_leaf(cls: type[TLObject]) -> bool:
        inputs = Inputs(random.Random(0), "none")
        inputs._objects = MAX_OBJECTS
        recorder = Recorder(inputs)
        run(cls, recorder)
        return all(placeholder.kind != "object" for placeholder in recorder.placeholders)

    return dict.fromkeys(filter(is_leaf, CLASSES))


@cache
def fitting(cls: type[TLObject], parameter: str | None) -> list[type[TLObject]]:
    """Returns the classes that the annotation of a parameter allows."""
    annotation = _annotations(cls).get(parameter)
    found = sorted(_named_by(annotation), key=lambda found: found.CONSTRUCTOR_ID)
    return [tlobjects[found.CONSTRUCTOR_ID] for found in found if found.CONSTRUCTOR_ID in tlobjects]


@cache
def _annotations(cls: type[TLObject]) -> dict[str | None, Any]:
    return {name: parameter.annotation for name, parameter in signature(cls.__init__).parameters.items()}


def _named_by(annotation: Any) -> set[type[TLObject]]:
    if isinstance(annotation, ForwardRef):
        annotation = annotation.__forward_arg__
    if isinstance(annotation, str):
        return {cls for alias in _aliases()[annotation] for cls in _named_by(alias)}
    if isinstance(annotation, type) and issubclass(annotation, TLObject):
        return {annotation}
    return {cls for argument in get_args(annotation) for cls in _named_by(argument)}


@cache
def _aliases() -> defaultdict[str, list[Any]]:
    """Returns the names such as `TypeUser`, with the classes or unions that they stand for."""
    aliases = defaultdict(list)
    for module in (types, *(value for value in vars(types).values() if isinstance(value, ModuleType))):
        if module.__name__.startswith(types.__name__):
            for name, value in vars(module).items():
                if name.startswith("Type"):
                    aliases[name].append(value)
    return aliases


# The envelopes of MTProto, whose `from_reader` is written by hand.


def _container(inputs: Inputs) -> bytes:
    # Telethon reads a result to the end of the packet, and then returns to the end of the message.
    messages = [
        inputs.of(core.RpcResult) if inputs.rng.random() < 0.3 else inputs.nested([])
        for _ in range(inputs.rng.randrange(4))
    ]
    return struct.pack("<i", len(messages)) + b"".join(
        tl_values.integer(inputs.rng, 64) + struct.pack("<ii", 1, len(message)) + message for message in messages
    )


def _gzip(inputs: Inputs) -> bytes:
    return TLObject.serialize_bytes(gzip.compress(inputs.rng.randbytes(inputs.rng.randrange(300)), mtime=0))


def _result(inputs: Inputs) -> bytes:
    return tl_values.integer(inputs.rng, 64) + inputs.of(
        inputs.rng.choice([types.RpcError, core.GzipPacked, types.User, types.Pong])
    )


CORE: dict[type, Callable[[Inputs], bytes]] = {
    core.MessageContainer: _container,
    core.GzipPacked: _gzip,
    core.RpcResult: _result,
}
EVERYTHING: list[type[TLObject]] = [*CLASSES, *CORE]
