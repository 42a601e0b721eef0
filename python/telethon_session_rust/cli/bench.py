"""`telethon-session bench`: Telethon's class and ours, side by side, on a file of one's own."""

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
from .command import Commands, add_file
from .printing import print_table, progress, say
from .reading import reading, repair_hint
from .schema import WRONG_HASHES
from .trouble import Trouble
from .values import MENDERS, Row
from .writing import writing

_MORE = """\
Measures on copies in a temporary folder, which hold no login: the key stays in FILE. The two
classes take turns. Each one opens its copy, looks up entities by id, username, phone and name,
processes the file's entities again in pages of 200, and saves them, all outside of an event
loop. RustSQLiteSession is measured once it has loaded its file, which it does in the
background. Telethon's class writes while it processes, and its save() only commits;
RustSQLiteSession leaves the writing to save() or to the background. So compare the sum of both.
The table shows medians, and no names or keys."""
_SIDES = (SQLiteSession, RustSQLiteSession)
_ROUNDS = 3
_PAGE, _PAGES = 200, 100
_OPENING = "opening and closing"
_TAKING, _SAVING, _BOTH = "an entity taken in again", "save() of all these", "an entity taken in and saved"
# Of each kind of key.
_KEYS = 200

Times: TypeAlias = dict[str, dict[type, list[float]]]


def add_to(commands: Commands) -> None:
    summary = "measure Telethon's session class and this one on a file"
    parser = commands.declare("bench", run, summary, _MORE, "telethon-session bench anon --seconds 30")
    add_file(parser)
    parser.add_argument(
        "--seconds", metavar="S", type=_seconds, default=10.0, help="measure for about S seconds (default: 10)"
    )


def run(arguments: Namespace) -> int:
    path = files.existing(arguments.file)
    with TemporaryDirectory(prefix="telethon-session-") as folder:
        copies = {side: Path(folder, f"{side.__name__}.session") for side in _SIDES}
        first, *others = copies.values()
        _copy(path, first)
        for other in others:
            shutil.copyfile(first, other)
        with reading(first) as file:
            rows = [row for page in file.entities() for row in page]
        times = _measure(copies, rows, arguments.seconds)
    say(f"{len(rows):,} entities; medians of {_ROUNDS} rounds")
    names = [side.__name__ for side in _SIDES]
    print_table(["", *names, ""], [_row(what, of) for what, of in times.items()])
    return 0


def _copy(path: Path, copy: Path) -> None:
    """All but the login."""
    with reading(path) as file, writing(copy) as into:
        if file.version and "entities" not in file.tables:
            raise Trouble(f"{path} has no table of entities: {repair_hint(path)}")
        # An upgrade would forget them.
        if file.version <= WRONG_HASHES:
            return
        with progress("copying", file.count("entities")) as done:
            for page in file.entities():
                mended = (MENDERS["entities"](row)[0] for row in page)
                into.put("entities", [row for row in mended if row])
                done(len(page))


def _measure(copies: dict[type, Path], rows: list[Row], seconds: float) -> Times:
    keys = _keys(rows)
    measures = [_OPENING, *(f"a lookup by {kind}" for kind in keys), _TAKING, _SAVING, _BOTH]
    times: Times = {what: {side: [] for side in copies} for what in measures}
    budget = seconds / (len(measures) * len(copies) * _ROUNDS)
    with progress("measuring", _ROUNDS * len(copies)) as done:
        for number in range(_ROUNDS):
            # Each comes first as often as the other, but for one.
            for side in sorted(copies, key=lambda side: (side is RustSQLiteSession) ^ number % 2):
                _one_turn(side, copies[side], keys, rows, budget, lambda what, took: times[what][side].append(took))  # noqa: B023
                done(1)
    return {what: of for what, of in times.items() if all(of.values())}


def _one_turn(
    side: type,
    path: Path,
    keys: dict[str, list[Any]],
    rows: list[Row],
    budget: float,
    note: Callable[[str, float], None],
) -> None:
    note(_OPENING, _per_call([lambda: side(str(path)).close()], budget))
    session: Any = side(str(path))
    try:
        while isinstance(session, RustSQLiteSession) and not session._is_loaded():
            time.sleep(0.001)
        for kind, known in keys.items():
            note(f"a lookup by {kind}", _per_call([_lookup(session, key) for key in known], budget))
        pages = _pages(rows)
        if pages:
            took = [_clocked(lambda: session.process_entities(page)) for page in pages]  # noqa: B023
            count, saving = sum(map(len, pages)), _clocked(session.save)
            note(_TAKING, sum(took) / count)
            note(_SAVING, saving)
            note(_BOTH, (sum(took) + saving) / count)
    finally:
        session.close()


def _keys(rows: list[Row]) -> dict[str, list[Any]]:
    """By what people of the file can be looked up, some of each kind."""
    chance = random.Random(0)
    people = [row for row in rows if row[0] != 0]
    known = {
        "id": [row[0] for row in people],
        "username": [row[2] for row in people if row[2]],
        "phone": [f"+{row[3]}" for row in people if row[3]],
        "name": [row[4] for row in people if row[4]],
    }
    return {kind: chance.sample(keys, min(len(keys), _KEYS)) for kind, keys in known.items() if keys}


def _lookup(session: Any, key: Any) -> Callable[[], None]:
    find = session.get_input_entity

    def look() -> None:
        try:  # noqa: SIM105 (suppress() takes longer than some lookups)
            find(key)
        except ValueError:  # a name that looks like a link
            pass

    return look


def _pages(rows: list[Row]) -> list[list[Any]]:
    """Telethon's objects of some of the rows, with texts of their own."""
    chosen = [row for row in rows if row[0] != 0][: _PAGE * _PAGES]
    entities = [_entity(*row) for row in chosen]
    return [entities[at : at + _PAGE] for at in range(0, len(entities), _PAGE)]


def _entity(id: int, access_hash: int, username: str | None, phone: Any, name: str | None, date: Any) -> Any:
    bare_id, kind = utils.resolve_id(id)
    # A text remembers how it was encoded; each side gets its own.
    username, name = (text and text.encode().decode() for text in (username, name))
    photo = types.ChatPhotoEmpty()
    if kind is types.PeerUser:
        return types.User(
            bare_id, access_hash=access_hash, username=username, phone=phone and str(phone), first_name=name
        )
    if kind is types.PeerChat:
        return types.Chat(bare_id, name or "", photo, participants_count=0, date=None, version=0)
    return types.Channel(bare_id, name or "", photo, date=None, access_hash=access_hash, username=username)


def _per_call(calls: list[Callable[[], Any]], budget: float) -> float:
    """Seconds for each call: all of them again and again until the time is over, and one at least."""
    done, begun = 0, time.perf_counter()
    while True:
        calls[done % len(calls)]()
        done += 1
        took = time.perf_counter() - begun
        if took > budget:
            return took / done


def _clocked(call: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def _row(what: str, of: dict[type, list[float]]) -> list[str]:
    theirs, ours = (median(of[side]) for side in _SIDES)
    return [what, _shown(theirs), _shown(ours), f"{theirs / ours:,.1f} times"]


def _shown(seconds: float) -> str:
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("us", 1e6)):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def _seconds(text: str) -> float:
    seconds = float(text)
    if not seconds > 0:
        raise ArgumentTypeError("it must be more than 0")
    return seconds
