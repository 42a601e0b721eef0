"""The server's side of creating an authorization key.

https://core.telegram.org/mtproto/auth_key. The steps are named after the methods.
"""

from __future__ import annotations

import os
import struct
import time
from dataclasses import dataclass
from hashlib import sha1
from typing import TYPE_CHECKING, Any

from telethon.crypto import AES, AuthKey
from telethon.helpers import generate_key_data_from_nonce
from telethon.tl import functions, types

from . import tl
from .rsa_key import RsaKey

if TYPE_CHECKING:
    from .accounts import Account

# The safe prime that Telegram uses (clients may have it built in), with its generator.
DH_PRIME = int(
    "C71CAEB9C6B1C9048E6C522F70F13F73980D40238E3E21C14934D037563D930F48198A0AA7C14058229493D22530F4DB"
    "FA336F6E0AC925139543AED44CCE7C3720FD51F69458705AC68CD4FE6B6B13ABDC9746512969328454F18FAF8C595F64"
    "2477FE96BB2A941D5BCD1D4AC8CC49880708FA9B378E3C4F3A9060BEE67CF9A4A4A695811051907E162753B56B0F6B41"
    "0DBA74D8A84B2A14B3144E0EF1284754FD17ED950D5965B4B9DD46582DB1178D169C6BC465B0D6FF9CA3928FEF5B9AE4"
    "E418FC15E83EBEA0F87FA9FF5EED70050DED2849F47BF959D956850CE929851F0D8115F635B105EE2E4E15D04B2454BF"
    "6F4FADF034B10403119CD8E3B92FCC5B",
    16,
)
DH_GENERATOR = 3
KEY_LENGTH = 256

# The client must factorise their product, as a proof of work. They are small to keep tests fast,
# but not tiny, because Telethon's factorisation sometimes fails on tiny numbers. The product's
# highest bit must be clear, because Telethon reads it as a signed number.
P, Q = 67_108_879, 134_217_757


class KeyExchangeError(ConnectionError):
    """A step is out of order or does not match the previous ones."""


@dataclass(eq=False)
class AuthorizationKey:
    """A key that both sides have, and the server's data about it."""

    key: AuthKey
    salt: int
    account: Account | None = None


class KeyExchange:
    """A key exchange on a connection. `made` is the key once the last step has been answered."""

    def __init__(self, rsa_key: RsaKey) -> None:
        self.made: AuthorizationKey | None = None
        self._rsa_key = rsa_key
        self._nonce = 0
        self._server_nonce = int.from_bytes(os.urandom(16), "little", signed=True)
        self._new_nonce = 0
        self._a = int.from_bytes(os.urandom(256), "big")

    def answer(self, request: Any) -> Any:
        if isinstance(request, functions.ReqPqMultiRequest):
            return self._req_pq_multi(request)
        if request.nonce != self._nonce or request.server_nonce != self._server_nonce:
            raise KeyExchangeError("nonces of another exchange")
        if isinstance(request, functions.ReqDHParamsRequest):
            return self._req_dh_params(request)
        if isinstance(request, functions.SetClientDHParamsRequest):
            return self._set_client_dh_params(request)
        raise KeyExchangeError(f"{type(request).__name__} is not a step of a key exchange")

    def _req_pq_multi(self, request: functions.ReqPqMultiRequest) -> types.ResPQ:
        self._nonce = request.nonce
        return types.ResPQ(
            nonce=self._nonce,
            server_nonce=self._server_nonce,
            pq=_big_endian(P * Q),
            server_public_key_fingerprints=[self._rsa_key.fingerprint],
        )

    def _req_dh_params(
        self, request: functions.ReqDHParamsRequest
    ) -> types.ServerDHParamsOk | types.ServerDHParamsFail:
        digest, padded = self._rsa_key.decrypt(request.encrypted_data)
        inner = tl.read(padded)
        if sha1(bytes(inner)).digest() != digest:
            raise KeyExchangeError("p_q_inner_data is damaged")
        self._new_nonce = inner.new_nonce
        if (inner.p, inner.q) != (_big_endian(P), _big_endian(Q)):
            # The client restarts the exchange.
            new_nonce = self._new_nonce.to_bytes(32, "little", signed=True)
            new_nonce_hash = int.from_bytes(sha1(new_nonce).digest()[4:], "little", signed=True)
            return types.ServerDHParamsFail(self._nonce, self._server_nonce, new_nonce_hash)
        answer = types.ServerDHInnerData(
            nonce=self._nonce,
            server_nonce=self._server_nonce,
            g=DH_GENERATOR,
            dh_prime=_big_endian(DH_PRIME),
            g_a=_big_endian(pow(DH_GENERATOR, self._a, DH_PRIME)),
            server_time=int(time.time()),
        )
        data = bytes(answer)
        data = sha1(data).digest() + data
        data += os.urandom(-len(data) % 16)
        return types.ServerDHParamsOk(
            nonce=self._nonce,
            server_nonce=self._server_nonce,
            encrypted_answer=AES.encrypt_ige(data, *self._temporary_aes_key()),
        )

    def _set_client_dh_params(self, request: functions.SetClientDHParamsRequest) -> types.DhGenOk | types.DhGenRetry:
        padded = AES.decrypt_ige(request.encrypted_data, *self._temporary_aes_key())
        inner = tl.read(padded[20:])
        if sha1(bytes(inner)).digest() != padded[:20]:
            raise KeyExchangeError("client_DH_inner_data is damaged")
        secret = _big_endian(pow(int.from_bytes(inner.g_b, "big"), self._a, DH_PRIME))
        key = AuthKey(secret)
        if len(secret) < KEY_LENGTH:
            # One key in 256 starts with a zero byte, which Telethon would drop. The client restarts
            # the exchange.
            new_nonce_hash = key.calc_new_nonce_hash(self._new_nonce, 2)
            return types.DhGenRetry(self._nonce, self._server_nonce, new_nonce_hash)
        self.made = AuthorizationKey(key, salt=self._first_salt())
        new_nonce_hash = key.calc_new_nonce_hash(self._new_nonce, 1)
        return types.DhGenOk(self._nonce, self._server_nonce, new_nonce_hash)

    def _temporary_aes_key(self) -> tuple[bytes, bytes]:
        return generate_key_data_from_nonce(self._server_nonce, self._new_nonce)

    def _first_salt(self) -> int:
        """Returns the lower 64 bits of both nonces, xored."""
        mixed = (self._new_nonce ^ self._server_nonce) & (2**64 - 1)
        return struct.unpack("<q", struct.pack("<Q", mixed))[0]


def _big_endian(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")
