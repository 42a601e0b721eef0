"""The session that is kept in memory, and the base of the others."""

from __future__ import annotations

from abc import ABCMeta
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from telethon.sessions import MemorySession, Session
from telethon.sessions.memory import _SentFileType
from telethon.tl.types import InputDocument, InputPhoto

from ._core import MemoryCore
from ._rows import EntityRow, EntityRows, rows_of
from .entity import Entity

if TYPE_CHECKING:
    from .entity import _Kind

# Where `__getstate__` keeps the entities, which are not in the session's own attributes.
_ROWS = "_rows"
_MAKES_ROWS = ("_entities_to_rows", "_entity_to_row", "_entity_values_to_row")
_FINDS_ROWS = tuple(f"get_entity_rows_by_{key}" for key in ("id", "username", "phone", "name"))


class RustMemorySession(MemoryCore, Session, metaclass=ABCMeta):  # type: ignore[misc]
    """A session in memory, in the place of `telethon.sessions.MemorySession`.

    It is also the base for a storage of one's own, as Telethon documents for its class: override what you store
    yourself, `process_entities`, `get_entity_rows_by_username`, `save` or whatever it is, and it is called where
    Telethon's base would call it. A class that overrides none of the methods that make and find rows has them done in
    Rust.
    """

    _makes_rows: ClassVar[bool] = True
    _finds_rows: ClassVar[bool] = True

    save_entities: bool = True
    """Whether `process_entities` stores anything. Lookups answer from what there is."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Sees, once a class, which of the methods are overridden that Rust would otherwise not call."""
        super().__init_subclass__(**kwargs)
        cls._makes_rows = _has_none_overridden(cls, _MAKES_ROWS)
        cls._finds_rows = _has_none_overridden(cls, _FINDS_ROWS)

    def __init__(self) -> None:
        super().__init__()
        self._dc_id: int = 0
        self._server_address: str | None = None
        self._port: int | None = None
        self._auth_key: Any = None
        self._tmp_auth_key: Any = None
        self._takeout_id: int | None = None
        self._files: dict[Any, tuple[int, int]] = {}
        self._update_states: dict[int, Any] = {}

    def clone(self, to_instance: Any = None) -> Any:
        """Returns `to_instance`, or a new session of the same class, for a connection to another data centre."""
        if to_instance:
            return to_instance
        cloned = type(self)()
        cloned.save_entities = self.save_entities
        return cloned

    def set_dc(self, dc_id: int, server_address: str | None, port: int | None) -> None:
        """Says which data centre to connect to."""
        self._dc_id = dc_id or 0
        self._server_address = server_address
        self._port = port

    @property
    def dc_id(self) -> int:
        """The number of the data centre; 0 before there was one."""
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
        """The `telethon.crypto.AuthKey` of the data centre, or `None`. Whoever has it is logged in."""
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
        """The id of the takeout that is not finished, or `None`."""
        return self._takeout_id

    @takeout_id.setter
    def takeout_id(self, value: int | None) -> None:
        self._takeout_id = value

    def get_update_state(self, entity_id: int) -> Any:
        """The `updates.State` of a channel, or (0) of the account; `None` if none is known."""
        return self._update_states.get(entity_id)

    def set_update_state(self, entity_id: int, state: Any) -> None:
        """Keeps the `updates.State` of a channel, or (0) of the account."""
        self._update_states[entity_id] = state

    # Telethon's base has no types, and pyright takes its empty body for the answer `None`.
    def get_update_states(self) -> Iterable[tuple[int, Any]]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """All pairs of id and `updates.State`."""
        return self._update_states.items()

    def close(self) -> None:
        """Nothing is held that would have to be freed."""

    def save(self) -> None:
        """Nothing is kept but in memory."""

    def delete(self) -> bool | None:
        """Nothing is kept but in memory."""
        return None

    async def flush(self) -> None:
        """Waits, without holding up the event loop, until everything given so far is on disk.

        Raises `sqlite3.OperationalError` if the file cannot be written; what is unsaved stays in memory and is tried
        again. A file that another program holds is waited for.
        """
        await self._flush()

    def cache_file(self, md5_digest: bytes, file_size: int, instance: Any) -> None:
        """Keeps what the server calls a file that was sent: an `InputDocument` or `InputPhoto`."""
        if not isinstance(instance, (InputDocument, InputPhoto)):
            raise TypeError(f"Cannot cache {type(instance)} instance")
        key = (md5_digest, file_size, _SentFileType.from_type(type(instance)))
        self._files[key] = (instance.id, instance.access_hash)

    def get_file(self, md5_digest: bytes, file_size: int, cls: Any) -> Any:
        """Makes a `cls` of what the server calls a file that was sent; `None` if it is not known."""
        found = self._files.get((md5_digest, file_size, _SentFileType.from_type(cls)))
        return None if found is None else cls(*found)

    def entities(self, kind: _Kind | None = None) -> Iterator[Entity]:
        """Returns an iterator over all entities, or over those of one kind, in no particular order.

        It reads some hundreds at a time, so it may be left and gone on with, and a session of any size does not hold
        up the event loop. An entity that the session knows from the first step to the last is given exactly once; one
        that comes or goes meanwhile is given once or not at all. Each is given as it is when it is read.

        The entities of a file are all given, also while they are still being loaded. The note of its own id that the
        client keeps as a user with the id 0 is left out. A storage of one's own that keeps its entities elsewhere
        overrides this.

        Raises `ValueError` for another kind. The iterator raises `sqlite3.OperationalError` if the file has not been
        loaded yet and another program holds it, and can be gone on with then.
        """
        return self._scan(kind, Entity)

    def add_entities(self, rows: Iterable[Entity | tuple[Any, ...]]) -> None:
        """Adds entities: those that `entities()` of another session gives, or tuples of the first fields of `Entity`.

        At least `id` and `kind` are needed, and for users and channels an access hash, which only a session in memory
        does without. An entity that is known already is told anew, unless it was seen later than `last_seen` says.
        Without `last_seen` it counts as seen now. `save_entities` does not matter.

        All rows are added or, if an error is raised, none. Raises `TypeError` for a value of the wrong type and
        `ValueError` for any other that cannot be stored; both name the row, counted from 0.
        """
        self._add(rows)

    def __getstate__(self) -> dict[str, Any]:
        """What `copy` and `pickle` take of a session."""
        rows: list[Any] = []
        scan = self._scan(None, tuple)
        while some := scan._slice():
            rows += some
        return {**self.__dict__, _ROWS: rows}

    def __setstate__(self, state: dict[str, Any]) -> None:
        attributes = self._attributes()
        attributes.update(state)
        self._put_rows(attributes.pop(_ROWS))

    def _attributes(self) -> dict[str, Any]:
        # Which pyright takes for a class's, as the type of Telethon's base is not known.
        return self.__dict__  # pyright: ignore[reportReturnType]

    @property
    def _entities(self) -> set[EntityRow]:
        """The entities in memory as Telethon's set of rows; changes to it change the session. See `EntityRows`.

        Of a session with a file it is what it is in Telethon's, a set that stays empty and is of no consequence.
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


def _has_none_overridden(cls: type, names: Iterable[str]) -> bool:
    return all(getattr(cls, name) is getattr(RustMemorySession, name) for name in names)


MemorySession.register(RustMemorySession)
