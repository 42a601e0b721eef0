"""Reads what a client receives natively, into Telethon's own objects.

`install` and `accelerate` enable it. It takes the place of `BinaryReader.tgread_object`, through
which everything received goes, for all clients of the process.
"""

from __future__ import annotations

import logging
import os

import telethon

from ._core import disable_reader, enable_reader, explain_reader, is_reader_enabled

__all__ = ["disable", "enable", "explain", "is_enabled"]

# Set it to 0 to keep Telethon's reader without changing a program.
VARIABLE = "TELETHON_SESSION_RUST_READER"

_LOG = logging.getLogger("telethon_session_rust")
# The last reason why it was not enabled, which is logged once.
_logged: str | None = None


def enable() -> bool:
    """Reads natively from now on, in all clients of this process.

    What is patched, subclassed or not understood is still read by Telethon. If the installed
    Telethon's reader itself is not understood, it stays and a warning is logged once.

    Returns:
        `True` if objects are read natively now. `False` also if the environment variable
        `TELETHON_SESSION_RUST_READER` is 0.
    """
    global _logged
    if os.environ.get(VARIABLE) == "0":
        return False
    reason = enable_reader()
    if reason is not None and reason != _logged:
        _logged = reason
        _LOG.warning("Telethon %s: keeping its `BinaryReader`, because %s", telethon.__version__, reason)
    return reason is None


def disable() -> None:
    """Puts Telethon's reader back. If other code has replaced ours meanwhile, its replacement stays
    and gets what Telethon's reader returns.
    """
    disable_reader()


def is_enabled() -> bool:
    """Returns `True` if objects are read natively."""
    return is_reader_enabled()


def explain(cls: type) -> str | None:
    """Returns why objects of a TL class are left to Telethon's reader.

    Args:
        cls: A class of `telethon.tl.types` or `telethon.tl.functions`.

    Returns:
        The reason; `None` if they are read natively.
    """
    return explain_reader(cls)
