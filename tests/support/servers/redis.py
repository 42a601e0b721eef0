"""Redis."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Sequence

from .server import Server


class RedisServer(Server):
    @staticmethod
    def is_installed() -> bool:
        return shutil.which("redis-server") is not None

    def url(self, name: str = "telethon") -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def _command(self) -> Sequence[str]:
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        # Everything that was answered survives a kill.
        return ["redis-server", *options, "--save", "", "--appendonly", "yes", "--appendfsync", "always"]

    def is_ready(self) -> bool:
        return self.ask("PING") == "+PONG"

    def ask(self, command: str) -> str:
        """Returns the first line of the answer to an inline command; empty if there is none."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
                connection.sendall(command.encode() + b"\r\n")
                return connection.makefile("rb").readline().decode().strip()
        except OSError:
            return ""
