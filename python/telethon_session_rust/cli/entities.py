"""`telethon-session entities`: lists or finds the entities of a session."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Generator, Iterator
from contextlib import closing
from itertools import chain, islice

from telethon import utils
from telethon.tl.types import PeerChannel, PeerChat, PeerUser

from ..entity import Entity
from .encryption import given_keys
from .errors import CommandError
from .files import repair_hint
from .output import format_time, print_message, print_table, progress
from .places import add_place_argument, existing_place
from .reader import SessionReader
from .rows import Row
from .sanitize import sanitize_entity
from .source import open_source
from .subcommands import Subcommands, add_json_option, non_negative_int

_DESCRIPTION = """\
Lists all entities, or those that match every option given. Usernames (with or without @, or as
t.me links), phone numbers and IDs find the entities that `get_input_entity` finds. A positive
ID is looked up as a user, a chat and a channel; a marked ID (-100... for channels) only as
what it marks.

--json prints a list of objects with the keys of `Entity`, which `session.entities()` yields: id,
kind (user, chat, channel, or account: the file's own account, whose access_hash is its ID),
access_hash, username, phone, name, last_seen (in seconds since 1970, or null); marked_id, which
the table shows; and usernames for an entity that has several, the main one first.

exit code: 0, or 1 if no entity matches"""
_COLUMNS = ("id", "kind", "username", "phone", "name", "last seen")
_KINDS = {PeerUser: "user", PeerChat: "chat", PeerChannel: "channel"}
_TERMINAL_LIMIT = 1000


def add_to(subcommands: Subcommands) -> None:
    parser = subcommands.add(
        "entities",
        run,
        summary="list or find entities",
        description=_DESCRIPTION,
        example="telethon-session entities anon --username @durov",
    )
    add_place_argument(parser)
    parser.add_argument("--username", metavar="U", help="find a username, with or without @, or a t.me link")
    parser.add_argument("--phone", metavar="P", help="find a phone number, with or without +")
    parser.add_argument("--name", metavar="N", help="find a part of a name, ignoring case")
    parser.add_argument("--id", metavar="I", type=int, help="find an ID, marked or not")
    parser.add_argument("--kind", choices=_KINDS.values(), help="find entities of a kind")
    limit_help = f"list at most N (0: all; default: {_TERMINAL_LIMIT:,} on a terminal, otherwise all)"
    parser.add_argument("--limit", metavar="N", type=non_negative_int, help=limit_help)
    parser.add_argument("--hashes", action="store_true", help="show access hashes, which only work for this account")
    add_json_option(parser)


def run(arguments: Namespace) -> int:
    place = existing_place(arguments.file, arguments.password_file)
    limit = arguments.limit
    if limit is None and sys.stdout.isatty() and not arguments.json:
        limit = _TERMINAL_LIMIT
    with open_source(place, given_keys(arguments.encryption_key_file)) as file:
        if file.version and "entities" not in file.tables:
            raise CommandError(f"{place} has no table entities: {repair_hint(place)}")
        with closing(find(file, arguments)) as found:
            # On a terminal the progress bar must end before the table begins.
            rows = iter(list(islice(found, limit + 1 if limit else None))) if sys.stdout.isatty() else found
            first = next(rows, None)
            rows = chain([] if first is None else [first], rows)
            limited = islice(rows, limit) if limit else rows
            if arguments.json:
                _print_json(limited)
            elif first is not None:
                columns = [*_COLUMNS, *(["access hash"] if arguments.hashes else [])]
                print_table(columns, _cells(limited, has_hashes=arguments.hashes))
            if limit and next(rows, None) is not None:
                print_message(f"only the first {limit:,} entities are listed; --limit 0 lists all")
    conditions = (arguments.username, arguments.phone, arguments.name, arguments.id, arguments.kind)
    if first is None and any(value is not None for value in conditions):
        raise CommandError(f"{place} has no matching entity")
    return 0


def find(file: SessionReader, arguments: Namespace) -> Generator[Row]:
    """Yields the entities that match all conditions, each with a list of its other usernames. A damaged
    row is yielded without its damaged values.
    """
    name_part = None if arguments.name is None else arguments.name.casefold()
    aliases = file.aliases()
    lookups = [{row[0]: row for row in rows} for rows in _lookups(file, arguments)]
    with progress("reading", None if lookups else file.count("entities")) as advance:
        for batch in [_in_all(lookups)] if lookups else file.entity_batches():
            for row in batch:
                entity, _ = sanitize_entity(row)
                is_wanted = arguments.kind is None or (entity and kind(entity[0]) == arguments.kind)
                if entity and is_wanted and (name_part is None or name_part in (entity[4] or "").casefold()):
                    yield (*entity, [alias for alias, _ in aliases.get(entity[0], [])])
            advance(len(batch))


def _in_all(found: list[dict[int, Row]]) -> list[Row]:
    first, *others = found
    return [row for id, row in first.items() if all(id in other for other in others)]


def _lookups(file: SessionReader, arguments: Namespace) -> Iterator[list[Row]]:
    """Yields the results of each lookup by username, phone and ID, parsed as Telethon parses them."""
    if arguments.username is not None:
        username, is_invite = utils.parse_username(arguments.username)
        linked_id = utils.resolve_invite_link(arguments.username)[1]
        if username and not is_invite:
            yield _find_username(file, username)
        elif linked_id:
            yield _find_unmarked(file, linked_id)
        else:
            raise CommandError(f"{arguments.username!r} is not a valid username")
    if arguments.phone is not None:
        phone = utils.parse_phone(arguments.phone)
        if not phone:
            raise CommandError(f"{arguments.phone!r} is not a valid phone number")
        yield file.find_entities("phone = ?", [phone])
    if arguments.id is not None:
        is_marked = arguments.id <= 0
        yield file.find_entities("id = ?", [arguments.id]) if is_marked else _find_unmarked(file, arguments.id)


def _find_username(file: SessionReader, username: str) -> list[Row]:
    """Finds the entity that was seen with a username last."""
    found = [((row[5] or 0, 1, row[0]), row) for row in file.find_entities("username = ?", [username])]
    for id, aliases in file.aliases("u.username = ?", [username]).items():
        found += [((date, 0, id), row) for _, date in aliases for row in file.find_entities("id = ?", [id])]
    return [row for _, row in sorted(found, key=lambda one: one[0])[-1:]]


def _find_unmarked(file: SessionReader, id: int) -> list[Row]:
    marked_ids = [utils.get_peer_id(peer(id)) for peer in (PeerUser, PeerChat, PeerChannel)]
    return file.find_entities("id in (?, ?, ?)", marked_ids)


def kind(id: int) -> str:
    return "account" if id == 0 else _KINDS[utils.resolve_id(id)[1]]


def _cells(rows: Iterator[Row], *, has_hashes: bool) -> Iterator[list[object]]:
    for id, access_hash, username, phone, name, date, aliases in rows:
        username = username or next(iter(aliases), None)
        seen = format_time(date) if type(date) is int and date > 0 else None
        number = None if phone is None else f"+{phone}"
        yield [str(id), kind(id), username, number, name, seen, *([str(access_hash)] if has_hashes else [])]


def _print_json(rows: Iterator[Row]) -> None:
    separator = "[\n  "
    for id, access_hash, username, phone, name, date, aliases in rows:
        usernames = [*([username] if username else []), *aliases]
        username = next(iter(usernames), username)
        number = None if phone is None else str(phone)
        seen = date if type(date) is int and date > 0 else None
        entity = Entity.from_row((id, access_hash, username, number, name, seen))
        several = {"usernames": usernames} if aliases else {}
        print(separator + json.dumps(entity._asdict() | {"kind": kind(id), "marked_id": id} | several), end="")
        separator = ",\n  "
    print("[]" if separator.startswith("[") else "\n]")
