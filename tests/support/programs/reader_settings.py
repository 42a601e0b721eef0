"""Enables the reader in one of several ways, and prints as JSON whether it is on, what calls
returned, and what was logged.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from typing import Any

from telethon import TelegramClient
from telethon.extensions import BinaryReader
from telethon.sessions import MemorySession

THEIRS = BinaryReader.tgread_object

import telethon_session_rust as package  # noqa: E402
from telethon_session_rust import tl_reader  # noqa: E402


def new_client() -> TelegramClient:
    return TelegramClient(MemorySession(), 1, "hash")


def somebody_elses(self: BinaryReader) -> Any:
    return THEIRS(self)


def replace() -> None:
    BinaryReader.tgread_object = somebody_elses


WAYS: dict[str, Callable[[], list[Any]]] = {
    "import": list,
    "enable": lambda: [tl_reader.enable()],
    "twice": lambda: [tl_reader.enable(), tl_reader.enable()],
    "disable": lambda: [tl_reader.enable(), tl_reader.disable(), tl_reader.disable()],
    "again": lambda: [tl_reader.enable(), tl_reader.disable(), tl_reader.enable()],
    "install": lambda: [package.install()],
    "install without": lambda: [package.install(reader=False)],
    "install, uninstall": lambda: [package.install(), package.uninstall()],
    "uninstall": lambda: [package.uninstall()],
    "accelerate": lambda: [package.accelerate(new_client()) in (True, False)],
    "accelerate without": lambda: [package.accelerate(new_client(), reader=False) in (True, False)],
    "replaced": lambda: [replace(), tl_reader.enable(), tl_reader.disable()],
    "replaced, install": lambda: [replace(), package.install(), package.uninstall()],
}


class Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def main(way: str) -> None:
    handler = Lines()
    logging.getLogger("telethon_session_rust").addHandler(handler)
    returned = WAYS[way]()
    current = BinaryReader.tgread_object
    found = {
        "returned": returned,
        "is_enabled": tl_reader.is_enabled(),
        "reader": {THEIRS: "Telethon's", somebody_elses: "somebody else's"}.get(current, "ours"),
        "session": MemorySession.__module__.partition(".")[0],
        "lines": handler.lines,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
