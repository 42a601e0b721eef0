"""Runs `telethon-session import anna`, and says when it waits for the string."""

from __future__ import annotations

import signal
import sys
from typing import Any

from telethon_session_rust.cli import main


class Stdin:
    def isatty(self) -> bool:
        return False

    def read(self) -> str:
        print("reading", flush=True)
        return sys.__stdin__.read()


# A caller in the background has its programs ignore the signal.
signal.signal(signal.SIGINT, signal.default_int_handler)
stdin: Any = Stdin()
sys.stdin = stdin
sys.exit(main(["import", "anna"]))
