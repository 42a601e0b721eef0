"""The three TCP transports, which split the byte stream into packets.

https://core.telegram.org/mtproto/mtproto-transports
"""

from __future__ import annotations

import struct
from asyncio import StreamReader
from typing import Protocol
from zlib import crc32

ABRIDGED_TAG = b"\xef"
INTERMEDIATE_TAG = b"\xee" * 4
MAX_PACKET = 1 << 24


class TransportError(ConnectionError):
    """The bytes are not a valid packet of the connection's transport."""


class Transport(Protocol):
    async def read(self, reader: StreamReader) -> bytes: ...

    def frame(self, packet: bytes) -> bytes: ...


class Abridged:
    """One byte with the number of 4-byte words, or 0x7f and three such bytes."""

    def __init__(self, seen: bytes) -> None:
        self._seen = seen

    async def read(self, reader: StreamReader) -> bytes:
        words = (await self._take(reader, 1))[0]
        if words == 0x7F:
            words = int.from_bytes(await self._take(reader, 3), "little")
        return await self._take(reader, words * 4)

    async def _take(self, reader: StreamReader, count: int) -> bytes:
        """Reads bytes, starting with those that `detect` has already read."""
        taken, self._seen = self._seen[:count], self._seen[count:]
        return taken + await reader.readexactly(count - len(taken))

    def frame(self, packet: bytes) -> bytes:
        words = len(packet) // 4
        head = bytes([words]) if words < 0x7F else b"\x7f" + words.to_bytes(3, "little")
        return head + packet


class Intermediate:
    """Four bytes with the length, then the packet."""

    async def read(self, reader: StreamReader) -> bytes:
        (length,) = struct.unpack("<i", await reader.readexactly(4))
        if not 0 < length < MAX_PACKET:
            raise TransportError(f"intermediate packet of {length} bytes")
        return await reader.readexactly(length)

    def frame(self, packet: bytes) -> bytes:
        return struct.pack("<i", len(packet)) + packet


class Full:
    """Length, sequence number, packet, and a CRC32 of all that."""

    def __init__(self, seen: bytes) -> None:
        self._seen = seen
        self._received = 0
        self._sent = 0

    async def read(self, reader: StreamReader) -> bytes:
        head = self._seen + await reader.readexactly(8 - len(self._seen))
        self._seen = b""
        length, number = struct.unpack("<ii", head)
        if not 12 < length < MAX_PACKET or number != self._received:
            raise TransportError(f"full packet {number} of {length} bytes, expected number {self._received}")
        self._received += 1
        rest = await reader.readexactly(length - 8)
        packet, checksum = rest[:-4], rest[-4:]
        if struct.pack("<I", crc32(head + packet)) != checksum:
            raise TransportError(f"full packet {number} has a wrong checksum")
        return packet

    def frame(self, packet: bytes) -> bytes:
        framed = struct.pack("<ii", len(packet) + 12, self._sent) + packet
        self._sent += 1
        return framed + struct.pack("<I", crc32(framed))


async def detect(reader: StreamReader) -> Transport:
    """Detects the transport by the client's first bytes."""
    first = await reader.readexactly(4)
    if first[:1] == ABRIDGED_TAG:
        return Abridged(first[1:])
    if first == INTERMEDIATE_TAG:
        return Intermediate()
    return Full(first)
