"""`telethon-session check`: whether a file is as it should be, and what to do if not."""

from __future__ import annotations

import os
import stat
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import telethon
from telethon.sessions.sqlite import CURRENT_VERSION

from . import files, schema
from .command import Commands, add_file, add_json
from .printing import print_json, print_table, progress
from .reading import FIRST_CHANNEL, HEADER, SessionFile, header, is_in_wal_mode, reading
from .trouble import Held, Trouble
from .values import MENDERS, Login, Row, mend_login

_MORE = """\
Runs SQLite's integrity check and looks at the tables, every value, the files beside the session
file, and its mode. Notes (such as an older database version, WAL mode, a username that two
entities have, a file that others can read) do not affect the exit code.

--json prints a list of objects with the keys level ("wrong" or "note"), what, and advice (or
null).

exit code: 0 if nothing is wrong, 1 if anything is"""
# Commands, to which the file's name is added.
_REPAIR, _UPGRADE = "repair", "upgrade"
LOG_IN = "log in again"
_UTF_8 = 1
_OF_TELEGRAM = range(1, 6)
# So many of SQLite's complaints are enough.
_MOST_COMPLAINTS = 5


class Finding(NamedTuple):
    level: str
    what: str
    advice: str | None


def wrong(what: str, advice: str | None = _REPAIR) -> Finding:
    return Finding("wrong", what, advice)


def note(what: str, advice: str | None = None) -> Finding:
    return Finding("note", what, advice)


def add_to(commands: Commands) -> None:
    parser = commands.declare("check", run, "check a session file for faults", _MORE, "telethon-session check anon")
    add_file(parser)
    add_json(parser)


def run(arguments: Namespace) -> int:
    path = files.existing(arguments.file)
    findings = look(path)
    faults = sum(finding.level == "wrong" for finding in findings)
    if arguments.json:
        print_json([finding._asdict() for finding in findings])
    elif findings:
        print_table(["", "what", "what to do"], findings)
    if faults:
        raise Trouble(f"{path}: {faults} {'thing is' if faults == 1 else 'things are'} wrong")
    if not arguments.json:
        print(f"{path}: nothing is wrong.")
    return 0


def look(path: Path) -> list[Finding]:
    """All that can be said about a file."""
    findings = [*_about_the_file(path)]
    try:
        with reading(path) as file:
            findings += _inside(file)
    except Held:
        raise
    except Trouble as trouble:
        findings.append(wrong(str(trouble), None))
    return [
        finding._replace(advice=files.advice(finding.advice, path))
        if finding.advice in (_REPAIR, _UPGRADE)
        else finding
        for finding in findings
    ]


def _about_the_file(path: Path) -> Iterator[Finding]:
    mode = stat.S_IMODE(path.stat().st_mode)
    if os.name == "posix" and mode & 0o077:
        yield note(f"others than its owner may use it (mode {mode:04o})", f"chmod 600 {files.quoted(path)}")
    head = header(path)
    # SQLite opens it all the same, but will not write, or read texts as other texts.
    if head[18:19] > b"\2":
        yield wrong("its header says that it may not be written")
    if len(head) == HEADER and int.from_bytes(head[56:60], "big") != _UTF_8:
        yield wrong("its header names another text encoding than UTF-8")
    if is_in_wal_mode(path):
        yield note("it is in WAL mode, so it is only whole together with its -wal file")


def _inside(file: SessionFile) -> Iterator[Finding]:
    complaints = [row[0] for row in file.select(f"pragma integrity_check({_MOST_COMPLAINTS})")]
    if complaints != ["ok"]:
        yield from (wrong(f"SQLite: {' '.join(complaint.split())}") for complaint in complaints)
    missing = file.value("pragma page_count") * file.value("pragma page_size") - file.path.stat().st_size
    if missing > 0 and not files.has_wal(file.path):
        yield wrong(f"it is cut off: {missing:,} bytes are missing at its end")
    version = file.version
    if version < CURRENT_VERSION:
        yield note(f"database version {version}; Telethon {telethon.__version__} makes it {CURRENT_VERSION}", _UPGRADE)
    elif version > CURRENT_VERSION:
        yield note(f"Telethon {telethon.__version__} cannot read database version {version}", "upgrade Telethon")
    if schema.least(file.tables) > version:
        yield wrong(f"the tables are those of database version {schema.least(file.tables)}, not {version}")
    yield from _tables(file, version)
    yield from _login(file.logins())
    yield from _values(file)
    yield from _usefulness(file)


