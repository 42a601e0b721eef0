"""Replays a recorder's log: computes the files as written, and as they may be after a power cut.

The model is as harsh as SQLite's assumptions about a disk (https://sqlite.org/atomiccommit.html),
and no harsher. Any part of what was written to a file since it was last synced may be on disk, but
sectors of 512 bytes are never torn. Names created and removed since the folder was last synced
reach the disk in order, or not at all.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple

SECTOR = 512
RECORD = struct.Struct("=qqqq")

OPENED, WRITTEN, TRUNCATED, SYNCED, CLOSED, UNLINKED, RENAMED = "owtscur"
NAME_OPERATIONS = (OPENED, UNLINKED, RENAMED)


class Operation(NamedTuple):
    """An operation of the process; see `recorder.c`."""

    what: str
    fd: int
    number: int
    data: bytes

    def torn(self, random: Random) -> Operation:
        """Returns the write cut short at the end of a random sector."""
        ends = range(self.number // SECTOR * SECTOR + SECTOR, self.number + len(self.data), SECTOR)
        if self.what != WRITTEN or not ends:
            return self
        return self._replace(data=self.data[: random.choice(ends) - self.number])

    def apply(self, content: bytearray) -> None:
        if self.what == TRUNCATED:
            del content[self.number :]
        content.extend(bytes(max(0, self.number - len(content))))
        content[self.number : self.number + len(self.data)] = self.data


def read_log(log: Path, folder: Path) -> Iterator[Operation]:
    """Reads the log. Paths become names relative to the folder; the folder's own name is empty."""
    data = log.read_bytes()
    at = 0
    while at < len(data):
        what, fd, number, size = RECORD.unpack_from(data, at)
        at += RECORD.size + size
        operation = Operation(chr(what), fd, number, data[at - size : at])
        if operation.what in NAME_OPERATIONS:
            names = [os.fsdecode(path).removeprefix(str(folder)) for path in operation.data.split(b"\0")]
            operation = operation._replace(data="\0".join(name.removeprefix("/") for name in names).encode())
        yield operation


class File:
    """A file's content, its synced content, and the operations since then."""

    def __init__(self, content: bytes = b"") -> None:
        self.content = bytearray(content)
        self.synced = content
        self.unsynced: list[Operation] = []

    def apply(self, operation: Operation) -> None:
        operation.apply(self.content)
        self.unsynced.append(operation)

    def sync(self) -> None:
        self.synced = bytes(self.content)
        self.unsynced.clear()

    def after_power_cut(self, random: Random) -> bytes:
        chance = random.choice((0, 0.2, 0.5, 0.8, 1))
        written = [operation for operation in self.unsynced if random.random() < chance]
        if written and random.random() < 0.5:
            written[-1] = written[-1].torn(random)
        content = bytearray(self.synced)
        for operation in written:
            operation.apply(content)
        return bytes(content)


# Names that are created, with their files, or removed (`None`).
NameChange = dict[str, File | None]
Contents = dict[str, bytes]


class Disk:
    """A folder and its files, to which operations are applied one after the other."""

    def __init__(self, contents: Contents) -> None:
        self.names = {name: File(content) for name, content in contents.items()}
        self.synced_names = dict(self.names)
        self.unsynced: list[NameChange] = []
        self.open: dict[int, File | None] = {}

    def apply(self, operation: Operation) -> bool:
        """Applies an operation. Returns `True` if the folder's visible content changed."""
        what, fd, number, data = operation
        name, _, new_name = data.decode().partition("\0") if what in NAME_OPERATIONS else ("", "", "")
        if what == OPENED:
            is_new = name != "" and name not in self.names
            if is_new:
                self._change_names({name: File()})
            file = self.open[fd] = self.names.get(name)
            is_truncated = bool(number & os.O_TRUNC and file and file.content)
            if is_truncated:
                file.apply(Operation(TRUNCATED, fd, 0, b""))
            return is_new or is_truncated
        if what == UNLINKED:
            self._change_names({name: None})
        elif what == RENAMED:
            self._change_names({name: None, new_name: self.names[name]})
        elif what == CLOSED:
            del self.open[fd]
        elif what == SYNCED:
            self._sync(self.open[fd])
        else:
            self.open[fd].apply(operation)
        return what not in (CLOSED, SYNCED)

    def contents(self) -> Contents:
        return {name: bytes(file.content) for name, file in self.names.items()}

    def contents_after_partial(self, write: Operation) -> Contents:
        """Returns the contents after a partial write."""
        contents = self.contents()
        for name, file in self.names.items():
            if file is self.open[write.fd]:
                content = bytearray(file.content)
                write.apply(content)
                contents[name] = bytes(content)
        return contents

    def after_power_cut(self, random: Random) -> Contents:
        names = dict(self.synced_names)
        for change in self.unsynced[: random.randint(0, len(self.unsynced))]:
            names = _apply_names(names, change)
        return {name: file.after_power_cut(random) for name, file in names.items()}

    def _change_names(self, change: NameChange) -> None:
        self.names = _apply_names(self.names, change)
        self.unsynced.append(change)

    def _sync(self, file: File | None) -> None:
        if file is not None:
            file.sync()
        else:
            # The folder itself.
            self.synced_names = dict(self.names)
            self.unsynced.clear()


def _apply_names(names: dict[str, File], change: NameChange) -> dict[str, File]:
    return {name: file for name, file in (names | change).items() if file is not None}
