"""account.*: takeout sessions."""

from __future__ import annotations

import secrets

from telethon.tl import functions, types

from ..rpc import Call, RpcError, method


@method(functions.account.InitTakeoutSessionRequest)
def init_takeout_session(call: Call, _request: functions.account.InitTakeoutSessionRequest) -> types.account.Takeout:
    takeout_id = secrets.randbits(62)
    call.account.takeouts.add(takeout_id)
    return types.account.Takeout(takeout_id)


@method(functions.account.FinishTakeoutSessionRequest)
def finish_takeout_session(call: Call, _request: functions.account.FinishTakeoutSessionRequest) -> bool:
    if not call.takeout_id:
        raise RpcError(403, "TAKEOUT_REQUIRED")
    call.account.takeouts.discard(call.takeout_id)
    return True
