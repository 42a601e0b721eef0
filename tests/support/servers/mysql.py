"""MariaDB."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence

from .server import Server

_PASSWORD = "made up"


class MySQLServer(Server):
    @staticmethod
    def _program() -> str | None:
        return shutil.which("mariadbd") or shutil.which("mariadbd", path="/usr/sbin")

    @classmethod
    def is_installed(cls) -> bool:  # type: ignore[override]
        return all((cls._program(), shutil.which("mariadb-install-db"), shutil.which("mariadb")))

    @property
    def _user(self) -> list[str]:
        return ["--user=root"] if os.geteuid() == 0 else []

    def prepare(self) -> None:
        # A server that starts removes the temporary files of others.
        (self.folder / "tmp").mkdir()
        options = [f"--datadir={self.folder / 'data'}", "--auth-root-authentication-method=normal", "--skip-test-db"]
        options.append(f"--tmpdir={self.folder / 'tmp'}")
        install = ["mariadb-install-db", "--no-defaults", *options, *self._user]
        subprocess.run(install, check=True, capture_output=True)

    def _command(self) -> Sequence[str]:
        options = [f"--datadir={self.folder / 'data'}", f"--port={self.port}", "--bind-address=127.0.0.1"]
        options.append(f"--tmpdir={self.folder / 'tmp'}")
        return [str(self._program()), "--no-defaults", *options, f"--socket={self.folder / 'socket'}", *self._user]

    def url(self, name: str = "telethon") -> str:
        self.run(
            f"create database if not exists `{name}` character set utf8mb4;"
            f"create user if not exists telethon@'127.0.0.1' identified by '{_PASSWORD}';"
            f"grant all on *.* to telethon@'127.0.0.1'"
        )
        return f"mysql://telethon:{_PASSWORD.replace(' ', '%20')}@127.0.0.1:{self.port}/{name}"

    def run(self, statement: str, database: str = "", *, check: bool = True) -> str:
        """Executes statements as the administrator, and returns their rows as text."""
        client = ["mariadb", "--no-defaults", f"--socket={self.folder / 'socket'}", "--user=root", "-N", "-B"]
        done = subprocess.run([*client, "-e", statement, database], capture_output=True, text=True)
        assert done.returncode == 0 or not check, done.stderr
        return done.stdout.strip()

    def is_ready(self) -> bool:
        return self.run("select 1", check=False) == "1"
