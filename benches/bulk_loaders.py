"""The floor of storing entities: each server's own bulk loader stores the rows of one of our sessions once more."""

from __future__ import annotations

import io
import itertools
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

# How each server loads rows fastest, as a table names it.
LOADERS = {
    "redis": "one HSET a key",
    "postgres": "COPY",
    "mysql": "LOAD DATA",
    "mongodb": "insert_many",
}

# All columns of an entity after the name of its session.
_COLUMNS = "id, hash, username, phone, name, date"


def load(kind: str, url: str, source: str, target: str, folder: Path) -> float:
    """Stores the entities of a session under another name. Returns how long the server's loader takes."""
    run = _PREPARE[kind](url, source, target, folder)
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def _redis(url: str, source: str, target: str, folder: Path) -> Callable[[], None]:
    import redis

    client = redis.Redis.from_url(url)
    commands: list[bytes] = []
    for key in ("entities", "usernames", "phones", "names"):
        # In the order of its hash table, growing another one would be slow.
        if fields := sorted(client.hgetall(f"telethon-session:{{{source}}}:{key}").items()):
            # One command for all rows, because the server syncs its file after each. A session never
            # writes so: the server answers no other client meanwhile.
            words = [b"HSET", f"telethon-session:{{{target}}}:{key}".encode(), *itertools.chain(*fields)]
            commands.append(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words))
    connection = client.connection_pool.get_connection()

    def run() -> None:
        connection.send_packed_command(commands)
        for _ in commands:
            connection.read_response()
        client.close()

    return run


def _postgres(url: str, source: str, target: str, folder: Path) -> Callable[[], None]:
    import psycopg2

    connection = psycopg2.connect(url)
    rows = io.StringIO()
    with connection.cursor() as cursor:
        chosen = f"SELECT '{target}', {_COLUMNS} FROM entities WHERE session_id = '{source}'"
        cursor.copy_expert(f"COPY ({chosen}) TO STDOUT", rows)
    connection.commit()
    rows.seek(0)

    def run() -> None:
        with connection.cursor() as cursor:
            cursor.copy_expert(f"COPY entities (session_id, {_COLUMNS}) FROM STDIN", rows)
        connection.commit()
        connection.close()

    return run


def _mysql(url: str, source: str, target: str, folder: Path) -> Callable[[], None]:
    import pymysql

    parts = urlsplit(url)
    connection = pymysql.connect(
        host=parts.hostname,
        port=parts.port or 3306,
        user=parts.username,
        password=unquote(parts.password or ""),
        database=parts.path.strip("/"),
        charset="utf8mb4",
        local_infile=True,
    )
    path = folder / "rows"
    with connection.cursor() as cursor, path.open("w", encoding="utf-8", newline="") as file:
        cursor.execute(f"SELECT {_COLUMNS} FROM entities WHERE session_id = %s", (source,))
        for row in cursor:
            # The benchmark's texts have no characters that would have to be escaped.
            values = [target, *("\\N" if value is None else str(value) for value in row)]
            file.write("\t".join(values) + "\n")
    connection.commit()

    def run() -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                f"LOAD DATA LOCAL INFILE %s INTO TABLE entities CHARACTER SET utf8mb4 (session_id, {_COLUMNS})",
                (str(path),),
            )
        connection.commit()
        connection.close()

    return run


def _mongo(url: str, source: str, target: str, folder: Path) -> Callable[[], None]:
    import pymongo

    client: pymongo.MongoClient[dict[str, object]] = pymongo.MongoClient(url, w="majority", journal=True)
    entities = client[urlsplit(url).path.strip("/")]["entities"]
    rows = [
        {**row, "_id": {"s": target, "i": row["_id"]["i"]}}  # type: ignore[index]
        for row in entities.find({"_id.s": source})
    ]

    def run() -> None:
        entities.insert_many(rows, ordered=False)
        client.close()

    return run


_PREPARE = {"redis": _redis, "postgres": _postgres, "mysql": _mysql, "mongodb": _mongo}
