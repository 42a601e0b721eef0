"""The extension. The classes of the package are made of what is here; use those."""

from collections.abc import Awaitable, Callable, Iterable
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias, final

from typing_extensions import Self, disjoint_base

__all__ = [
    "EntityScan",
    "FileCore",
    "MemoryCore",
    "PeerCacheCore",
    "SQLiteCore",
    "data_centre",
    "decode_base64",
    "encode_base64",
    "keep_for_ever",
    "pack_login",
    "parse_string",
    "unpack_login",
]

_Row: TypeAlias = tuple[int, int | None, str | None, str | None, str | None]

@disjoint_base
class MemoryCore:
    """The entities of a session: the part of it that is Rust."""

    def __new__(cls, *_args: Any, **_kwargs: Any) -> Self: ...
    def process_entities(self, tlo: Any) -> None:
        """Stores the users, chats and channels in `tlo`: a list of them, or any object that has them as `user`, `chat`,
        `chats` or `users`. What cannot be used later (`min`, no access hash) is passed over.

        All of a page is stored or, if an error is raised, nothing of it. Nothing is if `save_entities` is false.
        """

    def get_input_entity(self, key: Any) -> Any:
        """The `InputPeerUser`, `InputPeerChat` or `InputPeerChannel` of an id, username, phone, link, display name or
        peer. An input peer is answered as it is.

        Raises `ValueError` if it is not known.
        """

    def get_entity_rows_by_id(self, id: int, exact: bool = True) -> tuple[int, int | None] | None:
        """Marked id and access hash of a marked id; not `exact`, of a user, chat or channel with that id."""

    def get_entity_rows_by_username(self, username: str) -> tuple[int, int | None] | None:
        """Marked id and access hash of a username in lower case. It belongs to the one seen last; others lose it."""

    def get_entity_rows_by_phone(self, phone: str) -> tuple[int, int | None] | None:
        """Marked id and access hash of a phone number, digits only."""

    def get_entity_rows_by_name(self, name: str) -> tuple[int, int | None] | None:
        """Marked id and access hash of a display name; of several with the same name, the lowest marked id."""

    def _entities_to_rows(self, tlo: Any) -> list[Any]:
        """The rows of the entities in `tlo`, each as `_entity_to_row` makes it."""

    def _entity_to_row(self, e: Any) -> Any:
        """The row of an entity as `_entity_values_to_row` makes it; `None` for what is not stored."""

    @staticmethod
    def _entity_values_to_row(id: Any, hash: Any, username: Any, phone: Any, name: Any) -> Any:
        """The row itself: its values as a tuple. A storage of one's own may make something else of them."""

    def _is_stored(self) -> bool:
        """Whether the entities are stored, in a file or in a database in memory."""

    def _scan(self, kind: str | None, row: Any, /) -> EntityScan:
        """Goes through the entities, of one kind or of all, as rows of the class `row`."""

    def _add(self, rows: Iterable[Any], /) -> None:
        """Stores typed rows: all of them or, if an error is raised, none."""

    def _put_rows(self, rows: Iterable[Any], /) -> None:
        """Stores rows `(marked id, access hash, username, phone, name)`; when it was seen may follow."""

    def _replace_rows(self, rows: Iterable[Any], /) -> None:
        """Stores rows in the place of all there are in memory."""

    def _exchange(
        self, out: Iterable[Any], put: Iterable[Any], /
    ) -> tuple[tuple[int, int] | None, list[_Row], list[_Row]]:
        """Removes the rows that are known exactly as `out` has them, and adds those in `put`.

        Returns the revisions before and after, or `None` if others have changed rows in between; rows as they were
        before, and rows as they are now.
        """

    def _revision(self) -> int:
        """A number that changes whenever a row does."""

    def _clear(self) -> int:
        """Forgets all entities, unless they are stored. Returns the revision after that."""

    def _replacements(self) -> int:
        """How often all rows have been replaced by others."""

    def _kept_set(self) -> Any:
        """The set that was kept last; `None` once the session has changed otherwise."""

    def _keep_set(self, set: Any, /) -> None:
        """Keeps a set of all rows, which has a `_revision`."""

    def _flush(self) -> Awaitable[None]:
        """An awaitable of the running event loop that is done when everything given so far is on disk."""

@final
class EntityScan:
    """An iterator over a session's entities."""

    def __iter__(self) -> Self: ...
    def __next__(self) -> Any: ...
    def _slice(self) -> list[tuple[int, int | None, str | None, str | None, str | None, int]]:
        """The next rows, each with when it was seen, or 0. None at the end."""

    def _undated_slice(self) -> list[_Row]:
        """The next rows without that."""

