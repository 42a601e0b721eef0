"""Prints which modules the package loads besides Telethon's."""

from __future__ import annotations

import sys

import telethon  # noqa: F401

before = {*sys.modules}
import telethon_session_rust  # noqa: E402, F401

print({*sys.modules} - before)
