"""Writes session files with Pyrogram, or a fork whose module has its name, as standard input says."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import sys
from pathlib import Path
from typing import Any

logging.disable()
# Old releases ask for the loop when they are imported.
asyncio.set_event_loop(loop := asyncio.new_event_loop())

import pyrogram  # noqa: E402

try:
    from pyrogram import storage as storages
except ImportError:
    from pyrogram.client import storage as storages

STORAGE: Any = getattr(storages, "FileStorage", None) or storages.SQLiteStorage
HAS_USERNAMES = "phone_number) VALUES (?, ?, ?, ?)" in inspect.getsource(STORAGE.update_peers)


async def settled(result: Any) -> Any:
    return await result if inspect.isawaitable(result) else result


async def write(content: dict[str, Any]) -> Any:
    storage = STORAGE(content["name"], Path(content["folder"]), **content["options"])
    await settled(storage.open())
    for attribute, value in content["login"].items():
        if hasattr(storage, attribute):
            await settled(getattr(storage, attribute)(bytes.fromhex(value) if attribute == "auth_key" else value))
    peers = content["peers"]
    if HAS_USERNAMES:
        await settled(storage.update_peers([(id, hash, kind, phone) for id, hash, kind, _, phone in peers]))
        await settled(storage.update_usernames([(id, names) for id, _, _, names, _ in peers if names]))
    else:
        rows = [(id, hash, kind, names[0] if names else None, phone) for id, hash, kind, names, phone in peers]
        await settled(storage.update_peers(rows))
        if hasattr(storage, "update_usernames"):
            # Pyrofork stores those of peers with several, in lower case.
            named = [(id, name.lower()) for id, _, _, names, _ in peers if len(names) > 1 for name in names]
            await settled(storage.update_usernames(named))
    for state in content["states"]:
        if hasattr(storage, "set_update_state"):
            await settled(storage.set_update_state(storages.UpdateState(*state)))
        else:
            await settled(storage.update_state(tuple(state)))
    await settled(storage.save())
    if not content["keep_open"]:
        await settled(storage.close())
    return storage


kept = []
for line in sys.stdin:
    kept.append(loop.run_until_complete(write(json.loads(line))))
    print(json.dumps(pyrogram.__version__), flush=True)
