"""The client's own entity cache: ours gives the results of Telethon's for any sequence of calls."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from telethon import TelegramClient
from telethon.sessions import MemorySession
from telethon.tl import types

import telethon_session_rust.entity_cache
from support import entities
from telethon_session_rust import RustEntityCache, accelerate

updates = pytest.importorskip("telethon._updates", reason="Telethon before 1.28 has no entity cache")
EntityCache, Entity, EntityType = updates.EntityCache, updates.Entity, updates.EntityType

ids = st.integers(1, 12) | st.sampled_from([0, -5, 2**40])
hashes = st.sampled_from([0, 1, -1, 2**63 - 1, -(2**63)])
users = st.builds(entities.user, ids, entities.maybe(hashes), min=entities.flags, bot=entities.flags) | st.builds(
    types.UserEmpty, ids
)
chats = st.one_of(
    st.builds(
        entities.channel,
        ids,
        entities.maybe(hashes),
        min=entities.flags,
        megagroup=entities.flags,
        gigagroup=entities.flags,
    ),
    st.builds(types.ChannelForbidden, ids, hashes, st.just(""), megagroup=entities.flags),
    entities.chats,
    st.builds(types.ChatForbidden, ids, st.just("")),
)
if entities.HAS_COMMUNITIES:
    chats |= st.builds(entities.community, ids, entities.maybe(hashes), min=entities.flags)
kinds = st.sampled_from(list(EntityType))
calls = st.one_of(
    st.tuples(st.just("extend"), st.lists(users), st.lists(chats)),
    st.tuples(st.just("extend"), st.tuples(users), st.lists(chats).map(tuple)),
    st.tuples(st.just("put"), st.builds(Entity, kinds, ids, entities.maybe(hashes))),
    st.tuples(st.just("set_self_user"), entities.maybe(ids), entities.flags, entities.maybe(hashes)),
    st.tuples(st.just("retain"), st.sampled_from([2, 3]).map(lambda divisor: lambda id: id % divisor)),
)


def state_of(cache: Any) -> list[Any]:
    peers = [cache.get(id) for id in [*range(-6, 14), 2**40, 7.0, True, "7", None, 2**70]]
    return [
        [peer and (peer.ty, peer.id, peer.hash, type(peer)) for peer in peers],
        list(cache.hash_map.items()),
        len(cache),
        cache.self_id,
        cache.self_bot,
    ]


@given(st.lists(calls, max_size=12))
def test_any_sequence_of_calls(sequence: list[Any]) -> None:
    theirs, ours = EntityCache(), RustEntityCache()
    for name, *arguments in sequence:
        if name == "set_self_user" and arguments[0] is None:
            arguments = [None, None, None]
        for cache in (theirs, ours):
            getattr(cache, name)(*arguments)
        assert state_of(ours) == state_of(theirs)


def test_subclasses_and_changed_objects() -> None:
    class Person(types.User):
        pass

    class Attributes:
        id, access_hash, min, bot, megagroup = 5, 55, 0, "yes", None

    changed = entities.user(1, 11)
    changed.note = "set later"
    incomplete = entities.channel(2, 22)
    del incomplete.gigagroup
    theirs, ours = EntityCache(), RustEntityCache()
    for cache in (theirs, ours):
        cache.extend([Person(3, access_hash=33), changed, Attributes()], (chat for chat in [incomplete, Attributes()]))
    assert state_of(ours) == state_of(theirs)


def test_a_failed_call_changes_nothing() -> None:
    cache = RustEntityCache()
    for chats, error in (
        ([entities.user(2, 2**64)], OverflowError),
        ([entities.user("two", 2)], TypeError),
        (entities.user(2, 2), TypeError),
    ):
        with pytest.raises(error):
            cache.extend([entities.user(1, 1)], chats)
        assert len(cache) == 0
    cache.extend([entities.user(1, 1), entities.user(2, 2)], [])
    with pytest.raises(ZeroDivisionError):
        cache.retain(lambda id: 1 // (id - 2))
    assert len(cache) == 2
    with pytest.raises(TypeError):
        cache.get([])


def test_hash_map_is_a_view_of_the_cache() -> None:
    cache = RustEntityCache({1: (11, EntityType.USER)}, 1, False)
    cache.hash_map[2] = (22, EntityType.BOT)
    assert cache.get(2).ty is EntityType.BOT
    del cache.hash_map[1]
    assert cache.hash_map == {2: (22, EntityType.BOT)}
    with pytest.raises(KeyError):
        del cache.hash_map[1]
    cache.hash_map = {}
    assert len(cache) == 0
    assert isinstance(cache, EntityCache)


def filled(count: int) -> RustEntityCache:
    return RustEntityCache({n: (n, EntityType.USER) for n in range(1, count + 1)})


def pop_each(hash_map: Any) -> None:
    for id in list(hash_map):
        hash_map.pop(id)


def pop_items(hash_map: Any) -> None:
    while hash_map:
        hash_map.popitem()


def delete_each(hash_map: Any) -> None:
    for id in reversed(list(hash_map)):
        del hash_map[id]


@pytest.mark.parametrize("empty", [lambda hash_map: hash_map.clear(), pop_each, pop_items, delete_each])
def test_hash_map_is_emptied_in_linear_time(empty: Callable[[Any], None]) -> None:
    def cpu_seconds(count: int) -> float:
        times = []
        for _ in range(3):
            cache = filled(count)
            start = time.thread_time()
            empty(cache.hash_map)
            times.append(time.thread_time() - start)
            assert len(cache) == 0 and not cache.hash_map and cache.get(1) is None
        return min(times)

    # Clearing is so fast that its time is noise.
    assert cpu_seconds(16_000) < 10 * cpu_seconds(4_000) + 1e-3


changes = st.one_of(
    st.tuples(st.just("pop"), ids),
    st.tuples(st.just("popitem")),
    st.tuples(st.just("__delitem__"), ids),
    st.tuples(st.just("__setitem__"), ids, st.tuples(hashes, kinds)),
    st.tuples(st.just("setdefault"), ids, st.tuples(hashes, kinds)),
    st.tuples(st.just("update"), st.dictionaries(ids, st.tuples(hashes, kinds), max_size=3)),
    st.tuples(st.just("clear")),
)


@given(st.lists(changes, max_size=40))
def test_hash_map_behaves_like_a_dictionary(sequence: list[Any]) -> None:
    theirs, ours = EntityCache(), RustEntityCache()
    for name, *arguments in sequence:
        results = []
        for cache in (theirs, ours):
            try:
                results.append(getattr(cache.hash_map, name)(*arguments))
            except KeyError:
                results.append(KeyError)
        assert results[0] == results[1]
        assert list(ours.hash_map.items()) == list(theirs.hash_map.items())
    assert ours.hash_map | {99: 1} == theirs.hash_map | {99: 1}
    assert ours.hash_map.copy() == theirs.hash_map.copy() and type(ours.hash_map.copy()) is dict
    ours.hash_map |= {1: (5, EntityType.USER)}
    assert ours.get(1).hash == 5


def test_a_filter_may_use_the_cache() -> None:
    cache = RustEntityCache()
    cache.extend([entities.user(id, id) for id in range(1, 9)], [])
    cache.retain(lambda id: cache.get(id).hash > 4 and len(cache) == 8)
    assert [*cache.hash_map] == [5, 6, 7, 8]


def test_an_entity_may_change_and_change_back_in_one_page() -> None:
    theirs, ours = EntityCache(), RustEntityCache()
    for cache in (theirs, ours):
        cache.extend([entities.user(1, 11)], [])
        cache.extend([entities.user(1, hash, min=hash == 14) for hash in (11, 12, 11, 13, 11, 14)], [])
    assert state_of(ours) == state_of(theirs)
    assert ours.get(1).hash == 11


def test_a_finalizer_may_use_the_cache() -> None:
    class UsesCache:
        def __del__(self) -> None:
            found.append(cache.get(1).hash)

    cache, found = RustEntityCache(), []
    cache.extend([entities.user(1, 11)], [])
    cache.extend((entities.user(1, hash, first_name=UsesCache()) for hash in (11, 12, 11)), ())
    assert found == [11] * 3


async def test_accelerate_keeps_the_cached_entities() -> None:
    client = TelegramClient(MemorySession(), 1, "hash")
    client._mb_entity_cache.extend([entities.user(1, 11, bot=True)], [entities.channel(2, 22)])
    client._mb_entity_cache.set_self_user(3, False, 33)
    before = state_of(client._mb_entity_cache)
    assert accelerate(client)
    assert isinstance(client._mb_entity_cache, RustEntityCache)
    assert state_of(client._mb_entity_cache) == before
    ours = client._mb_entity_cache
    assert accelerate(client)
    assert client._mb_entity_cache is ours


async def test_an_unsupported_cache_is_kept(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    class ChangedMethod(EntityCache):
        def extend(self, users: Any, chats: Any) -> None:
            super().extend([user for user in users if not user.bot], chats)

    class AdditionalMethod(EntityCache):
        def forget(self) -> None:
            self.hash_map.clear()

    for other in (ChangedMethod, AdditionalMethod):
        caplog.clear()
        monkeypatch.setattr(telethon_session_rust.entity_cache, "TELETHONS_CACHE", other)
        monkeypatch.setattr(telethon_session_rust.entity_cache, "_can_stand_in", None)
        client = TelegramClient(MemorySession(), 1, "hash")
        client._mb_entity_cache = other()
        with caplog.at_level(logging.INFO, "telethon_session_rust"):
            assert not accelerate(client)
            assert not accelerate(client)
        assert type(client._mb_entity_cache) is other
        assert len(caplog.records) == 1
