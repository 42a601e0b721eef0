"""PostgreSQL."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from .server import Server, as_nobody

_PASSWORD = "made up"


class PostgresServer(Server):
    @staticmethod
    def _program(name: str) -> str | None:
        versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: float(path.parts[4]))
        return str(versions[-1]) if versions else shutil.which(name)

    @classmethod
    def is_installed(cls) -> bool:  # type: ignore[override]
        return cls._program("postgres") is not None and cls._program("initdb") is not None

    def prepare(self) -> None:
        password = self.folder / "password"
        password.write_text(_PASSWORD)
        data = self.folder / "data"
        data.mkdir(0o700)
        if os.geteuid() == 0:
            for path in (self.folder, data, password):
                shutil.chown(path, "nobody", "nogroup")
        initdb = [str(self._program("initdb")), "-D", str(data), "-U", "telethon", "-A", "scram-sha-256"]
        options = [f"--pwfile={password}", "--no-sync", "-E", "UTF8", "--locale=C"]
        subprocess.run(as_nobody([*initdb, *options]), check=True, capture_output=True)

    def _command(self) -> Sequence[str]:
        options = [
            "-p",
            str(self.port),
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            f"unix_socket_directories={self.folder}",
        ]
        return as_nobody([str(self._program("postgres")), "-D", str(self.folder / "data"), *options])

    def url(self, name: str = "telethon") -> str:
        self.run(f'create database "{name}"', check=False)
        return f"postgresql://telethon:{_PASSWORD.replace(' ', '%20')}@127.0.0.1:{self.port}/{name}"

    def run(self, statement: str, database: str = "postgres", *, check: bool = True) -> str:
        """Executes a statement, and returns its rows as text."""
        psql = [str(self._program("psql")), "-X", "-A", "-t", "-h", "127.0.0.1", "-p", str(self.port)]
        done = subprocess.run(
            [*psql, "-U", "telethon", "-c", statement, database],
            env=os.environ | {"PGPASSWORD": _PASSWORD, "PGCONNECT_TIMEOUT": "5"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0 or not check, done.stderr
        return done.stdout.strip()

    def is_ready(self) -> bool:
        return self.run("select 1", check=False) == "1"

    def stop(self) -> None:
        """Ends connections too: PostgreSQL would wait for them."""
        self._signal(signal.SIGINT)
