"""Writes and reads session strings with Pyrogram, or a fork whose module has its name: answers each
line of JSON with a line of JSON.
"""

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
asyncio.set_event_loop(asyncio.new_event_loop())

try:
    from pyrogram import storage as storages
except ImportError:
    from pyrogram.client import storage as storages

VALUES = ["dc_id", "api_id", "test_mode", "auth_key", "user_id", "is_bot"]


async def settled(result: Any) -> Any:
    return await result if inspect.isawaitable(result) else result


async def open_storage(string: str | None) -> Any:
    if hasattr(storages, "MemoryStorage"):
        # Old releases read the string that is the name.
        is_option = "session_string" in inspect.signature(storages.MemoryStorage).parameters
        options: dict[str, Any] = {"session_string": string} if is_option else {}
        storage = storages.MemoryStorage(":memory:" if is_option or string is None else string, **options)
    else:
        storage = storages.SQLiteStorage("a", Path(), session_string=string, in_memory=True)
    await settled(storage.open())
    return storage


async def write(login: dict[str, Any]) -> str:
    storage = await open_storage(None)
    for name in VALUES:
        if hasattr(storage, name):
            await settled(getattr(storage, name)(bytes.fromhex(login[name]) if name == "auth_key" else login[name]))
    return str(await settled(storage.export_session_string()))


async def read(string: str) -> dict[str, Any]:
    storage = await open_storage(string)
    found = {name: await settled(getattr(storage, name)()) for name in VALUES if hasattr(storage, name)}
    return {**found, "auth_key": found["auth_key"].hex()}


COMMANDS = {"write": write, "read": read}
loop = asyncio.get_event_loop_policy().get_event_loop()
for line in sys.stdin:
    command, argument = json.loads(line)
    try:
        answer = {"value": loop.run_until_complete(COMMANDS[command](argument))}
    except Exception as error:
        answer = {"error": repr(error)}
    print(json.dumps(answer), flush=True)
