"""`telethon-session bench`: measures Telethon's session class and this package's on copies of a
session.
"""

from __future__ import annotations

import random
import secrets
import shutil
import time
from argparse import ArgumentTypeError, Namespace
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

from telethon import utils
from telethon.sessions import SQLiteSession
from telethon.tl import types

from ..opening import open_session
from ..sqlite import RustSQLiteSession
from ..stored import StoredSession
from .encryption import Keys, given_keys
from .errors import CommandError
from .files import repair_hint
from .output import print_message, print_table, progress
from .places import Place, Remote, add_place_argument, existing_place
from .reader import open_reader
from .remote import TIMEOUT, open_remote
from .rows import Row
from .sanitize import sanitize_entity
from .schema import LAST_WITH_WRONG_HASHES
from .source import open_source
from .subcommands import Subcommands
from .target import open_target
from .writer import open_writer

_DESCRIPTION = """\
Measures on copies in a temporary folder, which hold no login: the key stays in FILE. The two
classes take turns. Each one opens its copy, looks up entities by ID, username, phone and name,
processes the file's entities again in batches of 200, and saves them, all outside of an event
loop. For the URL of a session, this package's class uses a copy without login on that server,
which is deleted afterwards, and Telethon's SQLiteSession a file.

This package's class is measured once it has loaded everything, which it does in the background.
Telethon's class writes while it processes, and its save() only commits; this package's leaves the
writing to save() or to the background. So compare the sum of both. The table shows medians, and
no names or keys."""
_ROUNDS = 3
_BATCH_ENTITIES, _MAX_BATCHES = 200, 100
_OPEN = "open and close"
_PROCESS, _SAVE, _PROCESS_AND_SAVE = "process an entity again", "save() all of these", "process and save an entity"
# The number of lookups of each kind.
_MAX_KEYS = 200

Times: TypeAlias = dict[str, dict[type, list[float]]]
# Open the copy of each class.
Openers: TypeAlias = dict[type, Callable[[], Any]]


def add_to(subcommands: Subcommands) -> None:
    parser = subcommands.add(
        "bench",
        run,
        summary="measure Telethon's session class and this one on a session",
        description=_DESCRIPTION,
        example="telethon-session bench anon --seconds 30",
    )
    add_place_argument(parser)
    parser.add_argument(
        "--seconds", metavar="S", type=_positive_float, default=10.0, help="measure for about S seconds (default: 10)"
    )


def run(arguments: Namespace) -> int:
    place = existing_place(arguments.file, arguments.password_file)
    with TemporaryDirectory(prefix="telethon-session-") as folder, ExitStack() as stack:
        first = Path(folder, f"{SQLiteSession.__name__}.session")
        _copy_without_login(place, given_keys(arguments.encryption_key_file), first)
        with open_reader(first) as file:
            rows = [row for batch in file.entity_batches() for row in batch]
        openers: Openers = {SQLiteSession: lambda: SQLiteSession(str(first))}
        if isinstance(place, Remote):
            copy = stack.enter_context(_copy_on_server(place, rows))
            openers[place.cls] = lambda: open_session(copy.location, timeout=TIMEOUT)
        else:
            other = Path(shutil.copyfile(first, Path(folder, f"{RustSQLiteSession.__name__}.session")))
            openers[RustSQLiteSession] = lambda: RustSQLiteSession(str(other))
        times = _measure(openers, rows, arguments.seconds)
    print_message(f"{len(rows):,} entities; medians of {_ROUNDS} rounds")
    print_table(["", *(cls.__name__ for cls in openers), ""], [_cells(*labelled) for labelled in times.items()])
    return 0


def _copy_without_login(place: Place, keys: Keys, copy: Path) -> None:
    with open_source(place, keys) as file, open_writer(copy) as target:
        if file.version and "entities" not in file.tables:
            raise CommandError(f"{place} has no table entities: {repair_hint(place)}")
        # Opening a session of such a version removes all entities.
        if file.version <= LAST_WITH_WRONG_HASHES:
            return
        with progress("copying", file.count("entities")) as advance:
            for batch in file.entity_batches():
                sanitized = (sanitize_entity(row)[0] for row in batch)
                target.insert("entities", [row for row in sanitized if row])
                advance(len(batch))


@contextmanager
def _copy_on_server(place: Remote, rows: list[Row]) -> Iterator[Remote]:
    copy = place.named(f"telethon-session-bench-{secrets.token_hex(8)}")
    try:
        with open_target(copy) as target:
            target.insert("entities", rows)
        yield copy
    finally:
        with open_remote(copy) as session:
            session.delete()


