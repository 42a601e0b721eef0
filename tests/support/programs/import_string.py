"""Runs `telethon-session import anna`, and prints a line when it waits for the string."""

from __future__ import annotations

import signal
import sys
from typing import Any

from telethon_session_rust.cli import main


class Stdin:
    def isatty(self) -> bool:
        return False

    def read(self, size: int) -> str:
        print("reading", flush=True)
        return sys.__stdin__.read(size)


# A shell makes background programs ignore this signal.
signal.signal(signal.SIGINT, signal.default_int_handler)
stdin: Any = Stdin()
sys.stdin = stdin
sys.exit(main(["import", "anna"]))
