"""Has the core of sessions panic again and again, and uses them between two panics."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from support import entities
from telethon_session_rust import RustMemorySession, RustSQLiteSession


def check(session: Any, number: int) -> None:
    name = f"somebody_{number}"
    session.process_entities([entities.user(number + 1, number, username=name)])
    for _ in range(2):
        try:
            session._panic(number % 2 == 0)
        except Exception as error:
            assert type(error) is RuntimeError, type(error)
            assert "a defect of telethon-session-rust" in str(error) and "told to" in str(error)
        else:
            raise SystemExit("no error")
    # Nothing that it held is held for ever, in whatever thread.
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(session.get_input_entity(name)))
    thread.start()
    thread.join()
    assert found[0].user_id == number + 1
    session.save()


for session in (RustMemorySession(), RustSQLiteSession("anna")):
    for number in range(20):
        check(session, number)
    asyncio.run(session.flush())
    session.close()
