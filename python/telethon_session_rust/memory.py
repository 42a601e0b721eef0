"""The session that is kept in memory, and the base of the others."""

from __future__ import annotations

import asyncio
import math
import os
import time
from abc import ABCMeta
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from telethon.sessions import MemorySession, Session
from telethon.sessions.memory import _SentFileType
from telethon.tl.types import InputDocument, InputPhoto

from ._backup import Parts, Rows, back_up, to_rows
from ._core import EntityScan, MemoryCore, Unanswered
from ._rows import EntityRow, EntityRows, rows_of
from .bounds import checked_max_entities
from .entity import Entity

if TYPE_CHECKING:
    from .entity import _Kind

_DAY = 24 * 60 * 60
# The latest date that a session keeps.
_LATEST = 2**32 - 1

# The key under which `__getstate__` keeps the entities, which are not in the attributes.
_ROWS = "_rows"
# Likewise the greatest number of entities.
_MAX_ENTITIES = "_max_entities"
_MAKES_ROWS = ("_entities_to_rows", "_entity_to_row", "_entity_values_to_row")
_FINDS_ROWS = tuple(f"get_entity_rows_by_{key}" for key in ("id", "username", "phone", "name"))


class RustMemorySession(MemoryCore, Session, metaclass=ABCMeta):  # type: ignore[misc]
    """A session in memory, a drop-in replacement for `telethon.sessions.MemorySession`.

    It is also the base for your own storage, as Telethon documents for its class: override what you
    store yourself (`process_entities`, `get_entity_rows_by_username`, `save`, ...), and the
    override is called where Telethon's base would call it. A class that overrides none of the
    methods that make and find rows has them done in Rust.

    Attributes:
        save_entities: Whether `process_entities` stores entities. Does not affect lookups.
        max_entities: How many entities may be in memory; `None` for all.
    """

    _makes_rows: ClassVar[bool] = True
    _finds_rows: ClassVar[bool] = True

    save_entities: bool = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Checks, once for each class, whether it overrides methods that Rust would otherwise not
        call.
        """
        super().__init_subclass__(**kwargs)
        cls._makes_rows = _has_none_overridden(cls, _MAKES_ROWS)
        cls._finds_rows = _has_none_overridden(cls, _FINDS_ROWS)

    def __init__(self, *, max_entities: int | None = None) -> None:
        """Begins a session.

        Args:
            max_entities: How many entities may be in memory; `None` for all. If there are more, those
                that were seen the longest ago are forgotten.

        Raises:
            ValueError: `max_entities` is less than 1.
        """
        super().__init__()
        self._set_max_entities(checked_max_entities(max_entities))
        self._dc_id: int = 0
        self._server_address: str | None = None
        self._port: int | None = None
        self._auth_key: Any = None
        self._tmp_auth_key: Any = None
        self._takeout_id: int | None = None
        self._files: dict[Any, tuple[int, int]] = {}
        self._update_states: dict[int, Any] = {}

    def clone(self, to_instance: Any = None) -> Any:
        """Returns `to_instance`, or a new session of the same class, for a connection to another
        data centre.
        """
        if to_instance:
            return to_instance
        cloned = type(self)()
        cloned.save_entities = self.save_entities
        return cloned

    def set_dc(self, dc_id: int, server_address: str | None, port: int | None) -> None:
        """Sets the data centre to connect to.

        Args:
            dc_id: The ID of the data centre.
            server_address: Its IP address.
            port: Its port.
        """
        self._dc_id = dc_id or 0
        self._server_address = server_address
        self._port = port

    @property
    def dc_id(self) -> int:
        """The ID of the data centre; 0 if none has been set."""
        return self._dc_id

    @property
    def server_address(self) -> str | None:
        """The IP address of the data centre."""
        return self._server_address

    @property
    def port(self) -> int | None:
        """The port of the data centre."""
        return self._port

    @property
    def auth_key(self) -> Any:
        """The `telethon.crypto.AuthKey` of the data centre, or `None`. It gives access to the
        account.
        """
        return self._auth_key

    @auth_key.setter
    def auth_key(self, value: Any) -> None:
        self._auth_key = value

    @property
    def tmp_auth_key(self) -> Any:
        """The temporary `telethon.crypto.AuthKey`, or `None`."""
        return self._tmp_auth_key

    @tmp_auth_key.setter
    def tmp_auth_key(self, value: Any) -> None:
        self._tmp_auth_key = value

    @property
    def takeout_id(self) -> int | None:
        """The ID of the unfinished takeout, or `None`."""
        return self._takeout_id

    @takeout_id.setter
    def takeout_id(self, value: int | None) -> None:
        self._takeout_id = value

    def get_update_state(self, entity_id: int) -> Any:
        """Returns the `updates.State` of a channel or, for ID 0, of the account; `None` if it is
        not known.
        """
        return self._update_states.get(entity_id)

    def set_update_state(self, entity_id: int, state: Any) -> None:
        """Sets the `updates.State` of a channel or, for ID 0, of the account."""
        self._update_states[entity_id] = state

    # Telethon's base has no types, and pyright infers `None` from its empty body.
    def get_update_states(self) -> Iterable[tuple[int, Any]]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Returns all pairs of ID and `updates.State`."""
        return self._update_states.items()

    def close(self) -> None:
        """Does nothing: there is nothing to close."""

    def save(self) -> None:
        """Does nothing: the session is kept in memory only."""

    def delete(self) -> bool | None:
        """Does nothing: the session is kept in memory only."""
        return None

    async def flush(self) -> None:
        """Waits, without blocking the event loop, until everything so far is stored. A locked store
        is waited for.

        Raises:
            SessionLostError: What is stored was deleted, moved or replaced.
            SessionUnavailableError: It cannot be written. What is unsaved stays in memory and is
                retried.
        """
        await self._flush()

    async def backup(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Copies the whole session to a new session file, without blocking the event loop.

        The copy has the login, entities, update states and sent files as they are at one moment,
        between the call and its end, with everything that is not written yet. Telethon can open it.
        Only its owner may read it. It gives access to the account: keep it secret, and do not use it
        while the session is in use. An encrypted login stays encrypted, with the session's first
        `encryption_key`.

        The session can be used meanwhile, and is written as always. A locked session is waited for.
        The file appears under its name when it is complete; an error, or cancelling the task, leaves
        everything as it was. Override this if your own storage keeps its data elsewhere.

        Args:
            path: The name of the file, with or without `.session`.
            overwrite: Whether to replace a file of that name.

        Returns:
            The absolute path of the file.

        Raises:
            FileExistsError: There is a file of that name, and `overwrite` is false.
            SessionError: The session cannot be read, or the file cannot be written; see
                `RustSQLiteSession` for the subclasses.
            ValueError: It is the session's own file.
        """
        return await back_up(self, path, bool(overwrite))

    def _backup_parts(self) -> Parts:
        """Returns what only Python knows of the session, quickly. Called before and after the last
        entities are copied; what is equal was so all the time.
        """
        # Other threads cannot change a dictionary while it is copied, unlike in a loop.
        return self._login_row(), list(self.get_update_states()), dict(self._files)

    @staticmethod
    def _backup_rows(parts: Parts) -> Rows:
        return to_rows(parts)

    def _login_row(self) -> Any:
        key = self.auth_key.key if self.auth_key else b""
        return self.dc_id, self.server_address, self.port, key, self.takeout_id, b""

    def _own_file(self) -> Path | None:
        """Returns the file of the session, if it has one."""
        return None

    def _keeps_login(self) -> bool:
        """Returns `True` if the login is kept elsewhere than the entities."""
        return False

    def cache_file(self, md5_digest: bytes, file_size: int, instance: Any) -> None:
        """Stores the server's reference to a sent file.

        Args:
            md5_digest: The MD5 digest of the file's contents.
            file_size: The size of the file in bytes.
            instance: The `InputDocument` or `InputPhoto`.

        Raises:
            TypeError: `instance` is something else.
        """
        if not isinstance(instance, (InputDocument, InputPhoto)):
            raise TypeError(f"Cannot cache {type(instance)} instance")
        key = (md5_digest, file_size, _SentFileType.from_type(type(instance)))
        self._files[key] = (instance.id, instance.access_hash)

    def get_file(self, md5_digest: bytes, file_size: int, cls: Any) -> Any:
        """Returns the server's reference to a sent file.

        Args:
            md5_digest: The MD5 digest of the file's contents.
            file_size: The size of the file in bytes.
            cls: `InputDocument` or `InputPhoto`.

        Returns:
            An instance of `cls`, or `None` if the file is not known.
        """
        found = self._files.get((md5_digest, file_size, _SentFileType.from_type(cls)))
        return None if found is None else cls(*found)

    def entities(self, kind: _Kind | None = None) -> EntityScan:
        """Returns an iterator over all entities, or over those of one kind, in no particular order.

        It reads a few hundred at a time, so it can be paused and resumed, and a session of any size
        does not block the event loop. An entity that the session knows from the first step to the
        last is yielded exactly once; one that is added or forgotten meanwhile, at most once. Each
        is yielded as it is when it is read.

        `async for` lets the event loop run after each few hundred, and waits for a store that is
        still being loaded.

        All entities of a file are yielded, also while they are still being loaded. The user with
        the ID 0, under which the client keeps its own ID, is left out. Override this if your own
        storage keeps its entities elsewhere.

        Args:
            kind: `"user"`, `"chat"` or `"channel"`; all kinds if `None`.

        Raises:
            ValueError: `kind` is something else.
            SessionLockedError: Raised by the iterator if the session has not been loaded yet and
                another program holds it. The iterator can be resumed.
            SessionUnavailableError: Raised by the iterator if the session has not been loaded yet
                from a server. The iterator can be resumed.
        """
        return self._scan(kind, Entity)

    # The types of these results depend on whether an event loop runs, as those of Telethon's own
    # methods that `telethon.sync` replaces.
    def count_entities(self, kind: _Kind | None = None) -> Any:
        """Returns how many entities `entities()` yields.

        It is known at once if all entities are in memory. Otherwise the store counts them, without
        loading them.

        Args:
            kind: `"user"`, `"chat"` or `"channel"`; all kinds if `None`.

        Returns:
            The number. In a running event loop an awaitable for it, if the store has to count.

        Raises:
            ValueError: `kind` is something else.
            SessionLockedError: The store has to count, and another program holds it.
            SessionUnavailableError: The store has to count, and cannot be reached.
        """
        if not _is_in_event_loop():
            return self._count(kind)
        count = self._try_count(kind)
        return asyncio.to_thread(self._count, kind) if count is None else count

    def find_entity(self, key: Any) -> Any:
        """Returns what the session knows of an entity.

        What another process has forgotten is not known here either.

        Args:
            key: What `get_input_entity` takes: an ID, marked or not, a phone number, a username, a
                link, a display name, a peer, an input peer or an entity; or an `Entity`. `"me"`,
                `"self"`, 0 and `InputPeerSelf` are the account itself.

        Returns:
            The `Entity`, or `None` if it is not known, or if `key` is not a key. In a running event
            loop an awaitable for it, if the store does not answer within 8 ms.

        Raises:
            SessionLockedError: Not all entities are in memory yet, and another program holds the
                store.
            SessionUnavailableError: Not all entities are in memory yet, and the store cannot be
                reached.
        """
        try:
            return self._find_entity(key, Entity)
        except Unanswered:
            return asyncio.to_thread(self._find_entity, key, Entity)

    def forget(self, key: Any) -> Any:
        """Forgets an entity: in memory at once, and in the store about a second later, or when
        `save()` outside a running event loop, `flush()` or `close()` returns.

        Whatever was read before does not bring it back. It is known again when Telegram sends it
        again. Update states and sent files stay. Override this if your own storage keeps its
        entities elsewhere.

        Args:
            key: What `find_entity` takes. Of several entities with a name, the one that
                `find_entity` returns is forgotten.

        Returns:
            `True` if it was known. In a running event loop an awaitable for that, if the store does
            not answer within 8 ms.

        Raises:
            SessionLockedError: As `find_entity`; nothing is forgotten.
            SessionUnavailableError: As `find_entity`; nothing is forgotten.
        """
        try:
            return self._forget(key)
        except Unanswered:
            return asyncio.to_thread(self._forget, key)

    def forget_older_than(self, days: float) -> Any:
        """Forgets all entities whose `last_seen` is longer ago than some days. Those without a
        `last_seen` stay, because their age is not known, and so does the client's own ID.

        Takes some milliseconds at a time, and lets others use the session in between. Waits until
        all entities are in memory. An entity that another process has seen since stays in the
        store.

        Args:
            days: How many days of 24 hours, not negative; a fraction is allowed.

        Returns:
            How many entities were forgotten. In a running event loop an awaitable for that: `await
            session.forget_older_than(365)`.

        Raises:
            TypeError: `days` is not a number.
            ValueError: `days` is negative or not finite.
            SessionLockedError: Not all entities are in memory yet, and another program holds the
                store; nothing is forgotten.
            SessionUnavailableError: Not all entities are in memory yet, and the store cannot be
                reached; nothing is forgotten.
        """
        if isinstance(days, bool) or not isinstance(days, (int, float)):
            raise TypeError(f"days must be a number, not {type(days).__name__}")
        if not 0 <= days < math.inf:
            raise ValueError(f"days must not be negative, and must be finite: {days}")
        # A longer time would not fit into a float.
        before = min(max(int(time.time() - min(days, _LATEST // _DAY) * _DAY), 0), _LATEST)
        if _is_in_event_loop():
            return asyncio.to_thread(self._forget_older_than, before)
        return self._forget_older_than(before)

    def add_entities(self, rows: Iterable[Entity | tuple[Any, ...]]) -> None:
        """Adds entities. All of them are added or, if an error is raised, none.

        A known entity is overwritten, unless it was seen later than `last_seen`. Without
        `last_seen`, it counts as seen now. `save_entities` has no effect. In an event loop, add
        many in a thread: `await asyncio.to_thread(session.add_entities, rows)`.

        Args:
            rows: What `entities()` of another session yields, or tuples of the first fields of
                `Entity`. At least `id` and `kind` are needed; stored sessions also need the access
                hash of users and channels.

        Raises:
            TypeError: A value has the wrong type. The message names the row, counted from 0.
            ValueError: A value cannot be stored. The message names the row, counted from 0.
        """
        self._add(rows)

    def __getstate__(self) -> dict[str, Any]:
        """Returns what `copy` and `pickle` need of a session."""
        rows: list[Any] = []
        scan = self._scan(None, tuple)
        while some := scan._slice():
            rows += some
        return {**self.__dict__, _ROWS: rows, _MAX_ENTITIES: self.max_entities}

    def __setstate__(self, state: dict[str, Any]) -> None:
        attributes = self._attributes()
        attributes.update(state)
        self._set_max_entities(checked_max_entities(attributes.pop(_MAX_ENTITIES, None)))
        self._put_rows(attributes.pop(_ROWS))

    def _attributes(self) -> dict[str, Any]:
        # pyright takes it for a class's, because the type of Telethon's base is not known.
        return self.__dict__  # pyright: ignore[reportReturnType]

    @property
    def _entities(self) -> set[EntityRow]:
        """The entities in memory as Telethon's set of rows. Changes to it change the session. See
        `EntityRows`.

        For a stored session it is an unused empty set, as in Telethon.
        """
        if self._is_stored():
            stored: set[EntityRow] = self._attributes().setdefault("_entities", set())
            return stored
        return rows_of(self)

    @_entities.setter
    def _entities(self, rows: Iterable[EntityRow]) -> None:
        if self._is_stored():
            self._attributes()["_entities"] = rows
        elif not (isinstance(rows, EntityRows) and rows._owner() is self):
            self._replace_rows(rows)


def _is_in_event_loop() -> bool:
    return asyncio._get_running_loop() is not None


def _has_none_overridden(cls: type, names: Iterable[str]) -> bool:
    return all(getattr(cls, name) is getattr(RustMemorySession, name) for name in names)


MemorySession.register(RustMemorySession)
