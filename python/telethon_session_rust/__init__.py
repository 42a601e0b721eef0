"""Telethon's session classes in Rust: same answers, same files, same strings, none of the waiting.

Give one to the client in the place of Telethon's own:

    client = TelegramClient(RustSQLiteSession("anon"), api_id, api_hash)
"""

from importlib.metadata import version as _version

from .errors import SessionInUseError
from .memory import RustMemorySession
from .sqlite import RustSQLiteSession
from .string import RustStringSession

__version__ = _version("telethon-session-rust")

__all__ = [
    "RustMemorySession",
    "RustSQLiteSession",
    "RustStringSession",
    "SessionInUseError",
    "__version__",
]
