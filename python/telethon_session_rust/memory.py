"""The session that is kept in memory, and the base of the others."""

from __future__ import annotations

from abc import ABCMeta
from collections.abc import Iterable, Iterator, MutableSet
from collections.abc import Set as AbstractSet
from typing import Any, ClassVar, TypeAlias

from telethon.sessions import MemorySession, Session
from telethon.sessions.memory import _SentFileType
from telethon.tl.types import InputDocument, InputPhoto

from ._core import MemoryCore

EntityRow: TypeAlias = tuple[int, int | None, str | None, str | None, str | None]
"""Marked id, access hash, username, phone, name."""

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
        """Answers `to_instance`, or a new session of the same class, for a connection to another data centre."""
        return to_instance or type(self)()

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

    def __getstate__(self) -> dict[str, Any]:
        """What `copy` and `pickle` take of a session."""
        return {**self.__dict__, _ROWS: self._rows()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Which pyright takes for a class's, as the type of Telethon's base is not known.
        attributes: dict[str, Any] = self.__dict__  # pyright: ignore[reportAssignmentType]
        attributes.update(state)
        self._put_rows(attributes.pop(_ROWS))

    @property
    def _entities(self) -> MutableSet[EntityRow]:
        """All entities as Telethon's set of rows: a view, changes to it change the session."""
        return _Rows(self)

    @_entities.setter
    def _entities(self, rows: Iterable[EntityRow]) -> None:
        if not (isinstance(rows, _Rows) and rows.session is self):
            rows = list(rows)
            self._clear()
            self._put_rows(rows)


class _Rows(MutableSet[EntityRow]):
    """The rows of a session's entities, `(marked id, access hash, username, phone, name)`."""

    def __init__(self, session: MemoryCore) -> None:
        self.session = session

    @classmethod
    def _from_iterable(cls, it: Iterable[EntityRow]) -> set[EntityRow]:  # type: ignore[override]
        return set(it)

    def __contains__(self, row: object) -> bool:
        return row in self.session._rows()

    def __iter__(self) -> Iterator[EntityRow]:
        return iter(self.session._rows())

    def __len__(self) -> int:
        return len(self.session._rows())

    def __ior__(self, rows: AbstractSet[EntityRow]) -> _Rows:  # type: ignore[override, misc]
        self.session._put_rows(list(rows))
        return self

    def __repr__(self) -> str:
        return repr(set(self))

    def copy(self) -> set[EntityRow]:
        return set(self)

    def union(self, *others: Iterable[EntityRow]) -> set[EntityRow]:
        return set(self).union(*others)

    def intersection(self, *others: Iterable[Any]) -> set[EntityRow]:
        return set(self).intersection(*others)

    def difference(self, *others: Iterable[Any]) -> set[EntityRow]:
        return set(self).difference(*others)

    def update(self, *others: Iterable[EntityRow]) -> None:
        for rows in others:
            self.session._put_rows(rows)

    def add(self, value: EntityRow) -> None:
        self.session._put_rows([value])

    def discard(self, value: EntityRow) -> None:
        left = [row for row in self.session._rows() if row != value]
        self.session._clear()
        self.session._put_rows(left)


def _has_none_overridden(cls: type, names: Iterable[str]) -> bool:
    return all(getattr(cls, name) is getattr(RustMemorySession, name) for name in names)


MemorySession.register(RustMemorySession)
