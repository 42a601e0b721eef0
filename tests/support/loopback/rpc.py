"""Answers requests: the table of methods, and the wrappers around requests."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from telethon import utils
from telethon.tl import functions, types

if TYPE_CHECKING:
    from .accounts import Account
    from .connection import Connection
    from .data_centres import DataCentres
    from .directory import Known
    from .key_exchange import AuthorizationKey

log = logging.getLogger(__name__)

Method = Callable[["Call", Any], Any]

# Wrappers without effect here. Messages are answered in order, so invokeAfterMsg need not wait.
_TRANSPARENT = (
    functions.InvokeWithLayerRequest,
    functions.InitConnectionRequest,
    functions.InvokeAfterMsgRequest,
    functions.InvokeAfterMsgsRequest,
)


class RpcError(Exception):
    """Sent to the client as rpc_error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message


@dataclass
class Call:
    """The context of a request: the connection, the key and the request's wrappers."""

    telegram: DataCentres
    connection: Connection
    key: AuthorizationKey
    wants_updates: bool = True
    takeout_id: int | None = None

    @property
    def account(self) -> Account:
        return self.require_account()

    def require_account(self) -> Account:
        if self.key.account is None:
            raise RpcError(401, "AUTH_KEY_UNREGISTERED")
        return self.key.account

    def known(self, peer: Any) -> Known | None:
        """Returns the entity of an input peer, user or channel, or `None` if its access hash is
        wrong.

        Bots need no access hash for users that have written to them.
        """
        account = self.account
        if isinstance(peer, types.InputPeerSelf | types.InputUserSelf):
            return account.known_to_itself
        try:
            peer_id = utils.get_peer_id(peer)
        except TypeError:  # inputPeerEmpty and the like
            return None
        known = self.telegram.directory.get(peer_id)
        if known is None:
            return None
        given_hash = getattr(peer, "access_hash", known.access_hash)
        excused = given_hash == 0 and account.is_bot and peer_id in account.mailbox.dialogs
        return account.sees(known) if given_hash == known.access_hash or excused else None


_methods: dict[type, tuple[Method, bool]] = {}


def method(*requests: type, anonymous: bool = False) -> Callable[[Method], Method]:
    """Registers a function as the method for these requests. `anonymous` methods do not require a
    signed-in account.
    """

    def register(function: Method) -> Method:
        for request in requests:
            _methods[request] = (function, anonymous)
        return function

    return register


def answer(call: Call, request: Any) -> Any:
    """Unwraps the request and returns its method's answer. Raises `RpcError` where Telegram returns
    an error.
    """
    request = _unwrap(call, request)
    function, anonymous = _methods.get(type(request), (None, True))
    if function is None:
        log.warning("no method is implemented for %s", type(request).__name__)
        raise RpcError(400, "METHOD_NOT_BUILT")
    if not anonymous:
        call.require_account()
        call.connection.receives_updates |= call.wants_updates
    return function(call, request)


def _unwrap(call: Call, request: Any) -> Any:
    """Removes the wrappers, and stores their options in the call."""
    while True:
        if isinstance(request, functions.InvokeWithTakeoutRequest):
            if request.takeout_id not in call.account.takeouts:
                raise RpcError(400, "TAKEOUT_INVALID")
            call.takeout_id = request.takeout_id
        elif isinstance(request, functions.InvokeWithoutUpdatesRequest):
            call.wants_updates = False
        elif not isinstance(request, _TRANSPARENT):
            return request
        request = request.query
