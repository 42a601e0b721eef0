"""Errors that end a command with a message instead of a traceback."""

from __future__ import annotations


class CommandError(Exception):
    """A command failed. The message is one line: what failed, on which file, and what to do."""


class AnotherLogin(CommandError):
    """The session that would be written has another login."""


class FileLocked(CommandError):
    """Another process holds a lock on the file."""
