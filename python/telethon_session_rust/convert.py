"""Brings sessions of other libraries."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass

from ._core import encrypt_key
from ._encryption import EncryptionKey
from .cli import files
from .cli.copy import copy_session
from .cli.encryption import Keys
from .cli.errors import CommandError
from .cli.foreign import STRING, open_any, open_foreign
from .cli.places import place
from .cli.reader import SessionReader
from .cli.strings import looks_like_string
from .foreign.session import ConversionError
from .foreign.strings import read_string

__all__ = ["ConversionError", "Converted", "convert"]

# A text that is not the name of a file is a session string, or a part of one, from this length on.
_SHORTEST_STRING = 100


@dataclass(frozen=True)
class Converted:
    """What was converted.

    Attributes:
        library: The name of the library whose session it was, such as `"Pyrogram"`.
        user_id: The account's ID; `None` if the session does not tell.
        entities: How many users, chats and channels were copied.
        notes: What the session lacks, was filled in or was left out, each as a sentence.
    """

    library: str
    user_id: int | None
    entities: int
    notes: tuple[str, ...]


def convert(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    passcode: str | None = None,
    account: int = 1,
    encryption_key: EncryptionKey | None = None,
) -> Converted:
    """Copies a session of any library to a file or a server.

    The source is recognized by its content. It does not change and keeps its login: do not use both
    at once. Nothing is written if the source cannot be read.

    If the target has the login of the source, entities are merged. Another login, or the entities
    of another account, are not overwritten. Only its owner can read a file that is written. The
    password of a server is in its URL.

    Args:
        source: A session string of Telethon, Pyrogram, Kurigram, GramJS, mtcute or MTKruto; the
            name of a `.session` file of Telethon, Pyrogram, Kurigram or grammers; the folder
            `tdata` of Telegram Desktop, or that of a `StoreSession` of GramJS; or a URL as
            `open_session` takes it. A path that is not a `str` is never taken for a string.
        target: The name of a file or a URL, as `open_session` takes it.
        passcode: The local passcode of Telegram Desktop, if it has one.
        account: Which account of Telegram Desktop, from 1.
        encryption_key: The target's key, as the session classes take it. A login of Telethon may be
            encrypted with it too.

    Raises:
        ConversionError: The source cannot be read, or the target has another login, the entities of
            another account, or is the entity file of a string session. The message contains no part
            of a string.
        SessionError: The target is in use, locked, or cannot be written.
        ValueError: An encryption key does not have 32 bytes.
    """
    arguments = (source, os.fspath(target), passcode, account, encryption_key)
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return _convert(*arguments)
    # In a running event loop sessions do not wait until everything is written.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(_convert, *arguments).result()


def _convert(
    source: str | os.PathLike[str],
    target: str,
    passcode: str | None,
    account: int,
    encryption_key: EncryptionKey | None,
) -> Converted:
    if looks_like_string(target):
        raise ConversionError(
            "the target is a session string, not the name of a file or a URL: are source and target swapped?"
        )
    keys = _keys(encryption_key)
    try:
        with _open(source, keys, passcode, account) as reader:
            into = place(target, None, reads_environment=False)
            copied = copy_session(reader, into, keys, shows_progress=False)
            left_out = (f"left out: {fault}: {count:,}" for fault, count in copied.faults.items())
            entities = len(copied.entities - {0})
            return Converted(reader.library, reader.account_id(), entities, (*reader.notes, *left_out))
    except CommandError as error:
        raise ConversionError(str(error)) from error


def _keys(encryption_key: EncryptionKey | None) -> Keys:
    if encryption_key is None:
        return ()
    given = (encryption_key,) if isinstance(encryption_key, (bytes, bytearray, memoryview)) else encryption_key
    keys = tuple(bytes(key) for key in given)
    for key in keys:
        # Raises if the key has another size.
        encrypt_key(bytes(1), key)
    return keys


def _open(
    source: str | os.PathLike[str], keys: Keys, passcode: str | None, account: int
) -> AbstractContextManager[SessionReader]:
    if account < 1:
        raise ConversionError("accounts are counted from 1")
    if isinstance(source, str) and _is_string(source):
        return open_foreign(STRING, read_string(source))
    if looks_like_string(os.fspath(source)):
        raise ConversionError("the source is a session string that is given as a path: give it as a str")
    return open_any(os.fspath(source), None, keys, passcode=passcode, account=account, reads_environment=False)


def _is_string(text: str) -> bool:
    if files.is_url(text) or len(text) < _SHORTEST_STRING:
        return False
    # Not `Path.exists`, which raises for a name that is too long.
    return not any(os.path.exists(name) for name in (text, files.session_path(text)))  # noqa: PTH110
