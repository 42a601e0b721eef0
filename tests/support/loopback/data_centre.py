"""A data centre: a TCP server on the loopback interface, its connections and its authorization
keys.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from typing import TYPE_CHECKING

from support.ports import HOST, Port

from .connection import Connection
from .key_exchange import AuthorizationKey
from .rsa_key import RsaKey

if TYPE_CHECKING:
    from .data_centres import DataCentres

log = logging.getLogger(__name__)


class DataCentre:
    def __init__(self, dc_id: int, telegram: DataCentres, rsa_key: RsaKey) -> None:
        self.dc_id = dc_id
        self.telegram = telegram
        self.rsa_key = rsa_key
        self.port = 0
        # Keys outlive connections: a client that reconnects with its key is still signed in.
        self.keys: dict[int, AuthorizationKey] = {}
        self.connections: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._port: Port
        self._server: asyncio.Server

    async def start(self) -> None:
        self._port = Port()
        self.port = self._port.number
        self._server = await asyncio.start_server(self._accept, HOST, self.port)

    async def stop(self) -> None:
        self._server.close()
        self.hang_up()
        await asyncio.gather(*self._tasks)
        await self._server.wait_closed()
        self._port.close()

    def hang_up(self) -> None:
        for connection in self.connections:
            connection.close()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("peername")[0]
        if not ipaddress.ip_address(peer).is_loopback:
            log.warning("refused a connection from %s", peer)
            writer.close()
            return
        connection = Connection(self, reader, writer)
        # Before its task begins, so that `stop()` closes it too.
        self.connections.add(connection)
        task = asyncio.create_task(connection.serve())
        self._tasks.add(task)
        task.add_done_callback(lambda task: self._ended(connection, task))

    def _ended(self, connection: Connection, task: asyncio.Task[None]) -> None:
        self.connections.discard(connection)
        self._tasks.discard(task)
