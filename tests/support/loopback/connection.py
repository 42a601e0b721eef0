"""A TCP connection of a client: receives packets, and sends answers and updates."""

from __future__ import annotations

import logging
import struct
from asyncio import IncompleteReadError, StreamReader, StreamWriter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from telethon.tl import functions, types

from . import envelope, service, tl
from .envelope import Envelope, Received
from .key_exchange import KeyExchange
from .rpc import Call, RpcError, answer
from .session import MessageIds, Outgoing, Session
from .transport import Transport, detect

if TYPE_CHECKING:
    from .accounts import Account
    from .data_centre import DataCentre

log = logging.getLogger(__name__)

RPC_RESULT = 0xF35C6D01
AUTH_KEY_UNKNOWN = struct.pack("<i", -404)
INCORRECT_SERVER_SALT = 48
SHORTEST_PACKET = 24


class Connection:
    def __init__(self, dc: DataCentre, reader: StreamReader, writer: StreamWriter) -> None:
        self.dc = dc
        # Set when the client signs in, or by the first request of an account that is signed in.
        self.receives_updates = False
        self._reader = reader
        self._writer = writer
        self._transport: Transport
        self._plain_ids = MessageIds()
        self._exchange: KeyExchange | None = None
        self._session: Session | None = None

    @property
    def account(self) -> Account | None:
        return self._session.key.account if self._session else None

    @property
    def is_open(self) -> bool:
        return not self._writer.is_closing()

    async def serve(self) -> None:
        """Answers packets until the client disconnects or sends an invalid packet."""
        try:
            self._transport = await detect(self._reader)
            while True:
                self._receive(await self._transport.read(self._reader))
                await self._writer.drain()
        except IncompleteReadError:
            pass  # the client disconnected
        except ConnectionError as error:
            log.info("closing a connection: %s", error)
        finally:
            self.close()

    def close(self) -> None:
        self._writer.close()

    async def drain(self) -> None:
        """Waits until the client has received most of what was sent, or has disconnected."""
        with suppress(ConnectionError):
            await self._writer.drain()

    def send_updates(self, updates: bytes) -> None:
        """Sends updates without waiting. The caller awaits `drain()`."""
        if self._session:
            self._send(self._session, [Outgoing(updates, is_content=True, is_answer=False)])

    def _receive(self, packet: bytes) -> None:
        if len(packet) < SHORTEST_PACKET:
            raise ConnectionError(f"a packet of {len(packet)} bytes")
        key_id = envelope.key_id_of(packet)
        if key_id == 0:
            self._exchange_keys(tl.read(envelope.open_plain(packet)))
            return
        key = self.dc.keys.get(key_id)
        if key is None:
            self._write(AUTH_KEY_UNKNOWN)
            return
        opened = envelope.open_encrypted(key.key, packet)
        if self._session is None or (self._session.key, self._session.session_id) != (key, opened.session_id):
            self._session = Session(key, opened.session_id)
        self._send(self._session, self._answer_all(self._session, opened))

    def _exchange_keys(self, request: Any) -> None:
        if isinstance(request, functions.ReqPqMultiRequest) or self._exchange is None:
            self._exchange = KeyExchange(self.dc.rsa_key)
        body = bytes(self._exchange.answer(request))
        if self._exchange.made:
            self.dc.keys[self._exchange.made.key.key_id] = self._exchange.made
        self._write(envelope.seal_plain(self._plain_ids.next(is_answer=True), body))

    def _answer_all(self, session: Session, opened: Envelope) -> list[Outgoing]:
        salt = session.key.salt
        if opened.salt != salt:
            bad = types.BadServerSalt(opened.msg_id, opened.seq_no, INCORRECT_SERVER_SALT, salt)
            return [_service_message(bad)]
        out: list[Outgoing] = []
        if not session.is_announced:
            session.is_announced = True
            unique_id = session.session_id ^ opened.msg_id
            out.append(_service_message(types.NewSessionCreated(opened.msg_id, unique_id, salt)))
        messages = list(opened.messages())
        for message in messages:
            out += self._answer(session, message)
        content = [message.msg_id for message in messages if message.is_content]
        if content:
            out.append(_service_message(types.MsgsAck(content)))
        return out

    def _answer(self, session: Session, message: Received) -> list[Outgoing]:
        if service.is_service(message.obj):
            reply = service.reply(session.key, message)
            return [_service_message(reply)] if reply else []
        call = Call(self.dc.telegram, self, session.key)
        try:
            result = tl.serialize(answer(call, message.obj))
        except RpcError as error:
            result = bytes(types.RpcError(error.code, error.message))
        except Exception:
            # Not a 500, because clients would retry.
            log.exception("the method for %s failed", type(message.obj).__name__)
            result = bytes(types.RpcError(400, "METHOD_FAILED"))
        body = struct.pack("<Iq", RPC_RESULT, message.msg_id) + result
        return [Outgoing(body, is_content=True, is_answer=True)]

    def _send(self, session: Session, outgoing: list[Outgoing]) -> None:
        for packet in session.seal(outgoing):
            self._write(packet)

    def _write(self, packet: bytes) -> None:
        self._writer.write(self._transport.frame(packet))


def _service_message(obj: Any) -> Outgoing:
    return Outgoing(bytes(obj), is_content=False, is_answer=True)
