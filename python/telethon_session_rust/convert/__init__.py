"""Brings sessions of other libraries, and sends sessions to them."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from .._encryption import EncryptionKey
from .foreign import ConversionError

__all__ = ["ConversionError", "Converted", "convert"]


@dataclass(frozen=True)
class Converted:
    """What was converted.

    Attributes:
        library: The name of the library whose session it was, such as `"Pyrogram"`.
        user_id: The account's ID; `None` if the session does not tell.
        entities: How many users, groups and channels were copied.
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

    If the target has the login of the source, entities are merged. Another login is not
    overwritten.

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
        ConversionError: The source cannot be read, or the target has another login. The message
            contains no part of a string.
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
    # The commands import this package's modules, and loading them takes time.
    from ..cli.conversion import convert_session

    return convert_session(source, target, passcode=passcode, account=account, encryption_key=encryption_key)
