"""`telethon-session info`: shows what a session contains."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

from .encryption import given_keys
from .output import format_size, format_time, iso_utc, print_json, print_pairs
from .places import add_place_argument, existing_place
from .reader import SessionReader, is_in_wal_mode
from .source import open_source
from .subcommands import Subcommands, add_json_option

_DESCRIPTION = """\
Never shows the key itself. Counts bots as users, because the file does not distinguish them.

keys of --json:
  file, version, dc_id, server_address, port, has_key, has_tmp_key, encrypted, takeout_id,
  account_id, entities, users, chats, channels, with_username, with_phone, with_name,
  update_states, sent_files, size, page_size, free_pages (bytes, bytes, pages), journal_mode,
  modified, newest, oldest (the file; the entity seen last, and first: ISO 8601 in UTC)
Unknown values are null, such as the size of a session on a server. Later versions may add keys,
but do not remove any."""

# Neither the database in memory nor the server has these.
_NOT_OF_A_FILE = dict.fromkeys(("version", "size", "page_size", "free_pages", "journal_mode", "modified"))


def add_to(subcommands: Subcommands) -> None:
    parser = subcommands.add(
        "info",
        run,
        summary="show what is in a session",
        description=_DESCRIPTION,
        example="telethon-session info anon",
    )
    add_place_argument(parser)
    add_json_option(parser)


def run(arguments: Namespace) -> int:
    place = existing_place(arguments.file, arguments.password_file)
    with open_source(place, given_keys(arguments.encryption_key_file)) as file:
        details = describe(file)
    if arguments.json:
        print_json(details | {key: iso_utc(details[key]) for key in ("modified", "newest", "oldest")})
    else:
        print_pairs(_pairs(details))
    return 0


def describe(file: SessionReader) -> dict[str, Any]:
    """Returns what `--json` prints, except that times are Unix timestamps."""
    version, credentials = file.version, file.credentials()
    counts = file.entity_counts() if "entities" in file.tables else {}
    details = {
        "file": str(file.place),
        "version": version,
        "dc_id": credentials.dc_id or None if credentials else None,
        "server_address": credentials and credentials.server_address,
        "port": credentials and credentials.port,
        "has_key": bool(credentials and credentials.auth_key),
        "has_tmp_key": bool(credentials and credentials.tmp_auth_key),
        "encrypted": file.is_encrypted,
        "takeout_id": credentials and credentials.takeout_id,
        "account_id": file.account_id(),
        **{key: counts.get(key, 0) for key in ("entities", "users", "chats", "channels")},
        **{key: counts.get(key, 0) for key in ("with_username", "with_phone", "with_name")},
        "update_states": file.count("update_state"),
        "sent_files": file.count("sent_files"),
        "newest": counts.get("newest"),
        "oldest": counts.get("oldest"),
    }
    return details | (_describe_file(file, file.place) if isinstance(file.place, Path) else _NOT_OF_A_FILE)


def _describe_file(file: SessionReader, path: Path) -> dict[str, Any]:
    status = path.stat()
    return {
        "size": status.st_size,
        "page_size": file.value("pragma page_size"),
        "free_pages": file.value("pragma freelist_count"),
        # On an immutable connection the pragma may not report WAL mode.
        "journal_mode": "wal" if is_in_wal_mode(path) else file.value("pragma journal_mode"),
        "modified": status.st_mtime,
    }


def _pairs(details: dict[str, Any]) -> list[tuple[str, object]]:
    yes_no = {True: "yes", False: "no"}
    address, port = details["server_address"], details["port"]
    server = f"[{address}]:{port}" if address and ":" in address else f"{address}:{port}" if address else "none"
    kinds = f"{details['users']:,} users, {details['chats']:,} chats, {details['channels']:,} channels"
    named = ", ".join(f"{details[f'with_{what}']:,} with a {what}" for what in ("username", "phone", "name"))
    seen = [format_time(details[key]) for key in ("oldest", "newest") if details[key] is not None]
    pairs = [
        ("file" if details["version"] else "session", details["file"]),
        ("database version", details["version"]),
        ("data centre", f"{details['dc_id'] or 'none'}, {server}"),
        ("key", f"{yes_no[details['has_key']]}{', encrypted' if details['encrypted'] else ''}"),
        ("temporary key", yes_no[details["has_tmp_key"]]),
        ("takeout", "none" if details["takeout_id"] is None else str(details["takeout_id"])),
        ("account", details["account_id"] and str(details["account_id"])),
        ("entities", f"{details['entities']:,}: {kinds}"),
        ("", named),
        ("last seen", " to ".join(seen) or "unknown"),
        ("update states", f"{details['update_states']:,}"),
        ("sent files", f"{details['sent_files']:,}"),
    ]
    if details["size"] is None:
        return pairs
    free = f"{details['free_pages']:,} free pages of {details['page_size']:,} bytes"
    return [
        *pairs,
        ("size", f"{format_size(details['size'])}, {free}"),
        ("journal mode", details["journal_mode"]),
        ("modified", format_time(details["modified"])),
    ]
