"""A session of another library, as all its readers return it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from ..entity import Entity

UpdateState: TypeAlias = tuple[int, int, int, int, int]


class ConversionError(ValueError):
    """A session cannot be read, or cannot be written in another library's format.

    The message says what is wrong with it. It contains no key, passcode or string.
    """


@dataclass(frozen=True)
class ForeignSession:
    """What another library's session holds.

    Attributes:
        library: The library's name for messages, such as `"Pyrogram"`.
        dc_id: The data centre of the login.
        auth_key: The 256 bytes of its key.
        server_address: The data centre's address.
        port: Its port.
        is_test: Whether it is one of Telegram's test servers.
        user_id: The account's ID, if the session tells.
        is_bot: Whether the account is a bot, if the session tells.
        api_id: The API ID of the program that signed in, if the session tells.
        entities: Returns the people whom the session knows; each call reads them again.
        usernames: Returns marked IDs with usernames, those of people who may have several, the most
            important first.
        update_states: Returns its update states as rows of Telethon's table: 0 or the ID of a
            channel, pts, qts, date in seconds since 1970, and seq.
        notes: What the session lacks or what was left out, each as a message for the user.
    """

    library: str
    dc_id: int
    auth_key: bytes = field(repr=False)
    server_address: str
    port: int
    is_test: bool = False
    user_id: int | None = None
    is_bot: bool | None = None
    api_id: int | None = None
    entities: Callable[[], Iterable[Entity]] = field(default=tuple, repr=False)
    usernames: Callable[[], Iterable[tuple[int, str]]] = field(default=tuple, repr=False)
    update_states: Callable[[], Iterable[UpdateState]] = field(default=tuple, repr=False)
    notes: tuple[str, ...] = ()
