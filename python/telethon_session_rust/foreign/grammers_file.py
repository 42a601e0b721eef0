"""The SQLite storage of the Rust crate grammers-session (0.8 to 0.11)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from ..entity import Entity
from . import people
from .data_centres import is_test_server
from .database import Database, open_database
from .login import checked_dc_id, checked_key, completed_address
from .session import ConversionError, ForeignSession, UpdateState

_TABLES = {
    "dc_home": {"dc_id"},
    "dc_option": {"dc_id", "ipv4", "auth_key"},
    "peer_info": {"peer_id", "hash", "subtype"},
    "update_state": {"pts", "qts", "date", "seq"},
    "channel_state": {"peer_id", "pts"},
}
_KEYS = {"peer_info": "peer_id", "channel_state": "peer_id"}
# The data centre of a session that was never told another one.
_DEFAULT_DC_ID = 2
# Bits of the subtype of a user.
_SELF = 1
_BOT = 2
_KIND = people.KIND.replace("id between", "peer_id between").format(has_hash="typeof(hash) = 'integer' and hash <> 0")


def recognizes(database: Database) -> bool:
    """Returns `True` if a database looks like one of grammers'."""
    return {"dc_home", "dc_option", "peer_info"} <= database.names


def read(path: Path) -> ForeignSession:
    """Reads a file that `recognizes` accepted.

    Raises:
        ConversionError: It is damaged, has no login, or its data centre is unknown.
    """
    with open_database(path) as database:
        _restrict(database)
        dc_id = database.value("select dc_id from dc_home not indexed")
        dc_id = checked_dc_id(_DEFAULT_DC_ID if dc_id is None else dc_id)
        # The keys of other data centres serve to load files from them.
        options = database.select("select ipv4, auth_key from dc_option not indexed where dc_id = ? limit 1", [dc_id])
        endpoint, auth_key = options[0] if options else (None, None)
        key = checked_key(auth_key)
        server_address, port = _parse_endpoint(endpoint)
        is_test = is_test_server(server_address or "")
        server_address, port = completed_address(dc_id, is_test, server_address, port)
        myself = "peer_info not indexed where typeof(subtype) = 'integer' and peer_id > 0 and subtype & 1"
        user_id, subtype = next(iter(database.select(f"select peer_id, subtype from {myself} limit 1")), (None, 0))
        left_out = database.value(f"select count(*) from peer_info not indexed where {_KIND} is null")
    notes = ["grammers stores no usernames, phone numbers and names of people: they are learned when met again"]
    if left_out:
        notes.append(f"people left out, because the session has no usable access hash for them: {left_out:,}")
    return ForeignSession(
        library="grammers",
        dc_id=dc_id,
        auth_key=key,
        server_address=server_address,
        port=port,
        is_test=is_test,
        user_id=user_id,
        is_bot=bool(subtype & _BOT) if user_id else None,
        entities=partial(_entities, path),
        update_states=partial(_update_states, path),
        notes=tuple(notes),
    )


def _restrict(database: Database) -> None:
    """Allows no statement but those that read grammers' tables.

    Raises:
        ConversionError: One is something else, or lacks columns.
    """
    for table, needed in _TABLES.items():
        key = _KEYS.get(table)
        if not needed <= database.columns(table) or (key and not database.has_integer_key(table, key)):
            raise ConversionError(f"its table {table} is not one of grammers'")
    database.forbid_all_but(set(_TABLES))


def _parse_endpoint(endpoint: object) -> tuple[str | None, int | None]:
    """Returns address and port of a text such as `149.154.167.51:443`."""
    address, _, port = endpoint.rpartition(":") if isinstance(endpoint, str) else ("", "", "")
    return address or None, int(port) if port.isascii() and port.isdigit() and len(port) < 6 else None


def _entities(path: Path) -> Iterator[Entity]:
    with open_database(path) as database:
        _restrict(database)
        table = f"peer_info not indexed where {_KIND} is not null"
        for batch in database.batches("peer_id", f"{_KIND} as kind, hash", table):
            for id, kind, access_hash in batch:
                yield Entity(people.bare_id(id), kind, access_hash if kind != "chat" else 0)


def _update_states(path: Path) -> Iterator[UpdateState]:
    with open_database(path) as database:
        _restrict(database)
        rows = database.select("select pts, qts, date, seq from update_state not indexed limit 1")
        pts, qts, date, seq = (people.int32(value) for row in rows for value in row) if rows else (None,) * 4
        if pts and date:
            yield 0, pts, qts or 0, date, seq or 0
        # Without the plus, each batch would begin to search at 0.
        for batch in database.batches("peer_id", "pts", "channel_state not indexed where +peer_id > 0"):
            for id, value in batch:
                channel_pts = people.int32(value)
                if channel_pts:
                    # Telethon ignores the date of a channel.
                    yield id, channel_pts, 0, date or 1, 0
