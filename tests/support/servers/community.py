"""Sessions of the community's packages on real servers, and how to fill them without their slow calls."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

# The package for each kind of server.
PACKAGES = {
    "redis": "teleredis",
    "postgres": "telethon-session-sqlalchemy",
    "mysql": "telethon-session-sqlalchemy",
    "mongodb": "telemongo",
}

Row = tuple[int, int, "str | None", "str | None", "str | None"]


def open_session(kind: str, url: str) -> Any:
    """Opens the session `anon` of the community's package."""
    return _OPEN[kind](url)


def fill(kind: str, url: str, rows: Iterable[Row]) -> None:
    """Stores rows of marked ID, access hash, username, phone and name as the package would."""
    _FILL[kind](url, [*rows])


def disconnect_telemongo() -> None:
    """Closes the connection that telemongo's sessions of this process share, so that another can be opened."""
    if (mongoengine := sys.modules.get("mongoengine")) is not None:
        mongoengine.disconnect_all()
        # It forgets only one class of each name, and telemongo may be loaded more than once.
        for document in mongoengine.Document.__subclasses__():
            document._collection = None


def _open_redis(url: str) -> Any:
    import redis
    from teleredis import RedisSession

    return RedisSession("anon", redis.Redis.from_url(url))


def _open_sqlalchemy(url: str) -> Any:
    from alchemysession import AlchemySessionContainer

    url = _for_sqlalchemy(url)
    # On MySQL the first start fails: it creates an index on a column that cannot have one.
    with contextlib.suppress(Exception):
        return AlchemySessionContainer(url).new_session("anon")
    return AlchemySessionContainer(url).new_session("anon")


def _open_mongo(url: str) -> Any:
    import mongoengine
    from telemongo import MongoSession

    # It is connected to twice, as in telemongo's README.
    database = urlsplit(url).path.strip("/")
    disconnect_telemongo()
    mongoengine.connect(database, host=url)
    return MongoSession(database, host=url)


def _fill_redis(url: str, rows: list[Row]) -> None:
    import redis

    with redis.Redis.from_url(url).pipeline(transaction=False) as pipeline:
        for id, access_hash, username, phone, name in rows:
            row = {"id": id, "hash": access_hash, "username": username, "phone": phone, "name": name}
            pipeline.set(f"telethon:client:anon:entities:{id}", json.dumps(row))
        pipeline.execute()


def _fill_sqlalchemy(url: str, rows: list[Row]) -> None:
    import sqlalchemy

    _open_sqlalchemy(url)
    engine = sqlalchemy.create_engine(_for_sqlalchemy(url))
    values = [
        {"session_id": "anon", "id": id, "hash": access_hash, "username": username, "phone": phone, "name": name}
        for id, access_hash, username, phone, name in rows
    ]
    table = sqlalchemy.Table("entities", sqlalchemy.MetaData(), autoload=True, autoload_with=engine)
    with engine.begin() as connection:
        for first in range(0, len(values), 1000):
            connection.execute(table.insert().values(values[first : first + 1000]))
    engine.dispose()


def _fill_mongo(url: str, rows: list[Row]) -> None:
    import pymongo

    _open_mongo(url)
    documents = [
        {"_id": id, "hash": access_hash, "username": username, "phone": phone, "name": name}
        for id, access_hash, username, phone, name in rows
    ]
    with pymongo.MongoClient(url) as client:
        client[urlsplit(url).path.strip("/")]["entity"].insert_many(documents, ordered=False)


def _for_sqlalchemy(url: str) -> str:
    return url.replace("mysql://", "mysql+pymysql://")


_OPEN = {"redis": _open_redis, "postgres": _open_sqlalchemy, "mysql": _open_sqlalchemy, "mongodb": _open_mongo}
_FILL = {"redis": _fill_redis, "postgres": _fill_sqlalchemy, "mysql": _fill_sqlalchemy, "mongodb": _fill_mongo}
