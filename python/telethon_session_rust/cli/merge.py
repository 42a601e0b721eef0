"""`telethon-session merge`: copies the entities of several sessions into one."""

from __future__ import annotations

from argparse import Namespace
from collections import Counter

from .encryption import Keys, add_encryption_option, add_target_encryption_options, given_keys, target_keys
from .errors import CommandError
from .output import print_message, print_pairs, print_warning, progress
from .passwords import add_password_option, add_target_password_option
from .places import PLACE_HELP, Place, are_same, existing_place, place
from .rows import with_aliases
from .sanitize import sanitize_entity, sanitize_sent_file
from .schema import LAST_WITH_WRONG_HASHES
from .source import exists, open_source
from .subcommands import Subcommands
from .target import Writer, open_target

_DESCRIPTION = """\
Copies the entities and sent files of every FILE into another session, which is created if it
does not exist. If several files have an entity, the copy seen last wins. If several entities
share a username, the one seen last keeps it. The login of the other session does not change, and a
new one has none. Update states are not copied, because they belong to a login. FILE does not
change.

Access hashes belong to an account: merge only files of one account, or the entities cannot be
used."""


def add_to(subcommands: Subcommands) -> None:
    parser = subcommands.add(
        "merge",
        run,
        summary="merge the entities of several sessions",
        description=_DESCRIPTION,
        example="telethon-session merge anon old_anon --into anon_on_the_server",
    )
    parser.add_argument("files", metavar="FILE", nargs="+", help=PLACE_HELP)
    parser.add_argument("--into", metavar="FILE", required=True, help="the session to write")
    add_password_option(parser)
    add_target_password_option(parser, "the session that is written")
    add_encryption_option(parser, "the sessions")
    add_target_encryption_options(parser, "the session that is written")


def run(arguments: Namespace) -> int:
    into = place(arguments.into, arguments.target_password_file or arguments.password_file)
    keys = given_keys(arguments.encryption_key_file)
    into_keys = target_keys(arguments.target_encryption_key_file, keys, is_unencrypted=arguments.target_unencrypted)
    places = [existing_place(name, arguments.password_file) for name in arguments.files]
    places = [one for one in places if not are_same(one, into)]
    if not places:
        raise CommandError(f"{into} cannot be merged into itself: give at least one other file")
    sources = [(one, keys) for one in places]
    _compare_accounts([*sources, (into, into_keys)] if exists(into, into_keys) else sources)
    faults: Counter[str] = Counter()
    with open_target(into, into_keys) as target:
        before = {table: target.count(table) for table in ("entities", "sent_files")}
        for one in places:
            faults += _copy(one, keys, target)
        target.clear_duplicate_usernames()
        after = {table: target.count(table) for table in before}
    print_pairs(
        [
            ("merged into", into),
            *((table.replace("_", " "), _difference(before[table], after[table])) for table in before),
            *(("left out", f"{fault}: {count:,}") for fault, count in faults.items()),
        ]
    )
    return 0


def _difference(before: int, after: int) -> str:
    return f"{after:,}, {after - before:,} of them new"


def _compare_accounts(places: list[tuple[Place, Keys]]) -> None:
    """Warns if the sessions belong to several accounts. Raises `CommandError` if one is not a session."""
    accounts: dict[int, Place] = {}
    for one, keys in places:
        with open_source(one, keys, is_login_enough=True) as file:
            account_id = file.account_id() if file.version else None
        if account_id is not None:
            accounts.setdefault(account_id, one)
    if len(accounts) > 1:
        names = ", ".join(f"{one} to {account_id}" for account_id, one in accounts.items())
        print_warning(f"the files belong to different accounts ({names}), and access hashes work for one account only")


def _copy(source: Place, keys: Keys, target: Writer) -> Counter[str]:
    """Copies the entities and sent files of a session. Returns how many values were left out or
    corrected, by fault.
    """
    faults: Counter[str] = Counter()
    with open_source(source, keys) as file:
        total = file.count("entities")
        if file.version <= LAST_WITH_WRONG_HASHES and total:
            print_message(
                f"{source}: leaving out {total:,} entities, because access hashes of database version {file.version}"
                " may be wrong"
            )
        else:
            aliases = file.aliases()
            with progress(f"merging {file.place}", total) as advance:
                for batch in file.entity_batches():
                    entities = []
                    for row in batch:
                        entity, entity_faults = sanitize_entity(row)
                        faults.update(entity_faults)
                        # Entity 0 is the account of the file.
                        if entity and entity[0] != 0:
                            entities.append(entity)
                    target.insert("entities", entities)
                    target.insert_aliases(with_aliases(entities, aliases))
                    advance(len(batch))
        if file.version > 2:
            sent_files = [sanitize_sent_file(row)[0] for row in file.rows("sent_files")]
            target.insert("sent_files", [row for row in sent_files if row])
    return faults
