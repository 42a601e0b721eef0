"""`telethon-session merge`: the entities of several files in one."""

from __future__ import annotations

from argparse import Namespace
from collections import Counter
from pathlib import Path

from . import files
from .command import Commands
from .printing import print_pairs, progress, say, warn
from .reading import reading
from .schema import WRONG_HASHES
from .trouble import Trouble
from .values import MENDERS
from .writing import Writing, writing

_MORE = """\
Copies the entities and sent files of every FILE into another session file, which is made if it
does not exist. If several files have an entity, the copy seen last wins, and so does the entity
seen last if several have one username. The login of the other file does not change, and a new
file has none. Update states are not copied, because they belong to a login. FILE does not
change.

Access hashes belong to an account: merge only files of one account, or the entities cannot be
used."""


def add_to(commands: Commands) -> None:
    example = "telethon-session merge anon old_anon --into anon_on_the_server"
    parser = commands.declare("merge", run, "merge the entities of several session files", _MORE, example)
    parser.add_argument("files", metavar="FILE", nargs="+", help="a session file to read")
    parser.add_argument("--into", metavar="FILE", required=True, help="the session file to write")


def run(arguments: Namespace) -> int:
    into = files.new(arguments.into)
    is_new = not into.exists()
    paths = [files.existing(name) for name in arguments.files]
    paths = [path for path in paths if is_new or not path.samefile(into)]
    if not paths:
        raise Trouble(f"there is nothing to merge into {into} but itself")
    _compare_accounts(paths if is_new else [*paths, into])
    dropped: Counter[str] = Counter()
    try:
        with writing(into) as target:
            before = {table: target.count(table) for table in ("entities", "sent_files")}
            for path in paths:
                dropped += _take(path, target)
            target.give_each_username_one_owner()
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
            *(("left out", f"{what}: {count:,}") for what, count in dropped.items()),
        ]
    )
    return 0


def _compare_accounts(paths: list[Path]) -> None:
    """Refuses what is no session, and warns of several accounts."""
    accounts: dict[int, Path] = {}
    for path in paths:
        with reading(path) as file:
            own_id = file.own_id() if file.version else None
        if own_id is not None:
            accounts.setdefault(own_id, path)
    if len(accounts) > 1:
        names = ", ".join(f"{path} of {account}" for account, path in accounts.items())
        warn(f"these are files of different accounts ({names}): access hashes of one are of no use to another")


def _take(path: Path, target: Writing) -> Counter[str]:
    """Answers what was wrong with its values."""
    dropped: Counter[str] = Counter()
    with reading(path) as file:
        total = file.count("entities")
        if file.version <= WRONG_HASHES and total:
            say(f"The entities of {path} are left out: in database version {file.version} access hashes may be wrong.")
        else:
            with progress(f"merging {path.name}", total) as done:
                for page in file.entities():
                    mended = []
                    for row in page:
                        entity, faults = MENDERS["entities"](row)
                        dropped.update(faults)
                        # Entity 0 is whose file it is.
                        if entity and entity[0] != 0:
                            mended.append(entity)
                    target.put("entities", mended)
                    done(len(page))
        if file.version > 2:
            sent = [MENDERS["sent_files"](row)[0] for row in file.rows("sent_files")]
            target.put("sent_files", [row for row in sent if row])
    return dropped
