"""A storage of one's own: the logins of any number of bots, and whom each has met, in one database.

API_ID=... API_HASH=... BOT_TOKEN=... python storage.py

Python has this database, so the example needs no other; any other will do.
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
    """The session of an account. Memory answers, and `save()` writes what is new."""

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
        """Called with whatever Telegram sends."""
        if not self.save_entities:
            return
        for row in self._entities_to_rows(tlo):
            if any(row[2:]):
                self.unsaved.pop(row[0], None)
                self.unsaved[row[0]] = row
            elif not self.get_entity_rows_by_id(row[0]):
                # An input peer tells no names, and takes none from who is known.
                self.unsaved.setdefault(row[0], row)
        super().process_entities(tlo)

    def save(self) -> None:
        """Called when the client has signed in, and each minute."""
        with self.database:
            login = RustStringSession.save(self)
            self.database.execute("replace into logins values (?, ?)", [self.account, login])
            for row in self.unsaved.values():
                # A username is theirs who were seen with it last.
                lost = "update entities set username = null where account = ? and username = ?"
                self.database.execute(lost, [self.account, row[2]])
                self.database.execute("replace into entities values (?, ?, ?, ?, ?, ?)", [self.account, *row])
        self.unsaved.clear()

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
        """Called for a connection to another data centre, of which nothing is kept."""
        return to_instance or RustMemorySession()


async def tell_how_many(event: Any) -> None:
    (count,) = event.client.session.database.execute("select count(*) from logins").fetchone()
    await event.respond(f"Bots in this database: {count}")


async def main() -> None:
    # Whoever can read the database is logged in.
    os.umask(0o077)
    with closing(sqlite3.connect("bots.db")) as database:
        token = os.environ["BOT_TOKEN"]
        session = DatabaseSession(database, account=token.partition(":")[0])
        # Telethon carries no types, and what pyright makes of its methods is not what they are.
        client: Any = TelegramClient(session, int(os.environ["API_ID"]), os.environ["API_HASH"])
        client.add_event_handler(tell_how_many, events.NewMessage(incoming=True))
        await client.start(bot_token=token)
        print(f"@{(await client.get_me()).username} is there. Ctrl-C ends it.")
        await client.run_until_disconnected()


if __name__ == "__main__":
    # What ends a service ends it as Ctrl-C does: disconnected, and with everything saved.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    with suppress(KeyboardInterrupt):
        asyncio.run(main())
