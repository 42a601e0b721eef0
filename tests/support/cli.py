"""Runs `telethon-session` in this process or in one of its own, and prepares session files for it."""

from __future__ import annotations

import io
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from telethon.tl import types

from support import entities
from support.contents import KEY, STATE
from support.programs import command
from telethon_session_rust import RustSQLiteSession
from telethon_session_rust.cli import main

IS_POSIX = os.name == "posix"
PROGRAM = [sys.executable, "-m", "telethon_session_rust"]
# `None` makes every import of rich fail.
_HIDE_RICH = "import sys; sys.modules['rich'] = None; from telethon_session_rust.cli import main; sys.exit(main())"
PROGRAM_WITHOUT_RICH = [sys.executable, "-c", _HIDE_RICH]


@dataclass
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> str:
        """The only line on stderr that reports an error."""
        (line,) = (line for line in self.err.splitlines() if ": error: " in line)
        assert self.code != 0 and line.startswith("telethon-session: error: "), self
        return line


def call(*arguments: object, stdin: str = "") -> Result:
    """Runs a command in this process, which is faster than in one of its own."""
    out, err = io.StringIO(), io.StringIO()
    with patch("sys.stdin", io.StringIO(stdin)), redirect_stdout(out), redirect_stderr(err):
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = int(end.code or 0)
    assert "Traceback" not in err.getvalue()
    return Result(code, out.getvalue(), err.getvalue())


def run(*arguments: object, program: list[str] = PROGRAM, **options: Any) -> Result:
    """Runs a command in a process of its own."""
    done = subprocess.run([*program, *map(str, arguments)], capture_output=True, text=True, encoding="utf-8", **options)
    assert "Traceback" not in done.stderr
    return Result(done.returncode, done.stdout, done.stderr)


def run_on_terminal(*arguments: str, program: list[str] = PROGRAM, typed: str = "", prompt: str = "") -> str:
    """Runs a command on a pseudo terminal and types a line after its prompt. Returns everything
    that is shown.
    """
    import pty
    import termios

    controller, terminal = pty.openpty()
    # A terminal buffers a line of up to 4,095 characters on Linux, and 1,023 on macOS.
    assert len(typed) < 1000
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), terminal)
    with subprocess.Popen([*program, *arguments], **streams, start_new_session=True):
        os.close(terminal)
        shown = b""
        # Reading from a terminal that was closed raises on Linux and returns nothing elsewhere.
        with suppress(OSError):
            while part := os.read(controller, 4096):
                shown += part
                if typed and prompt.encode() in shown:
                    assert not termios.tcgetattr(controller)[3] & termios.ECHO
                    os.write(controller, f"{typed}\n".encode())
                    typed = ""
    os.close(controller)
    return shown.decode()


def fill(session: Any, count: int = 100) -> None:
    """Gives a session of either class a login and everything else that a file can contain, and
    closes it.
    """
    session.set_dc(2, "149.154.167.51", 443)
    session.auth_key = KEY
    session.takeout_id = 7
    session.process_entities([types.InputPeerUser(0, 12345), *entities.crowd(count)])
    session.set_update_state(0, STATE)
    session.cache_file(b"1" * 16, 1, types.InputDocument(1, 2, b""))
    session.save()
    session.close()


def filled(path: str = "anna.session", count: int = 100) -> Path:
    fill(RustSQLiteSession(path), count)
    return Path(path)


def rows_of(path: str | Path, table: str = "entities") -> list[Any]:
    with closing(sqlite3.connect(path)) as file:
        return file.execute(f"select * from {table}").fetchall()


def changed(path: Path, statement: str, *values: Any) -> Path:
    """Changes a file with Python's `sqlite3`, as scripts do."""
    with closing(sqlite3.connect(path)) as file, file:
        file.execute(statement, values)
    return path


def rename_entity(path: Path, id: int, name: str) -> Path:
    return changed(path, "update entities set name = ? where id = ?", name, id)


@contextmanager
def unchanged(*paths: Path) -> Iterator[None]:
    """Asserts that the block neither changes the files nor adds or removes files beside them."""

    def snapshot() -> dict[str, Any]:
        folders = {path.absolute().parent for path in paths}
        beside = {path: None for folder in folders for path in sorted(folder.iterdir())}
        return {
            str(path): (path.read_bytes(), path.stat().st_mtime_ns) if path in paths else None
            for path in [*beside, *paths]
        }

    before = snapshot()
    yield
    assert snapshot() == before


def with_hot_journal(path: Path) -> Path:
    """Leaves the file as a program does that ends during a write."""
    subprocess.run(command("crash_mid_write", path), check=True)
    assert path.with_name(f"{path.name}-journal").stat().st_size > 0
    return path


def with_leftover_wal(path: Path, statement: str) -> Path:
    """Leaves the file in WAL mode, with a change that only the -wal file contains."""
    shutil.copyfile(path, "other.session")
    with closing(sqlite3.connect("other.session")) as other:
        other.execute("pragma journal_mode = wal")
        other.execute("pragma wal_autocheckpoint = 0")
        other.execute(statement)
        other.commit()
        for suffix in ("", "-wal"):
            shutil.copyfile(f"other.session{suffix}", f"{path}{suffix}")
    for suffix in ("", "-wal", "-shm"):
        Path(f"other.session{suffix}").unlink(missing_ok=True)
    return path
