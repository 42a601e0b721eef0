"""The command `telethon-session`, called in this process or run as one of its own."""

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
COMMAND = [sys.executable, "-m", "telethon_session_rust"]


@dataclass
class Answer:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> str:
        """What is said in the one line of an error."""
        (line,) = (line for line in self.err.splitlines() if ": error: " in line)
        assert self.code != 0 and line.startswith("telethon-session: error: "), self
        return line


def call(*arguments: object, given: str = "") -> Answer:
    """In this process, for another one takes its time; with `given` on standard input."""
    out, err = io.StringIO(), io.StringIO()
    with patch("sys.stdin", io.StringIO(given)), redirect_stdout(out), redirect_stderr(err):
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = int(end.code or 0)
    assert "Traceback" not in err.getvalue()
    return Answer(code, out.getvalue(), err.getvalue())


def run(*arguments: object, **options: Any) -> Answer:
    """As a process of its own."""
    done = subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, encoding="utf-8", **options)
    assert "Traceback" not in done.stderr
    return Answer(done.returncode, done.stdout, done.stderr)


def fill(session: Any, count: int = 100) -> None:
    """Gives a session of either class a login and all else that a file can hold."""
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
    """As by somebody's script."""
    with closing(sqlite3.connect(path)) as file, file:
        file.execute(statement, values)
    return path


def renamed(path: Path, id: int, name: str) -> Path:
    return changed(path, "update entities set name = ? where id = ?", name, id)


@contextmanager
def unchanged(*paths: Path) -> Iterator[None]:
    """Neither they nor what is beside them is another afterwards."""

    def seen() -> dict[str, Any]:
        folders = {path.absolute().parent for path in paths}
        beside = {path: None for folder in folders for path in sorted(folder.iterdir())}
        return {
            str(path): (path.read_bytes(), path.stat().st_mtime_ns) if path in paths else None
            for path in [*beside, *paths]
        }

    before = seen()
    yield
    assert seen() == before


def with_a_journal_left(path: Path) -> Path:
    """As after a program that died in the middle of a write."""
    subprocess.run(command("die_writing", path), check=True)
    assert path.with_name(f"{path.name}-journal").stat().st_size > 0
    return path


def with_a_wal_left(path: Path, statement: str) -> Path:
    """In WAL mode, with a change that is in the -wal file only."""
    shutil.copyfile(path, "other.session")
    with closing(sqlite3.connect("other.session")) as other:
        other.execute("pragma journal_mode = wal")
        other.execute("pragma wal_autocheckpoint = 0")
        other.execute(statement)
        other.commit()
        for side in ("", "-wal"):
            shutil.copyfile(f"other.session{side}", f"{path}{side}")
    for side in ("", "-wal", "-shm"):
        Path(f"other.session{side}").unlink(missing_ok=True)
    return path


def on_a_terminal(*arguments: str, typed: str = "", prompt: str = "") -> str:
    """All that it shows to somebody who types this when asked."""
    import pty
    import termios

    main, side = pty.openpty()
    # A terminal's line is up to 4,095 letters long on Linux, and 1,023 on macOS.
    assert len(typed) < 1000
    with subprocess.Popen([*COMMAND, *arguments], stdin=side, stdout=side, stderr=side, start_new_session=True):
        os.close(side)
        said = b""
        # On Linux a terminal ends with an error, elsewhere with nothing.
        with suppress(OSError):
            while part := os.read(main, 4096):
                said += part
                if typed and prompt.encode() in said:
                    # Asked, so it is not shown what is typed.
                    assert not termios.tcgetattr(main)[3] & termios.ECHO
                    os.write(main, f"{typed}\n".encode())
                    typed = ""
    os.close(main)
    return said.decode()
