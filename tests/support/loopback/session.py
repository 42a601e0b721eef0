"""An MTProto session: a key, the client's session ID, and the counters of the server's messages."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from typing import NamedTuple

from telethon.tl.core import MessageContainer

from . import envelope
from .key_exchange import AuthorizationKey

# Telegram's limits for a container. A larger message is sent on its own.
MAX_CONTAINER_BYTES = 1 << 20
MAX_CONTAINER_MESSAGES = 100


class Outgoing(NamedTuple):
    """A message without a msg_id and seqno."""

    body: bytes
    is_content: bool
    is_answer: bool


class MessageIds:
    """Generates message IDs: increasing times in 2^-32 seconds. The last two bits are the kind of
    message.
    """

    def __init__(self) -> None:
        self._last = 0

    def next(self, is_answer: bool) -> int:
        self._last = max(int(time.time() * 2**32) & ~3, self._last + 4)
        return self._last | (1 if is_answer else 3)


class Session:
    def __init__(self, key: AuthorizationKey, session_id: int) -> None:
        self.key = key
        self.session_id = session_id
        self.is_announced = False
        self._ids = MessageIds()
        self._content_sent = 0

    def seal(self, outgoing: list[Outgoing]) -> Iterator[bytes]:
        """Numbers and encrypts the messages, in as few packets as the limits of containers allow."""
        batch: list[bytes] = []
        size = 0
        for item in outgoing:
            message = self._number(item)
            if batch and (len(batch) == MAX_CONTAINER_MESSAGES or size + len(message) > MAX_CONTAINER_BYTES):
                yield self._encrypt(batch)
                batch, size = [], 0
            batch.append(message)
            size += len(message)
        if batch:
            yield self._encrypt(batch)

    def _number(self, item: Outgoing) -> bytes:
        """Prepends msg_id, seqno and length to the body."""
        seq_no = self._content_sent * 2
        if item.is_content:
            seq_no += 1
            self._content_sent += 1
        return struct.pack("<qii", self._ids.next(item.is_answer), seq_no, len(item.body)) + item.body

    def _encrypt(self, messages: list[bytes]) -> bytes:
        if len(messages) == 1:
            (message,) = messages
        else:
            head = struct.pack("<Ii", MessageContainer.CONSTRUCTOR_ID, len(messages))
            message = self._number(Outgoing(head + b"".join(messages), is_content=False, is_answer=True))
        return envelope.seal_encrypted(self.key.key, self.key.salt, self.session_id, message)
