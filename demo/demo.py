"""A client signs in, takes 50,000 entities and comes back: with our session, then with Telethon's own.

Everything happens on this machine: a Telegram data centre on 127.0.0.1, in a process of its own, speaks real MTProto
with a real `TelegramClient`. What is left in demo-out/ is a session file that any Telethon opens.
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
from telethon.sessions import SQLiteSession
from visit import Plan, Visit, visit

from support.loopback.process import LoopbackProcess
from telethon_session_rust import RustSQLiteSession

OUT = HERE.parent / "demo-out"
ENTITIES = 50_000


async def main() -> None:
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    rich.print(f"Telethon {telethon.__version__}, a data centre on 127.0.0.1, {ENTITIES:,} entities")
    async with LoopbackProcess() as telegram:
        plan = Plan(ENTITIES, telegram.seed)
        ours = await run(telegram, plan, "anon", RustSQLiteSession)
        theirs = await run(telegram, plan, "telethon", SQLiteSession)
    rich.print(table(ours, theirs))
    rich.print(f"{OUT.name}/anon.session is an ordinary session file; Telethon reads in it: {opened_by_telethon()}")


async def run(telegram: LoopbackProcess, plan: Plan, name: str, session_class: type[SQLiteSession]) -> Visit:
    """One client's visit, and its return in a second process."""
    # What was there before has no part in what the collector costs while the client receives.
    gc.collect()
    gc.freeze()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns) as progress:
        bar = progress.add_task(f"{session_class.__name__:18}", total=ENTITIES)
        result = await visit(
            telegram, plan, session_class, OUT / name, lambda count: progress.update(bar, completed=count)
        )
    order = {
        "session_class": session_class.__name__,
        "path": str(OUT / name),
        "public_key": telegram.public_key,
        "keys": plan.keys,
    }
    back = await asyncio.to_thread(come_back, order)
    rich.print(
        f"  a second process came back as {back['name']!r} without signing in, and found {back['found']} offline"
    )
    return result


def come_back(order: dict[str, object]) -> dict[str, str]:
    done = subprocess.run(
        [sys.executable, str(HERE / "come_back.py")],
        input=json.dumps(order),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def table(ours: Visit, theirs: Visit) -> Table:
    shown = Table("", SQLiteSession.__name__, RustSQLiteSession.__name__, "less by")
    for what, unit, scale in (
        ("time in session calls", "s", 1),
        ("longest session call while receiving", "ms", 1e3),
        ("longest hold-up of the event loop", "ms", 1e3),
        ("a username looked up", "us", 1e6),
    ):
        before, after = (getattr(result, what.replace(" ", "_").replace("-", "_")) for result in (theirs, ours))
        shown.add_row(what, f"{before * scale:,.2f} {unit}", f"{after * scale:,.2f} {unit}", f"{before / after:,.0f} x")
    for column in shown.columns[1:]:
        column.justify = "right"
    return shown


def opened_by_telethon() -> str:
    session = SQLiteSession(str(OUT / "anon"))
    try:
        (count,) = session._execute("select count(*) from entities")
        return f"data centre {session.dc_id}, a key of {len(session.auth_key.key)} bytes, {count:,} entities"
    finally:
        session.close()


if __name__ == "__main__":
    asyncio.run(main())
