"""Opens the string on standard input with `exclusive=True`, and ends as the argument says."""

from __future__ import annotations

import os
import sys

from telethon_session_rust import RustStringSession

session = RustStringSession(sys.stdin.readline(), exclusive=True)
print("open", flush=True)
is_to_end = sys.stdin.readline()
end = sys.argv[1] if len(sys.argv) > 1 else ""
if is_to_end and end == "fork" and os.fork() == 0:
    # The child lives for as long as its parent's parent keeps the pipe open.
    sys.stdin.read()
    os._exit(0)
if is_to_end and end:
    os._exit(0)
