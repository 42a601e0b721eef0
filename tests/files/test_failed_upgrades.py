"""An upgrade that fails leaves the file unchanged, and succeeds once the cause is removed."""

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

from support.counters import tally
from support.file_client import FileWorker, fast_folder
from support.file_worker import digest_of
from support.files import dump
from support.real_files import FILES, rows_of, version_of
from support.unprivileged import NOBODY

OLD = [path for path in FILES if version_of(path) < CURRENT_VERSION]
each_old = pytest.mark.parametrize("old", OLD, ids=lambda path: path.stem)
posix_only = pytest.mark.skipif(not hasattr(os, "getuid"), reason="Windows has no such limits and modes")


@pytest.fixture(scope="module")
def worker() -> Iterator[FileWorker]:
    """A worker that runs as a user for whom file modes apply, unlike root."""
    with fast_folder() as folder:
        is_root = hasattr(os, "getuid") and os.getuid() == 0
        if is_root:
            os.chown(folder, NOBODY, NOBODY)
        with FileWorker(folder, NOBODY if is_root else None) as worker:
            yield worker


@pytest.fixture
def path(old: Path, worker: FileWorker) -> Path:
    path = worker.new_path()
    shutil.copyfile(old, path)
    path.chmod(0o666)
    return path


def fail(path: Path, worker: FileWorker, file_limit: int | None = None) -> str:
    """Returns the error message, without the file's name."""
    before = path.read_bytes()
    (report,) = worker.run(path, file_limit=file_limit)
    tally("malformed files")
    assert report.faults == []
    assert report.refused
    assert path.read_bytes() == before
    return report.refused.replace(str(path), "")


def succeed(path: Path, worker: FileWorker) -> None:
    dc_id, address, port, key, *_ = rows_of(path, "sessions")[0]
    (report,) = worker.run(path)
    assert (report.errors, report.refused) == ([], None)
    assert report.ours == [digest_of(key), dc_id, address, port]
    assert version_of(path) == CURRENT_VERSION
    # Also checks the file's integrity.
    dump(path)


# The first three limits fail in the journal: its header, its first page, its second page. Only
# files of the first three versions lack a table and therefore grow.
LIMITS = [(old, limit) for old in OLD for limit in [1, 600, 5000]]
LIMITS += [(old, old.stat().st_size) for old in OLD if version_of(old) <= 3]


@posix_only
@pytest.mark.parametrize(("old", "limit"), LIMITS, ids=lambda value: getattr(value, "stem", value))
def test_full_disk(limit: int, path: Path, worker: FileWorker) -> None:
    assert re.search(r"full|disk", fail(path, worker, file_limit=limit))
    succeed(path, worker)


@posix_only
@each_old
def test_read_only_folder(path: Path, worker: FileWorker) -> None:
    worker.folder.chmod(0o555)
    try:
        assert "readonly" in fail(path, worker)
    finally:
        worker.folder.chmod(0o755)
    succeed(path, worker)


@posix_only
@each_old
def test_read_only_file(path: Path, worker: FileWorker) -> None:
    path.chmod(0o444)
    assert "readonly" in fail(path, worker)
    path.chmod(0o666)
    succeed(path, worker)


# The last version whose upgrade fails, the statement that creates the obstacle, the one that
# removes it, and the text that the error must contain.
OBSTACLES = {
    "table": (3, "create table update_state (x)", "drop table update_state", "update_state"),
    "view": (3, "create view update_state as select 1", "drop view update_state", "update_state"),
    "index": (3, "create index update_state on entities (name)", "drop index update_state", "update_state"),
    "sent_files view": (1, "create view sent_files as select 1", "drop view sent_files", "sent_files"),
    "takeout ID": (
        *(4, "alter table sessions add column takeout_id text"),
        *("alter table sessions drop column takeout_id", "takeout_id"),
    ),
    "date": (6, "alter table entities add column date", "alter table entities drop column date", "date"),
    "temporary key": (
        *(7 if CURRENT_VERSION > 7 else 0, "alter table sessions add column tmp_auth_key"),
        *("alter table sessions drop column tmp_auth_key", "tmp_auth_key"),
    ),
    "trigger on entities": (
        *(5, "create trigger guard before delete on entities begin select raise(abort, 'they stay'); end"),
        *("drop trigger guard", "they stay"),
    ),
    "trigger on version": (
        *(7, "create trigger guard before delete on version begin select raise(abort, 'it stays'); end"),
        *("drop trigger guard", "it stays"),
    ),
}
CAN_DROP_COLUMNS = sqlite3.sqlite_version_info >= (3, 35)


@pytest.mark.parametrize(
    ("old", "what"),
    [
        pytest.param(old, what, id=f"{what}-{old.stem}")
        for what, (last, _, remove, _) in OBSTACLES.items()
        for old in OLD
        if version_of(old) <= last and (CAN_DROP_COLUMNS or "drop column" not in remove)
    ],
)
def test_the_schema_prevents_the_upgrade(what: str, path: Path, worker: FileWorker) -> None:
    _, create, remove, cause = OBSTACLES[what]
    with closing(sqlite3.connect(path)) as file:
        file.execute(create)
    error = fail(path, worker)
    assert cause in error and "telethon-session repair" in error
    with closing(sqlite3.connect(path)) as file:
        file.execute(remove)
    succeed(path, worker)
