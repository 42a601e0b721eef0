"""Runs the data centres in a separate process, driven by JSON lines on stdin: `python -m
support.loopback`.

The first line of output has the data centres' address and public key. Then the process answers each
command (see `commands.py`) with a line, until stdin closes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
from typing import Any

from support.ports import HOST

from .commands import Commands
from .data_centres import DataCentres
from .world import World


def write_line(line: dict[str, Any]) -> None:
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
        write_line({"host": HOST, "ports": ports, "public_key": telegram.rsa_key.public_pem})
        async for line in await stdin_lines():
            write_line(await commands.run(line))


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    parser = argparse.ArgumentParser(prog="python -m support.loopback", description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1, help="seed of the made-up world")
    asyncio.run(main(parser.parse_args().seed))
