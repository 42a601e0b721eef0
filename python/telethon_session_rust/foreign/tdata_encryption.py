"""Telegram Desktop's local encryption: keys made of a passcode, and AES-256-IGE with the key derivation
of MTProto 1.

See `details/storage_file_utilities.cpp` and `mtproto_auth_key.cpp` in Telegram Desktop's source.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterator

from telethon.crypto import AES

KEY_SIZE = 256
SALT_SIZE = 32
_HASH_SIZE = 16
_LENGTH_SIZE = 4
# How often a passcode is hashed, and no passcode. 4 is what releases before 2.2 used.
_ROUNDS = 100_000
_ROUNDS_WITHOUT_PASSCODE = (1, 4)
# Of the files before key_data, with SHA-1.
_OLD_ROUNDS = 4000
_OLD_ROUNDS_WITHOUT_PASSCODE = 4


def passcode_keys(passcode: str | None, salt: bytes, *, is_old: bool) -> Iterator[bytes]:
    """Yields the keys that a passcode may have.

    Args:
        passcode: The passcode, or `None` for none. Systems type the same letter in different Unicode
            forms, so each is tried.
        salt: The salt beside the encrypted key.
        is_old: Whether it is from a map file instead of key_data.
    """
    if not passcode:
        rounds = (_OLD_ROUNDS_WITHOUT_PASSCODE,) if is_old else _ROUNDS_WITHOUT_PASSCODE
        yield from (_derive(b"", salt, count, is_old) for count in rounds)
        return
    forms = dict.fromkeys([passcode, *(unicodedata.normalize(form, passcode) for form in ("NFC", "NFD"))])
    for form in forms:
        encoded = form.encode(errors="surrogateescape")
        yield _derive(encoded, salt, _OLD_ROUNDS if is_old else _ROUNDS, is_old)


def decrypt(encrypted: bytes, key: bytes) -> bytes | None:
    """Decrypts data.

    Args:
        encrypted: The first 16 bytes of the SHA-1 of what follows once it is decrypted.
        key: The 256 bytes of the key.

    Returns:
        The data without its length and padding, or `None` if it was encrypted with another key.
    """
    message_key, data = encrypted[:_HASH_SIZE], encrypted[_HASH_SIZE:]
    if not data or len(data) % 16:
        return None
    decrypted = bytes(AES.decrypt_ige(data, *_aes_key(key, message_key)))
    if hashlib.sha1(decrypted).digest()[:_HASH_SIZE] != message_key:
        return None
    length = int.from_bytes(decrypted[:_LENGTH_SIZE], "little")
    if not max(_LENGTH_SIZE, len(data) - 15) <= length <= len(data):
        return None
    return decrypted[_LENGTH_SIZE:length]


def _derive(passcode: bytes, salt: bytes, rounds: int, is_old: bool) -> bytes:
    if is_old:
        return hashlib.pbkdf2_hmac("sha1", passcode, salt, rounds, KEY_SIZE)
    password = hashlib.sha512(salt + passcode + salt).digest()
    return hashlib.pbkdf2_hmac("sha512", password, salt, rounds, KEY_SIZE)


def _aes_key(key: bytes, message_key: bytes) -> tuple[bytes, bytes]:
    """Returns the AES key and initialization vector of what a server would send in MTProto 1."""
    x = 8
    a = hashlib.sha1(message_key + key[x : x + 32]).digest()
    b = hashlib.sha1(key[x + 32 : x + 48] + message_key + key[x + 48 : x + 64]).digest()
    c = hashlib.sha1(key[x + 64 : x + 96] + message_key).digest()
    d = hashlib.sha1(message_key + key[x + 96 : x + 128]).digest()
    return a[:8] + b[8:20] + c[4:16], a[8:20] + b[:8] + c[16:20] + d[:8]
