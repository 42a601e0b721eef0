"""TLS: a server is verified by the authority that the URL names and by its host name, and it verifies the
client's certificate.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from support import servers
from support.certificates import Certificates
from support.contents import KEY
from support.ports import free_port
from support.servers.mysql import MySQLServer
from support.servers.postgres import PostgresServer
from telethon_session_rust import SessionError, open_session

PASSWORD = "made-up-1"

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")


@pytest.fixture(scope="module")
def certificates() -> Iterator[tuple[Certificates, Certificates]]:
    """Ours, and those of another authority."""
    with TemporaryDirectory(prefix="telethon-test-") as folder:
        # Servers that do not run as root read them.
        Path(folder).chmod(0o755)
        yield Certificates(Path(folder, "ours")), Certificates(Path(folder, "other"))


def start(kind: str, files: Certificates) -> tuple[servers.Server, int]:
    """Starts a server that asks the user `bot` for a certificate, and returns its port for TLS."""
    cert, key, ca = str(files.server), str(files.key_of(files.server)), str(files.ca)
    if kind == "redis":
        port = free_port()
        paths = ["--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", ca]
        server = servers.KINDS[kind]("--tls-port", str(port), *paths, "--tls-auth-clients", "yes")
        server.start()
        server.ask(f"ACL SETUSER bot on >{PASSWORD} ~* +@all")  # type: ignore[attr-defined]
        return server, port
    if kind == "mongodb":
        paths = ["--tlsCertificateKeyFile", str(files.both(files.server)), "--tlsCAFile", ca]
        server = servers.KINDS[kind]("--tlsMode", "preferTLS", *paths)
        server.start()
    elif kind == "mysql":
        server = MySQLServer(f"--ssl-cert={cert}", f"--ssl-key={key}", f"--ssl-ca={ca}")
        server.start()
        server.url()
        server.run(f"create user bot@'%' identified by '{PASSWORD}' require x509; grant all on telethon.* to bot@'%'")
    else:
        files.own_by_nobody(files.server, files.key_of(files.server), files.ca)
        paths = ["-c", f"ssl_cert_file={cert}", "-c", f"ssl_key_file={key}", "-c", f"ssl_ca_file={ca}"]
        server = PostgresServer("-c", "ssl=on", *paths)
        server.start()
        server.url()
        server.run(f"create role bot superuser login password '{PASSWORD}'")
        rules = server.folder / "data" / "pg_hba.conf"
        rule = "hostssl all bot 127.0.0.1/32 scram-sha-256 clientcert=verify-ca\nhost all bot all reject\n"
        rules.write_text(rule + rules.read_text())
        server.run("select pg_reload_conf()")
    return server, server.port


def url(kind: str, port: int, host: str, ca: Path | None, client: Certificates | None) -> str:
    cert = client and client.client
    key = client and client.key_of(client.client)
    base, names = {
        "redis": (f"rediss://bot:{PASSWORD}@{host}:{port}/0", ("tls_ca_file", "tls_cert_file", "tls_key_file")),
        "postgres": (f"postgresql://bot:{PASSWORD}@{host}:{port}/telethon", ("sslrootcert", "sslcert", "sslkey")),
        "mysql": (f"mysql://bot:{PASSWORD}@{host}:{port}/telethon", ("ssl-ca", "ssl-cert", "ssl-key")),
        "mongodb": (f"mongodb://{host}:{port}/telethon", ("tlsCAFile", "tlsCertificateKeyFile")),
    }[kind]
    given = {
        "postgres": ["sslmode=verify-full"],
        "mysql": ["ssl-mode=VERIFY_IDENTITY"],
        "mongodb": ["tls=true", "serverSelectionTimeoutMS=1000"],
    }.get(kind, [])
    if kind == "mongodb" and client:
        cert, key = client.both(client.client), None
    values = [f"{name}={path}" for name, path in zip(names, (ca, cert, key), strict=False) if path]
    return f"{base}?{'&'.join([*given, *values])}"


@pytest.mark.parametrize("kind", servers.KINDS)
def test_tls(kind: str, certificates: tuple[Certificates, Certificates], caplog: pytest.LogCaptureFixture) -> None:
    if not servers.KINDS[kind].is_installed():
        pytest.skip(f"the server for {kind} is not installed")
    ours, other = certificates
    server, port = start(kind, ours)
    caplog.set_level("DEBUG")
    try:
        right = f"{url(kind, port, 'localhost', ours.ca, ours)}#anon"
        session = open_session(right)
        session.auth_key = KEY
        session.save()
        session.close()
        assert open_session(right).auth_key == KEY
        for host, ca, client in (
            ("localhost", other.ca, ours),
            ("localhost", None, ours),
            # The certificate is another host's.
            ("127.0.0.1", ours.ca, ours),
            ("localhost", ours.ca, None),
            ("localhost", ours.ca, other),
        ):
            with pytest.raises(SessionError) as raised:
                open_session(f"{url(kind, port, host, ca, client)}#anon", timeout=3)
            assert PASSWORD not in str(raised.value)
        # A server without TLS is not taken for one with it.
        with servers.running("redis") as plain, pytest.raises(SessionError):
            open_session(f"{url(kind, plain.port, 'localhost', ours.ca, ours)}#anon", timeout=2)
        assert PASSWORD not in caplog.text and KEY.key.hex() not in caplog.text
    finally:
        server.close()
