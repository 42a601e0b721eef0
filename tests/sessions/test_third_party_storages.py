"""telethon-session-sqlalchemy, teleredis and telemongo from PyPI: with `RustMemorySession` as their
base, they return, store and raise what they do with Telethon's `MemorySession`.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from functools import partial
from typing import Any

import mongoengine
import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st
from telethon.sessions import MemorySession, StringSession
from telethon.tl import types

from support import entities
from support import lookup_keys as keys
from support.clients import MakeClient, sign_in
from support.community import OpenStore, Store, alchemy, redis_server, telemongo, teleredis
from support.contents import KEY, OTHER_KEY, STATE
from support.loopback import DataCentres
from support.strategies import auth_keys, channel_ids, comparable, file_classes, md5_digests, states
from telethon_session_rust import RustMemorySession

FEW = settings(max_examples=settings().max_examples // 4)
# Not in 1.24.
HAS_UPDATE_STATES = hasattr(MemorySession, "get_update_states")
INVITE = "t.me/joinchat/AAAABQAAAAAAAAAA"

Step = tuple[Any, ...]


@pytest.fixture(scope="module")
def server() -> Iterator[redis.Redis]:
    with redis_server() as server:
        yield server


@pytest.fixture(params=["SQLAlchemy's ORM", "SQLAlchemy's core", "Redis", "MongoDB"])
def open_store(request: pytest.FixtureRequest) -> OpenStore:
    match request.param:
        case "SQLAlchemy's ORM":
            return alchemy
        case "SQLAlchemy's core":
            return partial(alchemy, core_mode=True)
        case "Redis":
            return partial(teleredis, server=request.getfixturevalue("server"))
    return telemongo


def perform(session: Any, name: str, *args: Any) -> Any:
    """Calls a method, or sets or reads a property, and returns the result or the type of the error."""
    try:
        if not callable(getattr(type(session), name)):
            return setattr(session, name, *args) if args else comparable(getattr(session, name))
        result = getattr(session, name)(*deepcopy(args))
    except Exception as error:
        return type(error)
    if isinstance(result, mongoengine.Document):
        return result.to_mongo()
    # A clone is another session, of the base's class.
    return isinstance(result, MemorySession) or comparable(result)


def run(store: Store, steps: list[Step]) -> list[Any]:
    """Returns the result of each step, and the content of the store at the end."""
    session = store.open()
    results = []
    for step in steps:
        if step == ("reopen",):
            session = store.open()
        else:
            results.append((step, perform(session, *step)))
    return [*results, store.content()]


def run_on_both(open_store: OpenStore, steps: list[Step]) -> list[Any]:
    with open_store(MemorySession) as store:
        theirs = run(store, steps)
    with open_store(RustMemorySession) as store:
        ours = run(store, steps)
    assert ours == theirs
    return ours


READ_BACK: list[Step] = [(name,) for name in ("dc_id", "server_address", "port", "auth_key", "takeout_id")]
LOOKUP_KEYS = [5, -5, -1000000000006, "annika", "@Annika", "t.me/annika", "+7", "Anna", "Chat", "Channel", INVITE]
LOOKUP_KEYS += [types.PeerUser(5), types.PeerChat(5), types.PeerChannel(6), types.InputPeerUser(5, 6), 99, "unknown", 6]
LOOKUPS: list[Step] = [("get_input_entity", key) for key in LOOKUP_KEYS]
ENTITIES = [
    entities.user(5, 6, username="Annika", phone="7", first_name="Anna"),
    entities.chat(5, "Chat"),
    entities.channel(6, 8, "Channel", username="channel6"),
]
RENAMED = [entities.user(5, 9, username="Berta", phone="8", first_name="Berta"), entities.channel(6, 8, "News")]
FILE = types.InputDocument(1, 2, b"")
ROWS: list[Step] = [
    ("get_entity_rows_by_id", 5),
    ("get_entity_rows_by_id", 5, False),
    ("get_entity_rows_by_username", "annika"),
    ("get_entity_rows_by_phone", "7"),
    ("get_entity_rows_by_name", "Anna"),
]
SCENARIO: list[Step] = [
    *READ_BACK,
    ("set_dc", 2, "149.154.167.51", 443),
    ("auth_key", KEY),
    ("takeout_id", 7),
    ("save",),
    *READ_BACK,
    *(("process_entities", [entity]) for entity in ENTITIES),
    ("save",),
    *LOOKUPS,
    *ROWS,
    ("process_entities", entities.resolved_peer(RENAMED[1:], RENAMED[:1])),
    ("process_entities", None),
    ("process_entities", [types.InputPeerUser(5, 10), types.InputPeerSelf(), None]),
    *LOOKUPS,
    ("get_input_entity", "berta"),
    ("set_update_state", 0, STATE),
    ("set_update_state", 6, STATE),
    ("get_update_state", 0),
    ("get_update_state", 1),
    *([("get_update_states",)] if HAS_UPDATE_STATES else []),
    ("cache_file", b"1" * 16, 1, FILE),
    ("cache_file", b"1" * 16, 1, STATE),
    ("get_file", b"1" * 16, 1, types.InputDocument),
    ("get_file", b"1" * 16, 1, types.InputPhoto),
    ("get_file", b"2" * 16, 1, types.InputDocument),
    ("list_sessions",),
    ("clone",),
    ("clone", MemorySession()),
    ("save",),
    ("reopen",),
    *READ_BACK,
    *LOOKUPS,
    ("get_update_state", 0),
    ("set_dc", 4, "149.154.167.91", 443),
    ("auth_key",),
    ("auth_key", OTHER_KEY),
    ("set_dc", 2, "149.154.167.51", 443),
    ("auth_key",),
    ("save",),
    ("close",),
    ("reopen",),
    *READ_BACK,
    ("delete",),
    ("save",),
    ("reopen",),
    *READ_BACK,
    *LOOKUPS,
]


def test_a_scenario(open_store: OpenStore) -> None:
    results = run_on_both(open_store, SCENARIO)
    # Not every package supports everything, but each supports this.
    assert (("auth_key",), comparable(KEY)) in results
    assert (("get_input_entity", "annika"), comparable(types.InputPeerUser(5, 6))) in results


def calls(name: str, *args: st.SearchStrategy[Any]) -> st.SearchStrategy[Step]:
    return st.tuples(st.just(name), *args)


def lookups_of(entity: Any) -> list[Step]:
    names = ("id", "user_id", "channel_id", "username", "phone", "first_name", "last_name", "title")
    keys = [getattr(entity, name) for name in names if getattr(entity, name, None) is not None]
    return [("get_input_entity", key) for key in keys]


digests = md5_digests, st.integers(0, 2)
addresses = st.none() | st.just("149.154.167.51")
steps = st.one_of(
    calls("process_entities", st.lists(entities.entities, max_size=6)),
    calls("get_input_entity", keys.keys),
    calls("get_input_entity", keys.texts),
    calls("get_entity_rows_by_id", keys.ids, st.booleans()),
    *(calls(f"get_entity_rows_by_{key}", keys.texts) for key in ("username", "phone", "name")),
    calls("set_dc", st.integers(0, 5), addresses, st.integers(0, 65535)),
    calls("auth_key", auth_keys),
    calls("takeout_id", st.none() | st.integers(-(2**63), 2**63 - 1)),
    calls("set_update_state", channel_ids, states),
    calls("get_update_state", channel_ids),
    calls("cache_file", *digests, st.builds(types.InputPhoto, entities.hashes, entities.hashes, st.just(b""))),
    calls("get_file", *digests, file_classes),
    st.sampled_from([*READ_BACK, ("save",), ("reopen",), ("delete",), ("clone",), ("list_sessions",)]),
)


@FEW
@given(
    received=st.lists(entities.entities, min_size=3, max_size=12),
    random_steps=st.lists(steps, min_size=10, max_size=30),
)
def test_random_steps(open_store: OpenStore, received: list[Any], random_steps: list[Step]) -> None:
    # One at a time, because teleredis stores only the first entity of a page.
    receiving = [("process_entities", [entity]) for entity in received]
    lookups = [step for entity in received for step in lookups_of(entity)]
    run_on_both(open_store, [*receiving, *random_steps, *lookups])


@pytest.mark.parametrize("base", [MemorySession, RustMemorySession])
async def test_a_client_reconnects(
    telegram: DataCentres, new_client: MakeClient, open_store: OpenStore, base: type
) -> None:
    account, other = telegram.new_user(), telegram.new_user(username="annika")
    with open_store(base) as store:
        client = await sign_in(new_client(store.open()), account)
        await client.get_entity("annika")
        string = StringSession.save(client.session)
        await client.disconnect()

        session = store.open()
        assert StringSession.save(session) == string
        client = new_client(session)
        await client.connect()
        assert (await client.get_me()).id == account.id
        assert session.get_input_entity("annika") == types.InputPeerUser(other.id, other.user.access_hash)
        await client.disconnect()
