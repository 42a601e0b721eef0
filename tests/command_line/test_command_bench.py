"""`telethon-session bench` measures both classes, and neither shows nor leaves anything of the
file.
"""

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

MEASURES = [
    "open and close",
    *(f"look up by {kind}" for kind in ("ID", "username", "phone", "name")),
    "process an entity again",
    "save() all of these",
    "process and save an entity",
]
TIME = r"\d+(\.\d+)?(e[+-]\d+)? (s|ms|us|ns)"


@pytest.fixture(autouse=True)
def temporary_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which temporary folders are created."""
    parent = folder / "temporary"
    parent.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(parent))
    return parent


def measured(*arguments: object) -> list[str]:
    result = call("bench", *arguments, "--seconds", 0.2)
    assert result.code == 0
    head, *lines = result.out.splitlines()
    assert head.split() == [SQLiteSession.__name__, RustSQLiteSession.__name__]
    for line in lines:
        assert re.fullmatch(rf"\S.*?  +{TIME}  +{TIME}  +[\d,.]+x", line), line
    output = result.out + result.err
    assert not [trace for trace in traces(KEY.key) if trace in output]
    assert not any(name in output for name in ("Анна", "Channel", "user1", "79990"))
    return [re.split("  +", line)[0] for line in lines]


def test_it_prints_a_table_and_leaves_no_file(temporary_folder: Path) -> None:
    path = filled()
    with unchanged(path):
        assert measured("anna") == MEASURES
    assert list(temporary_folder.iterdir()) == []


@pytest.mark.parametrize("real", FILES, ids=lambda path: path.stem)
def test_real_files(real: Path) -> None:
    """Upgrading old versions removes their entities, so there is nothing to look up."""
    path = Path(shutil.copyfile(real, "anna.session"))
    has_entities = bool(rows_of(path)) and version_of(path) > 5
    assert measured("anna") == (MEASURES if has_entities else MEASURES[:1])


def test_the_copies_have_no_login(monkeypatch: pytest.MonkeyPatch) -> None:
    path = filled()
    copies = []

    def inspect(openers: bench.Openers, rows: object, seconds: float) -> bench.Times:
        for opener in openers.values():
            session = opener()
            copy = Path(session.filename)
            session.close()
            copies.append((copy.read_bytes(), rows_of(copy)))
        return {}

    monkeypatch.setattr(bench, "_measure", inspect)
    assert call("bench", "anna").code == 0
    assert len(copies) == 2
    for content, rows in copies:
        assert rows == rows_of(path)
        assert KEY.key not in content and KEY.key[:32] not in content


@pytest.mark.parametrize("seconds", ["0", "-1", "soon", "nan"])
def test_invalid_seconds(seconds: str) -> None:
    assert call("bench", "anna", "--seconds", seconds).code == 2
