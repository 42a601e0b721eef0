"""Opens a session on a server, stores the users whose IDs it reads, and prints the outcome of each `close()`."""

from __future__ import annotations

import sys

from support import entities
from telethon_session_rust import SessionError, open_session

session = open_session(sys.argv[1], exclusive="exclusive" in sys.argv[2:])
print("open", flush=True)
for line in sys.stdin:
    session.process_entities([entities.user(int(line), 1)])
    try:
        session.save()
        session.close()
    except SessionError as error:
        print(f"{type(error).__name__}: {error}", flush=True)
    else:
        print("closed", flush=True)
