"""Forks with unsaved changes; the child ends in the way that the argument names, with all of an interpreter's end."""

from __future__ import annotations

import os
import sys
from typing import Any

from support.contents import give_number
from support.forks import Gate, ends_well
from telethon_session_rust import RustSQLiteSession

session: Any = RustSQLiteSession("anna")
gate = Gate()


def step(what: str) -> None:
    print(what, flush=True)
    sys.stdin.readline()


step("opened")
give_number(session, 1)
pid = os.fork()
if pid:
    step("forked")
    session.save()
    step("saved")
    gate.open()
    ends_well(pid)
else:
    gate.wait()
    how = sys.argv[1]
    if how == "close":
        session.close()
    elif how == "del":
        del session
    if how != "pass":
        sys.exit()
