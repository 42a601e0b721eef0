"""The extension. The classes of the package are made of what is here; use those."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias, final

from typing_extensions import Self, disjoint_base

from ._encryption import EncryptionKey
from .entity import Entity

__all__ = [
    "BackupStop",
    "EntityFileCore",
    "EntityScan",
    "KeyLock",
    "MemoryCore",
    "PeerCacheCore",
    "RemoteCore",
    "SQLiteCore",
    "StoredCore",
    "Unanswered",
    "copy_file",
    "data_centre",
    "decode_base64",
    "decrypt_key",
    "disable_reader",
    "enable_reader",
    "encode_base64",
    "encrypt_key",
    "explain_reader",
    "flush_all",
    "is_encrypted",
    "is_reader_enabled",
    "leak",
    "list_sessions",
    "pack_string",
    "parse_string",
    "public_url",
    "set_max_entities",
    "string_letters",
    "unpack_string",
    "usernames_table",
]

_Row: TypeAlias = tuple[int, int | None, str | None, str | None, str | None]

# Data centre, address, port, key, takeout ID and temporary key.
_Credentials: TypeAlias = tuple[int, str | None, int | None, bytes, int | None, bytes]

@disjoint_base
class MemoryCore:
    """The Rust part of every session: its entities."""

    def __new__(cls, *_args: Any, **_kwargs: Any) -> Self: ...
    @property
    def max_entities(self) -> int | None:
        """How many entities may be in memory; `None` for all."""

    def _count_in_memory(self) -> int:
        """Returns how many entities are in memory."""

    def _set_max_entities(self, max_entities: int, /) -> None:
        """Sets how many entities may be in memory; 0 for all. Call once, before anything else."""

    def process_entities(self, tlo: Any) -> None:
        """Stores the users, chats and channels in an object: all of them or, if an error is raised,
        none.

        Skips what cannot be used later (`min`, no access hash). Has no effect if `save_entities` is
        false.

        Args:
            tlo: A list of entities, or any object with entities as `user`, `chat`, `chats` or
                `users`.
        """

    def get_input_entity(self, key: Any) -> Any:
        """Returns the `InputPeerUser`, `InputPeerChat` or `InputPeerChannel` for a key.

        Args:
            key: An ID, username, phone, link, display name or peer. An input peer is returned as it
                is.

        Raises:
            ValueError: The entity is not known.
        """

    def get_entity_rows_by_id(self, id: int, exact: bool = True) -> tuple[int, int | None] | None:
        """Returns marked ID and access hash of an entity; `None` if it is not known.

        Args:
            id: The marked ID; if not `exact`, the ID of a user, chat or channel.
            exact: Whether `id` is marked.
        """

    def get_entity_rows_by_username(self, username: str) -> tuple[int, int | None] | None:
        """Returns marked ID and access hash for a username in lower case; `None` if it is not
        known.

        If several entities have it, it belongs to the one seen last, and the others lose it.
        """

    def get_entity_rows_by_phone(self, phone: str) -> tuple[int, int | None] | None:
        """Returns marked ID and access hash for a phone number, digits only; `None` if it is not
        known.
        """

    def get_entity_rows_by_name(self, name: str) -> tuple[int, int | None] | None:
        """Returns marked ID and access hash for a display name; `None` if it is not known.

        If several entities have it, the one with the lowest marked ID is returned.
        """

    def _entities_to_rows(self, tlo: Any) -> list[Any]:
        """Returns the rows of the entities in `tlo`, each as `_entity_to_row` makes it."""

    def _entity_to_row(self, e: Any) -> Any:
        """Returns the row of an entity as `_entity_values_to_row` makes it; `None` if it is not
        stored.
        """

    @staticmethod
    def _entity_values_to_row(id: Any, hash: Any, username: Any, phone: Any, name: Any) -> Any:
        """Returns the row itself: the values as a tuple. Your own storage may make something else
        of them.
        """

    def _back_up(
        self, target: str | PathLike[str], overwrite: bool, version: int, needs_login: bool, stop: BackupStop, /
    ) -> None:
        """Copies the session to a new file. Returns when the file is complete.

        Args:
            target: The file.
            overwrite: Whether to replace an existing one.
            version: The database version of the file if the session has no file of its own.
            needs_login: Whether the session's file lacks the login.
            stop: Stops it.
        """

    def _is_stored(self) -> bool:
        """Returns `True` if the session has a store."""

    def _scan(self, kind: str | None, row: Any, /) -> EntityScan:
        """Returns an iterator over the entities, of one kind or of all, as rows of the class `row`."""

    def _find_entity(self, key: Any, row: Any, /) -> Any:
        """Returns what is known of the entity that a key means, as a row of the class `row`; `None`
        if it is not known.

        Raises:
            Unanswered: In an event loop, if the store has to be waited for.
        """

    def _forget(self, key: Any, /) -> bool:
        """Forgets the entity that a key means. Returns `True` if it was known.

        Raises:
            Unanswered: In an event loop, if the store has to be waited for.
        """

    def _forget_older_than(self, before: int, /) -> int:
        """Forgets all entities that were last seen before a date, in seconds since 1970. Returns how
        many.
        """

    def _try_count(self, kind: str | None, /) -> int | None:
        """Returns the number of entities, of one kind or of all; `None` if the store has to count."""

    def _count(self, kind: str | None, /) -> int:
        """Returns the number of entities, of one kind or of all."""

    def _add(self, rows: Iterable[Any], /) -> None:
        """Adds typed rows: all of them or, if an error is raised, none."""

    def _put_rows(self, rows: Iterable[Any], /) -> None:
        """Adds rows `(marked ID, access hash, username, phone, name)`; the date when each was seen and
        a tuple of its aliases may follow.
        """

    def _replace_rows(self, rows: Iterable[Any], /) -> None:
        """Replaces all rows in memory."""

    def _exchange(
        self, out: Iterable[Any], put: Iterable[Any], /
    ) -> tuple[tuple[int, int] | None, list[_Row], list[_Row]]:
        """Removes the rows in `out` that are known exactly so, and adds those in `put`.

        Returns:
            The revisions before and after, or `None` if another thread changed rows in between; the
            rows as they were before, and the rows as they are now.
        """

    def _revision(self) -> int:
        """Returns a number that changes whenever a row does."""

    def _clear(self) -> int:
        """Forgets all entities, unless they are stored. Returns the revision after that."""

    def _replacements(self) -> int:
        """Returns how often all rows have been replaced."""

    def _kept_set(self) -> Any:
        """Returns the set that was kept last; `None` once the session has changed otherwise."""

    def _keep_set(self, set: Any, /) -> None:
        """Keeps a set of all rows, which has a `_revision`."""

    def _flush(self) -> Awaitable[None]:
        """Returns a future of the running event loop that is done when everything so far is stored."""

@final
class EntityScan:
    """An iterator over a session's entities. It can be used by `for` and by `async for`."""

    def __iter__(self) -> Self: ...
    def __next__(self) -> Entity: ...
    def __aiter__(self) -> AsyncIterator[Entity]: ...
    def _typed_slice(self) -> list[Entity]:
        """Returns the next entities, a few hundred at most; an empty list at the end."""

    def _slice(self) -> list[tuple[Any, ...]]:
        """Returns the next rows, each with the date when it was seen, or 0; an empty list at the
        end. A row of an entity with aliases has a tuple of them, too.
        """

    def _undated_slice(self) -> list[_Row]:
        """Returns the next rows without dates; an empty list at the end."""

