"""One TCP connection of one client: packets in, answers and updates out."""

from __future__ import annotations

import logging
import struct
from asyncio import IncompleteReadError, StreamReader, StreamWriter
from typing import TYPE_CHECKING, Any

from telethon.tl import functions, types

from . import envelope, tl
from .key_exchange import AuthorizationKey, KeyExchange
from .messages import MessageIds, Outgoing, Received, Session, received
from .rpc import Call, RpcError, answer
from .service import answer_service
from .transport import Transport, detect

if TYPE_CHECKING:
    from .accounts import Account
    from .data_centre import DataCentre

log = logging.getLogger(__name__)

RPC_RESULT = 0xF35C6D01
AUTH_KEY_UNKNOWN = struct.pack("<i", -404)
INCORRECT_SERVER_SALT = 48


class Connection:
    def __init__(self, dc: DataCentre, reader: StreamReader, writer: StreamWriter) -> None:
        self.dc = dc
        # Set by the first request that asks for something as a signed-in account.
        self.receives_updates = False
        self._reader = reader
        self._writer = writer
        self._transport: Transport
        self._plain_ids = MessageIds()
        self._exchange: KeyExchange | None = None
        self._session: Session | None = None
        self.key: AuthorizationKey | None = None

    @property
    def account(self) -> Account | None:
        return self.key.account if self.key else None

    async def serve(self) -> None:
        """Answer packets until the client goes away, or sends what cannot be understood."""
        try:
            self._transport = await detect(self._reader)
            while True:
                self._receive(await self._transport.read(self._reader))
                await self._writer.drain()
        except IncompleteReadError:
            pass  # the client hung up
        except ConnectionError as error:
            log.info("closing a connection: %s", error)
        finally:
            self.close()

    def close(self) -> None:
        self._writer.close()

    async def drain(self) -> None:
        await self._writer.drain()

    def send_updates(self, updates: bytes) -> None:
        """Send updates; the caller waits for `drain` when it suits."""
        self._send([Outgoing(updates, is_content=True, is_answer=False)])

    def _receive(self, packet: bytes) -> None:
        if len(packet) < 8:
            raise ConnectionError(f"a packet of {len(packet)} bytes")
        key_id = envelope.key_id_of(packet)
        if key_id == 0:
            self._exchange_keys(tl.read(envelope.open_plain(packet)))
            return
        self.key = self.dc.keys.get(key_id)
        if self.key is None:
            self._write(AUTH_KEY_UNKNOWN)
            return
        self._receive_encrypted(self.key, envelope.open_encrypted(self.key.key.key, packet))

    def _exchange_keys(self, request: Any) -> None:
        if isinstance(request, functions.ReqPqMultiRequest) or self._exchange is None:
            self._exchange = KeyExchange(self.dc.rsa_key)
        body = bytes(self._exchange.answer(request))
        if self._exchange.made:
            self.dc.keys[self._exchange.made.key_id] = self._exchange.made
        self._write(envelope.seal_plain(self._plain_ids.next(is_answer=True), body))

    def _receive_encrypted(self, key: AuthorizationKey, opened: envelope.Envelope) -> None:
        out: list[Outgoing] = []
        if self._session is None or self._session.session_id != opened.session_id:
            self._session = Session(opened.session_id)
            self._announced = False
        if opened.salt != key.salt:
            bad = types.BadServerSalt(opened.msg_id, opened.seq_no, INCORRECT_SERVER_SALT, key.salt)
            self._send([_service(bad)])
            return
        if not self._announced:
            self._announced = True
            created = types.NewSessionCreated(opened.msg_id, unique_id=key.key_id >> 1, server_salt=key.salt)
            out.append(_service(created))
        to_acknowledge = []
        for message in received(opened):
            if message.is_content:
                to_acknowledge.append(message.msg_id)
            out.extend(self._answer(message))
        if to_acknowledge:
            out.append(_service(types.MsgsAck(to_acknowledge)))
        self._send(out)

    def _answer(self, message: Received) -> list[Outgoing]:
        understood, reply = answer_service(message, self)
        if understood:
            return [_service(reply)] if reply else []
        try:
            result = tl.serialize(answer(Call(self.dc.telegram, self), message.obj))
        except RpcError as error:
            result = bytes(types.RpcError(error.code, error.message))
        except Exception:
            log.exception("%s failed", type(message.obj).__name__)
            result = bytes(types.RpcError(500, "INTERNAL_SERVER_ERROR"))
        body = struct.pack("<Iq", RPC_RESULT, message.msg_id) + result
        return [Outgoing(body, is_content=True, is_answer=True)]
