"""URLs of servers, from what users hold: a URL and options, or the client of another library."""

from __future__ import annotations

import inspect
import ssl
import warnings
from typing import Any
from urllib.parse import quote


def with_options(url: str, **options: Any) -> str:
    """Returns the URL with these parameters. Those that are `None` are left out."""
    given = {name: _text(value) for name, value in options.items() if value is not None}
    if not given:
        return url
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in given.items())
    # `urlsplit` would raise errors that contain the password.
    return f"{url}{'&' if '?' in url else '?'}{query}"


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def of_redis(client: Any) -> str:
    """Returns the URL that a `redis.Redis` client connects to.

    Raises:
        TypeError: It is not such a client, or one that a URL cannot describe.
    """
    pool: Any = getattr(client, "connection_pool", None)
    options = getattr(pool, "connection_kwargs", None)
    if options is None:
        raise TypeError(f"expected the URL of a server or a redis.Redis client, not {type(client).__name__}")
    if hasattr(pool, "sentinel_manager") or "connection_pool" in options:
        raise TypeError("a client of Sentinels: give their URL, such as redis+sentinel://host/mymaster/0")
    if options.get("credential_provider") is not None:
        raise TypeError("a client with a credential provider: give the URL with user and password")
    secure = "SSL" in pool.connection_class.__name__
    login = ""
    if options.get("password") is not None or options.get("username") is not None:
        user, password = options.get("username") or "", options.get("password") or ""
        login = f"{quote(str(user), safe='')}:{quote(str(password), safe='')}@"
    db = options.get("db") or 0
    if path := options.get("path"):
        return with_options(f"unix://{login}{quote(str(path))}", db=db or None)
    host = str(options.get("host", "localhost"))
    host = f"[{host}]" if ":" in host else host
    url = f"{'rediss' if secure else 'redis'}://{login}{host}:{options.get('port', 6379)}/{db}"
    if not secure:
        return url
    return with_options(
        url,
        tls_ca_file=options.get("ssl_ca_certs"),
        tls_cert_file=options.get("ssl_certfile"),
        tls_key_file=options.get("ssl_keyfile"),
    )


def of_engine(engine: Any) -> str:
    """Returns the URL of a SQLAlchemy engine, with those of its `connect_args` that a URL can express.
    Warns of the others.

    Raises:
        TypeError: It is not an engine.
    """
    url = getattr(engine, "url", None)
    if url is None:
        raise TypeError(f"expected the URL of a database or an Engine, not {type(engine).__name__}")
    text = str(url.render_as_string(hide_password=False)) if hasattr(url, "render_as_string") else str(url)
    given = _connect_args(engine)
    if given is None:
        _warn("the engine has a creator of its own, which is not used: only the engine's URL is")
        return text
    parameters, dropped = _parameters(given)
    if dropped:
        _warn(
            f"connect_args of the engine that a URL cannot express are not used: {', '.join(sorted(dropped))}; pass a"
            " URL with parameters such as sslmode and sslrootcert if they matter"
        )
    return with_options(text, **parameters)


def _warn(message: str) -> None:
    # From here to the caller of `RustSQLSession`.
    warnings.warn(message, stacklevel=5)


def _connect_args(engine: Any) -> dict[str, Any] | None:
    """Returns the arguments of an engine that are not in its URL; `None` if they are not known.

    SQLAlchemy keeps them in the function that connects, and nowhere else.
    """
    creator: Any = getattr(getattr(engine, "pool", None), "_creator", None)
    creator = getattr(creator, "__wrapped__", creator)
    try:
        variables = inspect.getclosurevars(creator).nonlocals
        of_url = engine.dialect.create_connect_args(engine.url)[1]
    except (TypeError, ValueError, AttributeError):
        return None
    given = variables.get("cparams")
    if not isinstance(given, dict):
        return None
    return {name: value for name, value in given.items() if name not in of_url or of_url[name] != value}


# As drivers call them and URLs take them.
_TLS_FILES = {"ca": "ssl_ca", "cert": "ssl_cert", "key": "ssl_key"}
_EXPRESSIBLE = (
    *("database", "dbname", "host", "password", "passwd", "port", "unix_socket", "user", "username"),
    *("ssl_ca", "ssl_cert", "ssl_key", "ssl_mode", "ssl_verify_cert", "ssl_verify_identity"),
    *("sslcert", "sslkey", "sslmode", "sslrootcert"),
    *("application_name", "connect_timeout", "options", "target_session_attrs"),
)


def _parameters(given: dict[str, Any]) -> tuple[dict[str, Any], set[str]]:
    """Returns the parameters that express these arguments, and the names of those without any."""
    parameters: dict[str, Any] = {}
    dropped = set()
    for name, value in given.items():
        if value is None:
            continue
        if name in ("ssl", "ssl_context") and isinstance(value, ssl.SSLContext):
            parameters["sslmode"] = _mode(value)
            # What authorities it trusts cannot be read from it.
            dropped.add(f"{name} (its mode {parameters['sslmode']} is used, but not its certificates)")
        elif name == "ssl" and isinstance(value, dict):
            parameters |= {_TLS_FILES[key]: file for key, file in value.items() if key in _TLS_FILES}
            if "check_hostname" in value:
                parameters["ssl_check_hostname"] = bool(value["check_hostname"])
            dropped |= {f"ssl[{key!r}]" for key in value.keys() - _TLS_FILES.keys() - {"check_hostname"}}
        elif isinstance(value, (str, int, float)) and (name in _EXPRESSIBLE or name == "ssl"):
            parameters[name] = value
        else:
            dropped.add(name)
    return parameters, dropped


def _mode(context: ssl.SSLContext) -> str:
    if context.verify_mode == ssl.CERT_NONE:
        return "require"
    return "verify-full" if context.check_hostname else "verify-ca"
