"""`telethon-session list`: the sessions of a folder."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

from telethon.sessions.sqlite import EXTENSION

from .command import Commands, add_json
from .info import describe
from .printing import print_json, print_table, say, size, utc, when
from .reading import reading
from .trouble import Trouble

_MORE = """\
Lists a file that cannot be read with the reason.

--json prints a list of objects with the keys file and error (null, or why the others are
missing) and, as in `info --json`, version, dc_id, has_key, entities, size, modified."""
_KEYS = ("version", "dc_id", "has_key", "entities", "size", "modified")
# For each file that is held.
_PATIENCE = 1.0


def add_to(commands: Commands) -> None:
    parser = commands.declare("list", run, "list the session files of a folder", _MORE, "telethon-session list bots")
    parser.add_argument("folder", metavar="FOLDER", nargs="?", default=".", help="folder to list (default: .)")
    add_json(parser)


def run(arguments: Namespace) -> int:
    folder = Path(arguments.folder)
    found = [_look(path) for path in sorted(folder.iterdir()) if path.name.endswith(EXTENSION)]
    if arguments.json:
        print_json([one | ({} if one["error"] else {"modified": utc(one["modified"])}) for one in found])
    elif found:
        print_table(["name", "version", "dc", "key", "entities", "size", "modified", ""], map(_row, found))
    else:
        say(f"There is no session file in {folder.absolute()}.")
    return 0


def _look(path: Path) -> dict[str, Any]:
    try:
        with reading(path, _PATIENCE) as file:
            about = describe(file)
    except (Trouble, OSError) as error:
        return {"file": str(path), "error": str(error)}
    return {"file": str(path), "error": None} | {key: about[key] for key in _KEYS}


def _row(one: dict[str, Any]) -> list[object]:
    name = Path(one["file"]).name.removesuffix(EXTENSION)
    if one["error"]:
        return [name, *[None] * 6, one["error"].removeprefix(one["file"]).lstrip(": ")]
    key = "yes" if one["has_key"] else "no"
    return [name, one["version"], one["dc_id"], key, one["entities"], size(one["size"]), when(one["modified"]), None]
