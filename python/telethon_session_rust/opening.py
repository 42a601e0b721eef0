"""`open_session`: a session from one text, a URL or the name of a file."""

from __future__ import annotations

import os
import re
from difflib import get_close_matches
from typing import Any
from urllib.parse import unquote

from .mongodb import RustMongoSession
from .redis import RustRedisSession
from .remote import RemoteSession
from .sql import RustSQLSession
from .sqlite import RustSQLiteSession

# By scheme, without what follows `+`.
_CLASSES: dict[str, type[RemoteSession]] = {
    **dict.fromkeys(("redis", "rediss", "valkey", "valkeys", "unix"), RustRedisSession),
    **dict.fromkeys(("postgresql", "postgres", "mysql", "mariadb"), RustSQLSession),
    "mongodb": RustMongoSession,
}


def server_class(url: str) -> type[RemoteSession]:
    """Returns the class for the server at a URL.

    Raises:
        ValueError: The URL names no known kind of server. It is not repeated, because it may contain a
            password.
    """
    # Such as redis+cluster, redis-sentinel or postgresql+psycopg2.
    scheme = re.split(r"[+-]", url.partition("://")[0].lower(), maxsplit=1)[0]
    cls = _CLASSES.get(scheme)
    if cls is not None:
        return cls
    similar = "".join(f" Did you mean {known}://?" for known in get_close_matches(scheme, _CLASSES, 1))
    known = ", ".join(f"{known}://" for known in _CLASSES)
    raise ValueError(
        f"the URL names no known kind of server: known are {known}; a text without :// is the name of a file.{similar}"
    )


def split_location(location: str) -> tuple[str, str]:
    """Splits a location into the URL of a server, and the name of a session there, which may be empty.

    Raises:
        ValueError: It is not clear where the name begins.
    """
    url, mark, name = location.rpartition("#")
    if not mark:
        return location, ""
    if "#" in url or "@" in name:
        # Otherwise the end of a password would be taken for the name, which messages show.
        raise ValueError("write # in a password or a name as %23, and @ in the session's name as %40")
    return url, unquote(name)


def open_session(location: str | os.PathLike[str], **options: Any) -> RustSQLiteSession | RemoteSession:
    """Opens the session at a URL, or in a file.

    Args:
        location: The name of a file, or the URL of a server with the session's name behind `#`, such
            as `redis://localhost/0#anon`.
        options: The keyword arguments of the class: `exclusive`, `timeout` and others.

    Raises:
        SessionError: The session cannot be opened.
        ValueError: The URL is not valid.
    """
    if not (isinstance(location, str) and "://" in location):
        return RustSQLiteSession(location, **options)
    cls = server_class(location)
    url, name = split_location(location)
    if not name:
        raise ValueError("the session's name is missing: write it behind #, as in redis://localhost/0#anon")
    return cls(url, name, **options)
