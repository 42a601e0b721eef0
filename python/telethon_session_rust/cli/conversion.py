"""`telethon_session_rust.convert.convert`: what `telethon-session copy` does, for Python."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager

from .._core import encrypt_key
from .._encryption import EncryptionKey
from ..convert import Converted
from ..convert.foreign import ConversionError
from ..convert.strings import read_string
from . import files
from .copy import copy_session
from .encryption import Keys
from .errors import CommandError
from .foreign import STRING, open_any, open_foreign
from .places import place
from .reader import SessionReader

# A text that is not the name of a file is a session string, or a part of one, from this length on.
_SHORTEST_STRING = 100


def convert_session(
    source: str | os.PathLike[str],
    target: str,
    *,
    passcode: str | None,
    account: int,
    encryption_key: EncryptionKey | None,
) -> Converted:
    """Copies a session; see `convert` for arguments and errors."""
    keys = _keys(encryption_key)
    try:
        with _open(source, keys, passcode, account) as reader:
            copied = copy_session(reader, place(target, None), keys, shows_progress=False)
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
    return open_any(os.fspath(source), None, keys, passcode=passcode, account=account)


def _is_string(text: str) -> bool:
    if files.is_url(text) or len(text) < _SHORTEST_STRING:
        return False
    # Not `Path.exists`, which raises for a name that is too long.
    return not any(os.path.exists(name) for name in (text, files.session_path(text)))  # noqa: PTH110
