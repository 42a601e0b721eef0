"""`telethon-session merge`: copies the entities of several files into one."""

from __future__ import annotations

from argparse import Namespace
from collections import Counter
from pathlib import Path

from . import files
from .errors import CommandError
from .output import print_message, print_pairs, print_warning, progress
from .reader import open_reader
from .sanitize import sanitize_entity, sanitize_sent_file
from .schema import LAST_WITH_WRONG_HASHES
from .subcommands import Subcommands
from .writer import SessionWriter, open_writer

_DESCRIPTION = """\
Copies the entities and sent files of every FILE into another session file, which is created if
it does not exist. If several files have an entity, the copy seen last wins. If several entities
share a username, the one seen last keeps it. The login of the other file does not change, and a
new file has none. Update states are not copied, because they belong to a login. FILE does not
change.

Access hashes belong to an account: merge only files of one account, or the entities cannot be
used."""


def add_to(subcommands: Subcommands) -> None:
    parser = subcommands.add(
        "merge",
        run,
        summary="merge the entities of several session files",
        description=_DESCRIPTION,
        example="telethon-session merge anon old_anon --into anon_on_the_server",
    )
    parser.add_argument("files", metavar="FILE", nargs="+", help="a session file to read")
    parser.add_argument("--into", metavar="FILE", required=True, help="the session file to write")


def run(arguments: Namespace) -> int:
    into = files.session_path(arguments.into)
    is_new = not into.exists()
    paths = [files.existing_session_path(name) for name in arguments.files]
    paths = [path for path in paths if is_new or not path.samefile(into)]
    if not paths:
        raise CommandError(f"{into} cannot be merged into itself: give at least one other file")
    _compare_accounts(paths if is_new else [*paths, into])
    faults: Counter[str] = Counter()
    try:
        with open_writer(into) as target:
            before = {table: target.count(table) for table in ("entities", "sent_files")}
            for path in paths:
                faults += _copy(path, target)
            target.clear_duplicate_usernames()
            after = {table: target.count(table) for table in before}
    except BaseException:
        if is_new:
            into.unlink(missing_ok=True)
        raise
    print_pairs(
        [
            ("merged into", into),
            ("entities", f"{after['entities']:,}, {after['entities'] - before['entities']:,} of them new"),
            ("sent files", f"{after['sent_files']:,}, {after['sent_files'] - before['sent_files']:,} of them new"),
            *(("left out", f"{fault}: {count:,}") for fault, count in faults.items()),
        ]
    )
    return 0


def _compare_accounts(paths: list[Path]) -> None:
    """Warns if the files belong to several accounts. Raises `CommandError` if one is not a session."""
    accounts: dict[int, Path] = {}
    for path in paths:
        with open_reader(path) as file:
            account_id = file.account_id() if file.version else None
        if account_id is not None:
            accounts.setdefault(account_id, path)
    if len(accounts) > 1:
        names = ", ".join(f"{path} to {account_id}" for account_id, path in accounts.items())
        print_warning(f"the files belong to different accounts ({names}), and access hashes work for one account only")


def _copy(path: Path, target: SessionWriter) -> Counter[str]:
    """Copies the entities and sent files of a file. Returns how many values were left out or
    corrected, by fault.
    """
    faults: Counter[str] = Counter()
    with open_reader(path) as file:
        total = file.count("entities")
        if file.version <= LAST_WITH_WRONG_HASHES and total:
            print_message(
                f"{path}: leaving out {total:,} entities, because access hashes of database version {file.version} may"
                " be wrong"
            )
        else:
            with progress(f"merging {path.name}", total) as advance:
                for batch in file.entity_batches():
                    entities = []
                    for row in batch:
                        entity, entity_faults = sanitize_entity(row)
                        faults.update(entity_faults)
                        # Entity 0 is the account of the file.
                        if entity and entity[0] != 0:
                            entities.append(entity)
                    target.insert("entities", entities)
                    advance(len(batch))
        if file.version > 2:
            sent_files = [sanitize_sent_file(row)[0] for row in file.rows("sent_files")]
            target.insert("sent_files", [row for row in sent_files if row])
    return faults