def _measure(openers: Openers, rows: list[Row], seconds: float) -> Times:
    keys = _lookup_keys(rows)
    labels = [_OPEN, *map(_lookup_label, keys), _PROCESS, _SAVE, _PROCESS_AND_SAVE]
    times: Times = {label: {cls: [] for cls in openers} for label in labels}
    budget = seconds / (len(labels) * len(openers) * _ROUNDS)
    with progress("measuring", _ROUNDS * len(openers)) as advance:
        for number in range(_ROUNDS):
            # The classes alternate in going first.
            for cls, opener in sorted(openers.items(), key=lambda item: (item[0] is not SQLiteSession) ^ number % 2):
                _measure_class(opener, keys, rows, budget, lambda label, took: times[label][cls].append(took))  # noqa: B023
                advance(1)
    return {label: by_class for label, by_class in times.items() if all(by_class.values())}


def _measure_class(
    opener: Callable[[], Any],
    keys: dict[str, list[Any]],
    rows: list[Row],
    budget: float,
    record: Callable[[str, float], None],
) -> None:
    record(_OPEN, _seconds_per_call([lambda: opener().close()], budget))
    session = opener()
    try:
        while isinstance(session, StoredSession) and not session._is_loaded():
            time.sleep(0.001)
        for kind, known in keys.items():
            record(_lookup_label(kind), _seconds_per_call([_lookup(session, key) for key in known], budget))
        batches = _entity_batches(rows)
        if batches:
            processing = [_elapsed(lambda: session.process_entities(batch)) for batch in batches]  # noqa: B023
            count, saving = sum(map(len, batches)), _elapsed(session.save)
            record(_PROCESS, sum(processing) / count)
            record(_SAVE, saving)
            record(_PROCESS_AND_SAVE, (sum(processing) + saving) / count)
    finally:
        session.close()


def _lookup_label(kind: str) -> str:
    return f"look up by {kind}"


def _lookup_keys(rows: list[Row]) -> dict[str, list[Any]]:
    """Returns a sample of the keys that find entities of the file, by kind."""
    sampler = random.Random(0)
    # Entity 0 is the account of the file.
    entities = [row for row in rows if row[0] != 0]
    known = {
        "ID": [row[0] for row in entities],
        "username": [row[2] for row in entities if row[2]],
        "phone": [f"+{row[3]}" for row in entities if row[3]],
        "name": [row[4] for row in entities if row[4]],
    }
    return {kind: sampler.sample(keys, min(len(keys), _MAX_KEYS)) for kind, keys in known.items() if keys}


def _lookup(session: Any, key: Any) -> Callable[[], None]:
    find = session.get_input_entity

    def look_up() -> None:
        try:  # noqa: SIM105 (suppress() takes longer than some lookups)
            find(key)
        except ValueError:  # a name that looks like a link
            pass

    return look_up


def _entity_batches(rows: list[Row]) -> list[list[Any]]:
    """Returns some of the rows as objects of Telethon, in batches."""
    chosen = [row for row in rows if row[0] != 0][: _BATCH_ENTITIES * _MAX_BATCHES]
    entities = [_entity(*row) for row in chosen]
    return [entities[start : start + _BATCH_ENTITIES] for start in range(0, len(entities), _BATCH_ENTITIES)]


def _entity(id: int, access_hash: int, username: str | None, phone: Any, name: str | None, date: Any) -> Any:
    bare_id, kind = utils.resolve_id(id)
    # A `str` caches its UTF-8 encoding, from which only the second class would profit. New objects
    # have no cache.
    username, name = (text and text.encode().decode() for text in (username, name))
    photo = types.ChatPhotoEmpty()
    if kind is types.PeerUser:
        return types.User(
            bare_id, access_hash=access_hash, username=username, phone=phone and str(phone), first_name=name
        )
    if kind is types.PeerChat:
        return types.Chat(bare_id, name or "", photo, participants_count=0, date=None, version=0)
    return types.Channel(bare_id, name or "", photo, date=None, access_hash=access_hash, username=username)


def _seconds_per_call(calls: list[Callable[[], Any]], budget: float) -> float:
    """Makes the calls in turns until the budget is spent, at least one of them. Returns the mean of
    their times.
    """
    done, start = 0, time.perf_counter()
    while True:
        calls[done % len(calls)]()
        done += 1
        elapsed = time.perf_counter() - start
        if elapsed > budget:
            return elapsed / done


def _elapsed(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _cells(label: str, by_class: dict[type, list[float]]) -> list[str]:
    theirs, ours = map(median, by_class.values())
    return [label, _format_duration(theirs), _format_duration(ours), f"{theirs / ours:,.1f}x"]


def _format_duration(seconds: float) -> str:
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("us", 1e6)):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def _positive_float(text: str) -> float:
    """Parses the value of an option, as argparse's `type`."""
    number = float(text)
    if not number > 0:
        raise ArgumentTypeError("must be greater than 0")
    return number
