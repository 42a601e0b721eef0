"""Makes bytes of TL objects invalid: truncated, bits flipped, hostile lengths, unknown classes, and
nested deeply.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

from telethon.tl import core
from telethon.tl.alltlobjects import tlobjects

from support.tl_inputs import CLASSES, FALSE, TRUE, VECTOR, Inputs, Placeholder, Recorder, leaves, run

# With another length, a container makes Telethon go back and read a message again, forever.
_CONTAINER = struct.pack("<I", core.MessageContainer.CONSTRUCTOR_ID)
_HOSTILE = [0, 1, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**32 - 4, VECTOR, TRUE, FALSE, core.GzipPacked.CONSTRUCTOR_ID]
# First bytes of texts: with a length of three bytes, and the longest short ones.
_FIRST_BYTES = [b"\xfe\xff\xff\xff", b"\xfe\0\0\0", b"\xfe\x04\0\0", b"\xff", b"\xfd"]


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Returns the bytes with one, two or three random defects."""
    choices = [truncated, trailed] if _CONTAINER in data else MUTATIONS
    for _ in range(rng.choice([1, 1, 2, 3])):
        data = rng.choice(choices)(data, rng)
    return data


def truncated(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def trailed(data: bytes, rng: random.Random) -> bytes:
    """Appends bytes that do not belong to the object."""
    return data + rng.randbytes(rng.randrange(1, 40))


def flipped(data: bytes, rng: random.Random) -> bytes:
    if not data:
        return data
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 3])):
        changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def hostile_word(data: bytes, rng: random.Random) -> bytes:
    """Overwrites four bytes by a length, a number of elements, or a class."""
    word = rng.choice(_HOSTILE) if rng.random() < 0.7 else rng.choice(CLASSES).CONSTRUCTOR_ID
    return _overwritten(data, rng, struct.pack("<I", word))


def hostile_text(data: bytes, rng: random.Random) -> bytes:
    return _overwritten(data, rng, rng.choice(_FIRST_BYTES))


def unknown_class(data: bytes, rng: random.Random) -> bytes:
    return _overwritten(data, rng, struct.pack("<I", unknown_id(rng)))


def removed_word(data: bytes, rng: random.Random) -> bytes:
    at = _aligned(data, rng)
    return data[:at] + data[at + 4 :]


def repeated(data: bytes, rng: random.Random) -> bytes:
    at = _aligned(data, rng)
    return data[:at] + data[at:][: rng.randrange(4, 64, 4)] + data[at:]


MUTATIONS: list[Callable[[bytes, random.Random], bytes]] = [
    *[truncated] * 3,
    *[flipped] * 3,
    *[hostile_word] * 3,
    trailed,
    hostile_text,
    unknown_class,
    removed_word,
    repeated,
]


def unknown_id(rng: random.Random) -> int:
    """Returns a constructor ID of no class."""
    while True:
        found = rng.getrandbits(32)
        if found not in tlobjects and found not in core.core_objects and found not in (TRUE, FALSE, VECTOR):
            return found


def _aligned(data: bytes, rng: random.Random) -> int:
    return rng.randrange(len(data) // 4 + 1) * 4


def _overwritten(data: bytes, rng: random.Random, by: bytes) -> bytes:
    at = _aligned(data, rng)
    return data[:at] + by + data[at + len(by) :]


# Deep nesting


def nested_vectors(levels: int, rng: random.Random) -> bytes:
    """Returns vectors of one vector each, and at the end a boolean."""
    return struct.pack("<II", VECTOR, 1) * levels + struct.pack("<I", TRUE)


def nested_objects(levels: int, rng: random.Random) -> bytes:
    """Returns objects of random classes, each the last thing that the one before it reads."""
    return b"".join(_head(cls, rng) for cls in rng.choices(_wrappers(), k=levels)) + _leaf(rng)


def nested_both(levels: int, rng: random.Random) -> bytes:
    heads = [
        struct.pack("<II", VECTOR, 1) if rng.random() < 0.5 else _head(rng.choice(_wrappers()), rng)
        for _ in range(levels)
    ]
    return b"".join(heads) + _leaf(rng)


Nesting = Callable[[int, random.Random], bytes]
NESTINGS: list[Nesting] = [nested_vectors, nested_objects, nested_both]


def _recorded(cls: type, rng: random.Random) -> list[Placeholder]:
    recorder = Recorder(Inputs(rng, "none"))
    run(cls, recorder)
    return recorder.placeholders


def _wrappers() -> list[type]:
    """Returns the classes that read one object, and nothing after it."""
    if not _WRAPPERS:
        for cls in CLASSES:
            kinds = [placeholder.kind for placeholder in _recorded(cls, random.Random(0))]
            # A vector may be empty, and a message reads the ID of its peer.
            if kinds[-1:] == ["object"] and kinds.count("object") == 1 and not _has_vector(cls):
                _WRAPPERS.append(cls)
    return _WRAPPERS


_WRAPPERS: list[type] = []


def _has_vector(cls: type) -> bool:
    recorder = Recorder(Inputs(random.Random(0), "none"))
    return any(isinstance(value, list) for value in run(cls, recorder).values())


def _head(cls: type, rng: random.Random) -> bytes:
    *before, _last = _recorded(cls, rng)
    return struct.pack("<I", cls.CONSTRUCTOR_ID) + b"".join(placeholder.encoded(cls) for placeholder in before)


def _leaf(rng: random.Random) -> bytes:
    return Inputs(rng, "none").of(rng.choice(list(leaves())))
