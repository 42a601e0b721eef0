"""Encryption keys, and what the tests of files and of servers have in common."""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from telethon.crypto import AuthKey

from support.key_traces import traces
from telethon_session_rust import RustStringSession, SessionCorruptError

ENCRYPTION_KEY, OTHER_ENCRYPTION_KEY = (random.Random(seed).randbytes(32) for seed in range(2))

# Opens a session with the arguments given.
Open = Callable[..., Any]


def new_key() -> AuthKey:
    """Returns a key that cannot be compressed, so that it is found wherever it is."""
    return AuthKey(secrets.token_bytes(256))


def log_in(session: Any, key: AuthKey) -> None:
    session.set_dc(4, "149.154.167.91", 443)
    session.auth_key = key
    session.save()


def is_in_files(key: bytes, folder: Path) -> bool:
    """Returns `True` if any file in a folder contains a piece of the key, as bytes or in hexadecimal."""
    # Several, because a server may cut it in two.
    pieces = [key[at : at + 16] for at in (0, 100, 200)]
    pieces += [form for piece in pieces for form in (piece.hex().encode(), piece.hex().upper().encode())]
    return any(_contains(path, pieces) for path in folder.rglob("*") if path.is_file())


def _contains(path: Path, pieces: Iterable[bytes]) -> bool:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        # The server has removed it.
        return False
    return any(piece in data for piece in pieces)


def assert_refused(open_it: Open, login: bytes, *encryption_keys: bytes) -> None:
    """Asserts that the session cannot be opened, and that the message says why and shows no key."""
    with pytest.raises(SessionCorruptError, match="encryption_key=") as refused:
        open_it(encryption_key=list(encryption_keys) or None)
    message = str(refused.value)
    assert not [key for key in (login, *encryption_keys) if key.hex() in message or repr(key)[2:-1] in message]
    assert not [piece for piece in traces(login) if piece in message]


def check_rotation(open_it: Open) -> None:
    """A login is encrypted with the first key at the next `save()`."""
    key = new_key()
    with_key(open_it, None, lambda session: log_in(session, key))
    for older, newer in [(None, ENCRYPTION_KEY), (ENCRYPTION_KEY, OTHER_ENCRYPTION_KEY)]:
        both = newer if older is None else [newer, older]
        # Opening and closing changes nothing.
        assert with_key(open_it, both, _key_of) == key.key
        assert with_key(open_it, older, _key_of) == key.key
        with_key(open_it, both, lambda session: session.save())
        assert_refused(open_it, key.key)
        if older is not None:
            assert_refused(open_it, key.key, older)
        assert with_key(open_it, newer, _key_of) == key.key
        assert with_key(open_it, [older or secrets.token_bytes(32), newer], _key_of) == key.key


def check_login(open_it: Open) -> None:
    """An encrypted login is used as any other."""
    key, next_key = new_key(), new_key()
    with_key(open_it, ENCRYPTION_KEY, lambda session: log_in(session, key))
    session = open_it(encryption_key=bytearray(ENCRYPTION_KEY))
    assert (session.dc_id, session.server_address, session.port) == (4, "149.154.167.91", 443)
    exported = RustStringSession(RustStringSession.save(session))
    assert exported.auth_key == key
    # As often as clients do: it is still the session's own login.
    for takeout_id in (1, 2, None):
        session.takeout_id = takeout_id
        session.save()
        session.close()
    shown = f"{session!r} {vars(session)}"
    assert ENCRYPTION_KEY.hex() not in shown and repr(ENCRYPTION_KEY)[2:-1] not in shown
    session.auth_key = next_key
    session.save()
    session.close()
    assert with_key(open_it, memoryview(ENCRYPTION_KEY), _key_of) == next_key.key
    session = open_it(encryption_key=ENCRYPTION_KEY)
    assert session.delete()
    assert with_key(open_it, None, lambda session: session.auth_key is None or not session.auth_key.key)


def with_key(open_it: Open, encryption_key: Any, use: Callable[[Any], Any]) -> Any:
    session = open_it(encryption_key=encryption_key)
    try:
        return use(session)
    finally:
        session.close()


def _key_of(session: Any) -> bytes:
    return bytes(session.auth_key.key)
