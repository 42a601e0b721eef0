"""Encoded values of TL's bare types, with the edges of each."""

from __future__ import annotations

import math
import random
import struct
from collections.abc import Callable

# The edges of marked IDs: a channel's is -10^12 minus its ID.
_IDS = [10**12, 10**12 - 1, 10**12 + 1, 999_999_999_999 - 2**31, 1_997_852_516_352, 2**40, 2**53 + 1]
_DOUBLES = [0.0, -0.0, 1.5, math.inf, -math.inf, math.nan, 5e-324, 1.7976931348623157e308]
_TEXTS = ["", "a", "Ada", "Ада Лавлейс", "\0", "\x7f", "é", "\ufeff", "😀" * 5, "日本", "\U0010ffff", "ß" * 126]
# Truncated, overlong, surrogates, beyond Unicode, and bytes that never occur.
_NOT_UTF_8 = [
    b"\xff",
    b"\x80",
    b"ab\xe2\x82",
    b"\xe2\x82ab",
    b"\xf0\x9f\x98",
    b"\xc0\xaf",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xfe\xff",
]
_LENGTHS = [0, 1, 2, 3, 4, 253, 254, 255, 256, 257]
_LONG, _LONG_ONCE_IN = 70_000, 4_000


def integer(rng: random.Random, bits: int) -> bytes:
    if rng.random() < 0.6:
        return rng.randbytes(bits // 8)
    half = 2 ** (bits - 1)
    value = rng.choice([0, 1, -1, 2, half - 1, -half, 1 - half, 256, 257, -5, -6, *_IDS, *(-value for value in _IDS)])
    return (value % 2**bits).to_bytes(bits // 8, "little")


def double(rng: random.Random) -> bytes:
    if rng.random() < 0.5:
        # Includes NaN with a payload.
        return rng.randbytes(6) + rng.choice([b"\xf8\x7f", b"\xf0\xff", rng.randbytes(2)])
    return struct.pack("<d", rng.choice(_DOUBLES))


def boolean(rng: random.Random) -> bytes:
    if rng.random() < 0.01:
        return rng.randbytes(4)
    return struct.pack("<I", rng.choice([0x997275B5, 0xBC799737]))


def data(rng: random.Random) -> bytes:
    chance = rng.random()
    if chance < 1 / _LONG_ONCE_IN:
        return framed(rng, rng.randbytes(_LONG))
    length = rng.choice(_LENGTHS) if chance < 0.15 else rng.randrange(40)
    return framed(rng, rng.randbytes(length))


def text(rng: random.Random) -> bytes:
    chance = rng.random()
    if chance < 0.1:
        return data(rng)
    if chance < 0.2:
        return framed(rng, rng.choice(_NOT_UTF_8) + b"x" * rng.choice([0, 1, 20]))
    if chance < 0.25:
        return framed(rng, rng.choice([b"x", "ж".encode()]) * rng.choice(_LENGTHS))
    return framed(rng, rng.choice(_TEXTS).encode())


def framed(rng: random.Random, content: bytes) -> bytes:
    """Prepends the length, and pads. Short content may have a long length, a padding need not be
    zero, and Telethon reads 255 as a short length.
    """
    size = len(content)
    if (size < 254 and rng.random() < 0.95) or (size == 255 and rng.random() < 0.5):
        framed = bytes([size]) + content
    else:
        framed = b"\xfe" + size.to_bytes(3, "little") + content
    padding = -len(framed) % 4
    return framed + (bytes(padding) if rng.random() < 0.9 else rng.randbytes(padding))


ENCODED: dict[str, Callable[[random.Random], bytes]] = {
    "double": double,
    "bool": boolean,
    "bytes": data,
    "string": text,
}
