"""A client signs in, receives 50,000 entities and reconnects: with our session, then with
Telethon's or, for a store on a server, with that of the community's package.

Everything runs on this machine: a Telegram data centre on 127.0.0.1, in a process of its own,
speaks MTProto with a real `TelegramClient`. Without arguments, the demo leaves a session file in
demo-out/ that any Telethon can open. `demo.py redis` (postgres, mysql, mongodb) starts such a server.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

import rich
import telethon
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from scenario import Measurements, Workload, run_scenario
from sides import Side, file_sides
from telethon.sessions import SQLiteSession

from support import servers
from support.loopback.process import LoopbackProcess

OUT = HERE.parent / "demo-out"
ENTITIES = 50_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", nargs="?", default="file", choices=["file", *servers.KINDS])
    store = parser.parse_args().store
    if store == "file":
        shutil.rmtree(OUT, ignore_errors=True)
        OUT.mkdir()
        asyncio.run(compare(*file_sides(OUT)))
        rich.print(f"{OUT.name}/anon.session is an ordinary session file. Telethon reads: {read_by_telethon()}")
        return
    if not servers.KINDS[store].is_installed():
        parser.error(f"the server for {store} is not installed")
    with servers.running(store) as server:
        asyncio.run(compare(Side(store, False, server.url("theirs")), Side(store, True, server.url("ours"))))


async def compare(theirs: Side, ours: Side) -> None:
    rich.print(f"Telethon {telethon.__version__}, a data centre on 127.0.0.1, {ENTITIES:,} entities")
    async with LoopbackProcess() as telegram:
        workload = Workload(ENTITIES, telegram.seed)
        results = [await run(telegram, workload, side) for side in (ours, theirs)]
    rich.print(table(theirs, ours, results[1], results[0]))


async def run(telegram: LoopbackProcess, workload: Workload, side: Side) -> Measurements:
    """Runs the scenario with one client, then reopens its session in a second process."""
    # Exclude existing objects from garbage collection while the client receives.
    gc.collect()
    gc.freeze()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns) as progress:
        bar = progress.add_task(f"{side.name:27}", total=ENTITIES)
        result = await run_scenario(telegram, workload, side, lambda count: progress.update(bar, completed=count))
    config = {
        "side": asdict(side),
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


def table(theirs: Side, ours: Side, slow: Measurements, fast: Measurements) -> Table:
    result = Table("", theirs.name, ours.name, "ratio")
    for name, before, after, unit, scale in (
        ("time in session calls", slow.session_calls, fast.session_calls, "s", 1),
        ("longest session call while receiving", slow.longest_call, fast.longest_call, "ms", 1e3),
        ("longest block of the event loop", slow.longest_block, fast.longest_block, "ms", 1e3),
        ("lookup of a username", slow.username_lookup, fast.username_lookup, "us", 1e6),
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
    main()
