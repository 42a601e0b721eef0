"""channels.*"""

from __future__ import annotations

from telethon.tl import functions, types

from .. import tl
from ..directory import Known
from ..rpc import Call, RpcError, method

MAX_PARTICIPANTS = 200
JOINED = tl.to_datetime(1_600_000_000)


@method(functions.channels.GetChannelsRequest)
def get_channels(call: Call, request: functions.channels.GetChannelsRequest) -> types.messages.Chats:
    return types.messages.Chats([_channel(call, channel) for channel in request.id])


@method(functions.channels.GetFullChannelRequest)
def get_full_channel(call: Call, request: functions.channels.GetFullChannelRequest) -> types.messages.ChatFull:
    channel = _channel(call, request.channel)
    full = tl.build(
        types.ChannelFull,
        id=channel.id,
        about="Made up.",
        read_inbox_max_id=0,
        read_outbox_max_id=0,
        unread_count=0,
        chat_photo=types.PhotoEmpty(0),
        notify_settings=types.PeerNotifySettings(),
        bot_info=[],
        pts=call.account.mailbox.channels[channel.id].pts,
        can_view_participants=True,
        participants_count=len(call.telegram.rosters.get(channel.peer_id).members),
    )
    return types.messages.ChatFull(full, chats=[channel], users=[])


@method(functions.channels.GetParticipantsRequest)
def get_participants(
    call: Call, request: functions.channels.GetParticipantsRequest
) -> types.channels.ChannelParticipants:
    roster = call.telegram.rosters.get(_channel(call, request.channel).peer_id)
    if isinstance(request.filter, types.ChannelParticipantsSearch):
        found = roster.search(request.filter.q)
    elif isinstance(request.filter, types.ChannelParticipantsRecent):
        found = roster.members
    else:
        raise RpcError(400, "FILTER_NOT_BUILT")
    page = found[request.offset : request.offset + min(request.limit, MAX_PARTICIPANTS)]
    return types.channels.ChannelParticipants(
        count=len(found),
        participants=[types.ChannelParticipant(member.id, JOINED) for member in page],
        chats=[],
        users=[call.account.sees(member) for member in page],
    )


def _channel(call: Call, input_channel: types.TypeInputChannel) -> Known:
    channel = call.known(input_channel)
    if channel is None:
        raise RpcError(400, "CHANNEL_INVALID")
    return channel
