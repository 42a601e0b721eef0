"""A new environment, with what is to be tested in it and nothing of the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

WINDOWS = os.name == "nt"

# A login, entities and a lookup, written and read again, with an SQLite that was built as `.cargo/config.toml` says.
PROGRAM = """
import sys
from pathlib import Path

import telethon_session_rust
from telethon.crypto import AuthKey
from telethon.tl.types import InputPeerUser, User
from telethon_session_rust import RustSQLiteSession, RustStringSession

for module in (telethon_session_rust, telethon_session_rust._core):
    assert Path(module.__file__).is_relative_to(sys.prefix), module
session = RustSQLiteSession("anna")
session.set_dc(2, "127.0.0.1", 443)
session.auth_key = AuthKey(bytes(range(256)))
session.process_entities([User(7, access_hash=8, username="somebody")])
session.close()
again = RustSQLiteSession("anna")
assert again.get_input_entity("somebody") == InputPeerUser(7, 8)
string = RustStringSession(RustStringSession.save(again))
assert string.auth_key.key == bytes(range(256))
for option, is_used in (("OMIT_LOOKASIDE", 0), ("ENABLE_FTS5", 0), ("ENABLE_RTREE", 0), ("DEFAULT_FOREIGN_KEYS", 1)):
    assert again._execute("select sqlite_compileoption_used(?)", option) == (is_used,), option
again.close()
"""


class Alone:
    """An environment of its own in `folder`, in which a wheel is installed with what it depends on."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        self.folder = folder
        self.scripts = folder / "environment" / ("Scripts" if WINDOWS else "bin")
        self.python = self.scripts / ("python.exe" if WINDOWS else "python")
        subprocess.run([sys.executable, "-m", "venv", folder / "environment"], check=True)
        self.run(self.python, "-m", "pip", "install", "--disable-pip-version-check", "--quiet", wheel)

    def run(self, *command: Path | str) -> str:
        """What the command says; it must end well. The checkout is not where it looks for modules."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        environment["PATH"] = os.pathsep.join([str(self.scripts), environment["PATH"]])
        return subprocess.run(
            command, cwd=self.folder, env=environment, check=True, text=True, stdout=subprocess.PIPE
        ).stdout

    def works(self) -> None:
        self.run(self.python, "-c", PROGRAM)
