"""Passwords of servers that are not in a URL: from the environment, or from a file."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from pathlib import Path
from urllib.parse import parse_qsl, quote

from .errors import CommandError

ENVIRONMENT = "TELETHON_SESSION_PASSWORD"
# As the clients of Redis, PostgreSQL and MySQL call it.
_PARAMETERS = frozenset(("password", "passwd", "pass"))


def add_password_option(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--password-file",
        metavar="FILE",
        help=f"read the password of the server from FILE; without it, from {ENVIRONMENT}",
    )


def add_target_password_option(parser: ArgumentParser, target: str) -> None:
    parser.add_argument(
        "--target-password-file", metavar="FILE", help=f"read the password of {target} from FILE, if it is another one"
    )


def given_password(file: str | None) -> str | None:
    """Returns the password in a file or, without a file, in the environment; `None` if there is
    none.
    """
    if file is None:
        return os.environ.get(ENVIRONMENT) or None
    try:
        return Path(file).read_text(encoding="utf-8").rstrip("\r\n") or None
    except UnicodeDecodeError as error:
        raise CommandError(f"{file} is not a file with a password: it is not UTF-8 text") from error


def with_password(url: str, password: str | None) -> str:
    """Returns a URL with a password, unless it has one, which may be empty."""
    if password is None:
        return url
    scheme, _, rest = url.partition("://")
    rest, question_mark, query = rest.partition("?")
    if any(name.lower() in _PARAMETERS for name, _ in parse_qsl(query, keep_blank_values=True)):
        return url
    # In the path of a socket, @ does not end a user.
    end = rest.find("/") if scheme.lower().endswith("unix") else len(rest)
    user, _, hosts = rest[:end].rpartition("@")
    if ":" in user:
        return url
    return f"{scheme}://{user}:{quote(password, safe='')}@{hosts}{rest[end:]}{question_mark}{query}"
