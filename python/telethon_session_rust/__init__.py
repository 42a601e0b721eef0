"""Telethon's session classes in Rust: same answers, same files, same strings, none of the waiting.

Give one to the client in the place of Telethon's own:

    client = TelegramClient(RustSQLiteSession("anon"), api_id, api_hash)
"""

from importlib.metadata import version as _version

from .entity import Entity
from .entity_cache import RustEntityCache, accelerate
from .errors import SessionInUseError
from .installing import install, uninstall
from .memory import RustMemorySession
from .sqlite import RustSQLiteSession
from .string import RustStringSession

__version__ = _version("telethon-session-rust")

__all__ = [
    "Entity",
    "RustEntityCache",
    "RustMemorySession",
    "RustSQLiteSession",
    "RustStringSession",
    "SessionInUseError",
    "__version__",
    "accelerate",
    "install",
    "uninstall",
]
