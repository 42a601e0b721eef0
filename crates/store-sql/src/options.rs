//! Which server, and how to use it.

use std::fmt::{self, Debug, Display};
use std::path::PathBuf;
use std::time::Duration;

use zeroize::Zeroizing;

/// The kind of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `PostgreSQL`, or a server that speaks its protocol.
    Postgres,
    /// `MySQL` or `MariaDB`.
    MySql,
}

impl Dialect {
    pub(crate) fn scheme(self) -> &'static str {
        match self {
            Self::Postgres => "postgresql",
            Self::MySql => "mysql",
        }
    }

    pub(crate) fn default_port(self) -> u16 {
        match self {
            Self::Postgres => 5432,
            Self::MySql => 3306,
        }
    }

    /// Returns the length of the longest name of a table.
    pub(crate) fn longest_name(self) -> usize {
        match self {
            Self::Postgres => 63,
            Self::MySql => 64,
        }
    }
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A host name or an IP address, and a port.
    Tcp(String, u16),
    /// A Unix socket: for `PostgreSQL` its directory and the port in its name, for `MySQL` the socket
    /// itself.
    Socket(PathBuf, u16),
}

impl Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp(host, port) => write!(f, "{host}:{port}"),
            Self::Socket(path, _) => Display::fmt(&path.display(), f),
        }
    }
}

/// How far a connection is encrypted, as `PostgreSQL` calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// Never.
    Disable,
    /// If the server can; its certificate is not verified.
    Prefer,
    /// Always; the certificate is not verified.
    Require,
    /// Always, with a certificate of a known authority.
    VerifyCa,
    /// Always, with a certificate of a known authority for this host.
    VerifyFull,
}

/// How a connection is encrypted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// How far; `None` for the driver's default.
    pub mode: Option<TlsMode>,
    /// The certificates of authorities, in addition to the system's.
    pub ca: Option<PathBuf>,
    /// The client's certificate.
    pub cert: Option<PathBuf>,
    /// The client's private key.
    pub key: Option<PathBuf>,
}

/// Which server, and how to use it. Sessions with equal options share connections.
#[derive(Clone, PartialEq)]
pub struct SqlOptions {
    /// The kind of server.
    pub dialect: Dialect,
    /// Where it listens, in the order in which they are tried; empty for the driver's default.
    pub hosts: Vec<Host>,
    /// The user; `None` for the driver's default.
    pub user: Option<String>,
    /// The password.
    pub password: Option<Zeroizing<String>>,
    /// The database; `None` for the driver's default.
    pub database: Option<String>,
    /// How connections are encrypted.
    pub tls: Tls,
    /// Settings of a `PostgreSQL` session.
    pub settings: Vec<(String, String)>,
    /// What the server shows as the name of the program.
    pub application_name: Option<String>,
    /// Whether a server that accepts no writes is passed over, even if it is the only one.
    pub needs_primary: bool,
    /// How long to wait for a connection.
    pub connect_timeout: Duration,
    /// What the names of all tables begin with.
    pub table_prefix: String,
    /// The schema of the tables; `None` for the connection's own.
    pub schema: Option<String>,
    /// Whether to create tables that do not exist.
    pub manage_tables: bool,
}

impl SqlOptions {
    /// Returns options for the default server of a kind.
    #[must_use]
    pub fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            hosts: Vec::new(),
            user: None,
            password: None,
            database: None,
            tls: Tls::default(),
            settings: Vec::new(),
            application_name: None,
            needs_primary: false,
            connect_timeout: Duration::from_secs(5),
            table_prefix: String::new(),
            schema: None,
            manage_tables: true,
        }
    }

    /// Returns the URL without user, password and parameters, for messages.
    #[must_use]
    pub fn place(&self) -> String {
        let hosts: Vec<String> = self.hosts.iter().map(Host::to_string).collect();
        let database = self.database.as_ref().map(|name| format!("/{name}")).unwrap_or_default();
        format!("{}://{}{database}", self.dialect.scheme(), hosts.join(","))
    }
}

impl Debug for SqlOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlOptions")
            .field("place", &self.place())
            .field("user", &self.user)
            .field("has_password", &self.password.is_some())
            .field("tls", &self.tls)
            .field("table_prefix", &self.table_prefix)
            .field("schema", &self.schema)
            .field("manage_tables", &self.manage_tables)
            .finish_non_exhaustive()
    }
}
