"""`telethon-session list`: lists the session files of a folder, or the sessions on a server."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

from telethon.sessions.sqlite import EXTENSION

from . import files
from .errors import CommandError
from .info import describe
from .output import format_size, format_time, iso_utc, print_json, print_message, print_table
from .passwords import add_password_option
from .places import Remote, server
from .reader import open_reader
from .remote import list_names
from .subcommands import Subcommands, add_json_option

_DESCRIPTION = """\
Lists a file that cannot be read with the reason.

--json prints a list of objects with the keys file and error (null, or why the others are
missing) and, as in `info --json`, version, dc_id, has_key, entities, size, modified. On a server
these are null: the sessions are not opened."""
_KEYS = ("version", "dc_id", "has_key", "entities", "size", "modified")
# How many seconds to wait for each locked file.
_BUSY_TIMEOUT = 1.0


def add_to(subcommands: Subcommands) -> None:
    parser = subcommands.add(
        "list",
        run,
        summary="list the session files of a folder, or the sessions on a server",
        description=_DESCRIPTION,
        example="telethon-session list bots",
    )
    parser.add_argument(
        "folder", metavar="FOLDER", nargs="?", default=".", help="folder, or URL of a server (default: .)"
    )
    add_password_option(parser)
    add_json_option(parser)


def run(arguments: Namespace) -> int:
    if files.is_url(arguments.folder):
        return _list_server(server(arguments.folder, arguments.password_file), is_json=arguments.json)
    folder = Path(arguments.folder)
    found = [_describe(path) for path in sorted(folder.iterdir()) if path.name.endswith(EXTENSION)]
    if arguments.json:
        print_json([one | ({} if one["error"] else {"modified": iso_utc(one["modified"])}) for one in found])
    elif found:
        print_table(["name", "version", "dc", "key", "entities", "size", "modified", ""], map(_cells, found))
    else:
        print_message(f"no session files in {folder.absolute()}")
    return 0


def _list_server(place: Remote, *, is_json: bool) -> int:
    names = [name for name in list_names(place) if place.name in ("", name)]
    if is_json:
        unknown = {"error": None} | dict.fromkeys(_KEYS)
        print_json([{"file": str(place.named(name))} | unknown for name in names])
    elif names:
        print_table(["name", "url"], [(name, place.named(name)) for name in names])
    else:
        print_message(f"no sessions on {place}")
    return 0


def _describe(path: Path) -> dict[str, Any]:
    try:
        with open_reader(path, _BUSY_TIMEOUT) as file:
            details = describe(file)
    except (CommandError, OSError) as error:
        return {"file": str(path), "error": str(error)}
    return {"file": str(path), "error": None} | {key: details[key] for key in _KEYS}


def _cells(one: dict[str, Any]) -> list[object]:
    name = Path(one["file"]).name.removesuffix(EXTENSION)
    if one["error"]:
        return [name, *[None] * 6, one["error"].removeprefix(one["file"]).lstrip(": ")]
    key = "yes" if one["has_key"] else "no"
    size, modified = format_size(one["size"]), format_time(one["modified"])
    return [name, one["version"], one["dc_id"], key, one["entities"], size, modified, None]