class StoredCore(MemoryCore):
    """The Rust part of a session with a store: credentials, update states, sent files, saving."""

    def get_update_state(self, entity_id: int) -> Any:
        """Returns the `updates.State` of a channel or, for ID 0, of the account; `None` if it is
        not known.
        """

    def set_update_state(self, entity_id: int, state: Any) -> None:
        """Sets the `updates.State` of a channel or, for ID 0, of the account."""

    def get_update_states(self) -> list[tuple[int, Any]]:
        """Returns all pairs of ID and `updates.State`."""

    def cache_file(self, md5_digest: bytes, file_size: int, instance: Any) -> None:
        """Stores the server's reference to a sent file, an `InputDocument` or `InputPhoto`.

        Args:
            md5_digest: The MD5 digest of the file's contents.
            file_size: The size of the file in bytes.
            instance: The `InputDocument` or `InputPhoto`.

        Raises:
            TypeError: `instance` is something else.
        """

    def get_file(self, md5_digest: bytes, file_size: int, cls: Any) -> Any:
        """Returns the server's reference to a sent file.

        Args:
            md5_digest: The MD5 digest of the file's contents.
            file_size: The size of the file in bytes.
            cls: `InputDocument` or `InputPhoto`.

        Returns:
            An instance of `cls`, or `None` if the file is not known.
        """

    def _sent_files(self) -> list[tuple[bytes, int, int, int, int]]:
        """Returns all sent files: MD5 digest, size, kind, ID and access hash.

        Raises:
            SessionError: The store cannot be read.
        """

    def save(self) -> None:
        """Writes data centre, keys and takeout ID. In a running event loop the rest is left to the
        background; outside one it is written too.

        Raises:
            SessionLockedError: The credentials have changed, and another program holds the store
                for longer than the session's `timeout`. They stay in memory.
            SessionLostError: The store holds another login by now. Nothing is written.
            SessionUnavailableError: The store cannot be written. What is unsaved stays in memory.
        """

    def close(self) -> None:
        """Writes everything and closes the store. The next use of the session opens it again.

        Raises:
            SessionUnsavedError: The store could not be written for 30 seconds, or for `timeout` if
                that is longer. The message says what is unsaved. `close()` can be called again.
        """

    def delete(self) -> bool:
        """Deletes what is stored.

        Returns:
            `True` if it is gone; `False` if it cannot be deleted or holds another login by now.
        """

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
        """Sets the credentials that the next `save()` stores."""

    def _is_outdated(self) -> bool:
        """Returns `True` if the credentials are to be set again before `save()`, although they have
        not changed, because they are stored as they are or encrypted with an older key.
        """

    def _is_loaded(self) -> bool:
        """Returns `True` if all stored entities are in memory. Until then, names are looked up in
        the store.
        """

    def _is_closed(self) -> bool:
        """Returns `True` if the session was closed, and nothing was stored in it or read from its
        store since.
        """

    def _set_timeout(self, timeout: float, /) -> None:
        """Sets how many seconds a locked store is waited for."""

