"""The data centres' RSA key: made at start, held in memory, given to clients as a public PEM."""

from __future__ import annotations

import struct
from functools import lru_cache
from hashlib import sha1

import rsa
from telethon.tl import TLObject

BITS = 2048
BLOCK = BITS // 8


class RsaKey:
    def __init__(self) -> None:
        self._public, self._private = rsa.newkeys(BITS)

    @property
    def public_pem(self) -> str:
        return self._public.save_pkcs1().decode("ascii")

    @property
    def fingerprint(self) -> int:
        """The lower 64 bits of the SHA1 of the bare rsa_public_key, as Telegram names keys."""
        parts = (
            TLObject.serialize_bytes(number.to_bytes((number.bit_length() + 7) // 8, "big"))
            for number in (self._public.n, self._public.e)
        )
        return struct.unpack("<q", sha1(b"".join(parts)).digest()[-8:])[0]

    def decrypt(self, block: bytes) -> tuple[bytes, bytes]:
        """Decrypt `sha1(data) + data + random padding`; answer the SHA1, and the data still padded."""
        number = pow(int.from_bytes(block, "big"), self._private.d, self._private.n)
        plain = number.to_bytes(BLOCK, "big")[1:]
        return plain[:20], plain[20:]


@lru_cache(maxsize=1)
def rsa_key() -> RsaKey:
    """This process's key. Making one takes seconds, so all data centres of a process share it."""
    return RsaKey()
