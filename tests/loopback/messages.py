"""Messages of an MTProto session: what came in a packet, and numbering what goes out."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from telethon.tl.core import MessageContainer

from . import tl
from .envelope import Envelope

# Both are Telegram's bounds for a container; larger messages travel alone.
MAX_CONTAINER_BYTES = 1 << 20
MAX_CONTAINER_MESSAGES = 100


class Received(NamedTuple):
    msg_id: int
    seq_no: int
    obj: Any

    @property
    def is_content(self) -> bool:
        """Content-related messages have an odd seqno and want an acknowledgment."""
        return self.seq_no % 2 == 1


class Outgoing(NamedTuple):
    body: bytes
    is_content: bool
    is_answer: bool


def received(envelope: Envelope) -> Iterator[Received]:
    """The messages of a packet: those of a container, or the only one."""
    obj = tl.unzip(tl.read(envelope.body))
    if isinstance(obj, MessageContainer):
        for message in obj.messages:
            yield Received(message.msg_id, message.seq_no, tl.unzip(message.obj))
    else:
        yield Received(envelope.msg_id, envelope.seq_no, obj)


class MessageIds:
    """Message ids are the time in 2^-32 seconds, always rising; the last two bits tell who sent them."""

    def __init__(self) -> None:
        self._last = 0

    def next(self, is_answer: bool) -> int:
        self._last = max(int(time.time() * 2**32) & ~3, self._last + 4)
        return self._last | (1 if is_answer else 3)


class Session:
    """One client session (of one connection's life): its id, and the numbering of the server's messages."""

    def __init__(self, session_id: int) -> None:
        self.session_id = session_id
        self.is_announced = False
        self._ids = MessageIds()
        self._content_sent = 0

    def pack(self, outgoing: list[Outgoing]) -> Iterator[bytes]:
        """Number the messages and put them into as few packets' worth as the bounds of containers allow."""
        batch: list[bytes] = []
        size = 0
        for item in outgoing:
            message = self._message(item)
            full = len(batch) == MAX_CONTAINER_MESSAGES or size + len(message) > MAX_CONTAINER_BYTES
            if batch and full:
                yield self._container(batch)
                batch, size = [], 0
            batch.append(message)
            size += len(message)
        if batch:
            yield self._container(batch)

    def _container(self, messages: list[bytes]) -> bytes:
        if len(messages) == 1:
            return messages[0]
        head = struct.pack("<Ii", MessageContainer.CONSTRUCTOR_ID, len(messages))
        return self._message(Outgoing(head + b"".join(messages), is_content=False, is_answer=True))

    def _message(self, item: Outgoing) -> bytes:
        seq_no = self._content_sent * 2
        if item.is_content:
            seq_no += 1
            self._content_sent += 1
        return struct.pack("<qii", self._ids.next(item.is_answer), seq_no, len(item.body)) + item.body
