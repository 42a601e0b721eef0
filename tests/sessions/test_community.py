"""telethon-session-sqlalchemy, teleredis and telemongo as they are on PyPI: on `RustMemorySession` they answer, store
and fail as on Telethon's `MemorySession`.
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
from support.strategies import auth_keys, channel_ids, file_classes, md5_digests, states, told
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


def take(session: Any, name: str, *args: Any) -> Any:
    """One step of a session's life: a call, or a property set or read. Answers what is told of it, also of an error."""
    try:
        if not callable(getattr(type(session), name)):
            return setattr(session, name, *args) if args else told(getattr(session, name))
        answer = getattr(session, name)(*deepcopy(args))
    except Exception as error:
        return type(error)
    if isinstance(answer, mongoengine.Document):
        return answer.to_mongo()
    # A clone is another session, and of a class of the base's.
    return isinstance(answer, MemorySession) or told(answer)


def live(store: Store, life: list[Step]) -> list[Any]:
    """What a session answers in its life, and what lies in its store at the end."""
    session = store.open()
    answers = []
    for step in life:
        if step == ("reopen",):
            session = store.open()
        else:
            answers.append((step, take(session, *step)))
    return [*answers, store.content()]


def both_live(open_store: OpenStore, life: list[Step]) -> list[Any]:
    with open_store(MemorySession) as store:
        theirs = live(store, life)
    with open_store(RustMemorySession) as store:
        ours = live(store, life)
    assert ours == theirs
    return ours


READ_BACK: list[Step] = [(name,) for name in ("dc_id", "server_address", "port", "auth_key", "takeout_id")]
FOUND = [5, -5, -1000000000006, "annika", "@Annika", "t.me/annika", "+7", "Anna", "Chat", "Channel", INVITE]
FOUND += [types.PeerUser(5), types.PeerChat(5), types.PeerChannel(6), types.InputPeerUser(5, 6), 99, "nobody", 6]
LOOKED_UP: list[Step] = [("get_input_entity", key) for key in FOUND]
PEOPLE = [
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
LIFE: list[Step] = [
    *READ_BACK,
    ("set_dc", 2, "149.154.167.51", 443),
    ("auth_key", KEY),
    ("takeout_id", 7),
    ("save",),
    *READ_BACK,
    *(("process_entities", [one]) for one in PEOPLE),
    ("save",),
    *LOOKED_UP,
    *ROWS,
    ("process_entities", entities.resolved_peer(RENAMED[1:], RENAMED[:1])),
    ("process_entities", None),
    ("process_entities", [types.InputPeerUser(5, 10), types.InputPeerSelf(), None]),
    *LOOKED_UP,
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
    *LOOKED_UP,
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
    *LOOKED_UP,
]


def test_a_life(open_store: OpenStore) -> None:
    answers = both_live(open_store, LIFE)
    # Whatever a package cannot do, this much it can.
    assert (("auth_key",), told(KEY)) in answers
    assert (("get_input_entity", "annika"), told(types.InputPeerUser(5, 6))) in answers


def calls(name: str, *args: st.SearchStrategy[Any]) -> st.SearchStrategy[Step]:
    return st.tuples(st.just(name), *args)


def asks_for(entity: Any) -> list[Step]:
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
@given(people=st.lists(entities.entities, min_size=3, max_size=12), life=st.lists(steps, min_size=10, max_size=30))
def test_random_lives(open_store: OpenStore, people: list[Any], life: list[Step]) -> None:
    # One at a time, for teleredis takes the first of a page only.
    meeting = [("process_entities", [one]) for one in people]
    asking = [step for one in people for step in asks_for(one)]
    both_live(open_store, [*meeting, *life, *asking])


@pytest.mark.parametrize("base", [MemorySession, RustMemorySession])
async def test_a_real_client_comes_back(
    telegram: DataCentres, new_client: MakeClient, open_store: OpenStore, base: type
) -> None:
    account, somebody = telegram.new_user(), telegram.new_user(username="annika")
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
        assert session.get_input_entity("annika") == types.InputPeerUser(somebody.id, somebody.user.access_hash)
        await client.disconnect()
