"""A panic in the core, which is our own mistake, becomes a Python exception and leaves the session usable."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import telethon_session_rust
from files import on_disk

# A core that can be told to panic, as `make test` builds it beside the real one.
FAULTY_CORE = os.environ.get("FAULTY_CORE")

PROGRAM = """
import asyncio, threading
import entities
from telethon_session_rust import RustMemorySession, RustSQLiteSession

for session in (RustMemorySession(), RustSQLiteSession("anna")):
    for n in range(20):
        session.process_entities([entities.user(n + 1, n, username=f"somebody_{n}")])
        for _ in range(2):
            try:
                session._panic(n % 2 == 0)
            except Exception as error:
                assert type(error) is RuntimeError, type(error)
                assert "a defect of telethon-session-rust" in str(error) and "told to" in str(error)
            else:
                raise SystemExit("no error")
        # Nothing that it held is held for ever, in whatever thread.
        found = []
        thread = threading.Thread(target=lambda: found.append(session.get_input_entity(f"somebody_{n}")))
        thread.start()
        thread.join()
        assert found[0].user_id == n + 1
        session.save()
    asyncio.run(session.flush())
    session.close()
"""


@pytest.mark.skipif(not FAULTY_CORE, reason="`make test` builds a core that can be told to panic")
def test_a_panic(folder: Path) -> None:
    package = folder / "package" / "telethon_session_rust"
    shutil.copytree(
        Path(telethon_session_rust.__file__).parent,
        package,
        ignore=shutil.ignore_patterns("*.so", "*.pyd", "__pycache__"),
    )
    shutil.copy(FAULTY_CORE, package / "_core.abi3.so")
    path = os.pathsep.join([str(package.parent), str(Path(__file__).parent)])
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, env={**os.environ, "PYTHONPATH": path})
    assert len(on_disk()) == 20
