"""Service messages: requests about the connection itself, which are answered without an rpc_result.

https://core.telegram.org/mtproto/service_messages
"""

from __future__ import annotations

import time
from typing import Any

from telethon.tl import functions, types

from .envelope import Received
from .key_exchange import AuthorizationKey

SALT_LIFE = 1800
RECEIVED = 4  # in msgs_state_info: "message received"

NEED_NO_REPLY = (types.MsgsAck, types.MsgsStateInfo, types.MsgsAllInfo)


def is_service(request: Any) -> bool:
    return isinstance(request, (*NEED_NO_REPLY, *_replies))


def reply(key: AuthorizationKey, message: Received) -> Any | None:
    """Returns the reply to a service message, or `None` if it needs none."""
    make = _replies.get(type(message.obj))
    return make(key, message) if make else None


def _pong(_key: AuthorizationKey, message: Received) -> types.Pong:
    return types.Pong(message.msg_id, message.obj.ping_id)


def _future_salts(key: AuthorizationKey, message: Received) -> types.FutureSalts:
    now = int(time.time())
    salt = types.FutureSalt(valid_since=now, valid_until=now + SALT_LIFE, salt=key.salt)
    return types.FutureSalts(message.msg_id, now, [salt])


def _destroyed(_key: AuthorizationKey, message: Received) -> types.DestroySessionNone:
    """Sessions end with their connection here, so there is no other session to destroy."""
    return types.DestroySessionNone(message.obj.session_id)


def _state_info(_key: AuthorizationKey, message: Received) -> types.MsgsStateInfo:
    return types.MsgsStateInfo(message.msg_id, bytes([RECEIVED]) * len(message.obj.msg_ids))


_replies = {
    functions.PingRequest: _pong,
    # The delay is ignored, because a loopback client that ends closes its connection.
    functions.PingDelayDisconnectRequest: _pong,
    functions.GetFutureSaltsRequest: _future_salts,
    functions.DestroySessionRequest: _destroyed,
    types.MsgsStateReq: _state_info,
}
