"""Opens the entity file `people` with the key in its argument, writes to it, and waits."""

from __future__ import annotations

import sys
import time

from telethon.crypto import AuthKey

from support import entities
from telethon_session_rust import RustStringSession

session = RustStringSession()
session.set_dc(2, "149.154.167.51", 443)
session.auth_key = AuthKey(bytes.fromhex(sys.argv[1]))
session = RustStringSession(session.save(), entity_file="people")
session.process_entities(entities.crowd(100))
session.save()
print("open", flush=True)
while True:
    session.process_entities(entities.crowd(1000))
    time.sleep(0.01)
