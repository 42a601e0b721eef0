"""What ends a command with words."""

from __future__ import annotations


class Trouble(Exception):
    """One line for the user: what happened, to which file, what can be done. The command ends with 1."""


class Held(Trouble):
    """Another program holds the file."""
