"""Telegram Desktop's tdata folder: the logins of its accounts. It has no list of people.

See `storage_domain.cpp`, `storage_account.cpp` and `main_account.cpp` in Telegram Desktop's source.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .login import account_id, checked_dc_id, checked_key, completed_address
from .session import ConversionError, ForeignSession
from .tdata_encryption import KEY_SIZE, SALT_SIZE, decrypt, passcode_keys
from .tdata_files import MalformedData, Reader, TdataFile, copies, file_part, read_file

_FOLDER = "tdata"
_NAME = "data"
_KEY_FILE = f"key_{_NAME}"
_OLD_KEY_FILE = "map"
# Forks have more accounts than the 6 of Telegram Desktop.
_MAX_ACCOUNTS = 1000
# Blocks of an account's file.
_BLOCK_KEY = 0x00
_BLOCK_USER = 0x01
_BLOCK_AUTHORIZATION = 0x4B
# Written instead of a user ID and data centre since user IDs have 64 bits.
_WIDE_IDS = 2**64 - 1
_CONFIG_VERSION = 1
_ENVIRONMENTS = {0: False, 1: True}


@dataclass(frozen=True)
class _Login:
    user_id: int
    dc_id: int
    keys: dict[int, bytes]


def find(path: Path) -> Path | None:
    """Returns the tdata folder at a path: the path, a folder in it, or that of one of its key files;
    `None` if there is none.
    """
    candidates = (path, path / _FOLDER) if path.is_dir() else (path.parent,)
    return next((folder for folder in candidates if _has_keys(folder)), None)


def read(folder: Path, *, passcode: str | None, account: int) -> ForeignSession:
    """Reads an account of a folder that `find` returned.

    Args:
        folder: The folder.
        passcode: The local passcode, or `None`.
        account: Which account, in the order in which Telegram Desktop shows them; the first is 1.

    Raises:
        ConversionError: The folder is damaged, has no such account, its account has no login, or the
            passcode is missing or wrong.
    """
    notes: list[str] = []
    key_file = _read(folder, _KEY_FILE, notes)
    if key_file:
        local_key, indexes = _read_keys(key_file, passcode, notes)
    else:
        local_key, indexes = _read_old_key(folder, passcode, notes), [0]
    if not 1 <= account <= len(indexes):
        raise ConversionError(f"it has {_count(indexes)}, so account {account} is not one of them: the first is 1")
    if len(indexes) > 1:
        notes.append(f"Telegram Desktop has {_count(indexes)}; this is account {account}")
    index = indexes[account - 1]
    name = file_part(_NAME if index == 0 else f"{_NAME}#{index + 1}")
    login = _read_login(folder, name, local_key, account, notes)
    is_test = _is_test(folder / name, local_key, notes)
    key = checked_key(login.keys.get(login.dc_id))
    server_address, port = completed_address(login.dc_id, is_test)
    notes.append("Telegram Desktop stores no list of people: they become known again when they are met")
    return ForeignSession(
        library="Telegram Desktop",
        dc_id=login.dc_id,
        auth_key=key,
        server_address=server_address,
        port=port,
        is_test=is_test,
        user_id=account_id(login.user_id),
        notes=tuple(notes),
    )


def _has_keys(folder: Path) -> bool:
    return bool(copies(folder, _KEY_FILE) or copies(folder / file_part(_NAME), _OLD_KEY_FILE))


def _read(folder: Path, name: str, notes: list[str]) -> TdataFile | None:
    file = read_file(folder, name)
    if file and file.damaged:
        notes.append(f"{file.damaged[0].name} is damaged, so the older copy {file.path.name} was read")
    return file


def _read_keys(file: TdataFile, passcode: str | None, notes: list[str]) -> tuple[bytes, list[int]]:
    """Returns the key of all other files, and the indexes of the accounts."""
    with _reading(file.path):
        salt, encrypted_key, encrypted_accounts = file.reader.array(), file.reader.array(), file.reader.array()
    local_key = _local_key(file.path, encrypted_key, passcode, salt, notes, is_old=False)
    accounts = decrypt(encrypted_accounts, local_key)
    if accounts is None:
        raise ConversionError(f"{file.path.name} is damaged: its list of accounts cannot be decrypted")
    with _reading(file.path):
        reader = Reader(accounts)
        count = reader.int32()
        if not 1 <= count <= _MAX_ACCOUNTS:
            raise MalformedData(f"it has {count} accounts")
        indexes = list(dict.fromkeys(reader.int32() for _ in range(count)))
    return local_key, [index for index in indexes if 0 <= index < _MAX_ACCOUNTS]


def _read_old_key(folder: Path, passcode: str | None, notes: list[str]) -> bytes:
    """Returns the key of all other files, as releases before 2.2 stored it."""
    file = _read(folder / file_part(_NAME), _OLD_KEY_FILE, notes)
    if file is None:
        raise ConversionError(f"it has no file {_KEY_FILE}s: copy the whole folder")
    with _reading(file.path):
        salt, encrypted_key = file.reader.array(), file.reader.array()
    if not encrypted_key:
        raise ConversionError(f"it has no file {_KEY_FILE}s: copy the whole folder")
    return _local_key(file.path, encrypted_key, passcode, salt, notes, is_old=True)


def _local_key(
    path: Path, encrypted: bytes, passcode: str | None, salt: bytes, notes: list[str], *, is_old: bool
) -> bytes:
    """Decrypts the key of all other files.

    Raises:
        ConversionError: The passcode is missing or wrong.
    """
    if len(salt) != SALT_SIZE:
        raise ConversionError(f"{path.name} is damaged: its salt has {len(salt)} bytes")
    found = _decrypt_with_any(encrypted, passcode_keys(None, salt, is_old=is_old))
    if found is not None and passcode:
        notes.append("Telegram Desktop has no local passcode: the given one was not needed")
    if found is None and not passcode:
        raise ConversionError("a local passcode protects it: give it with --passcode-stdin, or as passcode=")
    if found is None:
        found = _decrypt_with_any(encrypted, passcode_keys(passcode, salt, is_old=is_old))
    if found is None:
        raise ConversionError("the passcode is wrong")
    if len(found) != KEY_SIZE:
        raise ConversionError(f"{path.name} is damaged: its key has {len(found)} bytes")
    return found


def _decrypt_with_any(encrypted: bytes, keys: Iterator[bytes]) -> bytes | None:
    return next((found for key in keys if (found := decrypt(encrypted, key)) is not None), None)


def _read_login(folder: Path, name: str, local_key: bytes, account: int, notes: list[str]) -> _Login:
    file = _read(folder, name, notes)
    if file is None:
        raise ConversionError(f"it has no file {name}s of account {account}: copy the whole folder")
    with _reading(file.path):
        data = decrypt(file.reader.array(), local_key)
        if data is None:
            raise MalformedData("it cannot be decrypted")
        login = _parse_account(Reader(data))
    if login is None or not login.user_id:
        raise ConversionError(f"account {account} is not logged in")
    checked_dc_id(login.dc_id)
    return login


def _parse_account(reader: Reader) -> _Login | None:
    """Returns the login in the blocks of an account's file."""
    user_id, dc_id, keys = 0, 0, dict[int, bytes]()
    while not reader.is_at_end:
        block = reader.uint32()
        if block == _BLOCK_AUTHORIZATION:
            return _parse_authorization(Reader(reader.array()))
        if block == _BLOCK_USER:
            user_id, dc_id = reader.int32(), reader.int32()
        elif block == _BLOCK_KEY:
            key_dc_id = reader.int32()
            keys[key_dc_id] = reader.take(KEY_SIZE)
        else:
            raise MalformedData(f"it has an unknown block {block}")
    return _Login(user_id, dc_id, keys) if user_id else None


