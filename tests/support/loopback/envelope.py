"""Encrypted packets of MTProto 2.0, as the server reads and writes them.

https://core.telegram.org/mtproto/description
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from hashlib import sha256
from typing import Any, NamedTuple

from telethon.crypto import AES, AuthKey
from telethon.tl.core import MessageContainer

from . import tl

# Offsets in the authorization key of each direction's secrets.
FROM_CLIENT, FROM_SERVER = 0, 8
UNENCRYPTED = bytes(8)


class EnvelopeError(ConnectionError):
    """A packet was not encrypted with the key that it names."""


class Received(NamedTuple):
    """A message from the client."""

    msg_id: int
    seq_no: int
    obj: Any

    @property
    def is_content(self) -> bool:
        """Returns `True` for content-related messages, which have an odd seqno and need an
        acknowledgment.
        """
        return self.seq_no % 2 == 1


class Envelope(NamedTuple):
    """A decrypted packet: a message, which may be a container of several."""

    salt: int
    session_id: int
    msg_id: int
    seq_no: int
    body: bytes

    def messages(self) -> Iterator[Received]:
        obj = tl.unzip(tl.read(self.body))
        if isinstance(obj, MessageContainer):
            for message in obj.messages:
                yield Received(message.msg_id, message.seq_no, tl.unzip(message.obj))
        else:
            yield Received(self.msg_id, self.seq_no, obj)


def key_id_of(packet: bytes) -> int:
    """Returns the ID of the authorization key, or 0 for an unencrypted message."""
    return struct.unpack_from("<Q", packet)[0]


def open_plain(packet: bytes) -> bytes:
    _key_id, _msg_id, length = struct.unpack_from("<qqi", packet)
    return packet[20 : 20 + length]


def seal_plain(msg_id: int, body: bytes) -> bytes:
    return UNENCRYPTED + struct.pack("<qi", msg_id, len(body)) + body


def open_encrypted(key: AuthKey, packet: bytes) -> Envelope:
    msg_key = packet[8:24]
    plain = AES.decrypt_ige(packet[24:], *_aes_key(key.key, msg_key, FROM_CLIENT))
    if _msg_key(key.key, plain, FROM_CLIENT) != msg_key:
        raise EnvelopeError("msg_key does not match the message")
    salt, session_id, msg_id, seq_no, length = struct.unpack_from("<qqqii", plain)
    return Envelope(salt, session_id, msg_id, seq_no, plain[32 : 32 + length])


def seal_encrypted(key: AuthKey, salt: int, session_id: int, message: bytes) -> bytes:
    """Encrypts a message that already has its header (msg_id, seqno, length)."""
    plain = struct.pack("<qq", salt, session_id) + message
    # At least 12 bytes of padding, up to the next whole block.
    plain += os.urandom(-(len(plain) + 12) % 16 + 12)
    msg_key = _msg_key(key.key, plain, FROM_SERVER)
    cipher = AES.encrypt_ige(plain, *_aes_key(key.key, msg_key, FROM_SERVER))
    return struct.pack("<Q", key.key_id) + msg_key + cipher


def _msg_key(key: bytes, plain: bytes, x: int) -> bytes:
    return sha256(key[88 + x : 120 + x] + plain).digest()[8:24]


def _aes_key(key: bytes, msg_key: bytes, x: int) -> tuple[bytes, bytes]:
    a = sha256(msg_key + key[x : x + 36]).digest()
    b = sha256(key[x + 40 : x + 76] + msg_key).digest()
    return a[:8] + b[8:24] + a[24:], b[:8] + a[8:24] + b[24:]
