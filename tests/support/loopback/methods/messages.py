"""messages.*: dialogs, basic groups, and sending text messages."""

from __future__ import annotations

from telethon import utils
from telethon.tl import functions, types

from .. import tl
from ..accounts import Account
from ..directory import Known, split
from ..mailbox import Dialog, text_message
from ..rpc import Call, RpcError, method

MAX_DIALOGS = 100


@method(functions.messages.GetChatsRequest)
def get_chats(call: Call, request: functions.messages.GetChatsRequest) -> types.messages.Chats:
    chats = [call.known(types.InputPeerChat(chat_id)) for chat_id in request.id]
    if not all(chats):
        raise RpcError(400, "CHAT_ID_INVALID")
    return types.messages.Chats(chats)


@method(functions.messages.GetFullChatRequest)
def get_full_chat(call: Call, request: functions.messages.GetFullChatRequest) -> types.messages.ChatFull:
    chat = call.known(types.InputPeerChat(request.chat_id))
    if chat is None:
        raise RpcError(400, "CHAT_ID_INVALID")
    members = call.telegram.rosters.get(chat.peer_id).members
    participants = [
        tl.build(types.ChatParticipant, user_id=member.id, inviter_id=members[0].id, date=0) for member in members
    ]
    full = tl.build(
        types.ChatFull,
        id=chat.id,
        about="Made up.",
        participants=types.ChatParticipants(chat.id, participants, version=1),
        notify_settings=types.PeerNotifySettings(),
    )
    return types.messages.ChatFull(full, chats=[chat], users=[call.account.sees(member) for member in members])


@method(functions.messages.GetDialogsRequest)
def get_dialogs(call: Call, request: functions.messages.GetDialogsRequest) -> types.messages.DialogsSlice:
    account = call.account
    if account.is_bot:
        raise RpcError(400, "BOT_METHOD_INVALID")
    known = call.telegram.directory.get
    dialogs = [dialog for dialog in account.mailbox.dialogs.values() if known(dialog.peer_id)]
    dialogs.sort(key=_newest_first)
    page = [dialog for dialog in dialogs if _comes_after(dialog, request)][: min(request.limit, MAX_DIALOGS)]
    peers = [account.sees(known(dialog.peer_id)) for dialog in page]
    return types.messages.DialogsSlice(
        count=len(dialogs),
        dialogs=[_dialog(account, dialog, peer) for dialog, peer in zip(page, peers, strict=True)],
        messages=[dialog.message for dialog in page],
        **split(peers),
    )


def _newest_first(dialog: Dialog) -> tuple[int, int, int]:
    return -dialog.date, -dialog.message_id, dialog.peer_id


def _comes_after(dialog: Dialog, request: functions.messages.GetDialogsRequest) -> bool:
    """Returns `True` if the dialog comes after the last one of the client's previous page."""
    offset_date = tl.to_seconds(request.offset_date)
    if offset_date == 0:
        return True
    if isinstance(request.offset_peer, types.InputPeerEmpty):
        return dialog.date < offset_date
    offset = -offset_date, -request.offset_id, utils.get_peer_id(request.offset_peer)
    return _newest_first(dialog) > offset


def _dialog(account: Account, dialog: Dialog, peer: Known) -> types.Dialog:
    is_channel = isinstance(peer.peer, types.PeerChannel)
    return tl.build(
        types.Dialog,
        peer=peer.peer,
        top_message=dialog.message_id,
        read_inbox_max_id=0,
        read_outbox_max_id=0,
        unread_count=0,
        unread_mentions_count=0,
        unread_reactions_count=0,
        unread_poll_votes_count=0,
        notify_settings=types.PeerNotifySettings(),
        pts=account.mailbox.channels[peer.id].pts if is_channel else None,
    )


@method(functions.messages.SendMessageRequest)
def send_message(call: Call, request: functions.messages.SendMessageRequest) -> types.Updates:
    chat = call.known(request.peer)
    if chat is None:
        raise RpcError(400, "PEER_ID_INVALID")
    sender = call.account
    for account in _receivers(call, chat):
        # In a private chat, the peer is the other user.
        seen_as = sender.known if chat.is_user else chat
        message = text_message(seen_as, request.message, sender.known)
        call.telegram.deliver(account, [_new_message(message)], [sender.known, chat])
    message = text_message(chat, request.message, sender.known)
    message.out = True
    message.id = sender.mailbox.next_message_id(chat)
    updates = [types.UpdateMessageID(message.id, request.random_id), _new_message(message)]
    packet = call.telegram.deliver(sender, updates, [sender.known, chat], skip=call.connection)
    return packet.as_updates()


def _new_message(message: types.Message) -> types.UpdateNewMessage | types.UpdateNewChannelMessage:
    in_channel = isinstance(message.peer_id, types.PeerChannel)
    update = types.UpdateNewChannelMessage if in_channel else types.UpdateNewMessage
    return update(message, pts=0, pts_count=1)


def _receivers(call: Call, chat: Known) -> list[Account]:
    """Returns the other accounts of these data centres that are in the chat."""
    ids = {chat.peer_id} if chat.is_user else call.telegram.rosters.get(chat.peer_id).ids
    accounts = (call.telegram.accounts.get(user_id) for user_id in ids - {call.account.id})
    return [account for account in accounts if account]
