"""Fixtures for tests that alter a file: a valid file to start with, and a worker that opens the
altered one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.altered_files import create_valid_file
from support.file_client import FileWorker, fast_folder


@pytest.fixture(scope="module")
def worker() -> Iterator[FileWorker]:
    with fast_folder() as folder, FileWorker(folder) as worker:
        yield worker


@pytest.fixture(scope="module")
def valid_file(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return create_valid_file(tmp_path_factory.mktemp("sound") / "anna.session")


@pytest.fixture
def path(worker: FileWorker, valid_file: bytes) -> Path:
    path = worker.new_path()
    path.write_bytes(valid_file)
    return path
