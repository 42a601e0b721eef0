"""updates.*: what happened while a client was disconnected.

https://core.telegram.org/api/updates#recovering-gaps
"""

from __future__ import annotations

from collections.abc import Iterable

from telethon.tl import functions, types

from .. import tl
from ..directory import Known, split
from ..mailbox import NO_SEQ, Event, Packet
from ..rpc import Call, RpcError, method

# The number of seconds without updates after which a client should poll.
CHANNEL_TIMEOUT = 30


@method(functions.updates.GetStateRequest)
def get_state(call: Call, _request: functions.updates.GetStateRequest) -> types.updates.State:
    return call.account.mailbox.state()


@method(functions.updates.GetDifferenceRequest)
def get_difference(
    call: Call, request: functions.updates.GetDifferenceRequest
) -> types.updates.Difference | types.updates.DifferenceEmpty:
    mailbox = call.account.mailbox
    packets = mailbox.after(request.pts, tl.to_seconds(request.date))
    state = mailbox.state()
    if not packets:
        return types.updates.DifferenceEmpty(state.date, NO_SEQ)
    events = [event for packet in packets for event in packet.events]
    in_private = [event for event in events if event.message and not event.channel_id]
    return types.updates.Difference(
        new_messages=[event.message for event in in_private],
        new_encrypted_messages=[],
        other_updates=_other_updates(events),
        **split(_entities_of(packets)),
        state=state,
    )


def _other_updates(events: Iterable[Event]) -> list[tl.Serialized | types.UpdateChannelTooLong]:
    """Returns all updates that are not private messages.

    For channels, it returns both updateChannelTooLong and the updates. A client that knows the
    channel's pts requests the difference and skips the updates. Other clients use the updates.
    """
    others: list[tl.Serialized | types.UpdateChannelTooLong] = []
    channels: set[int] = set()
    for event in events:
        if event.channel_id and event.pts and event.channel_id not in channels:
            channels.add(event.channel_id)
            others.append(types.UpdateChannelTooLong(event.channel_id))
        if event.channel_id or not event.message:
            others.append(event.update)
    return others


def _entities_of(packets: Iterable[Packet]) -> Iterable[Known]:
    """Returns the entities of the packets, each in its latest version."""
    return {entity.peer_id: entity for packet in packets for entity in (*packet.users, *packet.chats)}.values()


@method(functions.updates.GetChannelDifferenceRequest)
def get_channel_difference(
    call: Call, request: functions.updates.GetChannelDifferenceRequest
) -> types.updates.ChannelDifference | types.updates.ChannelDifferenceEmpty:
    channel = call.known(request.channel)
    if channel is None:
        raise RpcError(400, "CHANNEL_INVALID")
    sequence = call.account.mailbox.channels[channel.id]
    events = sequence.after(request.pts)
    if not events:
        return types.updates.ChannelDifferenceEmpty(sequence.pts, final=True, timeout=CHANNEL_TIMEOUT)
    rest = len(events) - request.limit
    events = events[: request.limit]
    senders = (call.telegram.directory.get(event.sender_id) for event in events if event.sender_id)
    entities = {entity.peer_id: call.account.sees(entity) for entity in (channel, *senders) if entity}
    return types.updates.ChannelDifference(
        pts=events[-1].pts,
        new_messages=[event.message for event in events if event.message],
        other_updates=[event.update for event in events if not event.message],
        **split(entities.values()),
        final=rest <= 0,
        timeout=CHANNEL_TIMEOUT,
    )
