"""Folders of GramJS' `StoreSession`, with a file for each value, as its `sessions/StoreSession.ts`
and node-localstorage write them: the login, and what it knows of people.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..entity import Entity
from . import people
from .checks import NO_USER_ID, checked_port, filled_in, ip_address
from .data_centres import is_test_server
from .gramjs_string import LIBRARY
from .login import checked_dc_id, checked_key, completed_address
from .session import ConversionError, ForeignSession

_KEY = "authKey"
# Of a value. The key is the largest, with less than 2,000 bytes.
_MAX_SIZE = 100_000
_INT64 = range(-(2**63), 2**63)
_ROW_SIZE = 5
# GramJS writes this before the ID of a channel, and a minus before that of a chat.
_CHANNEL_MARK = "-100"
_ID = re.compile(r"-?[0-9]{1,20}")


def find_prefix(folder: Path) -> str | None:
    """Returns how the names of a session's files begin; `None` if the folder has none of GramJS."""
    with os.scandir(folder) as entries:
        prefixes = (entry.name.removesuffix(_KEY) for entry in entries if entry.name.endswith(_KEY))
        return next((prefix for prefix in prefixes if prefix and (folder / f"{prefix}dcId").is_file()), None)


def read(folder: Path, prefix: str) -> ForeignSession:
    """Reads a session, of which `find_prefix` returned the prefix.

    Raises:
        ConversionError: It has no login, or is damaged.
    """
    stored = _value(folder / f"{prefix}{_KEY}")
    dc_id = checked_dc_id(_value(folder / f"{prefix}dcId"))
    server_address, port, notes = _address(folder, prefix, dc_id)
    return ForeignSession(
        library=LIBRARY,
        dc_id=dc_id,
        auth_key=checked_key(_bytes(stored)),
        server_address=server_address,
        port=port,
        is_test=is_test_server(server_address),
        entities=lambda: _entities(folder, prefix),
        notes=(*notes, NO_USER_ID, *_damaged(folder, prefix)),
    )


def _address(folder: Path, prefix: str, dc_id: int) -> tuple[str, int, tuple[str, ...]]:
    """Returns the address and port. Telethon connects to IP addresses only, so a host name is
    replaced.
    """
    address, port = _value(folder / f"{prefix}serverAddress"), _value(folder / f"{prefix}port")
    ip = ip_address(address) if isinstance(address, str) else None
    if ip is not None and type(port) is int:
        return ip, checked_port(port), ()
    return *completed_address(dc_id, is_test=False), (f"{filled_in(dc_id, is_test=False)}",)


def _bytes(value: Any) -> bytes | None:
    """Returns a `Buffer` of Node.js; `None` if there is none."""
    data = value.get("data") if isinstance(value, dict) else None
    try:
        return bytes(data) if isinstance(data, list) else None
    except (TypeError, ValueError) as error:
        raise ConversionError("it is damaged: its auth key is not valid") from error


def _damaged(folder: Path, prefix: str) -> Iterator[str]:
    """Yields a note on damaged files, if there are any."""
    count = sum(row is None for _, row in _rows(folder, prefix))
    if count:
        yield f"people left out, because their files are damaged: {count:,}"


def _entities(folder: Path, prefix: str) -> Iterator[Entity]:
    for id, row in _rows(folder, prefix):
        entity = _entity(id, row) if row else None
        if entity is not None:
            yield entity


def _rows(folder: Path, prefix: str) -> Iterator[tuple[str, list[Any] | None]]:
    """Yields the ID and row of each entity; `None` for the row if its file is damaged."""
    with os.scandir(folder) as entries:
        for entry in entries:
            id = entry.name.removeprefix(prefix)
            if entry.name.startswith(prefix) and _ID.fullmatch(id) and entry.is_file():
                try:
                    row = _value(Path(entry.path))
                except (ConversionError, OSError):
                    row = None
                yield id, row if isinstance(row, list) and len(row) >= _ROW_SIZE else None


def _entity(id: str, row: list[Any]) -> Entity | None:
    """Returns the entity of a row: ID, access hash, username, phone, name and perhaps when it was
    seen.
    """
    _id, access_hash, username, phone, name, *rest = row
    hash = _integer(access_hash)
    if hash is None:
        return None
    seen = _integer(rest[0]) if rest else None
    what = (
        hash,
        people.username(username),
        people.phone(phone),
        people.name(name),
        people.date(None if seen is None else seen // 1000),
    )
    if not id.startswith("-"):
        return Entity(int(id), "user", *what) if hash and 0 < int(id) <= people.LAST_USER else None
    # A chat's ID may begin with the mark of channels, but it has no access hash.
    if hash and id.startswith(_CHANNEL_MARK) and id != _CHANNEL_MARK:
        channel = int(id.removeprefix(_CHANNEL_MARK))
        return Entity(channel, "channel", *what) if 0 < channel <= people.CHANNEL_ZERO - people.LAST_CHANNEL else None
    is_chat = not hash and people.LAST_CHAT <= int(id) < 0
    return Entity(-int(id), "chat", *what) if is_chat else None


def _integer(value: Any) -> int | None:
    """Returns a number of 64 bits, which JSON has as text."""
    if isinstance(value, str) and _ID.fullmatch(value):
        value = int(value)
    return value if type(value) is int and value in _INT64 else None


def _value(path: Path) -> Any:
    """Returns what a file contains; `None` if there is no such file.

    Raises:
        ConversionError: It is not what GramJS writes.
    """
    if not path.is_file():
        return None
    with path.open("rb") as file:
        data = file.read(_MAX_SIZE + 1)
    if len(data) > _MAX_SIZE:
        raise ConversionError(f"it is damaged: its file {path.name} is larger than GramJS writes it")
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ConversionError(f"it is damaged: its file {path.name} is not JSON") from error
