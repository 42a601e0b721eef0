"""Session files as files: their names, what may lie beside them, and who has them open."""

from __future__ import annotations

import os
import shlex
import subprocess
from itertools import count
from pathlib import Path

from telethon.sessions.sqlite import EXTENSION

from .trouble import Trouble

SIDES = ("-journal", "-wal", "-shm")
# What a rollback journal begins with; one that is done with begins with zeros.
_JOURNAL = bytes.fromhex("d9d505f920a163d7")


def new(name: str) -> Path:
    """The file that a session of this name has."""
    return Path(name if name.endswith(EXTENSION) else name + EXTENSION)


def existing(name: str) -> Path:
    """The file of a session, given by its name, or by any name that the file has been given."""
    path = new(name)
    if not path.exists() and Path(name).is_file():
        path = Path(name)
    require(path)
    return path


def require(path: Path) -> None:
    if path.is_dir():
        raise Trouble(f"{path} is a folder")
    if not path.exists():
        raise Trouble(f"{path}: no such file")
    if not path.is_file():
        raise Trouble(f"{path} is no regular file")


def advice(command: str, path: Path) -> str:
    """Returns the command line that runs a command of this program on a file."""
    return f"telethon-session {command} {quoted(path)}"


def quoted(path: Path) -> str:
    """Quotes a file's name where a shell needs that, and keeps it from being taken for an option."""
    name = f"./{path}" if str(path).startswith("-") else str(path)
    return shlex.quote(name) if os.name == "posix" else subprocess.list2cmdline([name])


def beside(path: Path, side: str) -> Path:
    """SQLite looks for it beside the file itself, not beside a link to it."""
    real = path.resolve()
    return real.with_name(real.name + side)


def has_journal(path: Path) -> bool:
    """Whether a write is under way, or was never finished."""
    try:
        with beside(path, "-journal").open("rb") as journal:
            return journal.read(len(_JOURNAL)) == _JOURNAL
    except OSError:
        return False


def has_wal(path: Path) -> bool:
    """Whether there may be something in it that is not in the file."""
    wal = beside(path, "-wal")
    return wal.exists() and wal.stat().st_size > 0


def unused(path: Path) -> Path:
    """The path, or with a number if something is there."""
    names = (path.with_name(f"{path.name}.{number}") if number else path for number in count())
    return next(name for name in names if not os.path.lexists(name))


def holders(path: Path) -> list[str]:
    """The other programs that have the file open, where the system tells: Linux, of one's own programs."""
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