@disjoint_base
class SQLiteCore(StoredCore):
    """The Rust part of a session file."""

    def _open(
        self,
        path: str | PathLike[str] | None,
        version: int,
        exclusive: bool,
        timeout: float = 5.0,
        encryption_key: EncryptionKey | None = None,
        read_only: bool = False,
        /,
    ) -> _Credentials | None:
        """Opens the file, or a database in memory, creating or upgrading it to the database version
        `version`, unless it is only read. Keys are encrypted with the first encryption key, and
        decrypted with any of them.

        Returns:
            The credentials; `None` for a new file.

        Raises:
            SessionFileCorruptError: A key in the file cannot be decrypted.
            TypeError: `encryption_key` is something else.
            ValueError: An encryption key does not have 32 bytes.
        """

    def _set_path(self, path: str | PathLike[str], /) -> None:
        """Sets the file to open at the next use after `close()`."""

    def _file(self) -> Path:
        """Returns the file that is open or, after `close()`, is opened next."""

    def _share(self, may_wait: bool, /) -> None:
        """Writes everything, so that another connection of this program can use the file.

        Without `may_wait`, a locked file is left as it is.
        """

    def _take_over(self) -> None:
        """Takes over what the other connection has committed."""

    def _end_sharing(self) -> None:
        """Notes that the other connection is closed."""

    def _execute(self, stmt: str, *values: Any) -> tuple[Any, ...] | None:
        """Saves everything, executes a statement on the file, and returns its first row."""

class RemoteCore(StoredCore):
    """The Rust part of a session on a server."""

    def _open(
        self,
        kind: str,
        url: str,
        session_name: str,
        exclusive: bool,
        timeout: float,
        encryption_key: EncryptionKey | None = None,
        /,
    ) -> _Credentials | None:
        """Opens a session on a server of a kind. Keys are encrypted with the first encryption key, and
        decrypted with any of them.

        Returns:
            The stored credentials; `None` if there are none.

        Raises:
            SessionCorruptError: A stored key cannot be decrypted.
            SessionInUseError: Another session has it open with `exclusive=True`.
            SessionUnavailableError: The server cannot be reached, or denies access.
            TypeError: `encryption_key` is something else.
            ValueError: The URL is not valid, or an encryption key does not have 32 bytes.
        """

class Unanswered(ValueError):
    """An entity is not in memory, and the server has not answered yet."""

def list_sessions(kind: str, url: str, timeout: float, /) -> list[str]:
    """Returns the names of all sessions on a server, sorted."""

def is_encrypted(stored: bytes, /) -> bool:
    """Returns `True` if a key of a session file is stored encrypted."""

def encrypt_key(key: bytes, encryption_key: EncryptionKey | None, /) -> bytes:
    """Returns the form in which a session file holds a key."""

def decrypt_key(stored: bytes, encryption_key: EncryptionKey | None, /) -> bytes | None:
    """Returns the key that a session file holds in a form, encrypted or not; `None` if it cannot be
    decrypted.
    """

def public_url(kind: str, url: str, /) -> str:
    """Returns a URL without user, password and parameters, for messages."""

@disjoint_base
class EntityFileCore(StoredCore):
    """The Rust part of a session that may have an entity file."""

    def _open_entity_file(self, path: str | PathLike[str], version: int, timeout: float, auth_key: bytes, /) -> None:
        """Opens a file for entities, update states and sent files, creating or upgrading it. If it is
        not known yet whether it is this account's, it is opened when that is known.

        Raises:
            SessionOwnerError: The file is another account's.
            ValueError: The file holds a login.
        """

    def _set_owner_key(self, auth_key: bytes, /) -> None:
        """Sets the key of the login.

        Raises:
            SessionOwnerError: The file is another account's.
        """

    def _note_account(self, account: int, /) -> None:
        """Sets the ID of the account.

        Raises:
            SessionOwnerError: The file is another account's.
        """

