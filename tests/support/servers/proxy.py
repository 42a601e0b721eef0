"""A TCP proxy in front of a server that delays, hangs, refuses or cuts connections."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Coroutine
from typing import Any, TypeAlias
from urllib.parse import urlsplit, urlunsplit

from support.ports import HOST, Port

PIECE = 65536
MOST_PIECES = 16
# Each with the time at which it is sent on.
Pieces: TypeAlias = "asyncio.Queue[tuple[float, bytes]]"


class Proxy:
    """Forwards a port of 127.0.0.1 to another one, in a thread of its own.

    It uses sockets, because asyncio can leave a connection open that it is accepting when the proxy
    ends.

    Attributes:
        delay: How many seconds each piece of data is held back, each way.
        hangs: Whether connections are accepted, and nothing is forwarded.
        connections: How many connections were accepted.
        has_cut: Whether the cut that was asked for last was made.
        messages: How many bytes each direction has forwarded since `watch()`, after each piece of
            data: from the client, and from the server.
    """

    def __init__(self, port: int) -> None:
        self.delay = 0.0
        self.hangs = False
        self.connections = 0
        self.has_cut = False
        self.messages: tuple[list[int], list[int]] = ([], [])
        self._cut_at: tuple[bool, int] | None = None
        self._port = Port()
        self.port = self._port.number
        self._target = port
        self._connected: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._listener: socket.socket | None = None
        self.accept()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.refuse()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._port.close()

    @property
    def open_connections(self) -> int:
        """Returns how many connections are open."""
        return len(self._connected)

    def url(self, url: str) -> str:
        """Returns the URL of the server through this proxy."""
        parts = urlsplit(url)
        return urlunsplit(parts._replace(netloc=parts.netloc.replace(f":{self._target}", f":{self.port}")))

    def accept(self) -> None:
        """Accepts connections, again if they were refused."""
        self._run(self._listen())

    def refuse(self) -> None:
        """Refuses connections, and cuts those that there are."""
        self._run(self._close())

    def cut(self) -> None:
        """Cuts all connections. New ones are accepted."""
        self._run(self._cut())

    def watch(self) -> None:
        """Begins to count what is forwarded."""
        self.messages = ([], [])

    def cut_after(self, count: int | None, *, is_answer: bool = False) -> None:
        """Cuts all connections, once, when so many bytes were forwarded, counted from now.

        Args:
            count: How many bytes arrive; what follows does not. `None` takes the last order back.
            is_answer: Whether bytes from the server are counted, and not those from the client.
        """
        self.watch()
        self.has_cut = False
        self._cut_at = None if count is None else (is_answer, count)

    def _run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    async def _listen(self) -> None:
        if self._listener is None:
            self._listener = socket.create_server((HOST, self.port))
            self._listener.setblocking(False)
            self._loop.add_reader(self._listener, self._accept, self._listener)

    async def _close(self) -> None:
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None
        await self._cut()

    async def _cut(self) -> None:
        if tasks := self._cancel():
            await asyncio.wait(tasks)

    def _cancel(self) -> set[asyncio.Task[None]]:
        for task in self._connected:
            task.cancel()
        return {*self._connected}

    def _accept(self, listener: socket.socket) -> None:
        try:
            client, _ = listener.accept()
        except OSError:
            return  # the client has given up
        server = socket.socket()
        for each in (client, server):
            each.setblocking(False)
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = self._loop.create_task(self._connect(client, server))
        self._connected.add(task)
        # Not by the task itself, which may be cancelled before it begins.
        task.add_done_callback(lambda task: self._disconnect(task, client, server))

    def _disconnect(self, task: asyncio.Task[None], client: socket.socket, server: socket.socket) -> None:
        self._connected.discard(task)
        client.close()
        server.close()

    async def _connect(self, client: socket.socket, server: socket.socket) -> None:
        try:
            await self._loop.sock_connect(server, (HOST, self._target))
        except OSError:
            return
        self.connections += 1
        # Two queues, so that a delay is that of a long way: what follows is not held up by what is under way.
        to_server: Pieces = asyncio.Queue(MOST_PIECES)
        to_client: Pieces = asyncio.Queue(MOST_PIECES)
        tasks = [
            asyncio.ensure_future(coroutine)
            for coroutine in (
                self._receive(client, to_server),
                self._send(server, to_server, is_from_client=True),
                self._receive(server, to_client),
                self._send(client, to_client, is_from_client=False),
            )
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _receive(self, source: socket.socket, pieces: Pieces) -> None:
        """Receives until it is cancelled. The end of the connection is an empty piece."""
        while True:
            try:
                data = await self._loop.sock_recv(source, PIECE)
            except OSError:
                data = b""
            while self.hangs:
                await asyncio.sleep(0.01)
            await pieces.put((self._loop.time() + self.delay, data))
            if not data:
                await self._loop.create_future()

    async def _send(self, target: socket.socket, pieces: Pieces, *, is_from_client: bool) -> None:
        """Sends until the connection ends or is cut."""
        while True:
            due, data = await pieces.get()
            await asyncio.sleep(due - self._loop.time())
            if not data:
                return
            messages = self.messages[not is_from_client]
            before = messages[-1] if messages else 0
            messages.append(before + len(data))
            is_cut = False
            if self._cut_at is not None:
                is_answer, position = self._cut_at
                if is_answer != is_from_client and messages[-1] >= position:
                    self._cut_at = None
                    is_cut = True
                    data = data[: position - before]
            try:
                await self._loop.sock_sendall(target, data)
            except OSError:
                return
            finally:
                if is_cut:
                    self.has_cut = True
                    self._cancel()
