"""How commands are declared."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TypeAlias

Run: TypeAlias = Callable[[argparse.Namespace], int]


class Commands:
    """All that the program can do, each with a parser of its own."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self._actions = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def declare(
        self, name: str, run: Run, summary: str, more: str, example: str, explain_rest: str = ""
    ) -> argparse.ArgumentParser:
        """Adds a command. `explain_rest` is said of arguments that it does not take."""
        parser = self._actions.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.\n\n{more}",
            epilog=f"example:\n  {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        parser.set_defaults(run=run, explain_rest=explain_rest)
        return parser


def add_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="the session file, with or without .session")


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def count(text: str) -> int:
    """A number of things."""
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError("it must not be negative")
    return number
