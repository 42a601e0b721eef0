"""Telethon's session classes in Rust: same answers, same files, same strings, none of the waiting.

Pass one to the client instead of Telethon's own:

    client = TelegramClient(RustSQLiteSession("anon"), api_id, api_hash)
"""

from importlib.metadata import version as _version

from . import _at_exit as _at_exit
from .bounds import set_max_entities
from .entity import Entity
from .entity_cache import RustEntityCache, accelerate
from .errors import (
    SessionCorruptError,
    SessionError,
    SessionInUseError,
    SessionLockedError,
    SessionLostError,
    SessionOwnerError,
    SessionUnavailableError,
    SessionUnsavedError,
    SessionUpgradeError,
)
from .installing import install, uninstall
from .memory import RustMemorySession
from .mongodb import RustMongoSession
from .opening import open_session
from .redis import RustRedisSession
from .sql import RustSQLSession
from .sqlite import RustSQLiteSession
from .string import RustStringSession

__version__ = _version("telethon-session-rust")

__all__ = [
    "Entity",
    "RustEntityCache",
    "RustMemorySession",
    "RustMongoSession",
    "RustRedisSession",
    "RustSQLSession",
    "RustSQLiteSession",
    "RustStringSession",
    "SessionCorruptError",
    "SessionError",
    "SessionInUseError",
    "SessionLockedError",
    "SessionLostError",
    "SessionOwnerError",
    "SessionUnavailableError",
    "SessionUnsavedError",
    "SessionUpgradeError",
    "__version__",
    "accelerate",
    "install",
    "open_session",
    "set_max_entities",
    "uninstall",
]
