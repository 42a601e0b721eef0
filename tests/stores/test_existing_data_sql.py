"""telethon-session-sqlalchemy from PyPI and `RustSQLSession` go on with what the other has written, on
PostgreSQL and MariaDB.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy

from support import servers
from support.community import AlchemyServerStore, answers, check, driver_url, write
from support.reference import ReferenceMemorySession
from support.servers import new_name
from telethon_session_rust import RustSQLSession, SessionUnavailableError

# The package uses what its dependencies deprecate.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::sqlalchemy.exc.SAWarning")
on_each_server = pytest.mark.parametrize("server", ["postgres", "mysql"], indirect=True)

# As mautrix-telegram creates them.
MAUTRIX = """
create table telethon_sessions (
    session_id text primary key, dc_id integer, server_address text, port integer, auth_key bytea
);
create table telethon_entities (
    session_id text, id bigint, hash bigint not null, username text, phone text, name text,
    primary key (session_id, id)
);
create table telethon_sent_files (
    session_id text, md5_digest bytea, file_size integer, type integer, id bigint, hash bigint,
    primary key (session_id, md5_digest, file_size, type)
);
create table telethon_update_state (
    session_id text, entity_id bigint, pts bigint, qts bigint, date bigint, seq bigint, unread_count integer,
    primary key (session_id, entity_id)
)
"""


@pytest.fixture
def url(server: servers.Server) -> str:
    """The URL of an empty database."""
    return server.url(new_name())


OpenStore = Callable[..., AlchemyServerStore]


@pytest.fixture
def open_store(url: str) -> Iterator[OpenStore]:
    """Opens the package's store with its options."""
    stores = []

    def open(**options: Any) -> AlchemyServerStore:
        stores.append(AlchemyServerStore(url, **options))
        return stores[-1]

    yield open
    for store in stores:
        store.close()


def rows_of(store: AlchemyServerStore, session: str) -> list[Any]:
    """Returns all rows of a session."""
    return [(table, row) for table, (_, rows) in store.content().items() for row in rows if session in row]


def take_turns(url: str, theirs: AlchemyServerStore, turns: str, **options: Any) -> None:
    """Lets the package ("t") and our session ("o") write in turns. Each reads what was written before.
    Tables that exist stay as they are, and so does another session.
    """

    def open(package: str) -> Any:
        return RustSQLSession(url, "anon", **options) if package == "o" else theirs.open("anon")

    if turns[0] == "t":
        # Creates the tables.
        write(theirs.open("other"), 7, has_files=False)
    before, others = theirs.content(), rows_of(theirs, "other")
    has_files = not before or any("sent_files" in table for table in before)
    expected = ReferenceMemorySession()
    for turn, package in enumerate(turns):
        session = open(package)
        if turn:
            check(session, expected, has_files=has_files)
        for each in (session, expected):
            write(each, turn, has_files=has_files)
        session.close()
        content = theirs.content()
        assert {table: content[table][0] for table in before} == {table: before[table][0] for table in before}
        assert rows_of(theirs, "other") == others
    for package in "ot":
        check(open(package), expected, has_files=has_files)


@on_each_server
@pytest.mark.parametrize(("core_mode", "prefix"), [(False, ""), (True, "bot_")])
@pytest.mark.parametrize("turns", ["toto", "otot"])
def test_either_goes_on_with_what_the_other_wrote(
    url: str, open_store: OpenStore, core_mode: bool, prefix: str, turns: str
) -> None:
    theirs = open_store(core_mode=core_mode, table_prefix=prefix)
    take_turns(driver_url(url), theirs, turns, table_prefix=prefix)


@on_each_server
def test_the_tables_are_the_users(url: str, open_store: OpenStore) -> None:
    with pytest.raises(SessionUnavailableError, match="manage_tables"):
        RustSQLSession(url, "anon", manage_tables=False)
    open_store().container()
    theirs = open_store(manage_tables=False)
    tables = set(theirs.content())
    take_turns(url, theirs, "toto", manage_tables=False)
    assert set(theirs.content()) == tables


@pytest.mark.parametrize("server", ["postgres"], indirect=True)
def test_mautrix_telegram(url: str, open_store: OpenStore) -> None:
    theirs = open_store(core_mode=True, table_prefix="telethon_", manage_tables=False)
    theirs.engine.execute(MAUTRIX)
    take_turns(url, theirs, "toto", table_prefix="telethon_")


@on_each_server
def test_reading_changes_nothing(url: str, open_store: OpenStore) -> None:
    theirs = open_store()
    expected = ReferenceMemorySession()
    session = theirs.open("anon")
    has_files = "sent_files" in theirs.content()
    for each in (session, expected):
        write(each, 0, has_files=has_files)
    before = theirs.content()
    session = RustSQLSession(url, "anon")
    check(session, expected, has_files=has_files)
    session.close()
    content = theirs.content()
    assert {table: content[table] for table in before} == before
    assert RustSQLSession.list_sessions(url) == ["anon"]


@on_each_server
def test_an_engine_names_the_database(url: str, open_store: OpenStore) -> None:
    theirs = open_store()
    write(theirs.open("anon"), 0, has_files=False)
    session = RustSQLSession(sqlalchemy.create_engine(driver_url(url)), "anon")
    assert answers(session) == answers(theirs.open("anon"))
    session.close()
    assert RustSQLSession.list_sessions(theirs.engine) == ["anon"]
    assert url.split(":")[2].split("@")[0] not in repr(session)