@final
class BackupStop:
    """Stops a backup that another thread makes."""

    def __new__(cls) -> Self: ...
    def stop(self) -> None:
        """Stops the backup. Its file is not made."""

def copy_file(source: str | PathLike[str], target: str | PathLike[str], overwrite: bool, /) -> None:
    """Copies a session file as it is, also while other programs use it.

    Raises:
        FileExistsError: There is a file `target`, which must not be overwritten.
        SessionError: A file cannot be read or written.
    """

@final
class KeyLock:
    """The lock of a key, which excludes others of the same key, in any program of this user."""

    def __new__(cls, key: bytes, /) -> Self:
        """Locks a key.

        Raises:
            SessionInUseError: It is locked.
            SessionUnavailableError: There is no folder for the lock.
        """

    def release(self) -> None:
        """Unlocks it."""

@disjoint_base
class PeerCacheCore:
    """The Rust part of the client's own entity cache."""

    def __new__(cls, *_args: Any, **_kwargs: Any) -> Self: ...
    def extend(self, users: Iterable[Any], chats: Iterable[Any]) -> None:
        """Adds the entities that have an access hash and are not `min`: all of them or, if an error
        is raised, none.

        Args:
            users: The users.
            chats: The chats and channels.
        """

    def put(self, entity: Any) -> None:
        """Adds a `telethon._updates.Entity`."""

    def get(self, id: Any) -> Any:
        """Returns the `Entity` with an unmarked ID; `None` if it is not known."""

    def retain(self, filter: Callable[[int], Any]) -> None:
        """Keeps only the entities for whose ID `filter` returns something true."""

    def __len__(self) -> int: ...
    def _find(self, id: Any, /) -> tuple[int | None, Any] | None:
        """Returns access hash and `EntityType` of an ID."""

    def _set(self, id: int, hash: int | None, ty: int, /) -> None:
        """Adds an entity with the value of its `EntityType`."""

    def _clear(self) -> None:
        """Removes all entities."""

    def _remove(self, id: Any, /) -> tuple[int | None, Any] | None:
        """Removes the entity with an ID. Returns its access hash and `EntityType`."""

    def _pop(self) -> tuple[int, tuple[int | None, Any]] | None:
        """Removes the entity added last. Returns its ID, access hash and `EntityType`."""

    def _ids(self) -> list[int]:
        """Returns all IDs, in the order in which they were added."""

def decode_base64(text: str, /) -> bytes:
    """Decodes padded base64 of either alphabet.

    Raises:
        ValueError: `text` is something else.
    """

def encode_base64(data: bytes, /) -> str:
    """Encodes bytes as URL-safe base64."""

def flush_all() -> None:
    """Writes, at the end of the process, what any session has not saved."""

def leak(object: Any, /) -> None:
    """Keeps an object from ever being freed."""

def pack_string(dc_id: int, ip: bytes, port: int | None, key: bytes, /) -> bytes:
    """Returns the bytes of a string session.

    Args:
        dc_id: The ID of the data centre.
        ip: Its packed IP address.
        port: Its port.
        key: The authorization key.

    Raises:
        ValueError: A value does not fit.
    """

def data_centre(dc_id: int, /) -> tuple[str, int] | None:
    """Returns address and port of one of Telegram's data centres; `None` for any other ID."""

def parse_string(text: str, /) -> tuple[int, bytes, int, bytes | None]:
    """Returns data centre, packed address, port and key (`None` if there is none) of a string
    session, which may have been pasted with white space and quotes.

    Raises:
        ValueError: `text` is not a valid string session.
    """

def string_letters(text: str, /) -> str:
    """Returns the base64 characters of any library's string, which may have been pasted with white
    space and quotes: in the URL-safe alphabet, without padding.

    Raises:
        ValueError: `text` has other characters, or goes on after its padding.
    """

def unpack_string(data: bytes, /) -> tuple[int, bytes, int, bytes | None]:
    """Returns data centre, packed address, port and key (`None` for zeros) in the bytes of a string
    session.

    Raises:
        ValueError: `data` is something else.
    """

def enable_reader() -> str | None:
    """Reads TL natively from now on. Returns why not, if that is not possible."""

def disable_reader() -> None:
    """Reads TL by Telethon's reader again."""

def is_reader_enabled() -> bool:
    """Returns `True` if TL is read natively."""

def explain_reader(cls: type, /) -> str | None:
    """Returns why objects of a TL class are left to Telethon's reader."""

def set_max_entities(max_entities: int, /) -> None:
    """Sets how many entities the sessions with a store that are opened from then on keep in memory
    together; 0 for all.
    """

def usernames_table() -> str:
    """Returns the statements that create the table of aliases in a file."""
