"""Errors of servers say what is wrong and what to do."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import sqlalchemy

from support import servers
from support.ports import free_port
from telethon_session_rust import RustRedisSession, RustSQLSession, SessionUnavailableError, open_session
from telethon_session_rust.entity import Entity
from telethon_session_rust.opening import server_class


@pytest.mark.parametrize("scheme", ["redis", "postgresql", "mysql", "mongodb"])
@pytest.mark.parametrize("timeout", [1.7, 2.3])
def test_a_server_that_refuses_connections(scheme: str, timeout: float) -> None:
    """Although it is being asked again when the time is over."""
    url = f"{scheme}://127.0.0.1:{free_port()}/0"
    with pytest.raises(SessionUnavailableError, match=r"cannot be reached.*refused"):
        open_session(f"{url}#anon", timeout=timeout)
    with pytest.raises(SessionUnavailableError, match=r"cannot be reached.*refused"):
        cls: Any = server_class(url)
        cls.list_sessions(url, timeout)


@pytest.mark.parametrize("server", ["redis"], indirect=True)
@pytest.mark.parametrize("command", ["hset", "evalsha", "hmget"])
def test_a_command_that_is_forbidden(server: servers.Server, command: str) -> None:
    assert isinstance(server, servers.RedisServer)
    user = servers.new_name()
    assert server.ask(f"ACL SETUSER {user} on >secret ~* &* +@all -{command}") == "+OK"
    url = f"redis://{user}:secret@127.0.0.1:{server.port}/0"
    with pytest.raises(SessionUnavailableError, match=rf"(?i)ACL SETUSER.*{command}") as refused:
        session = RustRedisSession(url, "anon")
        session.set_dc(2, "149.154.167.51", 443)
        session.takeout_id = 7
        session.save()
    assert "secret" not in str(refused.value)


def test_an_entity_without_an_access_hash(location: str) -> None:
    session = open_session(location)
    with pytest.raises(ValueError, match="access hash") as refused:
        session.add_entities([Entity(5, "user")])
    assert "file" not in str(refused.value)
    session.close()


def engine(url: str, **arguments: Any) -> Any:
    return sqlalchemy.create_engine(url, connect_args=arguments)


@pytest.mark.parametrize("server", ["mysql"], indirect=True)
def test_arguments_of_an_engine(server: servers.Server) -> None:
    url = server.url().replace("mysql://", "mysql+pymysql://")
    with pytest.warns(UserWarning, match="init_command, read_default_file") as warned:
        RustSQLSession(engine(url, init_command="x", read_default_file="x", connect_timeout=3), "anon").close()
    assert warned[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        RustSQLSession(engine(url, connect_timeout=3), "anon").close()
        # The file of certificates is looked for, so it is not passed over.
        with pytest.raises(SessionUnavailableError, match=r"no\.pem"):
            RustSQLSession(engine(url, ssl={"ca": "no.pem"}), "anon")
