"""The data centres' RSA key, which is generated at start and kept in memory. Clients get its public
part as PEM.
"""

from __future__ import annotations

import math
import secrets
import struct
from functools import cache
from hashlib import sha1

import rsa
import rsa.prime
from telethon.tl import TLObject

BITS = 2048
BLOCK = BITS // 8
EXPONENT = 65537

ODD_PRIMES = [n for n in range(3, 2000, 2) if all(n % d for d in range(3, math.isqrt(n) + 1, 2))]
SMALL_FACTORS = math.prod(ODD_PRIMES)


class RsaKey:
    def __init__(self) -> None:
        p, q = _prime(), _prime()
        d = pow(EXPONENT, -1, (p - 1) * (q - 1))
        self._public = rsa.PublicKey(p * q, EXPONENT)
        self._private = rsa.PrivateKey(p * q, EXPONENT, d, p, q)

    @property
    def public_pem(self) -> str:
        return self._public.save_pkcs1().decode("ascii")

    @property
    def fingerprint(self) -> int:
        """Returns the lower 64 bits of the SHA1 of the bare rsa_public_key, as Telegram identifies
        keys.
        """
        parts = (
            TLObject.serialize_bytes(number.to_bytes((number.bit_length() + 7) // 8, "big"))
            for number in (self._public.n, self._public.e)
        )
        return struct.unpack("<q", sha1(b"".join(parts)).digest()[-8:])[0]

    def decrypt(self, block: bytes) -> tuple[bytes, bytes]:
        """Decrypts `sha1(data) + data + random padding`. Returns the SHA1 and the padded data."""
        number = pow(int.from_bytes(block, "big"), self._private.d, self._private.n)
        plain = number.to_bytes(BLOCK, "big")[1:]
        return plain[:20], plain[20:]


def _prime() -> int:
    """Returns a prime of half the key's size.

    `rsa.newkeys` takes seconds, because it also tests multiples of small primes.
    """
    half = BITS // 2
    while True:
        # The two highest bits are set, so that the product of two primes has all its bits.
        number = secrets.randbits(half) | 3 << (half - 2) | 1
        if math.gcd(number, SMALL_FACTORS) == 1 and rsa.prime.is_prime(number) and number % EXPONENT != 1:
            return number


@cache
def rsa_key() -> RsaKey:
    """Returns this process's key. All data centres of a process share it, because generating one
    takes a moment.
    """
    return RsaKey()
