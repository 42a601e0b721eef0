"""auth.*: signing in and out, and transferring an authorization to another data centre."""

from __future__ import annotations

from telethon.tl import functions, types

from .. import tl
from ..accounts import Account
from ..rpc import Call, RpcError, method

CODE_LENGTH = 5


@method(functions.auth.SendCodeRequest, anonymous=True)
def send_code(call: Call, request: functions.auth.SendCodeRequest) -> types.auth.SentCode:
    phone = request.phone_number
    if not phone.isdecimal():
        raise RpcError(400, "PHONE_NUMBER_INVALID")
    account = call.telegram.accounts.by_phone(phone)
    if account and account.dc_id != call.connection.dc.dc_id:
        raise RpcError(303, f"PHONE_MIGRATE_{account.dc_id}")
    return _sent_code(call.telegram.accounts.send_code(phone))


@method(functions.auth.ResendCodeRequest, anonymous=True)
def resend_code(call: Call, request: functions.auth.ResendCodeRequest) -> types.auth.SentCode:
    if call.telegram.accounts.phone_of(request.phone_code_hash) != request.phone_number:
        raise RpcError(400, "PHONE_CODE_EXPIRED")
    return _sent_code(request.phone_code_hash)


@method(functions.auth.SignInRequest, anonymous=True)
def sign_in(call: Call, request: functions.auth.SignInRequest) -> types.auth.Authorization:
    accounts = call.telegram.accounts
    if accounts.phone_of(request.phone_code_hash) != request.phone_number:
        raise RpcError(400, "PHONE_CODE_EXPIRED")
    account = accounts.by_phone(request.phone_number)
    if account is None:
        raise RpcError(400, "PHONE_NUMBER_UNOCCUPIED")
    if request.phone_code != account.code:
        raise RpcError(400, "PHONE_CODE_INVALID")
    return _authorize(call, account)


@method(functions.auth.ImportBotAuthorizationRequest, anonymous=True)
def import_bot_authorization(
    call: Call, request: functions.auth.ImportBotAuthorizationRequest
) -> types.auth.Authorization:
    account = call.telegram.accounts.by_token(request.bot_auth_token)
    if account is None:
        raise RpcError(400, "ACCESS_TOKEN_INVALID")
    if account.dc_id != call.connection.dc.dc_id:
        raise RpcError(303, f"USER_MIGRATE_{account.dc_id}")
    return _authorize(call, account)


@method(functions.auth.ExportAuthorizationRequest)
def export_authorization(
    call: Call, request: functions.auth.ExportAuthorizationRequest
) -> types.auth.ExportedAuthorization:
    if request.dc_id == call.connection.dc.dc_id or request.dc_id not in call.telegram.dcs:
        raise RpcError(400, "DC_ID_INVALID")
    secret = call.telegram.accounts.export(call.account)
    return types.auth.ExportedAuthorization(id=call.account.id, bytes=secret)


@method(functions.auth.ImportAuthorizationRequest, anonymous=True)
def import_authorization(call: Call, request: functions.auth.ImportAuthorizationRequest) -> types.auth.Authorization:
    account = call.telegram.accounts.take_exported(request.bytes)
    if account is None or account.id != request.id:
        raise RpcError(400, "AUTH_BYTES_INVALID")
    return _authorize(call, account)


@method(functions.auth.LogOutRequest)
def log_out(call: Call, _request: functions.auth.LogOutRequest) -> types.auth.LoggedOut | bool:
    call.key.account = None
    # Layers before 136 return a Bool.
    return types.auth.LoggedOut() if hasattr(types.auth, "LoggedOut") else True


def _sent_code(code_hash: str) -> types.auth.SentCode:
    return types.auth.SentCode(types.auth.SentCodeTypeApp(CODE_LENGTH), code_hash)


def _authorize(call: Call, account: Account) -> types.auth.Authorization:
    call.key.account = account
    call.connection.receives_updates = call.wants_updates
    return tl.build(types.auth.Authorization, user=account.known_to_itself)
