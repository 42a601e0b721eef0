"""`telethon-session check`: finds problems in a session and says what to do about them."""

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
from .encryption import OPTION, Keys, given_keys
from .errors import CommandError, FileLocked
from .output import print_json, print_table, progress
from .places import Remote, add_place_argument, existing_place
from .reader import FIRST_CHANNEL_ID, HEADER_SIZE, SessionReader, is_in_wal_mode, open_reader, read_header
from .rows import Credentials, Row
from .sanitize import SANITIZERS, sanitize_credentials
from .source import open_source
from .subcommands import Subcommands, add_json_option

_DESCRIPTION = """\
Runs SQLite's integrity check and looks at the tables, every value, the files beside the session
file, and its mode; for a session on a server, at the login and every value. Notes (such as an
older database version, WAL mode, a username that two entities have, a file that others can read)
do not affect the exit code.

--json prints a list of objects with the keys level ("wrong" or "note"), what, and advice (or
null).

exit code: 0 if there are no problems, 1 if there are any"""
# Commands of this program, which become advice with the name of the file.
_REPAIR, _UPGRADE = "repair", "upgrade"
LOG_IN = "log in again"
_UTF_8 = 1
_TELEGRAM_DC_IDS = range(1, 6)
_MAX_INTEGRITY_ERRORS = 5


class Finding(NamedTuple):
    level: str
    what: str
    advice: str | None


def wrong(what: str, advice: str | None = _REPAIR) -> Finding:
    return Finding("wrong", what, advice)


def note(what: str, advice: str | None = None) -> Finding:
    return Finding("note", what, advice)


def add_to(subcommands: Subcommands) -> None:
    parser = subcommands.add(
        "check",
        run,
        summary="check a session for problems",
        description=_DESCRIPTION,
        example="telethon-session check anon",
    )
    add_place_argument(parser)
    add_json_option(parser)


def run(arguments: Namespace) -> int:
    place = existing_place(arguments.file, arguments.password_file)
    keys = given_keys(arguments.encryption_key_file)
    findings = _check_remote(place, keys) if isinstance(place, Remote) else check_file(place, keys)
    problems = sum(finding.level == "wrong" for finding in findings)
    if arguments.json:
        print_json([finding._asdict() for finding in findings])
    elif findings:
        print_table(["", "what", "what to do"], findings)
    if problems:
        raise CommandError(f"{place}: {problems} {'problem' if problems == 1 else 'problems'} found")
    if not arguments.json:
        print(f"{place}: no problems found")
    return 0


def check_file(path: Path, keys: Keys = ()) -> list[Finding]:
    """Returns all findings about a file.

    Raises:
        FileLocked: Another process holds a lock on the file.
    """
    findings = [*_check_mode_and_header(path)]
    try:
        with open_reader(path, keys=keys) as file:
            findings += _check_contents(file)
    except FileLocked:
        raise
    except CommandError as error:
        findings.append(wrong(str(error), None))
    return [
        finding._replace(advice=files.command_line(finding.advice, path))
        if finding.advice in (_REPAIR, _UPGRADE)
        else finding
        for finding in findings
    ]


def _check_remote(place: Remote, keys: Keys) -> list[Finding]:
    with open_source(place, keys) as session:
        findings = [
            *_check_credentials(session.credential_rows()),
            *_check_values(session),
            *_check_lookups(session),
        ]
    # The commands that mend a file do not take a URL.
    return [found._replace(advice=None) if found.advice == _REPAIR else found for found in findings]


def _check_mode_and_header(path: Path) -> Iterator[Finding]:
    mode = stat.S_IMODE(path.stat().st_mode)
    if os.name == "posix" and mode & 0o077:
        yield note(f"other users can access it (mode {mode:04o})", f"chmod 600 {files.shell_quote(path)}")
    header = read_header(path)
    # SQLite opens such files, but cannot write them, or decodes their texts wrongly.
    if header[18:19] > b"\2":
        yield wrong("its header marks it as read-only")
    if len(header) == HEADER_SIZE and int.from_bytes(header[56:60], "big") != _UTF_8:
        yield wrong("its header declares a text encoding other than UTF-8")
    if is_in_wal_mode(path):
        yield note("it is in WAL mode, so it is complete only together with its -wal file")


def _check_contents(file: SessionReader) -> Iterator[Finding]:
    errors = [row[0] for row in file.select(f"pragma integrity_check({_MAX_INTEGRITY_ERRORS})")]
    if errors != ["ok"]:
        yield from (wrong(f"SQLite: {' '.join(error.split())}") for error in errors)
    missing = file.value("pragma page_count") * file.value("pragma page_size") - file.path.stat().st_size
    if missing > 0 and not files.has_wal(file.path):
        yield wrong(f"it is truncated: {missing:,} bytes are missing at its end")
    version = file.version
    if version < CURRENT_VERSION:
        yield note(
            f"it has database version {version}; Telethon {telethon.__version__} uses {CURRENT_VERSION}", _UPGRADE
        )
    elif version > CURRENT_VERSION:
        yield note(f"Telethon {telethon.__version__} cannot read database version {version}", "upgrade Telethon")
    if schema.minimum_version(file.tables) > version:
        yield wrong(f"the tables are those of database version {schema.minimum_version(file.tables)}, not {version}")
    yield from _check_tables(file, version)
    yield from _check_credentials(file.credential_rows())
    yield from _check_encryption(file)
    yield from _check_values(file)
    yield from _check_lookups(file)


