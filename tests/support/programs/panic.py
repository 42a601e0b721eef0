"""Makes the core of sessions panic repeatedly, and uses the sessions after each panic."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from support import entities
from telethon_session_rust import RustMemorySession, RustSQLiteSession


def check(session: Any, number: int) -> None:
    username = f"user_{number}"
    session.process_entities([entities.user(number + 1, number, username=username)])
    for _ in range(2):
        try:
            session._panic(number % 2 == 0)
        except Exception as error:
            assert type(error) is RuntimeError, type(error)
            assert "a bug in telethon-session-rust" in str(error) and "on purpose" in str(error)
        else:
            raise SystemExit("no error")
    # The panic left no lock held, so that another thread can use the session.
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(session.get_input_entity(username)))
    thread.start()
    thread.join()
    assert found[0].user_id == number + 1
    session.save()


for session in (RustMemorySession(), RustSQLiteSession("anna")):
    for number in range(20):
        check(session, number)
    asyncio.run(session.flush())
    session.close()