class FileCore(MemoryCore):
    """A file behind a session: the part of it that is Rust."""

    def _open_entity_file(self, path: str | PathLike[str], version: int, timeout: float = 5.0, /) -> None:
        """Opens a file for entities, update states and sent files alone, making or upgrading it. Raises `ValueError` if
        there is a login in it. A locked file is waited for up to `timeout` seconds, now and later.
        """

    def get_update_state(self, entity_id: int) -> Any:
        """The `updates.State` of a channel, or (0) of the account; `None` if none is known."""

    def set_update_state(self, entity_id: int, state: Any) -> None:
        """Keeps the `updates.State` of a channel, or (0) of the account."""

    def get_update_states(self) -> list[tuple[int, Any]]:
        """All pairs of id and `updates.State`."""

    def cache_file(self, md5_digest: bytes, file_size: int, instance: Any) -> None:
        """Keeps what the server calls a file that was sent: an `InputDocument` or `InputPhoto`."""

    def get_file(self, md5_digest: bytes, file_size: int, cls: Any) -> Any:
        """Makes a `cls` of what the server calls a file that was sent; `None` if it is not known."""

    def save(self) -> None:
        """Writes data centre, keys and takeout id; in a running event loop it leaves the rest to the background,
        otherwise it writes that too.

        Raises `sqlite3.OperationalError` ("database is locked") if another program holds the file for longer than the
        session's `timeout` and there are keys to be written. Nothing is lost: they stay in memory. Raises it too,
        and writes nothing, if the file holds another login by now.
        """

    def close(self) -> None:
        """Writes everything and closes the file. A session that is used again opens it again.

        Raises `sqlite3.OperationalError`, saying what is unsaved, if the file cannot be written for 30 seconds, or
        for `timeout` if that is longer; `close()` can then be called again.
        """

    def delete(self) -> bool:
        """Removes the file; `False` if that is not possible, as when the file holds another login by now."""

class SQLiteCore(FileCore):
    """A session file: the part of it that is Rust."""

    def _open(
        self, path: str | PathLike[str] | None, version: int, exclusive: bool, timeout: float = 5.0, /
    ) -> tuple[int, str | None, int | None, bytes, int | None, bytes] | None:
        """Opens the file, or a database in memory, making or upgrading it to the database version `version`; if
        `exclusive`, nobody else may have it so. A locked file is waited for up to `timeout` seconds, now and later.

        Answers data centre, address, port, key, takeout id and temporary key, or `None` for a new file.
        """

    def _is_loaded(self) -> bool:
        """Whether all entities of the file are in memory. Until they are, names are looked for in the file."""

    def _set_timeout(self, timeout: float, /) -> None:
        """Sets how many seconds a locked file is waited for."""

    def _set_path(self, path: str | PathLike[str], /) -> None:
        """Opens another file from the next use after `close()` on."""

    def _is_closed(self) -> bool:
        """Whether the session was closed, and nothing was given to it or read from its file since."""

    def _file(self) -> Path:
        """The file that is open or, after `close()`, is opened next."""

    def _share(self, may_wait: bool, /) -> None:
        """Writes everything, for another connection of this program to use the file.

        If not `may_wait`, a locked file is left as it is.
        """

    def _take_over(self) -> None:
        """Takes over what the other connection has committed."""

    def _end_sharing(self) -> None:
        """Says that the other connection is closed."""

    def _set_credentials(
        self,
        dc_id: int,
        server_address: str | None,
        port: int | None,
        auth_key: bytes,
        takeout_id: int | None,
        tmp_auth_key: bytes,
        /,
    ) -> None:
        """Says what the table `sessions` holds after the next `save()`."""

    def _execute(self, stmt: str, *values: Any) -> tuple[Any, ...] | None:
        """Saves everything, executes a statement on the file, and answers its first row."""

@disjoint_base
class PeerCacheCore:
    """The client's own entity cache: the part of it that is Rust."""

    def __new__(cls, *_args: Any, **_kwargs: Any) -> Self: ...
    def extend(self, users: Iterable[Any], chats: Iterable[Any]) -> None:
        """Takes in what has an access hash and is not `min`; all of it or, if an error is raised, nothing."""

    def put(self, entity: Any) -> None:
        """Takes in an `Entity`."""

    def get(self, id: Any) -> Any:
        """The `Entity` with an id, not marked; `None` if it is not known."""

    def retain(self, filter: Callable[[int], Any]) -> None:
        """Forgets those whose id `filter` does not answer with something true."""

    def __len__(self) -> int: ...
    def _find(self, id: Any, /) -> tuple[int | None, Any] | None:
        """Access hash and `EntityType` of an id."""

    def _set(self, id: int, hash: int | None, ty: int, /) -> None:
        """Puts one in, with the value of its `EntityType`."""

    def _clear(self) -> None:
        """Forgets all."""

    def _remove(self, id: Any, /) -> tuple[int | None, Any] | None:
        """Forgets the one with an id. Returns its access hash and `EntityType`."""

    def _pop(self) -> tuple[int, tuple[int | None, Any]] | None:
        """Forgets the one that came last. Returns its id, access hash and `EntityType`."""

    def _ids(self) -> list[int]:
        """All ids, in the order in which they came."""

def decode_base64(text: str, /) -> bytes:
    """Decodes base64 of either alphabet, padded. Raises `ValueError` for anything else."""

def encode_base64(data: bytes, /) -> str:
    """Url-safe base64 of the bytes."""

def keep_for_ever(object: Any, /) -> None:
    """Keeps an object from ever being freed."""

def pack_login(dc_id: int, ip: bytes, port: int | None, key: bytes, /) -> bytes:
    """The bytes of a login: data centre, packed address, port and key. Raises `ValueError` for what does not fit."""

def data_centre(dc_id: int, /) -> tuple[str, int] | None:
    """Returns address and port of one of Telegram's data centres; `None` for any other."""

def parse_string(text: str, /) -> tuple[int, bytes, int, bytes | None]:
    """Returns data centre, packed address, port and key (`None` if there is none) of a string session, which may have
    been pasted with white space and quotes. Raises `ValueError` for anything else.
    """

def unpack_login(data: bytes, /) -> tuple[int, bytes, int, bytes | None]:
    """Data centre, packed address, port and key (`None` for zeros) of a login's bytes.

    Raises `ValueError` for anything else.
    """
