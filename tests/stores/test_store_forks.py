"""A fork leaves the parent's connections and changes to the parent. The child makes its own."""

from __future__ import annotations

import multiprocessing
import os
import threading

import pytest

from support import entities, servers
from support.forks import in_a_child
from support.servers.proxy import Proxy
from support.waiting import TIMEOUT
from telethon_session_rust import open_session


def found(location: str) -> set[int]:
    session = open_session(location)
    try:
        return {entity.id for entity in session.entities()}
    finally:
        session.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
def test_parent_and_child_use_the_session(location: str) -> None:
    session = open_session(location)
    session.process_entities([entities.user(1, 1, username="saved")])
    session.save()
    session.process_entities([entities.user(2, 2, username="of_the_parent")])

    def child() -> None:
        assert session.get_input_entity("saved").user_id == 1
        assert session.get_input_entity("of_the_parent").user_id == 2
        # The server does not have it yet, because the parent writes it.
        session.process_entities([entities.user(3, 3)])
        session.save()
        session.close()

    in_a_child(child)
    assert 3 in found(location)
    session.close()
    assert found(location) == {1, 2, 3}


def store(location: str, id: int) -> None:
    """Is run by another process."""
    session = open_session(location, timeout=60)
    assert session.get_entity_rows_by_username("saved") == (1, 1)
    session.process_entities([entities.user(id, 1)])
    session.close()


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_multiprocessing(location: str, method: str) -> None:
    session = open_session(location, timeout=60)
    session.process_entities([entities.user(1, 1, username="saved")])
    session.save()
    context = multiprocessing.get_context(method)
    processes = [context.Process(target=store, args=(location, id)) for id in range(2, 6)]
    for process in processes:
        process.start()
    session.process_entities([entities.user(6, 1)])
    for process in processes:
        process.join(TIMEOUT)
        assert process.exitcode == 0
    session.close()
    assert found(location) == set(range(1, 7))


def store_and_end(location: str) -> None:
    """Is run by another process, which ends without closing its session."""
    session = open_session(location, timeout=60)
    session.process_entities([entities.user(1, 1)])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
def test_a_forked_process_does_not_close_its_session(server: servers.Server, database: str) -> None:
    name = servers.new_name()
    with Proxy(server.port) as proxy:
        proxy.delay = 0.05
        location = f"{proxy.url(database)}#{name}"
        process = multiprocessing.get_context("fork").Process(target=store_and_end, args=(location,))
        process.start()
        process.join(TIMEOUT)
        assert process.exitcode == 0
    assert found(f"{database}#{name}") == {1}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
@pytest.mark.slow
def test_forks_under_load(location: str) -> None:
    session = open_session(location)
    has_ended = threading.Event()

    def receive() -> None:
        number = 1000
        while not has_ended.is_set():
            number += 1
            session.process_entities([entities.user(number % 5000 + 10_000, 1)])
            has_ended.wait(0.001)

    threads = [threading.Thread(target=receive) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for number in range(30):

            def child(number: int = number) -> None:
                session.process_entities([entities.user(number + 1, 1)])
                session.save()
                session.close()

            in_a_child(child)
    finally:
        has_ended.set()
        for thread in threads:
            thread.join()
    session.close()
    assert found(location) >= set(range(1, 31))
