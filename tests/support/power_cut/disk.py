"""Files as the recorder's log says they were written: as they are, and as they may be after a power cut.

It is as harsh as SQLite expects a disk to be (https://sqlite.org/atomiccommit.html), and no harsher. Of what was
written to a file since it was last synced any part may have come to the disk, but a sector of 512 bytes is never torn.
Names that were made and removed since the folder was last synced come to the disk in order, or not at all.
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
ABOUT_NAMES = (OPENED, UNLINKED, RENAMED)


class Operation(NamedTuple):
    """What the process did; see `recorder.c`."""

    what: str
    fd: int
    number: int
    data: bytes

    def torn(self, random: Random) -> Operation:
        """Only a part of what was written, to the end of a sector."""
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
    """Paths are made names in the folder, which is itself the empty name."""
    data = log.read_bytes()
    at = 0
    while at < len(data):
        what, fd, number, size = RECORD.unpack_from(data, at)
        at += RECORD.size + size
        operation = Operation(chr(what), fd, number, data[at - size : at])
        if operation.what in ABOUT_NAMES:
            names = [os.fsdecode(path).removeprefix(str(folder)) for path in operation.data.split(b"\0")]
            operation = operation._replace(data="\0".join(name.removeprefix("/") for name in names).encode())
        yield operation


class File:
    """What is in it, what of that has been synced, and what has been done since."""

    def __init__(self, content: bytes = b"") -> None:
        self.content = bytearray(content)
        self.synced = content
        self.since: list[Operation] = []

    def do(self, operation: Operation) -> None:
        operation.apply(self.content)
        self.since.append(operation)

    def sync(self) -> None:
        self.synced = bytes(self.content)
        self.since.clear()

    def after_power_cut(self, random: Random) -> bytes:
        chance = random.choice((0, 0.2, 0.5, 0.8, 1))
        done = [operation for operation in self.since if random.random() < chance]
        if done and random.random() < 0.5:
            done[-1] = done[-1].torn(random)
        content = bytearray(self.synced)
        for operation in done:
            operation.apply(content)
        return bytes(content)


# Which names are made, and of which files, or (`None`) removed.
Naming = dict[str, File | None]
Contents = dict[str, bytes]


class Disk:
    """A folder and its files, while operations are done one after the other."""

    def __init__(self, contents: Contents) -> None:
        self.names = {name: File(content) for name, content in contents.items()}
        self.synced_names = dict(self.names)
        self.since: list[Naming] = []
        self.open: dict[int, File | None] = {}

    def do(self, operation: Operation) -> bool:
        """Answers whether anything is another now to who looks at the folder."""
        what, fd, number, data = operation
        name, _, new_name = data.decode().partition("\0") if what in ABOUT_NAMES else ("", "", "")
        if what == OPENED:
            is_new = name != "" and name not in self.names
            if is_new:
                self._name({name: File()})
            file = self.open[fd] = self.names.get(name)
            is_emptied = bool(number & os.O_TRUNC and file and file.content)
            if is_emptied:
                file.do(Operation(TRUNCATED, fd, 0, b""))
            return is_new or is_emptied
        if what == UNLINKED:
            self._name({name: None})
        elif what == RENAMED:
            self._name({name: None, new_name: self.names[name]})
        elif what == CLOSED:
            del self.open[fd]
        elif what == SYNCED:
            self._sync(self.open[fd])
        else:
            self.open[fd].do(operation)
        return what not in (CLOSED, SYNCED)

    def contents(self) -> Contents:
        return {name: bytes(file.content) for name, file in self.names.items()}

    def contents_while(self, write: Operation) -> Contents:
        """As they are when so much has been written."""
        contents = self.contents()
        for name, file in self.names.items():
            if file is self.open[write.fd]:
                content = bytearray(file.content)
                write.apply(content)
                contents[name] = bytes(content)
        return contents

    def after_power_cut(self, random: Random) -> Contents:
        names = dict(self.synced_names)
        for naming in self.since[: random.randint(0, len(self.since))]:
            names = _named(names, naming)
        return {name: file.after_power_cut(random) for name, file in names.items()}

    def _name(self, naming: Naming) -> None:
        self.names = _named(self.names, naming)
        self.since.append(naming)

    def _sync(self, file: File | None) -> None:
        if file is not None:
            file.sync()
        else:
            # The folder itself.
            self.synced_names = dict(self.names)
            self.since.clear()


def _named(names: dict[str, File], naming: Naming) -> dict[str, File]:
    return {name: file for name, file in (names | naming).items() if file is not None}
