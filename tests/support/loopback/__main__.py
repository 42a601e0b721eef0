"""`python -m loopback`: the data centres as a process of their own, driven by JSON lines on stdin.

The first line it prints says where the data centres are and which key they have. Then it answers every
command (see `commands.py`) with a line, until stdin closes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
from typing import Any

from .commands import Commands
from .data_centre import HOST
from .data_centres import DataCentres
from .world import World


def say(line: dict[str, Any]) -> None:
    print(json.dumps(line), flush=True)


async def stdin_lines() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
    return reader


async def main(seed: int) -> None:
    async with DataCentres() as telegram:
        commands = Commands(telegram, World(seed))
        ports = {dc.dc_id: dc.port for dc in telegram.dcs.values()}
        say({"host": HOST, "ports": ports, "public_key": telegram.rsa_key.public_pem})
        async for line in await stdin_lines():
            say(await commands.run(line))


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    parser = argparse.ArgumentParser(prog="python -m loopback", description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1, help="of the made-up world")
    asyncio.run(main(parser.parse_args().seed))
