"""`telethon-session repair`: copies what can be read from a damaged file into a new one."""

from __future__ import annotations

import os
import shutil
import sqlite3
from argparse import Namespace
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from . import files
from .check import LOG_IN, check_file
from .errors import CommandError, FileLocked
from .output import print_pairs
from .reader import BUSY_TIMEOUT, READ_ERRORS, connect_read_only, is_in_wal_mode, translate_error
from .salvage import Salvage, salvage
from .sanitize import SANITIZERS, UPPERCASE_USERNAMES
from .schema import USERNAMES
from .subcommands import Subcommands, add_file_argument
from .writer import copy_owner, open_writer

_DESCRIPTION = """\
Copies everything that can be read into a new file with the database version of the installed
Telethon: the tables as far as SQLite can read them, and rows on pages that SQLite no longer
finds. Drops values that Telethon cannot use, fills in the address of a data centre where it is
missing, and reports what was saved and what was lost.

Without --into, the new file takes the old file's name, and the old file is kept beside it as
FILE.broken (with a number if that exists), together with its journal. The old file still holds
the login, so remove it when you no longer need it. Stop the program that uses the file first:
the command refuses a file that it sees in use. A file without problems is left unchanged.

exit code: 0 if everything was saved, 1 if anything was lost or the file could not be repaired"""
_LABELS = {
    "entities": "entities",
    "update_state": "update states",
    "sent_files": "sent files",
    USERNAMES: "other usernames",
}


class Repaired(NamedTuple):
    salvage: Salvage
    # The number of rows in the new file, by table.
    counts: dict[str, int]
    # Where the old file is now, if it was moved.
    backup: Path | None


def add_to(subcommands: Subcommands) -> None:
    parser = subcommands.add(
        "repair",
        run,
        summary="repair a damaged session file",
        description=_DESCRIPTION,
        example="telethon-session repair anon",
    )
    add_file_argument(parser)
    parser.add_argument("--into", metavar="NEW", help="write this new file and leave FILE unchanged")


def run(arguments: Namespace) -> int:
    path = files.existing_session_path(arguments.file)
    new = files.session_path(arguments.into) if arguments.into else None
    if path.stat().st_size == 0:
        raise CommandError(f"{path} is empty: there is nothing to repair")
    if new and os.path.lexists(new):
        raise CommandError(f"{new} already exists: choose another name")
    if new is None:
        problems = [finding for finding in check_file(path) if finding.level == "wrong"]
        if not problems:
            print(f"{path}: no problems found, nothing to repair")
            return 0
        if all(problem.advice == LOG_IN for problem in problems):
            raise CommandError(
                f"{path} cannot be repaired: {'; '.join(problem.what for problem in problems)}: {LOG_IN}"
            )
    result, counts, backup = repair(path, new)
    credentials = result.credentials
    print_pairs(
        [
            ("repaired", new or path),
            ("old file", backup and (backup if path.is_symlink() else path.with_name(backup.name))),
            (
                "login",
                f"data centre {credentials.dc_id}, with auth key"
                if credentials and credentials.auth_key
                else "no auth key",
            ),
            *((_LABELS[table], f"{count:,}") for table, count in counts.items() if count or table != USERNAMES),
            *(("filled in", what) for what in result.filled_in),
            *(
                ("corrected" if fault == UPPERCASE_USERNAMES else "dropped", f"{fault}: {count:,}")
                for fault, count in result.faults.items()
            ),
            *(("damaged", what) for what in result.damage),
            *(("wrong", fault) for fault in result.credential_faults),
            *(("lost", what) for what in result.lost),
        ]
    )
    if result.lost_auth_key:
        raise CommandError(f"the auth key in {path} cannot be read, so {new or path} is not logged in: {LOG_IN}")
    if not result.is_complete:
        raise CommandError(f"not everything could be saved: the lines above say what {new or path} lacks")
    return 0


def repair(path: Path, new: Path | None) -> Repaired:
    """Repairs a file.

    Args:
        path: The damaged file.
        new: The new file. If it is `None`, the new file replaces the damaged one, which is renamed.

    Raises:
        CommandError: There is nothing to save, or the file is in use.
    """
    old = path.resolve()
    parent = (new.absolute() if new else old).parent
    # The copies contain the auth key. Beside the file they are as private as the file.
    with TemporaryDirectory(prefix=".telethon-session-", dir=parent) as folder:
        copy, target = Path(folder, "old.session"), Path(folder, "new.session")
        before = _copy_with_journal(old, copy)
        with open_writer(target) as writer:
            try:
                result = salvage(copy, writer)
            except CommandError as error:
                raise CommandError(f"{path}: {error}") from error
            counts = {table: writer.count(table) for table in SANITIZERS}
            if result.credentials is None and not any(counts.values()):
                raise CommandError(f"no session data can be read from {path}; the file is unchanged")
        copy_owner(old, target)
        if new:
            target.rename(new)
            return Repaired(result, counts, None)
        _require_unlocked(old)
        if _fingerprint(old) != before or files.processes_using(old):
            raise FileLocked(f"{path} is in use: end the process that uses it first")
        backup = files.unused_path(old.with_name(f"{old.name}.broken"))
        old.rename(backup)
        for suffix in files.SIDECAR_SUFFIXES:
            sidecar = files.sidecar(old, suffix)
            if sidecar.exists():
                # SQLite would apply it to the new file.
                sidecar.rename(backup.with_name(backup.name + suffix))
        target.rename(old)
        return Repaired(result, counts, backup)


def _copy_with_journal(path: Path, copy: Path) -> tuple[int, int]:
    """Copies a file and its journal while no process writes. Returns the fingerprint of the file."""
    # Closing any descriptor of a file releases all POSIX locks that the process has on it, so close
    # this one last.
    with path.open("rb") as source, _locked_for_reading(path), copy.open("wb") as target:
        fingerprint = _fingerprint(path)
        shutil.copyfileobj(source, target)
        for suffix in ("-journal", "-wal"):
            sidecar = files.sidecar(path, suffix)
            if sidecar.exists():
                shutil.copyfile(sidecar, copy.with_name(copy.name + suffix))
    return fingerprint


def _fingerprint(path: Path) -> tuple[int, int]:
    """Returns values that change when the file does."""
    status = path.stat()
    return status.st_mtime_ns, status.st_size


@contextmanager
def _locked_for_reading(path: Path) -> Iterator[None]:
    """Keeps other processes from writing during the block, as far as a damaged file can be locked."""
    with connect_read_only(path) as connection:
        _raise_if_locked(path, connection, "begin", "select count(*) from sqlite_master")
        yield


def _require_unlocked(path: Path) -> None:
    """Raises `FileLocked` if another process is about to write. Does not roll back a hot journal."""
    if not (is_in_wal_mode(path) or files.has_hot_journal(path)):
        with closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT, isolation_level=None)) as connection:
            _raise_if_locked(path, connection, "begin immediate", "rollback")


def _raise_if_locked(path: Path, connection: sqlite3.Connection, *statements: str) -> None:
    """Executes statements on a damaged file. Raises `FileLocked` and ignores all other errors."""
    try:
        for statement in statements:
            connection.execute(statement).fetchall()
    except READ_ERRORS as error:
        if isinstance(translated := translate_error(path, error), FileLocked):
            raise translated from error
