"""The updates of an account, in order, numbered as Telegram does (`pts` and `date`).

https://core.telegram.org/api/updates. Each account has a mailbox, with a sequence for private chats
and basic groups, and one for each channel. Telegram shares a channel's sequence among its members.
Here each account has its own, so that sending an update to one account leaves no gap in another's
sequence.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from telethon import utils
from telethon.tl import types

from . import tl
from .directory import Known

NEW_MESSAGE = (types.UpdateNewMessage, types.UpdateNewChannelMessage)

# Secret chats and the numbering of whole `Updates` are not implemented: both stay at 0.
NO_QTS = NO_SEQ = 0


class Event(NamedTuple):
    """An update and its position in its sequence. `pts` is 0 for updates that are not counted."""

    pts: int
    channel_id: int | None
    update: tl.Serialized
    message: tl.Serialized | None
    sender_id: int | None


class Packet(NamedTuple):
    """Updates that were sent together. `pts` is the account's afterwards, and each packet has
    another date.
    """

    pts: int
    date: int
    events: list[Event]
    users: Sequence[Known]
    chats: Sequence[Known]

    def as_updates(self) -> types.Updates:
        return types.Updates([e.update for e in self.events], self.users, self.chats, self.date, NO_SEQ)


class Dialog(NamedTuple):
    """A conversation's last message."""

    peer_id: int
    message_id: int
    message: tl.Serialized
    date: int


class EventSequence:
    """Events numbered by `pts`, which starts at 1 because 0 means "unknown" to clients."""

    def __init__(self) -> None:
        self.pts = 1
        self.last_message_id = 0
        self.events: list[Event] = []

    def after(self, pts: int) -> list[Event]:
        return self.events[bisect_right(self.events, pts, key=lambda event: event.pts) :]


class Mailbox:
    def __init__(self) -> None:
        self.own = EventSequence()
        self.channels: defaultdict[int, EventSequence] = defaultdict(EventSequence)
        self.dialogs: dict[int, Dialog] = {}
        self._packets: list[Packet] = []
        self._date = 0

    def state(self) -> types.updates.State:
        # A later packet must not have a date that was already sent, because clients could not
        # distinguish them.
        self._date = max(self._date, int(time.time()))
        return types.updates.State(self.own.pts, NO_QTS, self._date, NO_SEQ, unread_count=0)

    def put(self, updates: Iterable[Any], users: Sequence[Known], chats: Sequence[Known]) -> Packet:
        """Numbers the updates, in place, and stores them for later requests of the difference."""
        self._date = max(self._date + 1, int(time.time()))
        events = [self._place(update) for update in updates]
        packet = Packet(self.own.pts, self._date, events, users, chats)
        self._packets.append(packet)
        return packet

    def after(self, pts: int, date: int) -> list[Packet]:
        """Returns the packets after `pts` and `date`."""
        return self._packets[bisect_right(self._packets, (pts, date), key=lambda packet: packet[:2]) :]

    def next_message_id(self, chat: Known) -> int:
        in_channel = isinstance(chat.peer, types.PeerChannel)
        return (self.channels[chat.id] if in_channel else self.own).last_message_id + 1

    def _place(self, update: Any) -> Event:
        """Assigns an update its numbers, and appends it to its sequence."""
        peer = getattr(getattr(update, "message", None), "peer_id", None)
        channel_id = getattr(peer or update, "channel_id", None)
        sequence = self.channels[channel_id] if channel_id else self.own
        message, sender_id = None, None
        if isinstance(update, NEW_MESSAGE):
            message = self._take_in(update.message, sequence)
            sender_id = utils.get_peer_id(update.message.from_id or update.message.peer_id)
        is_counted = hasattr(update, "pts_count")
        if is_counted:
            update.pts_count = update.pts_count or 1
            sequence.pts += update.pts_count
        if getattr(update, "pts", None) is not None:
            update.pts = sequence.pts
        pts = sequence.pts if is_counted else 0
        event = Event(pts, channel_id, tl.Serialized(update._bytes()), message, sender_id)
        if is_counted:
            sequence.events.append(event)
        return event

    def _take_in(self, message: types.Message, sequence: EventSequence) -> tl.Serialized:
        """Assigns a message its ID and date, and makes it the last one of its dialog."""
        message.id = message.id or sequence.last_message_id + 1
        message.date = message.date or tl.to_datetime(self._date)
        sequence.last_message_id = max(sequence.last_message_id, message.id)
        serialized = tl.Serialized(message._bytes())
        peer_id = utils.get_peer_id(message.peer_id)
        self.dialogs[peer_id] = Dialog(peer_id, message.id, serialized, self._date)
        return serialized


def text_message(chat: Known, text: str, sender: Known | None = None) -> types.Message:
    """Returns a message as its receivers get it. Their mailboxes assign its ID and date.

    Without a sender, the chat itself is the sender: the user of a private chat, or a channel.
    """
    return tl.build(
        types.Message,
        id=0,
        peer_id=chat.peer,
        from_id=sender.peer if sender and not chat.is_user else None,
        post=sender is None and not chat.is_user,
        message=text,
    )
