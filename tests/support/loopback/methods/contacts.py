"""contacts.*"""

from __future__ import annotations

from telethon.tl import functions, types

from ..directory import split
from ..rpc import Call, RpcError, method


@method(functions.contacts.ResolveUsernameRequest)
def resolve_username(call: Call, request: functions.contacts.ResolveUsernameRequest) -> types.contacts.ResolvedPeer:
    known = call.telegram.directory.by_username(request.username)
    if known is None:
        raise RpcError(400, "USERNAME_NOT_OCCUPIED")
    return types.contacts.ResolvedPeer(known.peer, **split([call.account.sees(known)]))


@method(functions.contacts.GetContactsRequest)
def get_contacts(call: Call, _request: functions.contacts.GetContactsRequest) -> types.contacts.Contacts:
    if call.account.is_bot:
        raise RpcError(400, "BOT_METHOD_INVALID")
    contacts = call.account.contacts
    return types.contacts.Contacts(
        contacts=[types.Contact(contact.id, mutual=False) for contact in contacts],
        saved_count=0,
        users=contacts,
    )
