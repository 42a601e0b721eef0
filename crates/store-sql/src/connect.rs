//! Makes connections.

use std::str::FromStr as _;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use session_core::store::Kind;
use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::time::timeout;

use crate::connection::Connection;
use crate::error::{Class, Result, SqlError, unreachable};
use crate::options::{Dialect, Host, SqlOptions, Tls, TlsMode};

/// Connects to one of a server's hosts; to the driver's default if there is none.
///
/// Statements are not logged: a session's name and texts of entities stand in them.
pub(crate) async fn connect(options: &SqlOptions, host: Option<&Host>) -> Result<Connection> {
    let connecting = async {
        check_files(options)?;
        let mut connection = match options.dialect {
            Dialect::Postgres => {
                let options = postgres(options, host)?.disable_statement_logging();
                Connection::Postgres(options.connect().await?)
            }
            Dialect::MySql => {
                let options = mysql(options, host).disable_statement_logging();
                Connection::MySql(options.connect().await?)
            }
        };
        prepare(&mut connection, options).await?;
        Ok(connection)
    };
    let limit = options.connect_timeout;
    timeout(limit, connecting).await.unwrap_or_else(|_| Err(unreachable(&format!("no answer within {limit:?}"))))
}

/// Checks that the files of certificates can be read: else they would look like a server that is gone.
fn check_files(options: &SqlOptions) -> Result<()> {
    let Tls { ca, cert, key, .. } = &options.tls;
    for path in [ca, cert, key].into_iter().flatten() {
        if let Err(error) = std::fs::File::open(path) {
            let message = format!("{} cannot be read: {error}", path.display());
            return Err(SqlError::other(Kind::CannotOpen, message));
        }
    }
    Ok(())
}

async fn prepare(connection: &mut Connection, options: &SqlOptions) -> Result<()> {
    if options.dialect == Dialect::MySql {
        // Without strict mode a text that is too long would be cut and a number out of range replaced.
        connection
            .ask(
                "SET SESSION sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES'), innodb_lock_wait_timeout = 10 \
                 /*M!100101 , max_statement_time = 25 */",
            )
            .await?;
    }
    if options.needs_primary {
        let question = match options.dialect {
            Dialect::Postgres => "SHOW transaction_read_only",
            Dialect::MySql => "SELECT @@global.read_only",
        };
        let answer = connection.ask(question).await?;
        let is_read_only =
            answer.first_row().and_then(|row| row.text(0)).is_some_and(|text| matches!(text, "on" | "1"));
        if is_read_only {
            return Err(SqlError::new(
                Class::ReadOnly,
                Kind::Unreachable,
                "the server takes no writes, as a replica does",
            ));
        }
    }
    Ok(())
}

fn postgres(options: &SqlOptions, host: Option<&Host>) -> Result<PgConnectOptions> {
    // By way of a URL, because only so the library reads the user's password file.
    let encoded = |text: &String| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let user = options.user.as_ref().map(|user| format!("{}@", encoded(user))).unwrap_or_default();
    let database = options.database.as_ref().map(encoded).unwrap_or_default();
    let (address, port) = match host {
        Some(Host::Tcp(host, port)) if !host.contains(':') => (encoded(host), *port),
        Some(Host::Tcp(_, port) | Host::Socket(_, port)) => (String::new(), *port),
        None => (String::new(), options.dialect.default_port()),
    };
    let url = match (host, address.as_str()) {
        (None, _) | (_, "") => format!("postgres://{user}localhost:{port}/{database}"),
        _ => format!("postgres://{user}{address}:{port}/{database}"),
    };
    let mut connect = PgConnectOptions::from_str(&url)?;
    connect = match host {
        Some(Host::Tcp(host, port)) => connect.host(host).port(*port),
        Some(Host::Socket(path, port)) => connect.socket(path).port(*port),
        None => connect,
    };
    if let Some(password) = &options.password {
        connect = connect.password(password);
    }
    // PgBouncer refuses connections that set it.
    connect = connect.extra_float_digits(None).statement_cache_capacity(0);
    if !options.settings.is_empty() {
        connect = connect.options(options.settings.iter().map(|(name, value)| (name, value)));
    }
    connect = connect.application_name(options.application_name.as_deref().unwrap_or("telethon-session-rust"));
    let tls = &options.tls;
    if let Some(mode) = tls.mode {
        connect = connect.ssl_mode(match mode {
            TlsMode::Disable => PgSslMode::Disable,
            TlsMode::Prefer => PgSslMode::Prefer,
            TlsMode::Require => PgSslMode::Require,
            TlsMode::VerifyCa => PgSslMode::VerifyCa,
            TlsMode::VerifyFull => PgSslMode::VerifyFull,
        });
    }
    if let Some(ca) = &tls.ca {
        connect = connect.ssl_root_cert(ca);
    }
    if let Some(cert) = &tls.cert {
        connect = connect.ssl_client_cert(cert);
    }
    if let Some(key) = &tls.key {
        connect = connect.ssl_client_key(key);
    }
    Ok(connect)
}

fn mysql(options: &SqlOptions, host: Option<&Host>) -> MySqlConnectOptions {
    let mut connect = MySqlConnectOptions::new()
        .charset("utf8mb4")
        .pipes_as_concat(false)
        .no_engine_substitution(false)
        .statement_cache_capacity(0);
    connect = match host {
        Some(Host::Tcp(host, port)) => connect.host(host).port(*port),
        Some(Host::Socket(path, _)) => connect.socket(path),
        None => connect,
    };
    if let Some(user) = &options.user {
        connect = connect.username(user);
    }
    if let Some(password) = &options.password {
        connect = connect.password(password);
    }
    if let Some(database) = &options.database {
        connect = connect.database(database);
    }
    let tls = &options.tls;
    if let Some(mode) = tls.mode {
        connect = connect.ssl_mode(match mode {
            TlsMode::Disable => MySqlSslMode::Disabled,
            TlsMode::Prefer => MySqlSslMode::Preferred,
            TlsMode::Require => MySqlSslMode::Required,
            TlsMode::VerifyCa => MySqlSslMode::VerifyCa,
            TlsMode::VerifyFull => MySqlSslMode::VerifyIdentity,
        });
    }
    if let Some(ca) = &tls.ca {
        connect = connect.ssl_ca(ca);
    }
    if let Some(cert) = &tls.cert {
        connect = connect.ssl_client_cert(cert);
    }
    if let Some(key) = &tls.key {
        connect = connect.ssl_client_key(key);
    }
    connect
}

/// Checks that a connection that was not used for a while still answers.
pub(crate) async fn ping(connection: &mut Connection) -> bool {
    const LIMIT: std::time::Duration = std::time::Duration::from_secs(1);
    let pinging = async {
        match connection {
            Connection::Postgres(connection) => connection.ping().await.is_ok(),
            Connection::MySql(connection) => connection.ping().await.is_ok(),
        }
    };
    timeout(LIMIT, pinging).await.unwrap_or(false)
}
