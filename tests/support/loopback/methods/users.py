"""users.*"""

from __future__ import annotations

from telethon.tl import functions, types

from .. import tl
from ..directory import Known
from ..rpc import Call, RpcError, method


@method(functions.users.GetUsersRequest)
def get_users(call: Call, request: functions.users.GetUsersRequest) -> list[Known | types.UserEmpty]:
    return [call.known(user) or types.UserEmpty(getattr(user, "user_id", 0)) for user in request.id]


@method(functions.users.GetFullUserRequest)
def get_full_user(call: Call, request: functions.users.GetFullUserRequest) -> object:
    user = call.known(request.id)
    if user is None:
        raise RpcError(400, "USER_ID_INVALID")
    full = tl.build(
        types.UserFull,
        id=user.id,
        user=user,
        settings=types.PeerSettings(),
        notify_settings=types.PeerNotifySettings(),
        common_chats_count=0,
        about="Made up.",
    )
    # Layers before 137 have the user inside `UserFull`, later ones beside it.
    if not hasattr(types, "users"):
        return full
    return types.users.UserFull(full, chats=[], users=[user])
