"""Other libraries, which `make test-python` installs in `target/libraries`, and the program that writes
sessions with grammers.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ROOT / "tests" / "convert" / "programs"
_FOLDER = ROOT / "target" / "libraries"
_GRAMMERS = ROOT / "target" / "grammers" / "debug" / "write-grammers-session"


class Library:
    """A process with another library, which carries out what it reads from standard input: a line of
    JSON each time.
    """

    def __init__(self, name: str, program: str) -> None:
        # Qt looks for a screen.
        environment = os.environ | {"PYTHONPATH": str(folder(name)), "QT_QPA_PLATFORM": "offscreen"}
        self._process = subprocess.Popen(
            [sys.executable, PROGRAMS / program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )

    def call(self, content: Any) -> Any:
        assert self._process.stdin and self._process.stdout
        print(json.dumps(content), file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        assert answer, "the program of the other library has failed"
        return json.loads(answer)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        with self._process:
            self._process.kill()


Start: TypeAlias = Callable[[str, str], Library]


@pytest.fixture(scope="session")
def library() -> Iterator[Start]:
    """Returns the running process of a library and a program."""
    with ExitStack() as running:
        yield cache(lambda name, program: running.enter_context(closing(Library(name, program))))


def folder(library: str) -> Path:
    """Returns where a library is installed. Skips the test if it is not."""
    found = _FOLDER / library
    if not (found / ".ready").exists():
        _skip(library)
    return found


def write_grammers_session(path: Path, content: Any) -> None:
    if not _GRAMMERS.exists():
        _skip("grammers")
    done = subprocess.run([_GRAMMERS, path], input=json.dumps(content), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def _skip(library: str) -> None:
    message = f"not installed: {library}"
    pytest.fail(message) if "REQUIRE_LIBRARIES" in os.environ else pytest.skip(message)
