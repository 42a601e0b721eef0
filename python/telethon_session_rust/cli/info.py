"""`telethon-session info`: what is in a file."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

from . import files
from .command import Commands, add_file, add_json
from .printing import print_json, print_pairs, size, utc, when
from .reading import SessionFile, is_in_wal_mode, reading

_MORE = """\
Never shows the key itself. Counts bots as users, because the file does not tell them apart.

keys of --json:
  file, version, dc_id, server_address, port, has_key, has_tmp_key, takeout_id, account_id,
  entities, users, groups, channels, with_username, with_phone, with_name, update_states,
  sent_files, size, page_size, free_pages (bytes, bytes, pages), journal_mode,
  modified, newest, oldest (the file; the entity seen last, and first: ISO 8601 in UTC)
What is not known is null. Later versions may add keys, but remove none."""


def add_to(commands: Commands) -> None:
    parser = commands.declare("info", run, "show what is in a session file", _MORE, "telethon-session info anon")
    add_file(parser)
    add_json(parser)


def run(arguments: Namespace) -> int:
    path = files.existing(arguments.file)
    with reading(path) as file:
        about = describe(file)
    if arguments.json:
        print_json(about | {what: utc(about[what]) for what in ("modified", "newest", "oldest")})
    else:
        print_pairs(_pairs(about))
    return 0


def describe(file: SessionFile) -> dict[str, Any]:
    """As in the JSON, but for the times, which are seconds since 1970."""
    version, login = file.version, file.login()
    counts = file.counts() if "entities" in file.tables else {}
    about = file.path.stat()
    return {
        "file": str(file.path),
        "version": version,
        "dc_id": login.dc_id or None if login else None,
        "server_address": login and login.server_address,
        "port": login and login.port,
        "has_key": bool(login and login.auth_key),
        "has_tmp_key": bool(login and login.tmp_auth_key),
        "takeout_id": login and login.takeout_id,
        "account_id": file.own_id(),
        **{what: counts.get(what, 0) for what in ("entities", "users", "groups", "channels")},
        **{what: counts.get(what, 0) for what in ("with_username", "with_phone", "with_name")},
        "update_states": file.count("update_state"),
        "sent_files": file.count("sent_files"),
        "size": about.st_size,
        "page_size": file.value("pragma page_size"),
        "free_pages": file.value("pragma freelist_count"),
        # Opened for reading only it may not say so.
        "journal_mode": "wal" if is_in_wal_mode(file.path) else file.value("pragma journal_mode"),
        "modified": about.st_mtime,
        "newest": counts.get("newest"),
        "oldest": counts.get("oldest"),
    }


def _pairs(about: dict[str, Any]) -> list[tuple[str, object]]:
    has = {True: "yes", False: "no"}
    address, port = about["server_address"], about["port"]
    server = f"[{address}]:{port}" if address and ":" in address else f"{address}:{port}" if address else "none"
    kinds = f"{about['users']:,} users, {about['groups']:,} groups, {about['channels']:,} channels"
    named = ", ".join(f"{about[f'with_{what}']:,} with a {what}" for what in ("username", "phone", "name"))
    seen = [when(about[what]) for what in ("oldest", "newest") if about[what] is not None]
    return [
        ("file", Path(about["file"])),
        ("database version", about["version"]),
        ("data centre", f"{about['dc_id'] or 'none'}, {server}"),
        ("key", has[about["has_key"]]),
        ("temporary key", has[about["has_tmp_key"]]),
        ("takeout", "none" if about["takeout_id"] is None else str(about["takeout_id"])),
        ("account", about["account_id"] and str(about["account_id"])),
        ("entities", f"{about['entities']:,}: {kinds}"),
        ("", named),
        ("last seen", " to ".join(seen) or "not known"),
        ("update states", f"{about['update_states']:,}"),
        ("sent files", f"{about['sent_files']:,}"),
        ("size", f"{size(about['size'])}, {about['free_pages']:,} free pages of {about['page_size']:,} bytes"),
        ("journal mode", about["journal_mode"]),
        ("modified", when(about["modified"])),
    ]
