"""Recognizes the files of other libraries by their content."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from . import gramjs_folder, grammers_file, pyrogram_file, tdata, tdata_files
from .database import MAGIC, UnreadableDatabase, open_database, read_start
from .session import ConversionError, ForeignSession

_Reader: TypeAlias = Callable[[Path], ForeignSession]


def read_file(path: Path, *, passcode: str | None, account: int) -> ForeignSession | None:
    """Reads a session of another library.

    Args:
        path: A `.session` file of Pyrogram, Kurigram or grammers, Telegram Desktop's folder tdata, or the
            folder of a `StoreSession` of GramJS.
        passcode: The local passcode of Telegram Desktop, or `None`.
        account: Which account of Telegram Desktop; the first is 1.

    Returns:
        The session, or `None` if the content of the file is none of theirs: then it may be Telethon's.

    Raises:
        ConversionError: It is none of these and no file, is damaged, has no login, or its passcode is
            missing or wrong.
    """
    try:
        return _read(path, passcode, account)
    except OSError as error:
        raise ConversionError(error.strerror or str(error)) from error


def _read(path: Path, passcode: str | None, account: int) -> ForeignSession | None:
    if path.is_dir():
        folder = tdata.find(path)
        if folder is None:
            return _read_store(path, account)
        return tdata.read(folder, passcode=passcode, account=account)
    start = read_start(path, len(MAGIC))
    if start.startswith(tdata_files.MAGIC):
        folder = tdata.find(path)
        if folder is None:
            raise ConversionError("it is a file of Telegram Desktop: give the folder tdata instead")
        return tdata.read(folder, passcode=passcode, account=account)
    read = _recognized(path) if start == MAGIC else None
    if read is None:
        return None
    _require_first(account)
    return read(path)


def _read_store(path: Path, account: int) -> ForeignSession:
    prefix = gramjs_folder.find_prefix(path)
    if prefix is None:
        raise ConversionError("it is a folder, but not Telegram Desktop's tdata: it has no file key_datas")
    _require_first(account)
    return gramjs_folder.read(path, prefix)


def _require_first(account: int) -> None:
    if account != 1:
        raise ConversionError(f"it has no account {account}: only Telegram Desktop's tdata has several")


def _recognized(path: Path) -> _Reader | None:
    """Returns the function that reads a database; `None` if there is none."""
    try:
        with open_database(path) as database:
            readers = ((module.read, module.recognizes(database)) for module in (pyrogram_file, grammers_file))
            return next((read for read, is_recognized in readers if is_recognized), None)
    except UnreadableDatabase:
        # Whatever reads Telethon's files says what is wrong with it.
        return None
