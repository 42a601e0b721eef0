"""The accounts that can sign in, and the state of their sign-ins."""

from __future__ import annotations

import secrets
from typing import Any

from telethon.tl import types

from . import tl
from .directory import Known
from .mailbox import Mailbox


class Account:
    """A user or bot, with its home data centre and its mailbox."""

    def __init__(self, user: types.User, dc_id: int, token: str | None = None) -> None:
        self.user = user
        self.dc_id = dc_id
        self.token = token
        self.mailbox = Mailbox()
        self.contacts: list[Known] = []
        self.takeouts: set[int] = set()
        self.known = Known(user)
        user.is_self = True
        self.known_to_itself = Known(user)

    @property
    def id(self) -> int:
        return self.user.id

    @property
    def is_bot(self) -> bool:
        return self.token is not None

    @property
    def phone(self) -> str | None:
        return self.user.phone

    @property
    def code(self) -> str:
        """Returns the login code: the data centre ID five times, as on Telegram's test servers."""
        return str(self.dc_id) * 5

    def sees(self, known: Known) -> Known:
        """Returns an entity as this account sees it: its own with the flag `is_self`."""
        return self.known_to_itself if known.peer_id == self.id else known


class Accounts:
    def __init__(self) -> None:
        self._by_id: dict[int, Account] = {}
        self._by_phone: dict[str, Account] = {}
        self._by_token: dict[str, Account] = {}
        self._phone_of_code_hash: dict[str, str] = {}
        self._exported: dict[bytes, Account] = {}

    def new_user(self, dc_id: int, phone: str | None, **fields: Any) -> Account:
        """Creates a user. Phone numbers start with 99966 and the data centre ID, as on Telegram's
        test servers.
        """
        serial = len(self._by_id) + 1
        phone = phone or f"99966{dc_id}{serial:04}"
        fields.setdefault("first_name", f"User {serial}")
        account = Account(self._user(serial, phone=phone, **fields), dc_id)
        self._by_phone[phone] = account
        return self._add(account)

    def new_bot(self, dc_id: int, **fields: Any) -> Account:
        serial = len(self._by_id) + 1
        fields.setdefault("first_name", f"Bot {serial}")
        fields.setdefault("username", f"loopback_{serial}_bot")
        user = self._user(serial, bot=True, bot_info_version=1, **fields)
        account = Account(user, dc_id, token=f"{user.id}:{secrets.token_urlsafe(26)}")
        self._by_token[account.token] = account
        return self._add(account)

    def __getitem__(self, user_id: int) -> Account:
        return self._by_id[user_id]

    def get(self, user_id: int) -> Account | None:
        return self._by_id.get(user_id)

    def by_phone(self, phone: str) -> Account | None:
        return self._by_phone.get(phone)

    def by_token(self, token: str) -> Account | None:
        return self._by_token.get(token)

    def send_code(self, phone: str) -> str:
        """Starts a sign-in, and returns its `phone_code_hash`."""
        code_hash = secrets.token_hex(9)
        self._phone_of_code_hash[code_hash] = phone
        return code_hash

    def phone_of(self, code_hash: str) -> str | None:
        return self._phone_of_code_hash.get(code_hash)

    def export(self, account: Account) -> bytes:
        """Returns a secret with which the account can sign in once at another data centre."""
        secret = secrets.token_bytes(32)
        self._exported[secret] = account
        return secret

    def take_exported(self, secret: bytes) -> Account | None:
        return self._exported.pop(secret, None)

    def _add(self, account: Account) -> Account:
        self._by_id[account.id] = account
        return account

    @staticmethod
    def _user(serial: int, **fields: Any) -> types.User:
        # Lower than the IDs of the made-up world, so that no two entities have the same ID.
        return tl.build(types.User, id=100_000_000 + serial, access_hash=secrets.randbits(63), **fields)
