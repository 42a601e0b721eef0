"""Session files in the file system: their names, SQLite's files beside them, and the processes that
have them open.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from itertools import count
from pathlib import Path

from telethon.sessions.sqlite import EXTENSION

from .._database_file import SIDECAR_SUFFIXES as SIDECAR_SUFFIXES
from .._database_file import has_hot_journal as has_hot_journal
from .._database_file import has_wal as has_wal
from .._database_file import sidecar as sidecar
from .errors import CommandError


def is_url(text: str) -> bool:
    """Returns `True` if a text is the URL of a server, as `open_session` decides it."""
    return "://" in text


def session_path(name: str) -> Path:
    """Returns the path of the file of a session.

    Raises:
        CommandError: The name is a URL. It is not repeated, because it may contain a password.
    """
    if is_url(name):
        raise CommandError("this command takes a session file, not the URL of a server")
    return Path(name if name.endswith(EXTENSION) else name + EXTENSION)


def existing_session_path(name: str) -> Path:
    """Returns the path of an existing file, which may also have a name that no session would give
    it.

    Raises:
        CommandError: There is no such file.
    """
    path = session_path(name)
    if not path.exists() and Path(name).is_file():
        path = Path(name)
    require_file(path)
    return path


def require_file(path: Path) -> None:
    """Raises `CommandError` if the path is not a regular file."""
    if path.is_dir():
        raise CommandError(f"{path} is a folder")
    if not path.exists():
        raise CommandError(f"{path}: no such file")
    if not path.is_file():
        raise CommandError(f"{path} is not a regular file")


def command_line(command: str, path: object) -> str:
    """Returns the command line that runs a command of this program on a file."""
    return f"telethon-session {command} {shell_quote(path)}"


def repair_hint(path: object) -> str:
    return f"run `{command_line('repair', path)}`"


def shell_quote(path: object) -> str:
    """Quotes a path or a URL for the shell if necessary, and keeps it from being parsed as an option."""
    name = f"./{path}" if str(path).startswith("-") else str(path)
    return shlex.quote(name) if os.name == "posix" else subprocess.list2cmdline([name])


def unused_path(path: Path) -> Path:
    """Returns the path, with a number appended if it is taken."""
    candidates = (path.with_name(f"{path.name}.{number}") if number else path for number in count())
    return next(candidate for candidate in candidates if not os.path.lexists(candidate))


def processes_using(path: Path) -> list[str]:
    """Describes the other processes that have the file open. Only Linux lists them, and only those
    of the same user.
    """
    real, found = str(path.resolve()), []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            is_other = int(process.name) != os.getpid()
            if is_other and any(str(handle.readlink()) == real for handle in (process / "fd").iterdir()):
                name = (process / "comm").read_text(errors="replace").strip()
                found.append(f"process {process.name} ({name})")
        except OSError:
            continue
    return sorted(found)
