"""A custom storage: the logins and entities of any number of bots in one database.

API_ID=... API_HASH=... BOT_TOKEN=... python storage.py

It uses SQLite, which Python includes. Any other database works too.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
from contextlib import closing, suppress
from typing import Any

from telethon import TelegramClient, events

from telethon_session_rust import Entity, RustMemorySession, RustStringSession

TABLES = """
create table if not exists logins (account text primary key, login text);
create table if not exists entities (
  account text, id integer, hash integer, username text, phone text, name text, primary key (account, id)
);
create index if not exists usernames on entities (account, username);
"""


class DatabaseSession(RustMemorySession):
    """The session of one account. Lookups use memory, and `save()` writes new rows."""

    def __init__(self, database: sqlite3.Connection, account: str) -> None:
        super().__init__()
        self.database = database
        self.account = account
        self.unsaved: dict[int, Any] = {}
        database.executescript(TABLES)
        for (string,) in database.execute("select login from logins where account = ?", [account]):
            login = RustStringSession(string)
            self.set_dc(login.dc_id, login.server_address, login.port)
            self.auth_key = login.auth_key
        rows = database.execute("select id, hash, username, phone, name from entities where account = ?", [account])
        self.add_entities(map(Entity.from_row, rows))

    def process_entities(self, tlo: Any) -> None:
        """Called with each object from Telegram that may contain entities."""
        if not self.save_entities:
            return
        for row in self._entities_to_rows(tlo):
            if any(row[2:]):
                self.unsaved.pop(row[0], None)
                self.unsaved[row[0]] = row
            elif not self.get_entity_rows_by_id(row[0]):
                # An input peer has no names and must not erase known ones.
                self.unsaved.setdefault(row[0], row)
        super().process_entities(tlo)

    def save(self) -> None:
        """Called after signing in, and once a minute."""
        with self.database:
            login = RustStringSession.save(self)
            self.database.execute("replace into logins values (?, ?)", [self.account, login])
            for row in self.unsaved.values():
                # A username belongs to the entity that was last seen with it.
                release = "update entities set username = null where account = ? and username = ?"
                self.database.execute(release, [self.account, row[2]])
                self.database.execute("replace into entities values (?, ?, ?, ?, ?, ?)", [self.account, *row])
        self.unsaved.clear()

    def forget(self, key: Any) -> bool:
        """Called by you."""
        entity = self.find_entity(key)
        if entity is not None:
            self.unsaved.pop(entity.marked_id, None)
            with self.database:
                delete = "delete from entities where account = ? and id = ?"
                self.database.execute(delete, [self.account, entity.marked_id])
        return bool(super().forget(key))

    def close(self) -> None:
        """Called when the client disconnects."""
        self.save()

    def delete(self) -> bool:
        """Called when the client logs out."""
        self.unsaved.clear()
        with self.database:
            self.database.execute("delete from logins where account = ?", [self.account])
            self.database.execute("delete from entities where account = ?", [self.account])
        return True

    def clone(self, to_instance: Any = None) -> Any:
        """Called for a connection to another data centre. Returns a session that stores nothing."""
        return to_instance or RustMemorySession()


async def reply_with_count(event: Any) -> None:
    (count,) = event.client.session.database.execute("select count(*) from logins").fetchone()
    await event.respond(f"Bots in this database: {count}")


async def main() -> None:
    # The database contains logins, so make it readable by its owner only.
    os.umask(0o077)
    with closing(sqlite3.connect("bots.db")) as database:
        token = os.environ["BOT_TOKEN"]
        session = DatabaseSession(database, account=token.partition(":")[0])
        # Telethon has no type hints, and pyright infers wrong ones.
        client: Any = TelegramClient(session, int(os.environ["API_ID"]), os.environ["API_HASH"])
        client.add_event_handler(reply_with_count, events.NewMessage(incoming=True))
        await client.start(bot_token=token)
        print(f"@{(await client.get_me()).username} is connected. Press Ctrl-C to stop.")
        await client.run_until_disconnected()


if __name__ == "__main__":
    # Service managers send SIGTERM; handle it like Ctrl-C, which disconnects and saves everything.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    with suppress(KeyboardInterrupt):
        asyncio.run(main())
