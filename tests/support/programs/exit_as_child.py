"""Forks with unsaved changes. The child exits as the argument says, with the interpreter's normal
shutdown.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from support.contents import add_numbered
from support.forks import Gate, wait_for_success
from telethon_session_rust import RustSQLiteSession

session: Any = RustSQLiteSession("anna")
gate = Gate()


def step(what: str) -> None:
    print(what, flush=True)
    sys.stdin.readline()


step("opened")
add_numbered(session, 1)
pid = os.fork()
if pid:
    step("forked")
    session.save()
    step("saved")
    gate.open()
    wait_for_success(pid)
else:
    gate.wait()
    how = sys.argv[1]
    if how == "close":
        session.close()
    elif how == "del":
        del session
    if how != "pass":
        sys.exit()
