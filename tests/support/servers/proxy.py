"""A TCP proxy in front of a server that delays, hangs, refuses or cuts connections."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit, urlunsplit


class Proxy:
    """Forwards a port of 127.0.0.1 to another one, in a thread of its own.

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
        self._is_ending = False
        self.port = 0
        self._target = port
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server: asyncio.Server | None = None
        self.accept()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.hangs = False
        self.refuse()
        self._run(self._end_tasks())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

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
        if self._server is None:
            self._server = await asyncio.start_server(self._accepted, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._cut()

    async def _cut(self) -> None:
        for writer in [*self._writers]:
            writer.transport.abort()

    async def _end_tasks(self) -> None:
        self._is_ending = True
        # Let those end by themselves that are accepting or making a connection: asyncio may leave it open
        # when they are cancelled.
        if tasks := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(tasks, timeout=1)
        # One that is cancelled while it accepts a connection begins another one.
        while tasks := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        # A task that had not begun has not aborted its connection.
        await self._cut()
        # What was aborted is closed in the loop's next turns.
        for _ in range(3):
            await asyncio.sleep(0)

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Coroutine[Any, Any, None]:
        self._writers.add(writer)
        return self._connected(reader, writer)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except (OSError, asyncio.CancelledError):
            writer.transport.abort()
            self._writers.discard(writer)
            return
        self.connections += 1
        self._writers |= {writer, server_writer}
        if self._is_ending:
            await self._cut()
            return
        both = (
            self._forward(reader, server_writer, is_from_client=True),
            self._forward(server_reader, writer, is_from_client=False),
        )
        # The proxy may end meanwhile. A task that was cancelled would be logged.
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*both)
        for each in (writer, server_writer):
            each.transport.abort()
        self._writers -= {writer, server_writer}

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, is_from_client: bool) -> None:
        """Forwards one way. Delays as a long way does: what follows is not held up by what is under way."""
        loop = asyncio.get_running_loop()
        try:
            while data := await reader.read(65536):
                while self.hangs:
                    await asyncio.sleep(0.01)
                messages = self.messages[not is_from_client]
                before = messages[-1] if messages else 0
                messages.append(before + len(data))
                if self._cut_at is not None:
                    is_answer, position = self._cut_at
                    if is_answer != is_from_client and messages[-1] >= position:
                        writer.write(data[: position - before])
                        self._cut_at = None
                        self.has_cut = True
                        await self._cut()
                        return
                if self.delay:
                    loop.call_later(self.delay, self._write, writer, data)
                else:
                    writer.write(data)
        except OSError:
            pass
        finally:
            if not self.delay:
                writer.transport.abort()

    @staticmethod
    def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
        if not writer.transport.is_closing():
            writer.write(data)
