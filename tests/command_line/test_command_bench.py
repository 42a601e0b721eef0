"""`telethon-session bench`: both classes on copies of a file, and nothing of it is shown or left."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

import pytest
from telethon.sessions import SQLiteSession

from support.cli import call, filled, rows_of, unchanged
from support.contents import KEY
from support.key_traces import traces
from support.real_files import FILES, version_of
from telethon_session_rust import RustSQLiteSession
from telethon_session_rust.cli import bench

pytestmark = pytest.mark.any_release

MEASURES = [
    "opening and closing",
    *(f"a lookup by {kind}" for kind in ("id", "username", "phone", "name")),
    "an entity taken in again",
    "save() of all these",
    "an entity taken in and saved",
]
TIME = r"\d+(\.\d+)?(e[+-]\d+)? (s|ms|us|ns)"


@pytest.fixture(autouse=True)
def temporary(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are made."""
    place = folder / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    return place


def measured(*arguments: object) -> list[str]:
    answer = call("bench", *arguments, "--seconds", 0.2)
    assert answer.code == 0
    head, *lines = answer.out.splitlines()
    assert head.split() == [SQLiteSession.__name__, RustSQLiteSession.__name__]
    for line in lines:
        assert re.fullmatch(rf"\S.*?  +{TIME}  +{TIME}  +[\d,.]+ times", line), line
    said = answer.out + answer.err
    assert not [trace for trace in traces(KEY.key) if trace in said]
    assert not any(name in said for name in ("Анна", "Channel", "user1", "79990"))
    return [re.split("  +", line)[0] for line in lines]


def test_the_table_and_the_file(temporary: Path) -> None:
    path = filled()
    with unchanged(path):
        assert measured("anna") == MEASURES
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("real", FILES, ids=lambda path: path.stem)
def test_real_files(real: Path) -> None:
    """Older ones are measured as what an upgrade makes of them."""
    path = Path(shutil.copyfile(real, "anna.session"))
    has_entities = bool(rows_of(path)) and version_of(path) > 5
    assert measured("anna") == (MEASURES if has_entities else MEASURES[:1])


def test_the_copies_have_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    path = filled()
    copies = []

    def look(paths: dict[type, Path], rows: object, seconds: float) -> bench.Times:
        for copy in paths.values():
            copies.append((copy.read_bytes(), rows_of(copy)))
        return {}

    monkeypatch.setattr(bench, "_measure", look)
    assert call("bench", "anna").code == 0
    assert len(copies) == 2
    for content, rows in copies:
        assert rows == rows_of(path)
        assert KEY.key not in content and KEY.key[:32] not in content


@pytest.mark.parametrize("seconds", ["0", "-1", "soon", "nan"])
def test_seconds_that_are_none(seconds: str) -> None:
    assert call("bench", "anna", "--seconds", seconds).code == 2
