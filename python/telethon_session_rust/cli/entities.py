"""`telethon-session entities`: who is in a file."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Generator, Iterator
from contextlib import closing
from itertools import chain, islice

from telethon import utils
from telethon.tl.types import PeerChannel, PeerChat, PeerUser

from . import files
from .command import Commands, add_file, add_json, count
from .printing import print_table, progress, say, when
from .reading import SessionFile, reading, repair_hint
from .trouble import Trouble
from .values import Row, mend_entity

_MORE = """\
Lists all entities, or those that match every option given. Usernames (with or without @, or as
t.me links), phone numbers and ids find the entities that `get_input_entity` finds. A positive
id is looked up as a user, a group and a channel; a marked id (-100... for channels) only as
what it marks.

--json prints a list of objects with the keys id (marked), kind (user, group, channel, or
account: the file's own account, whose access_hash is its id), username, phone, name, date (when
it was last seen, in seconds since 1970), access_hash.

exit code: 0, or 1 if no entity matches"""
_COLUMNS = ("id", "kind", "username", "phone", "name", "last seen")
_KINDS = {PeerUser: "user", PeerChat: "group", PeerChannel: "channel"}
_ON_A_TERMINAL = 1000


def add_to(commands: Commands) -> None:
    example = "telethon-session entities anon --username @durov"
    parser = commands.declare("entities", run, "list or find entities", _MORE, example)
    add_file(parser)
    parser.add_argument("--username", metavar="U", help="find a username, with or without @, or a t.me link")
    parser.add_argument("--phone", metavar="P", help="find a phone number, with or without +")
    parser.add_argument("--name", metavar="N", help="find a part of a name, ignoring case")
    parser.add_argument("--id", metavar="I", type=int, help="find an id, marked or not")
    standard = f"list at most N (0: all; default: {_ON_A_TERMINAL:,} on a terminal, otherwise all)"
    parser.add_argument("--limit", metavar="N", type=count, help=standard)
    parser.add_argument("--hashes", action="store_true", help="show access hashes, which only work for this account")
    add_json(parser)


def run(arguments: Namespace) -> int:
    path = files.existing(arguments.file)
    limit = arguments.limit
    if limit is None and sys.stdout.isatty() and not arguments.json:
        limit = _ON_A_TERMINAL
    with reading(path) as file:
        if file.version and "entities" not in file.tables:
            raise Trouble(f"{path} has no table of entities: {repair_hint(path)}")
        with closing(find(file, arguments)) as found:
            # On a terminal the progress must be over before something is printed.
            rows = iter(list(islice(found, limit + 1 if limit else None))) if sys.stdout.isatty() else found
            first = next(rows, None)
            rows = chain([] if first is None else [first], rows)
            wanted = islice(rows, limit) if limit else rows
            if arguments.json:
                _print_json(wanted)
            elif first is not None:
                print_table(
                    [*_COLUMNS, *(["access hash"] if arguments.hashes else [])], _cells(wanted, arguments.hashes)
                )
            if limit and next(rows, None) is not None:
                say(f"There are more than these {limit:,}; --limit 0 lists all.")
    is_asked = any(value is not None for value in (arguments.username, arguments.phone, arguments.name, arguments.id))
    if first is None and is_asked:
        raise Trouble(f"{path} has no such entity")
    return 0


def find(file: SessionFile, arguments: Namespace) -> Generator[Row]:
    """Who fits all the questions; of a row that is damaged what can be used."""
    part = None if arguments.name is None else arguments.name.casefold()
    exact = [{row[0]: row for row in rows} for rows in _exact(file, arguments)]
    with progress("reading", None if exact else file.count("entities")) as done:
        for page in [_in_all(exact)] if exact else file.entities():
            for row in page:
                mended, _ = mend_entity(row)
                if mended and (part is None or part in (mended[4] or "").casefold()):
                    yield mended
            done(len(page))


def _in_all(found: list[dict[int, Row]]) -> list[Row]:
    first, *others = found
    return [row for id, row in first.items() if all(id in other for other in others)]


def _exact(file: SessionFile, arguments: Namespace) -> Iterator[list[Row]]:
    """Whom each of the questions finds that Telethon answers, read as it reads them."""
    if arguments.username is not None:
        username, is_invite = utils.parse_username(arguments.username)
        linked = utils.resolve_invite_link(arguments.username)[1]
        if username and not is_invite:
            found = file.find_entities("username = ?", [username])
            # Of several the one seen last has it.
            yield sorted(found, key=lambda row: (row[5] or 0, row[0]))[-1:]
        elif linked:
            yield _of_any_kind(file, linked)
        else:
            raise Trouble(f"{arguments.username!r} is no username")
    if arguments.phone is not None:
        phone = utils.parse_phone(arguments.phone)
        if not phone:
            raise Trouble(f"{arguments.phone!r} is no phone number")
        yield file.find_entities("phone = ?", [phone])
    if arguments.id is not None:
        is_marked = arguments.id <= 0
        yield file.find_entities("id = ?", [arguments.id]) if is_marked else _of_any_kind(file, arguments.id)


def _of_any_kind(file: SessionFile, id: int) -> list[Row]:
    ids = [utils.get_peer_id(peer(id)) for peer in (PeerUser, PeerChat, PeerChannel)]
    return file.find_entities("id in (?, ?, ?)", ids)


def kind(id: int) -> str:
    return "account" if id == 0 else _KINDS[utils.resolve_id(id)[1]]


def _cells(rows: Iterator[Row], has_hashes: bool) -> Iterator[list[object]]:
    for id, access_hash, username, phone, name, date in rows:
        seen = when(date) if type(date) is int and date > 0 else None
        number = None if phone is None else f"+{phone}"
        yield [str(id), kind(id), username, number, name, seen, *([str(access_hash)] if has_hashes else [])]


def _print_json(rows: Iterator[Row]) -> None:
    separator = "[\n  "
    for id, access_hash, username, phone, name, date in rows:
        entity = {"id": id, "kind": kind(id), "username": username, "phone": phone, "name": name, "date": date}
        print(separator + json.dumps(entity | {"access_hash": access_hash}), end="")
        separator = ",\n  "
    print("[]" if separator.startswith("[") else "\n]")
