"""`telethon-session repair`: a sound file of what can be read of a damaged one."""

from __future__ import annotations

import os
import shutil
import sqlite3
from argparse import Namespace
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from . import files
from .check import LOG_IN, look
from .command import Commands, add_file
from .printing import print_pairs
from .reading import FAULTS, PATIENCE, connected, explained, is_in_wal_mode
from .salvage import Salvage, salvage
from .trouble import Held, Trouble
from .values import MENDED, MENDERS
from .writing import give_to_owner_of, writing

_MORE = """\
Copies everything that can be read into a new file with the database version of the installed
Telethon: the tables as far as SQLite can read them, and rows on pages that SQLite no longer
finds. Drops values that Telethon cannot use, fills in the address of a data centre where it is
missing, and reports what was saved and what was lost.

Without --into, the new file takes the old file's name, and the old file is kept beside it as
FILE.broken (with a number if that exists), together with its journal. The old file still holds
the login, so remove it when you no longer need it. Stop the program that uses the file first:
the command refuses a file that it sees in use. It leaves a file alone in which nothing is
wrong.

exit code: 0 if everything was saved, 1 if anything was lost or the file could not be repaired"""
_NAMES = {"entities": "entities", "update_state": "update states", "sent_files": "sent files"}


def add_to(commands: Commands) -> None:
    parser = commands.declare("repair", run, "repair a damaged session file", _MORE, "telethon-session repair anon")
    add_file(parser)
    parser.add_argument("--into", metavar="NEW", help="write this new file and leave FILE unchanged")


def run(arguments: Namespace) -> int:
    path = files.existing(arguments.file)
    new = files.new(arguments.into) if arguments.into else None
    if path.stat().st_size == 0:
        raise Trouble(f"{path} is empty: there is nothing to repair")
    if new and os.path.lexists(new):
        raise Trouble(f"{new} is there already: choose another name")
    if new is None:
        faults = [finding for finding in look(path) if finding.level == "wrong"]
        if not faults:
            print(f"{path}: nothing is wrong, so nothing was done.")
            return 0
        if all(fault.advice == LOG_IN for fault in faults):
            raise Trouble(f"{path} cannot be repaired: {'; '.join(fault.what for fault in faults)}: {LOG_IN}")
    result, counts, broken = repair(path, new)
    login = result.login
    has_key = login is not None and bool(login.auth_key)
    print_pairs(
        [
            ("repaired", new or path),
            ("the old file", broken and (broken if path.is_symlink() else path.with_name(broken.name))),
            ("login", f"data centre {login.dc_id}, with its key" if login and has_key else "no key"),
            *((_NAMES[table], f"{count:,}") for table, count in counts.items()),
            *(("filled in", what) for what in result.added),
            *(
                ("mended" if what == MENDED else "dropped", f"{what}: {count:,}")
                for what, count in result.dropped.items()
            ),
            *(("damaged", what) for what in result.damage),
            *(("wrong", fault) for fault in result.login_faults),
            *(("lost", what) for what in result.lost),
        ]
    )
    if result.lost_the_key:
        raise Trouble(f"the key of {path} could not be read: {new or path} is not logged in, you have to log in again")
    if not result.is_whole:
        raise Trouble(f"not everything in {path} could be saved: the lines above say what is missing in {new or path}")
    return 0


def repair(path: Path, new: Path | None) -> tuple[Salvage, dict[str, int], Path | None]:
    """Makes the new file, or puts it in the old one's place. Answers what came of it, how many rows it has, and where
    the old one is if it was moved.
    """
    old = path.resolve()
    where = (new.absolute() if new else old).parent
    # Beside the file, where nobody gets the copy of its key who has not the file.
    with TemporaryDirectory(prefix=".telethon-session-", dir=where) as folder:
        copy, made = Path(folder, "old.session"), Path(folder, "new.session")
        before = _copied(old, copy)
        with writing(made) as into:
            try:
                result = salvage(copy, into)
            except Trouble as trouble:
                raise Trouble(f"{path}: {trouble}") from trouble
            counts = {table: into.count(table) for table in MENDERS}
            if result.login is None and not any(counts.values()):
                raise Trouble(f"{path} holds nothing of a session that can be read; it is left as it is")
        give_to_owner_of(made, old)
        if new:
            made.rename(new)
            return result, counts, None
        _claim(old)
        if _signs(old) != before or files.holders(old):
            raise Held(f"{path} is in use: end the program that uses it first")
        broken = files.unused(old.with_name(f"{old.name}.broken"))
        old.rename(broken)
        for side in files.SIDES:
            beside = files.beside(old, side)
            if beside.exists():
                # It would be taken for the new file's.
                beside.rename(broken.with_name(broken.name + side))
        made.rename(old)
        return result, counts, broken


def _copied(path: Path, copy: Path) -> tuple[int, int]:
    """Copies the file with its journal while nobody writes, and answers by what a change is seen."""
    # Closing any handle of a file takes the locks that its process has on it, so this one is closed last.
    with path.open("rb") as file, _at_rest(path), copy.open("wb") as to:
        before = _signs(path)
        shutil.copyfileobj(file, to)
        for side in ("-journal", "-wal"):
            beside = files.beside(path, side)
            if beside.exists():
                shutil.copyfile(beside, copy.with_name(copy.name + side))
    return before


def _signs(path: Path) -> tuple[int, int]:
    about = path.stat()
    return about.st_mtime_ns, about.st_size


@contextmanager
def _at_rest(path: Path) -> Iterator[None]:
    """Nobody changes the file during the block, as far as a damaged one can be locked."""
    with connected(path) as connection:
        _unless_held(path, connection, "begin", "select count(*) from sqlite_master")
        yield


def _claim(path: Path) -> None:
    """Refuses what somebody is about to change. A journal that was left is not put back by that."""
    if not (is_in_wal_mode(path) or files.has_journal(path)):
        with closing(sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)) as connection:
            _unless_held(path, connection, "begin immediate", "rollback")


def _unless_held(path: Path, connection: sqlite3.Connection, *statements: str) -> None:
    """Of what SQLite has against the file, damaged as it is, one thing matters."""
    try:
        for statement in statements:
            connection.execute(statement).fetchall()
    except FAULTS as error:
        if isinstance(trouble := explained(path, error), Held):
            raise trouble from error
