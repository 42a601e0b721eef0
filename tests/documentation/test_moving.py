"""docs/moving.md: its steps move a login and a hundred entities, also from what the community's packages
have stored on real servers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import sqlalchemy
from alchemysession import AlchemySessionContainer
from telethon.sessions import SQLiteSession, StringSession
from telethon.tl import types

from support import servers
from support.contents import STATE
from support.documents import ROOT, run_line, run_page, servers_of
from support.files import dump
from support.loopback import Account
from support.reader import PEOPLE
from support.servers import community

pytestmark = pytest.mark.any_release

pytest_plugins = ["support.reader"]

PAGE = ROOT / "docs" / "moving.md"
# Files that the page creates from sessions with entities.
WITH_ENTITIES = ["back", "from_sqlalchemy", "from_redis", "from_mongo", "from_sqlite"]
WITHOUT_ENTITIES = ["from_string", "from_a_string", "from_my_own"]
# The name of a telemongo session is that of its database.
DATABASES = {"mongodb": "my_database"}


@pytest.fixture
def urls(reader: Account) -> Iterator[dict[str, str]]:
    """The URLs of servers with the reader's session, as the community's packages store it."""
    kinds = servers_of(PAGE)
    if missing := sorted({*kinds} & {*servers.missing()}):
        pytest.skip(f"not installed: the server for {', '.join(missing)}")
    session = SQLiteSession("anon")
    session.set_update_state(5, STATE)
    session.save()
    with ExitStack() as running:
        found = {}
        for kind in kinds:
            server = running.enter_context(servers.running(kind))
            found[kind] = server.url()
            url = server.url(DATABASES[kind]) if kind in DATABASES else found[kind]
            rows = [row for row in session._entities_to_rows(PEOPLE) if row is not None]
            community.fill(kind, url, rows)
            log_in(community.open_session(kind, url), session)
        session.close()
        yield found


@pytest.fixture
def sqlite_database(reader: Account) -> Iterator[None]:
    engine = sqlalchemy.create_engine("sqlite:///old.db")
    container = AlchemySessionContainer(engine, manage_tables=False)
    container.Entity.metadata.create_all(engine)
    session = SQLiteSession("anon")
    stored = container.new_session("anon")
    log_in(stored, session)
    stored.process_entities(PEOPLE)
    stored.save()
    session.close()
    yield
    engine.dispose()


def log_in(storage: Any, session: Any) -> None:
    storage.set_dc(session.dc_id, session.server_address, session.port)
    storage.auth_key = session.auth_key
    storage.save()


# The other package uses deprecated functions of its dependency.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::sqlalchemy.exc.SAWarning")
@pytest.mark.usefixtures("sqlite_database")
def test_the_page_moves_everything(urls: dict[str, str]) -> None:
    assert [*urls] == ["redis", "postgres", "mongodb"]
    run_page(PAGE, run_line, urls)
    login = StringSession.save(SQLiteSession("anon"))
    names = [*WITH_ENTITIES, *WITHOUT_ENTITIES]
    assert {name: StringSession.save(SQLiteSession(name)) for name in names} == dict.fromkeys(names, login)
    expected = {row[:5] for row in dump("anon.session")["entities"]}
    # The client's own row was not stored in the other storage, and is not listed.
    expected = {row for row in expected if row[0] in ids_of(PEOPLE)}
    assert len(expected) == len(PEOPLE)
    for name in WITH_ENTITIES:
        assert expected <= {row[:5] for row in dump(f"{name}.session")["entities"]}, name
    assert dump("back.session")["update_state"] == dump("anon.session")["update_state"]
    assert SQLiteSession("from_sqlite").get_input_entity("annika") == types.InputPeerUser(777, 888)


def ids_of(users: list[Any]) -> set[int]:
    session = SQLiteSession(None)
    return {row[0] for row in session._entities_to_rows(users)}
