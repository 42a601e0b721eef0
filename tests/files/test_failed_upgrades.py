"""An upgrade that fails half-way leaves the file as it was, and is done once what was in its way is gone."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from telethon.sessions.sqlite import CURRENT_VERSION

from support.counters import tried
from support.file_client import Lives, fast_folder
from support.file_worker import digest_of
from support.files import dump
from support.real_files import FILES, rows_of, version_of
from support.unprivileged import NOBODY

OLD = [path for path in FILES if version_of(path) < CURRENT_VERSION]
each_old = pytest.mark.parametrize("old", OLD, ids=lambda path: path.stem)
posix_only = pytest.mark.skipif(not hasattr(os, "getuid"), reason="Windows has no such limits and modes")


@pytest.fixture(scope="module")
def lives() -> Iterator[Lives]:
    """Of somebody to whom modes matter; they do not to root."""
    with fast_folder() as folder:
        is_root = hasattr(os, "getuid") and os.getuid() == 0
        if is_root:
            os.chown(folder, NOBODY, NOBODY)
        with Lives(folder, NOBODY if is_root else None) as lives:
            yield lives


@pytest.fixture
def path(old: Path, lives: Lives) -> Path:
    path = lives.new_path()
    shutil.copyfile(old, path)
    path.chmod(0o666)
    return path


def fail(path: Path, lives: Lives, file_limit: int | None = None) -> str:
    """What is said of it, without its name."""
    before = path.read_bytes()
    (life,) = lives.of(path, file_limit=file_limit)
    tried("bad files")
    assert life.faults == []
    assert life.refused
    assert path.read_bytes() == before
    return life.refused.replace(str(path), "")


def succeed(path: Path, lives: Lives) -> None:
    dc_id, address, port, key, *_ = rows_of(path, "sessions")[0]
    (life,) = lives.of(path)
    assert (life.errors, life.refused) == ([], None)
    assert life.ours == [digest_of(key), dc_id, address, port]
    assert version_of(path) == CURRENT_VERSION
    # And its integrity.
    dump(path)


# Three are too little for the journal: its header, its first page, its second. Only the first three versions lack a
# table, and so grow.
LIMITS = [(old, limit) for old in OLD for limit in [1, 600, 5000]]
LIMITS += [(old, old.stat().st_size) for old in OLD if version_of(old) <= 3]


@posix_only
@pytest.mark.parametrize(("old", "limit"), LIMITS, ids=lambda value: getattr(value, "stem", value))
def test_a_full_disk(limit: int, path: Path, lives: Lives) -> None:
    assert re.search(r"full|disk", fail(path, lives, file_limit=limit))
    succeed(path, lives)


@posix_only
@each_old
def test_a_folder_that_may_not_be_written(path: Path, lives: Lives) -> None:
    lives.folder.chmod(0o555)
    try:
        assert "readonly" in fail(path, lives)
    finally:
        lives.folder.chmod(0o755)
    succeed(path, lives)


@posix_only
@each_old
def test_a_file_that_may_not_be_written(path: Path, lives: Lives) -> None:
    path.chmod(0o444)
    assert "readonly" in fail(path, lives)
    path.chmod(0o666)
    succeed(path, lives)


# The last version that it hinders, what it is, how it is removed, and what must be said.
IN_THE_WAY = {
    "a table": (3, "create table update_state (x)", "drop table update_state", "update_state"),
    "a view": (3, "create view update_state as select 1", "drop view update_state", "update_state"),
    "an index": (3, "create index update_state on entities (name)", "drop index update_state", "update_state"),
    "a view of files": (1, "create view sent_files as select 1", "drop view sent_files", "sent_files"),
    "takeout id": (
        *(4, "alter table sessions add column takeout_id text"),
        *("alter table sessions drop column takeout_id", "takeout_id"),
    ),
    "date": (6, "alter table entities add column date", "alter table entities drop column date", "date"),
    "temporary key": (
        *(7 if CURRENT_VERSION > 7 else 0, "alter table sessions add column tmp_auth_key"),
        *("alter table sessions drop column tmp_auth_key", "tmp_auth_key"),
    ),
    "a trigger": (
        *(5, "create trigger guard before delete on entities begin select raise(abort, 'they stay'); end"),
        *("drop trigger guard", "they stay"),
    ),
    "a trigger at the end": (
        *(7, "create trigger guard before delete on version begin select raise(abort, 'it stays'); end"),
        *("drop trigger guard", "it stays"),
    ),
}
CAN_DROP_COLUMNS = sqlite3.sqlite_version_info >= (3, 35)


@pytest.mark.parametrize(
    ("old", "what"),
    [
        pytest.param(old, what, id=f"{what}-{old.stem}")
        for what, (last, _, remove, _) in IN_THE_WAY.items()
        for old in OLD
        if version_of(old) <= last and (CAN_DROP_COLUMNS or "drop column" not in remove)
    ],
)
def test_something_is_in_the_way(what: str, path: Path, lives: Lives) -> None:
    _, put, remove, cause = IN_THE_WAY[what]
    with closing(sqlite3.connect(path)) as file:
        file.execute(put)
    said = fail(path, lives)
    assert cause in said and "telethon-session repair" in said
    with closing(sqlite3.connect(path)) as file:
        file.execute(remove)
    succeed(path, lives)
