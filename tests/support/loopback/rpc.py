"""From a request to its answer: the table of methods, and the wrappers around requests."""

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

# Wrappers that change nothing here. Messages are answered in order: invokeAfterMsg need not wait.
_TRANSPARENT = (
    functions.InvokeWithLayerRequest,
    functions.InitConnectionRequest,
    functions.InvokeAfterMsgRequest,
    functions.InvokeAfterMsgsRequest,
)


class RpcError(Exception):
    """What the client gets as rpc_error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message


@dataclass
class Call:
    """Who asks, and where."""

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
        """Whom an input peer, user or channel means, if the account may know it: the hash has to be right.

        Bots get away without a hash for those who have written to them.
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
    """Register a function as the method for these requests; `anonymous` ones need nobody signed in."""

    def register(function: Method) -> Method:
        for request in requests:
            _methods[request] = (function, anonymous)
        return function

    return register


def answer(call: Call, request: Any) -> Any:
    """Unwrap the request and let its method answer it; raises `RpcError` where Telegram refuses."""
    request = _unwrap(call, request)
    function, anonymous = _methods.get(type(request), (None, True))
    if function is None:
        log.warning("no method is built for %s", type(request).__name__)
        raise RpcError(400, "METHOD_NOT_BUILT")
    if not anonymous:
        call.require_account()
        call.connection.receives_updates |= call.wants_updates
    return function(call, request)


def _unwrap(call: Call, request: Any) -> Any:
    """Take the wrappers off, and note what they say."""
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
