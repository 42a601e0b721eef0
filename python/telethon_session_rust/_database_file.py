"""A SQLite file and the files that SQLite keeps beside it: how to open it without changing any of
them.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

SIDECAR_SUFFIXES = ("-journal", "-wal", "-shm")
HEADER_SIZE = 100
# A rollback journal begins with these bytes while it is hot, and with zeros when it is not.
_JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")


def sidecar(path: Path, suffix: str) -> Path:
    """Returns the path of a file that SQLite keeps beside a database. SQLite resolves symbolic
    links first.
    """
    real = path.resolve()
    return real.with_name(real.name + suffix)


def has_hot_journal(path: Path) -> bool:
    """Returns `True` if a write is in progress or was interrupted."""
    try:
        with sidecar(path, "-journal").open("rb") as journal:
            return journal.read(len(_JOURNAL_MAGIC)) == _JOURNAL_MAGIC
    except OSError:
        return False


def has_wal(path: Path) -> bool:
    """Returns `True` if the -wal file may contain changes that the database file lacks."""
    wal = sidecar(path, "-wal")
    return wal.exists() and wal.stat().st_size > 0


def is_wal_header(header: bytes) -> bool:
    """Returns `True` if the first `HEADER_SIZE` bytes are of a file in WAL mode."""
    return header[19:20] == b"\2"


def file_uri(path: Path) -> str:
    """Returns the URI of a file, to which parameters can be added."""
    name = quote(os.fsencode(path.absolute().as_posix()), safe="/:")
    return f"file://{'' if name.startswith('/') else '/'}{name}"


def read_only_uri(path: Path, header: bytes) -> str:
    """Returns the URI of a connection that does not change the file or its folder.

    Args:
        path: The file.
        header: Its first `HEADER_SIZE` bytes.
    """
    uri = f"{file_uri(path)}?mode=ro"
    if is_wal_header(header) and not (has_wal(path) or _is_open_in_wal_mode(path)):
        # Without a -wal file the database is complete, and SQLite would create one and leave it
        # there.
        uri += "&immutable=1"
    return uri


def _is_open_in_wal_mode(path: Path) -> bool:
    return sidecar(path, "-wal").exists() and sidecar(path, "-shm").exists()
