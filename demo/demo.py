"""A client signs in, receives 50,000 entities and reconnects: with our session, then with
Telethon's.

Everything runs on this machine: a Telegram data centre on 127.0.0.1, in a process of its own,
speaks MTProto with a real `TelegramClient`. The demo leaves a session file in demo-out/ that any
Telethon can open.
"""

from __future__ import annotations

import asyncio
import gc
import json
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

import rich
import telethon
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from scenario import Measurements, Workload, run_scenario
from telethon.sessions import SQLiteSession

from support.loopback.process import LoopbackProcess
from telethon_session_rust import RustSQLiteSession

OUT = HERE.parent / "demo-out"
ENTITIES = 50_000


async def main() -> None:
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    rich.print(f"Telethon {telethon.__version__}, a data centre on 127.0.0.1, {ENTITIES:,} entities")
    async with LoopbackProcess() as telegram:
        workload = Workload(ENTITIES, telegram.seed)
        ours = await run(telegram, workload, "anon", RustSQLiteSession)
        theirs = await run(telegram, workload, "telethon", SQLiteSession)
    rich.print(table(ours, theirs))
    rich.print(f"{OUT.name}/anon.session is an ordinary session file. Telethon reads: {read_by_telethon()}")


async def run(
    telegram: LoopbackProcess, workload: Workload, name: str, session_class: type[SQLiteSession]
) -> Measurements:
    """Runs the scenario with one client, then reopens its session in a second process."""
    # Exclude existing objects from garbage collection while the client receives.
    gc.collect()
    gc.freeze()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns) as progress:
        bar = progress.add_task(f"{session_class.__name__:18}", total=ENTITIES)
        result = await run_scenario(
            telegram, workload, session_class, OUT / name, lambda count: progress.update(bar, completed=count)
        )
    config = {
        "session_class": session_class.__name__,
        "path": str(OUT / name),
        "public_key": telegram.public_key,
        "keys": workload.keys,
    }
    reopened = await asyncio.to_thread(reopen, config)
    rich.print(
        f"  a second process connected as {reopened['name']!r} without signing in, and found {reopened['keys']} offline"
    )
    return result


def reopen(config: dict[str, object]) -> dict[str, str]:
    done = subprocess.run(
        [sys.executable, str(HERE / "reopen.py")],
        input=json.dumps(config),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def table(ours: Measurements, theirs: Measurements) -> Table:
    result = Table("", SQLiteSession.__name__, RustSQLiteSession.__name__, "ratio")
    for name, before, after, unit, scale in (
        ("time in session calls", theirs.session_calls, ours.session_calls, "s", 1),
        ("longest session call while receiving", theirs.longest_call, ours.longest_call, "ms", 1e3),
        ("longest block of the event loop", theirs.longest_block, ours.longest_block, "ms", 1e3),
        ("lookup of a username", theirs.username_lookup, ours.username_lookup, "us", 1e6),
    ):
        cells = (f"{before * scale:,.2f} {unit}", f"{after * scale:,.2f} {unit}", f"{before / after:,.0f} x")
        result.add_row(name, *cells)
    for column in result.columns[1:]:
        column.justify = "right"
    return result


def read_by_telethon() -> str:
    session = SQLiteSession(str(OUT / "anon"))
    try:
        (count,) = session._execute("select count(*) from entities")
        return f"data centre {session.dc_id}, a key of {len(session.auth_key.key)} bytes, {count:,} entities"
    finally:
        session.close()


if __name__ == "__main__":
    asyncio.run(main())