def _tables(file: SessionFile, version: int) -> Iterator[Finding]:
    wanted = schema.wanted(version)
    for table, columns in wanted.items():
        found = file.tables.get(table)
        if found is None:
            yield wrong(f"the table {table} is missing")
        elif found[: len(columns)] != columns:
            yield wrong(f"the table {table} is not as Telethon makes it: {_difference(found, columns)}")
        elif len(found) > len(columns):
            extra = ", ".join(column.name for column in found[len(columns) :])
            yield note(f"the table {table} has more columns than Telethon makes and can write: {extra}")
    others = sorted(file.tables.keys() - schema.newest().keys())
    triggers = file.value("select count(*) from sqlite_master where type in ('trigger', 'view')")
    if others or triggers:
        yield note(f"it holds what is not Telethon's: {', '.join(others) or 'views or triggers'}")


def _difference(found: list[schema.Column], wanted: list[schema.Column]) -> str:
    by_name = {column.name: column for column in found}
    for column in wanted:
        other = by_name.get(column.name)
        if other is None:
            return f"it has no column {column.name}"
        if other != column:
            return f"its column {column.name} is declared otherwise"
    return "its columns are in another order"


def _login(rows: list[Row]) -> Iterator[Finding]:
    if not rows:
        # A session that is not logged in has an empty one.
        yield wrong("it has no row for a login")
        return
    login, faults = mend_login(rows[0])
    yield from map(wrong, faults)
    if len(rows) > 1:
        yield note(f"it has {len(rows)} logins; Telethon takes the first")
    if not login.auth_key and not faults:
        yield note("it is not logged in: there is no key")
    if login.auth_key and rows[0][1] in (None, ""):
        yield _without_address(login)
    elif login.auth_key and not login.port and rows[0][2] is None:
        yield note("it does not tell the whole address of its data centre: the port is missing")
    if login.auth_key and login.dc_id not in _OF_TELEGRAM:
        yield note(f"data centre {login.dc_id} is none of Telegram's {_OF_TELEGRAM[0]} to {_OF_TELEGRAM[-1]}")
    if rows[0][4] == b"" and type(rows[0][5]) is not int:
        yield note("its takeout id is an empty key, as Telethon 1.43 and 1.44 write it: it is read as none")


def _without_address(login: Login) -> Finding:
    what = "it does not tell the address of its data centre: Telethon takes such a key to data centre 2"
    if login.with_address().server_address:
        return wrong(what)
    return wrong(f"{what}, and {login.dc_id} is not one of Telegram's data centres, so it is not known", LOG_IN)


def _values(file: SessionFile) -> Iterator[Finding]:
    faults: Counter[str] = Counter()
    with progress("checking", sum(map(file.count, MENDERS))) as done:
        for table, mend in MENDERS.items():
            # Before version 3 sent files were kept in another way, and no longer than a day.
            if table == "sent_files" and file.version < 3:
                continue
            for page in file.entities() if table == "entities" else [file.rows(table)]:
                for row in page:
                    faults.update(mend(row)[1])
                done(len(page))
    yield from (wrong(f"{fault}: {count:,}") for fault, count in faults.items())


def _usefulness(file: SessionFile) -> Iterator[Finding]:
    """What is as Telethon leaves it, and of no use."""
    if "entities" not in file.tables:
        return
    shared = "select 1 from entities where username is not null group by username having count(*) > 1"
    if count := file.value(f"select count(*) from ({shared})"):
        yield note(f"usernames that several entities have: {count:,}; the one seen last has it")
    if count := file.value(f"select count(*) from entities where hash = 0 and (id > 0 or id <= {FIRST_CHANNEL})"):
        yield note(f"users and channels whose access hash is 0, which only bots can use: {count:,}")
