"""Forks children that use a session, while threads use it for the first time."""

from __future__ import annotations

import sys
import threading

from support import entities
from support.forks import fork, wait_for_success
from telethon_session_rust import RustMemorySession

session = RustMemorySession()
# A thread that wants the GIL gets it at once, so that others fork while it makes what is made once.
sys.setswitchinterval(1e-6)
start = threading.Barrier(3)


def use() -> None:
    session.process_entities([entities.user(1, 1)])
    assert session.get_input_entity(1).access_hash == 1


def use_first() -> None:
    start.wait()
    use()


threads = [threading.Thread(target=use_first) for _ in range(2)]
for thread in threads:
    thread.start()
start.wait()
for child in [fork(use) for _ in range(20)]:
    wait_for_success(child)
for thread in threads:
    thread.join()
