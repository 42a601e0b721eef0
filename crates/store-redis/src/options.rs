//! Which server, and how to use it.

use std::fmt::{self, Debug, Display, Write};
use std::path::PathBuf;

use zeroize::Zeroizing;

/// The port of Redis.
pub const PORT: u16 = 6379;
/// The port of Redis Sentinel.
pub const SENTINEL_PORT: u16 = 26379;
/// With what our keys begin, unless said otherwise.
pub const PREFIX: &str = "telethon-session";
/// With what the keys of teleredis begin, unless said otherwise.
pub const HIVE_PREFIX: &str = "telethon:client";
/// With what the keys of redisthon begin, unless said otherwise.
pub const REDISTHON_PREFIX: &str = "redisthon:session";

/// A server, and how to use it. Sessions with equal options share connections.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RedisOptions {
    /// Where to connect.
    pub address: Address,
    /// How the servers work together.
    pub mode: Mode,
    /// How to log in to the server.
    pub login: Login,
    /// How to log in to the Sentinels.
    pub sentinel_login: Login,
    /// The number of the database. A cluster has only 0.
    pub db: i64,
    /// TLS, if the connection is to be encrypted.
    pub tls: Option<Tls>,
    /// Whether to speak RESP3 instead of RESP2.
    pub resp3: bool,
    /// With what our keys begin.
    pub prefix: String,
    /// With what the keys of teleredis begin, for adoption: its option `hive_prefix`.
    pub hive_prefix: String,
    /// With what the keys of redisthon begin, for adoption: its option `key_prefix`.
    pub redisthon_prefix: String,
    /// The data centre whose login to adopt, if teleredis has several and does not say which is the
    /// last.
    pub teleredis_dc: Option<i64>,
}

/// Where to connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// Hosts: the server, alternatives of which one is the primary, some nodes of a cluster, or
    /// Sentinels.
    Hosts(Vec<Host>),
    /// A socket in the file system.
    Unix(PathBuf),
}

/// A host and its port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// The name or address, without brackets.
    pub name: String,
    /// The port.
    pub port: u16,
}

/// How servers work together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// One server, perhaps with replicas.
    Single,
    /// Redis Cluster.
    Cluster,
    /// Redis Sentinel.
    Sentinel {
        /// The name of the primary.
        master: String,
    },
}

/// A user and a password.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Login {
    /// The user; the default user if there is none.
    pub username: Option<String>,
    /// The password.
    pub password: Option<Password>,
}

/// A password, which is wiped from memory when dropped, and never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// Keeps a password.
    #[must_use]
    pub fn new(password: String) -> Self {
        Self(Zeroizing::new(password))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// Files for TLS, in PEM. The server's certificate and name are always verified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// The certificates to trust, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// The client's certificate, and those between it and one that the server trusts.
    pub cert_file: Option<PathBuf>,
    /// The client's key.
    pub key_file: Option<PathBuf>,
}

impl Default for RedisOptions {
    /// A server on this host, at the usual port.
    fn default() -> Self {
        Self {
            address: Address::Hosts(vec![Host { name: "localhost".to_owned(), port: PORT }]),
            mode: Mode::Single,
            login: Login::default(),
            sentinel_login: Login::default(),
            db: 0,
            tls: None,
            resp3: false,
            prefix: PREFIX.to_owned(),
            hive_prefix: HIVE_PREFIX.to_owned(),
            redisthon_prefix: REDISTHON_PREFIX.to_owned(),
            teleredis_dc: None,
        }
    }
}

impl RedisOptions {
    /// Returns the URL without user, password and parameters, for messages.
    #[must_use]
    pub fn public_url(&self) -> String {
        let scheme = if self.tls.is_some() { "rediss" } else { "redis" };
        let Address::Hosts(hosts) = &self.address else {
            let Address::Unix(path) = &self.address else { return scheme.to_owned() };
            let db = if self.db == 0 { String::new() } else { format!("?db={}", self.db) };
            return format!("{scheme}+unix://{}{db}", path.display());
        };
        let mut url = scheme.to_owned();
        url.push_str(match self.mode {
            Mode::Single => "://",
            Mode::Cluster => "+cluster://",
            Mode::Sentinel { .. } => "+sentinel://",
        });
        for (at, host) in hosts.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            // Writing to a string does not fail.
            let _ = write!(url, "{comma}{host}");
        }
        let _ = match &self.mode {
            Mode::Single => write!(url, "/{}", self.db),
            Mode::Cluster => write!(url, "/"),
            Mode::Sentinel { master } => write!(url, "/{master}/{}", self.db),
        };
        url
    }
}

impl Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, port } = self;
        if name.contains(':') { write!(f, "[{name}]:{port}") } else { write!(f, "{name}:{port}") }
    }
}
