"""How commands add themselves to the argument parser, and the arguments that several of them share."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TypeAlias

Run: TypeAlias = Callable[[argparse.Namespace], int]


class Subcommands:
    """The subcommands of a parser."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self._actions = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def add(
        self,
        name: str,
        run: Run,
        *,
        summary: str,
        description: str,
        example: str,
        unexpected_arguments_message: str = "",
    ) -> argparse.ArgumentParser:
        """Adds a command.

        Args:
            name: The name of the command.
            run: Runs the command with its arguments and returns the exit code.
            summary: One line for the list of commands, which begins in lower case.
            description: The help text, below the summary.
            example: A command line.
            unexpected_arguments_message: The error message for arguments that the command does not
                take.

        Returns:
            The parser of the command, for its arguments.
        """
        parser = self._actions.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.\n\n{description}",
            epilog=f"example:\n  {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        parser.set_defaults(run=run, unexpected_arguments_message=unexpected_arguments_message)
        return parser


def add_file_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="the session file, with or without .session")


def add_json_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def positive_int(text: str) -> int:
    """Parses the value of an option that counts from 1, as argparse's `type`."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def non_negative_int(text: str) -> int:
    """Parses the value of an option, as argparse's `type`."""
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError("must not be negative")
    return number
