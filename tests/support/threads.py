"""Uses sessions in eight threads at once, and checks the results."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from telethon.crypto import AuthKey
from telethon.tl import types

from support import entities
from support.counters import tally
from support.files import dump

THREADS = 8


def in_threads(call: Callable[[int], Any]) -> list[Any]:
    """Calls a function in eight threads, with each thread's number."""
    tally("threads", THREADS)
    with ThreadPoolExecutor(THREADS) as threads:
        return [result.result() for result in [threads.submit(call, number) for number in range(THREADS)]]


class Thread:
    """Calls all methods of sessions, with its own entities, so that it knows the expected results."""

    def __init__(self, number: int, sessions: list[Any]) -> None:
        self.number = number
        self.choice = random.Random(number)
        self.known: dict[Any, list[int]] = {session: [] for session in sessions}
        self.states = dict.fromkeys(sessions, 0)

    def run(self, steps: int) -> Thread:
        actions = [
            self.add_entities,
            self.add_entities,
            self.find_known,
            self.find_known,
            self.find_unknown,
            self.set_state,
            self.cache_file,
        ]
        actions += [self.set_login, self.save, self.close, self.flush, self.clone, self.execute]
        for _ in range(steps):
            self.choice.choice(actions)(self.choice.choice(list(self.known)))
        return self

    def user(self, id: int) -> types.User:
        return entities.user(id, id * 7, username=f"of_{id}", phone=f"7{id:010}", first_name=f"Anna {id}")

    def add_entities(self, session: Any) -> None:
        begin = 1000 * (self.number + 1) + len(self.known[session])
        session.process_entities([self.user(id) for id in range(begin, begin + 3)])
        self.known[session] += range(begin, begin + 3)
        self.find_known(session)

    def find_known(self, session: Any) -> None:
        for id in self.known[session][-3:]:
            for key in (id, f"@of_{id}", f"+7{id:010}", f"Anna {id}", types.PeerUser(id)):
                assert session.get_input_entity(key) == types.InputPeerUser(id, id * 7)
            assert session.get_entity_rows_by_id(id) == (id, id * 7)

    def find_unknown(self, session: Any) -> None:
        for key in (-1, "unknown", "+7 000", "Not Known", None, types.PeerUser(10**6)):
            with pytest.raises((ValueError, TypeError)):
                session.get_input_entity(key)

    def set_state(self, session: Any) -> None:
        self.states[session] += 1
        pts = self.states[session]
        session.set_update_state(self.number, types.updates.State(pts, 1, entities.DATE, 1, 0))
        assert session.get_update_state(self.number).pts == pts
        assert dict(session.get_update_states())[self.number].pts == pts

    def cache_file(self, session: Any) -> None:
        digest = bytes([self.number]) * 16
        session.cache_file(digest, 1, types.InputPhoto(self.number, 1, b""))
        # In every release, a file that is found fails to become an `InputPhoto`. No file has the
        # other size.
        with pytest.raises(TypeError):
            session.get_file(digest, 1, types.InputPhoto)
        assert session.get_file(digest, 2, types.InputPhoto) is None

    def set_login(self, session: Any) -> None:
        session.set_dc(self.number + 1, f"10.0.0.{self.number}", 443)
        session.auth_key = AuthKey(bytes([self.number + 1]) * 256)
        session.tmp_auth_key = AuthKey(bytes([self.number + 100]) * 256)
        session.takeout_id = self.number
        assert session.dc_id in range(1, THREADS + 1)
        assert (session.port, session.takeout_id in range(THREADS)) == (443, True)

    def save(self, session: Any) -> None:
        session.save()

    def close(self, session: Any) -> None:
        session.close()

    def flush(self, session: Any) -> None:
        async def flush() -> None:
            await session.flush()

        if hasattr(session, "flush"):
            asyncio.run(flush())

    def clone(self, session: Any) -> None:
        clone = session.clone()
        clone.process_entities([self.user(1)])
        assert clone.get_input_entity(1) == types.InputPeerUser(1, 7)

    def execute(self, session: Any) -> None:
        if hasattr(session, "_execute"):
            known = self.known[session]
            count = session._execute("select count(*) from entities where id between ? and ?", *bounds(self.number))
            assert count == (len(known),)


def bounds(number: int) -> tuple[int, int]:
    return 1000 * (number + 1), 1000 * (number + 2) - 1


def check(workers: list[Thread], session: Any) -> None:
    rows = dump(session.filename)
    assert {row[0] for row in rows["entities"]} == {id for worker in workers for id in worker.known[session]}
    states = {worker.number: worker.states[session] for worker in workers if worker.states[session]}
    assert {row[0]: row[1] for row in rows["update_state"]} == states
    (login,) = rows["sessions"]
    assert login[:2] == (session.dc_id, session.server_address)
