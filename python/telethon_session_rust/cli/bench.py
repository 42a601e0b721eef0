"""`telethon-session bench`: measures Telethon's session class and this package's on copies of a
file.
"""

from __future__ import annotations

import random
import shutil
import time
from argparse import ArgumentTypeError, Namespace
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

from telethon import utils
from telethon.sessions import SQLiteSession
from telethon.tl import types

from ..sqlite import RustSQLiteSession
from . import files
from .errors import CommandError
from .files import repair_hint
from .output import print_message, print_table, progress
from .reader import open_reader
from .rows import Row
from .sanitize import sanitize_entity
from .schema import LAST_WITH_WRONG_HASHES
from .subcommands import Subcommands, add_file_argument
from .writer import open_writer

_DESCRIPTION = """\
Measures on copies in a temporary folder, which hold no login: the key stays in FILE. The two
classes take turns. Each one opens its copy, looks up entities by ID, username, phone and name,
processes the file's entities again in batches of 200, and saves them, all outside of an event
loop. RustSQLiteSession is measured once it has loaded its file, which it does in the
background. Telethon's class writes while it processes, and its save() only commits;
RustSQLiteSession leaves the writing to save() or to the background. So compare the sum of both.
The table shows medians, and no names or keys."""
_CLASSES = (SQLiteSession, RustSQLiteSession)
_ROUNDS = 3
_BATCH_ENTITIES, _MAX_BATCHES = 200, 100
_OPEN = "open and close"
_PROCESS, _SAVE, _PROCESS_AND_SAVE = "process an entity again", "save() all of these", "process and save an entity"
# The number of lookups of each kind.
_MAX_KEYS = 200

Times: TypeAlias = dict[str, dict[type, list[float]]]


def add_to(subcommands: Subcommands) -> None:
    parser = subcommands.add(
        "bench",
        run,
        summary="measure Telethon's session class and this one on a file",
        description=_DESCRIPTION,
        example="telethon-session bench anon --seconds 30",
    )
    add_file_argument(parser)
    parser.add_argument(
        "--seconds", metavar="S", type=_positive_float, default=10.0, help="measure for about S seconds (default: 10)"
    )


def run(arguments: Namespace) -> int:
    path = files.existing_session_path(arguments.file)
    with TemporaryDirectory(prefix="telethon-session-") as folder:
        copies = {cls: Path(folder, f"{cls.__name__}.session") for cls in _CLASSES}
        first, *others = copies.values()
        _copy_without_login(path, first)
        for other in others:
            shutil.copyfile(first, other)
        with open_reader(first) as file:
            rows = [row for batch in file.entity_batches() for row in batch]
        times = _measure(copies, rows, arguments.seconds)
    print_message(f"{len(rows):,} entities; medians of {_ROUNDS} rounds")
    names = [cls.__name__ for cls in _CLASSES]
    print_table(["", *names, ""], [_cells(label, by_class) for label, by_class in times.items()])
    return 0


def _copy_without_login(path: Path, copy: Path) -> None:
    with open_reader(path) as file, open_writer(copy) as target:
        if file.version and "entities" not in file.tables:
            raise CommandError(f"{path} has no table entities: {repair_hint(path)}")
        # Opening a session of such a version removes all entities.
        if file.version <= LAST_WITH_WRONG_HASHES:
            return
        with progress("copying", file.count("entities")) as advance:
            for batch in file.entity_batches():
                sanitized = (sanitize_entity(row)[0] for row in batch)
                target.insert("entities", [row for row in sanitized if row])
                advance(len(batch))


def _measure(copies: dict[type, Path], rows: list[Row], seconds: float) -> Times:
    keys = _lookup_keys(rows)
    labels = [_OPEN, *map(_lookup_label, keys), _PROCESS, _SAVE, _PROCESS_AND_SAVE]
    times: Times = {label: {cls: [] for cls in copies} for label in labels}
    budget = seconds / (len(labels) * len(copies) * _ROUNDS)
    with progress("measuring", _ROUNDS * len(copies)) as advance:
        for number in range(_ROUNDS):
            # The classes alternate in going first.
            for cls in sorted(copies, key=lambda cls: (cls is RustSQLiteSession) ^ number % 2):
                _measure_class(cls, copies[cls], keys, rows, budget, lambda label, took: times[label][cls].append(took))  # noqa: B023
                advance(1)
    return {label: by_class for label, by_class in times.items() if all(by_class.values())}


def _measure_class(
    cls: type,
    path: Path,
    keys: dict[str, list[Any]],
    rows: list[Row],
    budget: float,
    record: Callable[[str, float], None],
) -> None:
    record(_OPEN, _seconds_per_call([lambda: cls(str(path)).close()], budget))
    session: Any = cls(str(path))
    try:
        while isinstance(session, RustSQLiteSession) and not session._is_loaded():
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
    theirs, ours = (median(by_class[cls]) for cls in _CLASSES)
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
