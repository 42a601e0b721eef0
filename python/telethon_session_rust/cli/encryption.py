"""The keys with which logins are encrypted: from a file, or from the environment."""

from __future__ import annotations

import os
import re
from argparse import ArgumentParser
from base64 import urlsafe_b64decode
from pathlib import Path
from typing import TypeAlias

from .errors import CommandError

OPTION = "--encryption-key-file"
TARGET_OPTION = "--target-encryption-key-file"
ENVIRONMENT = "TELETHON_SESSION_ENCRYPTION_KEY"
# How messages refer to the argument of a class or function, which `explained` replaces.
AS_ARGUMENT = "as encryption_key="
_KEY_SIZE = 32
_FORMS = f"{_KEY_SIZE} bytes as they are, or a line of {2 * _KEY_SIZE} hexadecimal digits or of base64 for each key"

# The first one encrypts, and all of them decrypt. Logins are not encrypted if there is none.
Keys: TypeAlias = tuple[bytes, ...]


def add_encryption_option(parser: ArgumentParser, of: str = "the login") -> None:
    parser.add_argument(
        OPTION, metavar="FILE", help=f"read the encryption key of {of} from FILE; without it, from {ENVIRONMENT}"
    )


def add_target_encryption_options(parser: ArgumentParser, target: str) -> None:
    """Adds the options for a command with another session that it writes."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        TARGET_OPTION, metavar="FILE", help=f"read the encryption key of {target} from FILE, if it is another one"
    )
    group.add_argument(
        "--target-unencrypted", action="store_true", help=f"{target} is not encrypted, although there is a key"
    )


def given_keys(file: str | None) -> Keys:
    """Returns the keys in a file or, without a file, in the environment.

    Raises:
        CommandError: They are not encryption keys. The message does not contain them.
    """
    if file is None:
        return _parsed(os.environ.get(ENVIRONMENT, ""), ENVIRONMENT)
    data = Path(file).read_bytes()
    if len(data) == _KEY_SIZE:
        return (data,)
    keys = _parsed(data.decode(errors="replace"), file)
    if not keys:
        raise CommandError(f"{file} is empty: an encryption key has {_FORMS}")
    return keys


def target_keys(file: str | None, of_source: Keys, *, is_unencrypted: bool) -> Keys:
    """Returns the keys of the session that is written: those in a file or, without a file, the same
    as the other session's.
    """
    if is_unencrypted:
        return ()
    return of_source if file is None else given_keys(file)


def _parsed(text: str, place: str) -> Keys:
    return tuple(_key(word, place) for word in text.split())


def _key(word: str, place: str) -> bytes:
    if re.fullmatch(rf"[0-9A-Fa-f]{{{2 * _KEY_SIZE}}}", word):
        return bytes.fromhex(word)
    # 43 characters, and one that pads them.
    if re.fullmatch(r"[0-9A-Za-z+/_-]{43}=?", word):
        return urlsafe_b64decode(word.rstrip("=").replace("+", "-").replace("/", "_") + "=")
    raise CommandError(f"{place} does not hold an encryption key: it has {_FORMS}")


def explained(message: str) -> str:
    """Names the option of the command line in a message for programs."""
    message = message.replace(AS_ARGUMENT, f"with {OPTION} or {ENVIRONMENT}")
    return message.replace("encryption_key=", f"{OPTION} (or {TARGET_OPTION} for the session that is written)")
