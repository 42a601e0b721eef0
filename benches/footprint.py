"""What the package costs a client that only uses files: the import, memory, and the size of the wheel."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import zlib
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

from telethon.sessions import SQLiteSession

from common import in_subprocess, rotated
from harness import Harness
from many_sessions import write_template
from memory import resident
from report import CONSOLE, Row, Section, at_most, kilobytes, medians, megabytes, seconds
from telethon_session_rust import RustSQLiteSession, _core, open_session

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from support import servers

ROOT = Path(__file__).resolve().parents[1]
WHEELS = ROOT / "target" / "wheels"
SESSIONS = 100

LONGEST_IMPORT = 0.05
MOST_OF_IMPORT = 10e6
MOST_OF_A_SESSION = 35e3
MOST_BESIDE_STORES = 1.1
LARGEST_WHEEL = 5e6

# Time and resident memory of importing Telethon's sessions and then the package.
IMPORT = """
import json, time, psutil
def now():
    return time.perf_counter(), psutil.Process().memory_info().rss
def since(begin):
    return [after - before for before, after in zip(begin, now())]
begin = now()
import telethon.sessions
theirs = since(begin)
begin = now()
import telethon_session_rust
print(json.dumps([theirs, since(begin)]))
"""


def measure(harness: Harness) -> Section:
    rounds = harness.scale.rounds_in_subprocesses
    figures: defaultdict[str, list[float]] = defaultdict(list)
    for round_number in range(2 * harness.scale.rounds + 1):
        theirs, ours = import_once()
        # The first one compiles and reads files.
        if round_number:
            figures["their import"].append(theirs[0])
            figures["import"].append(ours[0])
            figures["their import's memory"].append(theirs[1])
            figures["import's memory"].append(ours[1])
    with ExitStack() as running, harness.temporary_folder() as folder:
        template = write_template(harness.dataset, folder / "template.session")
        kinds = [kind for kind in servers.KINDS if servers.KINDS[kind].is_installed()]
        urls = [f"{running.enter_context(servers.running(kind)).url('beside')}#beside" for kind in kinds]
        sides: list[tuple[str, type, list[str]]] = [
            ("their session", SQLiteSession, []),
            ("session", RustSQLiteSession, []),
            ("session beside stores", RustSQLiteSession, urls),
        ]
        for round_number in range(rounds):
            harness.log(f"footprint: round {round_number + 1} of {rounds}")
            for what, cls, beside in rotated(sides, round_number):
                size, stores = in_subprocess(memory_of, cls, template, folder / f"{what} {round_number}", beside)
                figures[what].append(size / SESSIONS)
                if beside:
                    figures["stores"].append(stores)
    of = {what: median(values) for what, values in figures.items()}
    alone, beside_stores = of["session"], of["session beside stores"]
    rows = [
        at_most("importing the package, after Telethon", of["import"], LONGEST_IMPORT, seconds, of["their import"]),
        at_most(
            "memory of importing it", of["import's memory"], MOST_OF_IMPORT, megabytes, of["their import's memory"]
        ),
        at_most(f"a file session, each of {SESSIONS}", alone, MOST_OF_A_SESSION, kilobytes, of["their session"]),
    ]
    if urls:
        rows += [
            at_most(
                f"the same, beside sessions on {len(urls)} servers",
                beside_stores,
                MOST_BESIDE_STORES * alone,
                kilobytes,
                floor=alone,
            ),
            Row(f"memory of the first sessions on {len(urls)} servers", ours=megabytes(of["stores"])),
        ]
    what, size = compressed_size()
    rows.append(at_most(what, size, LARGEST_WHEEL, megabytes))
    return Section(
        "What it costs a client that uses files",
        "The wheel holds the clients of all servers. Telethon's figures of the import are those of `telethon.sessions`."
        f" A new process for each figure; memory is resident. {medians(rounds)}",
        rows,
    )


def import_once() -> Any:
    environment = {**os.environ, "PYTHONPATH": ""}
    command = [sys.executable, "-c", IMPORT]
    return json.loads(subprocess.run(command, env=environment, check=True, capture_output=True).stdout)


def memory_of(cls: type, template: Path, folder: Path, urls: list[str]) -> tuple[int, int]:
    """Returns by how many bytes file sessions make the process grow, and by how many the sessions at URLs
    did before. Call in a new process.
    """
    folder.mkdir()
    paths = [str(folder / f"{number}.session") for number in range(SESSIONS + 1)]
    for path in paths:
        shutil.copyfile(template, path)
    # What only the first one costs is not counted.
    kept = [open_and_load(cls, paths.pop())]
    before = resident()
    kept += [open_session(url, timeout=60) for url in urls]
    after = resident()
    kept += [open_and_load(cls, path) for path in paths]
    grown = resident() - after
    for session in kept:
        session.close()
    return grown, after - before


def open_and_load(cls: type, path: str) -> Any:
    session = cls(path)
    session.get_entity_rows_by_id(0)
    while cls is RustSQLiteSession and not session._is_loaded():
        time.sleep(0.001)
    return session


def compressed_size() -> tuple[str, int]:
    """Returns the name and the size of the wheel, or of the installed extension if no wheel was built."""
    wheels = sorted(WHEELS.glob("*abi3*.whl"), key=lambda path: path.stat().st_mtime)
    if wheels:
        return "the wheel", wheels[-1].stat().st_size
    CONSOLE.print("[dim]footprint: no wheel was built, so the extension is compressed instead; see make wheel[/]")
    return "the extension, compressed", len(zlib.compress(Path(_core.__file__).read_bytes()))
