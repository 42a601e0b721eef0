"""Forks children that outlive this process, while a thread changes and saves a session."""

from __future__ import annotations

import os
import threading
import time

from support import entities
from telethon_session_rust import RustSQLiteSession

session, crowd = RustSQLiteSession("anna"), entities.crowd(5000)


def write() -> None:
    for number in range(20):
        session.process_entities([entities.user(entity.id, number) for entity in crowd])
        session.save()


thread = threading.Thread(target=write)
thread.start()
for _ in range(5):
    time.sleep(0.05)
    if os.fork() == 0:
        time.sleep(3600)
thread.join()
