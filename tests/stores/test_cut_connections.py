"""A connection is cut at each position of what a session says to its server and of what it answers: what
was asked for is done or fails, nothing is lost, and the session goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
from telethon.crypto import AuthKey
from telethon.tl import types

from support import entities, servers
from support.contents import KEY, OTHER_KEY, STATE
from support.counters import tally
from support.profile import PROFILE
from support.servers.proxy import Proxy
from support.waiting import until
from telethon_session_rust import SessionError, open_session

COUNT = 20
# Many, because a session waits before it tries again.
THREADS = 12
# The distance between two positions, in bytes, beside those before, in and after each message.
STEP = 100 if PROFILE == "quick" else 7


@dataclass
class Case:
    """A session on the server that is reached through a proxy."""

    proxy: Proxy
    database: str
    name: str

    @classmethod
    def new(cls, proxy: Proxy, database: str) -> Case:
        return cls(proxy, database, servers.new_name())

    def open(self, **options: Any) -> Any:
        return open_session(f"{self.proxy.url(self.database)}#{self.name}", timeout=60, **options)

    def stored(self) -> Any:
        """Opens the session without the proxy."""
        return open_session(f"{self.database}#{self.name}", timeout=60)

    def with_contents(self) -> Any:
        """Returns the session, which has a login and entities on the server."""
        session = self.open()
        session.set_dc(2, "149.154.167.51", 443)
        session.auth_key = KEY
        receive(session, "first", 1)
        session.save()
        return session


def receive(session: Any, word: str, first: int) -> None:
    session.process_entities([entities.user(id, id, username=f"{word}_{id}") for id in range(first, first + COUNT)])


def everything(session: Any) -> tuple[AuthKey | None, set[int], list[Any]]:
    found = {entity.id for entity in session.entities()}
    states = [(id, state.to_dict()) for id, state in session.get_update_states()]
    return session.auth_key, found, states


FIRST = {*range(1, COUNT + 1)}


def opening(case: Case) -> Iterator[None]:
    case.with_contents().close()
    # The pool of connections is made anew.
    case.proxy.cut()
    yield
    with suppress(SessionError):
        case.open().close()
    yield
    session = case.open()
    assert everything(session) == (KEY, FIRST, [])
    session.close()


def saving_a_login(case: Case) -> Iterator[None]:
    session = case.with_contents()
    yield
    session.auth_key = OTHER_KEY
    try:
        session.save()
    except SessionError:
        is_saved = False
    else:
        is_saved = True
    yield
    stored = case.stored()
    assert stored.auth_key == OTHER_KEY or not is_saved
    stored.close()
    session.save()
    session.close()
    stored = case.stored()
    assert everything(stored) == (OTHER_KEY, FIRST, [])
    stored.close()


def saving_the_first_login(case: Case) -> Iterator[None]:
    session = case.open()
    yield
    session.auth_key = KEY
    with suppress(SessionError):
        session.save()
    yield
    session.save()
    session.close()
    stored = case.stored()
    assert everything(stored) == (KEY, set(), [])
    stored.close()


def saving_entities(case: Case) -> Iterator[None]:
    session = case.with_contents()
    yield
    receive(session, "second", 1001)
    session.set_update_state(0, STATE)
    session.cache_file(b"1" * 16, 5, types.InputDocument(6, 7, b""))
    with suppress(SessionError):
        session.save()
    yield
    receive(session, "third", 2001)
    session.close()
    stored = case.stored()
    key, found, states = everything(stored)
    assert (key, len(states)) == (KEY, 1)
    assert found == FIRST | {*range(1001, 1001 + COUNT), *range(2001, 2001 + COUNT)}
    assert stored.get_entity_rows_by_username("second_1005") == (1005, 1005)
    with pytest.raises(TypeError, match="file_reference"):
        stored.get_file(b"1" * 16, 5, types.InputDocument)
    stored.close()


def is_gone(case: Case) -> bool:
    stored = case.stored()
    try:
        return everything(stored) == (None, set(), [])
    finally:
        stored.close()


def deleting(case: Case) -> Iterator[None]:
    session = case.with_contents()
    session.set_update_state(0, STATE)
    session.save()
    yield
    is_deleted = session.delete()
    yield
    session.close()
    if not is_deleted:
        # It may be deleted nevertheless: the answer was lost.
        stored = case.stored()
        stored.delete()
        stored.close()
    # While a server is slow, `delete()` does not wait for it.
    until(lambda: is_gone(case))


def looking_up(case: Case) -> Iterator[None]:
    session = case.with_contents()
    other = case.stored()
    receive(other, "other", 5001)
    other.close()
    yield

    def is_found() -> bool:
        try:
            return session.get_input_entity("other_5002") == types.InputPeerUser(5002, 5002)
        except ValueError:
            return False

    is_found()
    yield
    until(is_found)
    receive(session, "second", 1001)
    session.close()
    stored = case.stored()
    assert len(everything(stored)[1]) == 3 * COUNT
    stored.close()


OPERATIONS: list[Callable[[Case], Iterator[None]]] = [
    opening,
    saving_a_login,
    saving_the_first_login,
    saving_entities,
    deleting,
    looking_up,
]


class Position(NamedTuple):
    """Where to cut: after so many bytes of one direction."""

    count: int
    is_answer: bool


def positions_of(messages: list[int], is_answer: bool, step: int) -> set[Position]:
    """Returns the positions before, in and after each message, and more of them at a distance of `step`."""
    found = {1, *range(step, messages[-1] if messages else 0, step)}
    for begin, end in zip([0, *messages], messages, strict=False):
        found |= {begin, (begin + end) // 2, end - 1, end}
    return {Position(count, is_answer) for count in found if is_answer or count > 0}


def sweep(database: str, port: int, operation: Callable[[Case], Iterator[None]], step: int) -> None:
    with Proxy(port) as proxy:
        # The first time, connections are made and scripts are loaded.
        assert [*operation(Case.new(proxy, database))]
        run = operation(Case.new(proxy, database))
        next(run)
        proxy.watch()
        next(run)
        sent, answered = map(list, proxy.messages)
        assert sent and answered
        assert next(run, None) is None
    positions = sorted(positions_of(sent, False, step) | positions_of(answered, True, step))
    cuts = 0

    def cut_at(some: list[Position]) -> int:
        cuts = 0
        with Proxy(port) as proxy:
            for position in some:
                run = operation(Case.new(proxy, database))
                next(run)
                proxy.cut_after(position.count, is_answer=position.is_answer)
                next(run)
                cuts += proxy.has_cut
                # If another attempt took another way, the connections are not cut later.
                proxy.cut_after(None)
                try:
                    assert next(run, None) is None
                except BaseException as error:
                    raise AssertionError(f"cut at {position} of {sent} and {answered}") from error
        return cuts

    with ThreadPoolExecutor(THREADS) as pool:
        for made in pool.map(cut_at, (positions[first::THREADS] for first in range(THREADS))):
            cuts += made
    assert cuts > len(positions) / 2
    tally("connections cut", cuts)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_connections_are_cut(
    server: servers.Server, database: str, operation: Callable[[Case], Iterator[None]]
) -> None:
    sweep(database, server.port, operation, 200)


def test_a_failed_deletion_is_repeated(server: servers.Server, database: str) -> None:
    with Proxy(server.port) as proxy:
        case = Case.new(proxy, database)
        session = case.with_contents()
        proxy.refuse()
        assert not session.delete()
        proxy.accept()
        assert session.delete()
        assert case.stored().auth_key is None


@pytest.mark.slow
@pytest.mark.parametrize("operation", OPERATIONS)
def test_connections_are_cut_everywhere(
    server: servers.Server, database: str, operation: Callable[[Case], Iterator[None]]
) -> None:
    sweep(database, server.port, operation, STEP)
