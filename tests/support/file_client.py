"""Runs sessions on arbitrary files in a worker process, so that a crash is noticed."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from support.addresses import completed


@dataclass
class Report:
    """What happened when a session used a file."""

    name: str
    # The step, the error's class and its text.
    errors: list[tuple[str, str, str]] = field(default_factory=list)
    # Errors that are not a `DatabaseError`, `ValueError` or `OSError`.
    unexpected: list[str] = field(default_factory=list)
    # The error of the constructor.
    refused: str | None = None
    # What has changed although the file was refused: content, mode, time, or the files beside it.
    changed: list[str] = field(default_factory=list)
    # What Telethon and ours read: digest of the key, data centre ID, address, port.
    theirs: list[Any] | None = None
    ours: list[Any] | None = None
    # The entities found by each key, first at once, then after the file was loaded.
    found: list[list[Any]] = field(default_factory=list)

    @property
    def faults(self) -> list[str]:
        """What must not happen with any file."""
        faults = [f"wrong class of error: {error}" for error in self.unexpected]
        faults += [
            f"does not name the file: {error}" for error in self.errors if f"{self.name}.session" not in error[2]
        ]
        # An upgrade that was rolled back changes the time only.
        if self.changed not in ([], ["time"]):
            faults.append(f"refused ({self.refused}), but changed: {self.changed}")
        if self.theirs and self.theirs[0] and self.ours and self.ours != completed(self.theirs):
            faults.append(f"login differs from Telethon's: {self.ours}, not {self.theirs}")
        return faults


@contextmanager
def fast_folder() -> Iterator[Path]:
    """Yields a temporary folder for tests that do not depend on the disk, in memory where possible."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


class FileWorker:
    """A process that runs `support.file_worker`. Its files are in `folder`."""

    def __init__(self, folder: Path, user: int | None = None) -> None:
        self.folder = folder
        self.log = folder / "log.txt"
        command = [sys.executable, "-m", "support.file_worker", *([str(user)] if user else [])]
        with self.log.open("w") as log:
            pipe = subprocess.PIPE
            self.process = subprocess.Popen(command, cwd=folder, stdin=pipe, stdout=pipe, stderr=log, text=True)

        self._numbers = count()

    def new_path(self) -> Path:
        return self.folder / f"anna_{next(self._numbers)}.session"

    def __enter__(self) -> FileWorker:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate()
        log = self.log.read_text(errors="replace")
        assert self.process.returncode == 0, log[-3000:]
        # Errors in background threads and in destructors are in the log only.
        assert not any(sign in log for sign in ("panicked", "a bug in telethon-session-rust", "Exception ignored")), log

    def run(self, *paths: Path, **options: Any) -> list[Report]:
        """Runs a session on each file and returns the reports. The options are those of
        `file_worker.Job`.
        """
        print(json.dumps([{"name": path.stem, **options} for path in paths]), file=self.process.stdin, flush=True)
        last_step = ""
        for line in self.process.stdout:
            reply = json.loads(line)
            if isinstance(reply, list):
                return [Report(**report) for report in reply]
            last_step = reply
        raise AssertionError(f"the process ended during {last_step}: {self.log.read_text(errors='replace')[-3000:]}")