def _check_tables(file: SessionReader, version: int) -> Iterator[Finding]:
    for table, columns in schema.expected_tables(version).items():
        found = file.tables.get(table)
        if found is None:
            yield wrong(f"the table {table} is missing")
        elif found[: len(columns)] != columns:
            yield wrong(f"the table {table} is not as Telethon creates it: {_difference(found, columns)}")
        elif len(found) > len(columns):
            extra = ", ".join(column.name for column in found[len(columns) :])
            yield note(f"Telethon cannot write to the table {table}, because it has more columns: {extra}")
    known = schema.known_tables() if file.has_usernames else schema.newest_tables()
    others = sorted(file.tables.keys() - known.keys() - {schema.OWNER_TABLE})
    triggers = file.value("select count(*) from sqlite_master where type in ('trigger', 'view')")
    if others or triggers:
        yield note(f"it contains objects that are not Telethon's: {', '.join(others) or 'views or triggers'}")


def _difference(found: list[schema.Column], expected: list[schema.Column]) -> str:
    by_name = {column.name: column for column in found}
    for column in expected:
        other = by_name.get(column.name)
        if other is None:
            return f"it has no column {column.name}"
        if other != column:
            return f"its column {column.name} is declared differently"
    return "its columns are in a different order"


def _check_credentials(rows: list[Row]) -> Iterator[Finding]:
    if not rows:
        # A session that is not logged in has an empty row.
        yield wrong("it has no row for the login")
        return
    credentials, faults = sanitize_credentials(rows[0])
    yield from map(wrong, faults)
    if len(rows) > 1:
        yield note(f"it has {len(rows)} logins; Telethon uses the first")
    if not credentials.auth_key and not faults:
        yield note("it is not logged in: it has no auth key")
    if credentials.auth_key and rows[0][1] in (None, ""):
        yield _missing_address(credentials)
    elif credentials.auth_key and not credentials.port and rows[0][2] is None:
        yield note("the address of its data centre is incomplete: the port is missing")
    if credentials.auth_key and credentials.dc_id not in _TELEGRAM_DC_IDS:
        first, last = _TELEGRAM_DC_IDS[0], _TELEGRAM_DC_IDS[-1]
        yield note(f"data centre {credentials.dc_id} is not one of Telegram's ({first} to {last})")
    if rows[0][4] == b"" and type(rows[0][5]) is not int:
        yield note("its takeout ID is an empty key, as Telethon 1.43 and 1.44 wrote it; it counts as none")


def _check_encryption(file: SessionReader) -> Iterator[Finding]:
    credentials = file.credentials()
    if credentials is None or not credentials.is_encrypted:
        return
    if file.keys:
        yield wrong("its login was encrypted with another key, or is damaged", f"give its own key with {OPTION}")
    else:
        yield note("its login is encrypted, so it was not checked", f"give the key with {OPTION}")


def _missing_address(credentials: Credentials) -> Finding:
    what = "the address of its data centre is missing; Telethon would use the key with data centre 2"
    if credentials.with_address().server_address:
        return wrong(what)
    return wrong(f"{what}. Data centre {credentials.dc_id} is not one of Telegram's, so its address is unknown", LOG_IN)


def _check_values(file: SessionReader) -> Iterator[Finding]:
    faults: Counter[str] = Counter()
    with progress("checking", sum(map(file.count, SANITIZERS))) as advance:
        for table, sanitize in SANITIZERS.items():
            # Before version 3 the table had other columns, and its rows were valid for a day only.
            if table == "sent_files" and file.version < 3:
                continue
            for batch in file.entity_batches() if table == "entities" else [file.rows(table)]:
                for row in batch:
                    faults.update(sanitize(row)[1])
                advance(len(batch))
    yield from (wrong(f"{fault}: {count:,}") for fault, count in faults.items())


def _check_lookups(file: SessionReader) -> Iterator[Finding]:
    """Notes entities that are stored as Telethon stores them, but that lookups cannot find or use."""
    if "entities" not in file.tables:
        return
    shared = "select 1 from entities where username is not null group by username having count(*) > 1"
    if count := file.value(f"select count(*) from ({shared})"):
        yield note(f"usernames that several entities have: {count:,}; lookups find the entity seen last")
    if count := file.value(f"select count(*) from entities where hash = 0 and (id > 0 or id <= {FIRST_CHANNEL_ID})"):
        yield note(f"users and channels whose access hash is 0, which only bots can use: {count:,}")