def _parse_authorization(reader: Reader) -> _Login:
    ids = reader.uint64()
    if ids == _WIDE_IDS:
        user_id, dc_id = reader.uint64(), reader.int32()
    else:
        user_id, dc_id = ids >> 32, ids & 0xFFFFFFFF
    # Keys that Telegram Desktop is about to destroy follow.
    keys = {}
    for _ in range(reader.int32()):
        key_dc_id = reader.int32()
        keys[key_dc_id] = reader.take(KEY_SIZE)
    return _Login(user_id, dc_id, keys)


def _is_test(folder: Path, local_key: bytes, notes: list[str]) -> bool:
    """Returns `True` if an account is on a test server."""
    try:
        file = _read(folder, "config", notes)
        if file is None:
            return False
        with _reading(file.path):
            reader = Reader(Reader(decrypt(file.reader.array(), local_key) or b"").array())
            version, environment = reader.int32(), reader.int32()
            if version == _CONFIG_VERSION and environment in _ENVIRONMENTS:
                return _ENVIRONMENTS[environment]
            raise MalformedData("it has an unknown version")
    except ConversionError:
        notes.append("the account's configuration is damaged: that it is not on a test server is assumed")
    return False


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except MalformedData as error:
        raise ConversionError(f"{path.name} is damaged: {error}") from error


def _count(indexes: list[int]) -> str:
    return "1 account" if len(indexes) == 1 else f"{len(indexes)} accounts"
