"""Reads a file that may be hostile: `read_file.py FILE`. Prints the outcome, and by how many bytes the
memory grew at most.
"""

from __future__ import annotations

import json
import resource
import sys
from collections import deque
from pathlib import Path

from telethon_session_rust.foreign.files import read_file
from telethon_session_rust.foreign.session import ConversionError


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def read(path: Path) -> str:
    try:
        found = read_file(path, passcode=None, account=1)
        if found is None:
            return "none of theirs"
        deque(found.entities(), 0)
        deque(found.update_states(), 0)
    except ConversionError as error:
        return f"error: {error}"
    return "a session"


before = peak()
outcome = read(Path(sys.argv[1]))
print(json.dumps([outcome, peak() - before]))
