"""The files of Telegram Desktop's tdata folder: their names, copies and checksums."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from pathlib import Path

from .session import ConversionError

MAGIC = b"TDF$"
# Theirs have a few KB.
_MAX_SIZE = 2**18
_CHECKSUM_SIZE = 16
# The names of a file's copies, the newest way of writing first.
_SUFFIXES = ("s", "0", "1")
_NULL = 0xFFFFFFFF


class MalformedData(ValueError):
    """Data ends early or has a length that is not valid."""


class Reader:
    """Reads data as Qt's `QDataStream` writes it: integers in big-endian order, arrays after their
    length.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def is_at_end(self) -> bool:
        return self._at >= len(self._data)

    def take(self, size: int) -> bytes:
        """Returns bytes without a length."""
        if size > len(self._data) - self._at:
            raise MalformedData("it ends early")
        self._at += size
        return self._data[self._at - size : self._at]

    def array(self) -> bytes:
        """Returns a `QByteArray`; an empty one also for null."""
        size = self.uint32()
        return b"" if size == _NULL else self.take(size)

    def int32(self) -> int:
        return int(struct.unpack(">i", self.take(4))[0])

    def uint32(self) -> int:
        return int(struct.unpack(">I", self.take(4))[0])

    def uint64(self) -> int:
        return int(struct.unpack(">Q", self.take(8))[0])


@dataclass(frozen=True)
class TdataFile:
    """The content of a file.

    Attributes:
        path: The copy that was read.
        reader: Its data.
        damaged: The copies that should have been read instead, but are damaged.
    """

    path: Path
    reader: Reader
    damaged: tuple[Path, ...]


def file_part(data_name: str) -> str:
    """Returns the file name of an account: the first half of the MD5 of its name, with the digits of
    each byte swapped.
    """
    digits = hashlib.md5(data_name.encode()).digest()[:8].hex().upper()
    return "".join(digits[at + 1] + digits[at] for at in range(0, len(digits), 2))


def copies(folder: Path, name: str) -> list[Path]:
    """Returns the existing copies of a file, in the order in which Telegram Desktop reads them."""
    newest, *numbered = (folder / f"{name}{suffix}" for suffix in _SUFFIXES)
    found = [path for path in numbered if path.exists()]
    found.sort(key=lambda path: path.stat().st_mtime_ns, reverse=True)
    return [newest, *found] if newest.exists() else found


def read_file(folder: Path, name: str) -> TdataFile | None:
    """Reads the first copy of a file that is intact; `None` if there is no copy.

    Raises:
        ConversionError: All copies are damaged, or one cannot be read.
    """
    existing = copies(folder, name)
    damaged: list[Path] = []
    for path in existing:
        content = _read_checked(path)
        if content is not None:
            return TdataFile(path, Reader(content), tuple(damaged))
        damaged.append(path)
    if damaged:
        raise ConversionError(f"{damaged[0].name} is damaged: its checksum is wrong")
    return None


def _read_checked(path: Path) -> bytes | None:
    """Returns the content of a file; `None` if its checksum is wrong."""
    try:
        if not path.is_file():
            raise ConversionError(f"{path.name} is not a regular file")
        with path.open("rb") as file:
            data = file.read(_MAX_SIZE + 1)
    except OSError as error:
        raise ConversionError(f"{path.name}: {error.strerror or error}") from error
    if len(data) > _MAX_SIZE:
        raise ConversionError(f"{path.name} is damaged: it is larger than Telegram Desktop writes it")
    magic, version = data[: len(MAGIC)], data[len(MAGIC) : len(MAGIC) + 4]
    content, checksum = data[len(MAGIC) + 4 : -_CHECKSUM_SIZE], data[-_CHECKSUM_SIZE:]
    if magic != MAGIC or len(data) < len(MAGIC) + 4 + _CHECKSUM_SIZE:
        return None
    size = struct.pack("<i", len(content))
    return content if hashlib.md5(content + size + version + magic).digest() == checksum else None
