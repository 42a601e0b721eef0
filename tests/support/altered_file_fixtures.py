"""Fixtures for what is strange in files: a sound one to begin with, and somebody who lives with what becomes of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.altered_files import sound_file
from support.file_client import Lives, fast_folder


@pytest.fixture(scope="module")
def lives() -> Iterator[Lives]:
    with fast_folder() as folder, Lives(folder) as lives:
        yield lives


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return sound_file(tmp_path_factory.mktemp("sound") / "anna.session")


@pytest.fixture
def path(lives: Lives, sound: bytes) -> Path:
    path = lives.new_path()
    path.write_bytes(sound)
    return path
