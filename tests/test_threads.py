"""One session used by several threads, and many closed by many."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from telethon.tl import types

import entities
from files import dump
from telethon_session_rust import RustMemorySession, RustSQLiteSession

CROWD = entities.crowd(4000)
BY_ID = {entity.id: entity for entity in CROWD}


def live(session: Any, seed: int) -> None:
    """Whoever has been told of is found at once, whatever the other threads do."""
    choice = random.Random(seed)
    for n in range(300):
        page = choice.sample(CROWD, 10)
        session.process_entities(page)
        for entity in page:
            peer = session.get_input_entity(entity.id)
            assert peer.to_dict().get("access_hash", 0) == getattr(entity, "access_hash", 0)
            if getattr(entity, "username", None):
                assert session.get_input_entity(f"@{entity.username}").access_hash == entity.access_hash
        session.set_update_state(seed, types.updates.State(n, 1, entities.DATE, 1, 0))
        assert session.get_update_state(seed).pts == n
        session.cache_file(n.to_bytes(16, "big"), seed, types.InputPhoto(n, seed, b""))
        if n % 50 == seed:
            session.save()


@pytest.mark.parametrize("session", [RustMemorySession, RustSQLiteSession])
def test_eight_threads(session: Any) -> None:
    session = session()
    with ThreadPoolExecutor(8) as threads:
        for result in [threads.submit(live, session, seed) for seed in range(8)]:
            result.result()


def test_eight_threads_and_the_file() -> None:
    session = RustSQLiteSession("anna")
    with ThreadPoolExecutor(8) as threads:
        for result in [threads.submit(live, session, seed) for seed in range(8)]:
            result.result()
    session.process_entities(CROWD)
    session.close()
    rows = dump("anna.session")
    assert [len(rows[table]) for table in ("entities", "update_state", "sent_files")] == [4000, 8, 2400]


def test_a_hundred_sessions_are_closed_by_threads() -> None:
    def visit(n: int) -> None:
        session = RustSQLiteSession(f"session_{n}")
        session.process_entities(CROWD[n * 10 : n * 10 + 10])
        session.save()
        session.close()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(visit, range(100)))
    assert all(len(dump(f"session_{n}.session")["entities"]) == 10 for n in range(100))
