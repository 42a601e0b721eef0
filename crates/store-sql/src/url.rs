//! URLs of servers: those of libpq, of `MySQL` clients and of `SQLAlchemy`.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use zeroize::Zeroizing;

use crate::options::{Dialect, Host, SqlOptions, TlsMode};

/// What is wrong with a URL. Never contains the password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UrlError(String);

impl UrlError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

type Result<T> = std::result::Result<T, UrlError>;

/// Parameters that other clients know and that change nothing here.
const IGNORED: [&str; 33] = [
    "autocommit",
    "binary_prefix",
    "channel_binding",
    "charset",
    "client_encoding",
    "collation",
    "compress",
    "fallback_application_name",
    "gssencmode",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "krbsrvname",
    "load_balance_hosts",
    "local_infile",
    "max_overflow",
    "pool_pre_ping",
    "pool_recycle",
    "pool_size",
    "pool_timeout",
    "prepared_statement_cache_size",
    "read_timeout",
    "socket_timeout",
    "sql_mode",
    "ssl_min_protocol_version",
    "sslcompression",
    "sslnegotiation",
    "sslsni",
    "statement_cache_capacity",
    "statement_cache_size",
    "use_unicode",
    "write_timeout",
];
/// The longest time to wait for a connection, so that an operation still ends in time.
const LONGEST_CONNECT: u64 = 8;

impl FromStr for SqlOptions {
    type Err = UrlError;

    /// Parses a URL such as `postgresql://user:password@host:5432/database?sslmode=verify-full`.
    fn from_str(url: &str) -> Result<Self> {
        let (scheme, rest) = url
            .split_once("://")
            .ok_or_else(|| UrlError::new("not a URL: expected postgresql://host/database or mysql://host/database"))?;
        // SQLAlchemy names its driver after a plus sign.
        let dialect = match scheme.split('+').next().unwrap_or_default() {
            "postgresql" | "postgres" => Dialect::Postgres,
            "mysql" | "mariadb" => Dialect::MySql,
            _ => {
                let message = "the URL begins neither with postgresql:// nor with mysql://; open_session() takes the URL \
                               of any kind of server, and RustSQLiteSession the name of a file";
                return Err(UrlError::new(message));
            }
        };
        let mut options = Self::new(dialect);
        let (rest, parameters) = rest.split_once('?').unwrap_or((rest, ""));
        if parameters.contains('@') {
            // It may be a part of a password, which would be taken for hosts or parameters.
            return Err(UrlError::new("write ? in a password as %3F, and @ in a parameter as %40"));
        }
        // A password may hold slashes that were not encoded.
        let (user, rest) = rest.rsplit_once('@').map_or((None, rest), |(user, rest)| (Some(user), rest));
        let (hosts, database) = rest.split_once('/').unwrap_or((rest, ""));
        if let Some(user) = user {
            let (user, password) = user.split_once(':').map_or((user, None), |(user, key)| (user, Some(key)));
            options.user = Some(decoded(user, "user")?).filter(|user| !user.is_empty());
            options.password = password.map(|text| decoded(text, "password").map(Zeroizing::new)).transpose()?;
        }
        options.database = Some(decoded(database, "database")?).filter(|name| !name.is_empty());
        let mut given = Parameters::default();
        for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            // Only in libpq's `options`, which hold spaces, a plus sign is one.
            let value = if name == "options" { value.replace('+', "%20") } else { value.to_owned() };
            given.take(&mut options, &decoded(name, "parameter")?, decoded(&value, "parameter")?)?;
        }
        given.finish(&mut options, hosts)?;
        Ok(options)
    }
}

/// Parameters that are used together with others.
#[derive(Default)]
struct Parameters {
    hosts: Vec<String>,
    ports: Vec<String>,
    socket: Option<PathBuf>,
    verifies_host: Option<bool>,
    verifies_certificate: Option<bool>,
    primary: Option<bool>,
}

impl Parameters {
    fn take(&mut self, options: &mut SqlOptions, given: &str, value: String) -> Result<()> {
        let name = given.replace('-', "_");
        match name.as_str() {
            "host" | "hostaddr" => self.hosts.extend(value.split(',').map(str::to_owned)),
            "port" => self.ports = value.split(',').map(str::to_owned).collect(),
            "user" | "username" => options.user = Some(value),
            "password" | "passwd" => options.password = Some(Zeroizing::new(value)),
            "dbname" | "database" | "db" => options.database = Some(value),
            "unix_socket" | "socket" => self.socket = Some(value.into()),
            "sslmode" | "ssl_mode" => options.tls.mode = Some(tls_mode(&value)?),
            "ssl" => options.tls.mode = ssl(&value)?.or(options.tls.mode),
            "sslrootcert" | "ssl_ca" | "ssl_root_cert" => options.tls.ca = (value != "system").then(|| value.into()),
            "sslcert" | "ssl_cert" => options.tls.cert = Some(value.into()),
            "sslkey" | "ssl_key" => options.tls.key = Some(value.into()),
            "ssl_check_hostname" | "ssl_verify_identity" => self.verifies_host = Some(flag(given, &value)?),
            "ssl_verify_cert" => self.verifies_certificate = Some(flag(given, &value)?),
            "options" => options.settings.extend(settings(&value)?),
            "application_name" | "program_name" => options.application_name = Some(value),
            "connect_timeout" | "timeout" => options.connect_timeout = seconds(given, &value)?,
            "target_session_attrs" => self.primary = Some(matches!(value.as_str(), "read-write" | "primary")),
            "table_prefix" => options.table_prefix = value,
            "schema" => options.schema = Some(value).filter(|schema| !schema.is_empty()),
            "manage_tables" => options.manage_tables = flag(given, &value)?,
            name if IGNORED.contains(&name) => log::debug!("the parameter `{name}` of a URL changes nothing"),
            // A mistyped `sslmode` must not be passed over.
            _ => return Err(UrlError::new(format!("the URL's parameter `{given}` is not known"))),
        }
        Ok(())
    }

    fn finish(self, options: &mut SqlOptions, authority: &str) -> Result<()> {
        let mut hosts: Vec<String> = Vec::new();
        for host in authority.split(',').filter(|host| !host.is_empty()) {
            hosts.push(decoded(host, "host")?);
        }
        hosts.extend(self.hosts);
        if hosts.is_empty() && !self.ports.is_empty() {
            hosts.push("localhost".to_owned());
        }
        let single = self.ports.len() == 1;
        for (at, host) in hosts.iter().enumerate() {
            let port = self.ports.get(if single { 0 } else { at }).map(|port| number(port)).transpose()?;
            options.hosts.push(parse_host(options.dialect, host, port)?);
        }
        if let Some(socket) = self.socket {
            options.hosts = vec![Host::Socket(socket, options.dialect.default_port())];
        }
        options.needs_primary = self.primary.unwrap_or(options.hosts.len() > 1);
        let tls = &mut options.tls;
        match (self.verifies_host, self.verifies_certificate) {
            (Some(true), _) => tls.mode = Some(TlsMode::VerifyFull),
            (_, Some(true)) => tls.mode = Some(TlsMode::VerifyCa),
            (_, Some(false)) if tls.mode.is_none() => tls.mode = Some(TlsMode::Require),
            _ => {}
        }
        // As libpq and PyMySQL have it: an authority is named in order to be asked.
        if tls.ca.is_some() && matches!(tls.mode, None | Some(TlsMode::Require)) && self.verifies_certificate.is_none()
        {
            tls.mode = Some(TlsMode::VerifyCa);
        }
        check_names(options)
    }
}

fn check_names(options: &SqlOptions) -> Result<()> {
    const LONGEST_SUFFIX: usize = crate::layout::SEEN.len();
    let longest = options.dialect.longest_name() - LONGEST_SUFFIX;
    if options.table_prefix.len() > longest {
        return Err(UrlError::new(format!("`table_prefix` may have at most {longest} bytes")));
    }
    let names =
        [Some(&options.table_prefix), options.schema.as_ref(), options.database.as_ref(), options.user.as_ref()];
    if names.into_iter().flatten().any(|name| name.contains('\0')) {
        return Err(UrlError::new("a name in the URL contains a zero byte"));
    }
    Ok(())
}

fn parse_host(dialect: Dialect, text: &str, port: Option<u16>) -> Result<Host> {
    let default = port.unwrap_or(dialect.default_port());
    if text.starts_with('/') {
        let (path, port) = match text.rsplit_once(':') {
            Some((path, port)) => (path, number(port)?),
            None => (text, default),
        };
        return Ok(Host::Socket(Path::new(path).to_owned(), port));
    }
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or_else(|| UrlError::new("an IPv6 address has no `]`"))?;
        let port = rest.strip_prefix(':').map(number).transpose()?;
        return Ok(Host::Tcp(host.to_owned(), port.unwrap_or(default)));
    }
    match text.split_once(':') {
        Some((host, rest)) if !rest.contains(':') => Ok(Host::Tcp(host.to_owned(), number(rest)?)),
        // An IPv6 address in a parameter has no brackets.
        _ => Ok(Host::Tcp(text.to_owned(), default)),
    }
}

fn number(text: &str) -> Result<u16> {
    // Not repeated in the message: with a `/` in a password, a part of it stands where a port is expected.
    text.parse().map_err(|_| UrlError::new("a port in the URL is not a number; is the password percent-encoded?"))
}

fn seconds(name: &str, value: &str) -> Result<Duration> {
    let seconds: f64 = value.parse().map_err(|_| UrlError::new(format!("`{name}` is not a number of seconds")))?;
    // For libpq zero is forever.
    let seconds = if seconds > 0.0 { seconds } else { f64::INFINITY };
    let longest = Duration::from_secs(LONGEST_CONNECT);
    Ok(Duration::try_from_secs_f64(seconds).unwrap_or(longest).min(longest))
}

fn flag(name: &str, value: &str) -> Result<bool> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" | "" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => Err(UrlError::new(format!("`{name}` is neither `true` nor `false`"))),
    }
}

fn tls_mode(value: &str) -> Result<TlsMode> {
    match value.to_ascii_lowercase().replace('_', "-").as_str() {
        "disable" | "disabled" | "allow" => Ok(TlsMode::Disable),
        "prefer" | "preferred" => Ok(TlsMode::Prefer),
        "require" | "required" => Ok(TlsMode::Require),
        "verify-ca" => Ok(TlsMode::VerifyCa),
        "verify-full" | "verify-identity" => Ok(TlsMode::VerifyFull),
        _ => Err(UrlError::new("`sslmode` must be `disable`, `prefer`, `require`, `verify-ca` or `verify-full`")),
    }
}

fn ssl(value: &str) -> Result<Option<TlsMode>> {
    match flag("ssl", value) {
        // Without more said, the certificate is verified.
        Ok(true) => Ok(Some(TlsMode::VerifyFull)),
        Ok(false) => Ok(Some(TlsMode::Disable)),
        Err(_) => tls_mode(value).map(Some),
    }
}

/// Parses libpq's `options`: `-c name=value` and `--name=value`.
fn settings(value: &str) -> Result<Vec<(String, String)>> {
    let wrong = || UrlError::new("`options` must have the form `-c name=value`");
    let mut words = value.split_ascii_whitespace();
    let mut settings = Vec::new();
    while let Some(word) = words.next() {
        let setting = match word.strip_prefix("-c").or_else(|| word.strip_prefix("--")) {
            Some("") => words.next().ok_or_else(wrong)?,
            Some(setting) => setting,
            None => return Err(wrong()),
        };
        let (name, value) = setting.split_once('=').ok_or_else(wrong)?;
        settings.push((name.to_owned(), value.to_owned()));
    }
    Ok(settings)
}

fn decoded(text: &str, what: &str) -> Result<String> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(std::borrow::Cow::into_owned).map_err(|_| UrlError::new(format!("the URL's {what} is not UTF-8")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> SqlOptions {
        url.parse().unwrap()
    }

    #[test]
    fn urls_of_libpq_are_understood() {
        let options = parse(
            "postgres://bot:p%40ss%2Fw%00rd@[::1]:5433,db2/tele%20thon?sslmode=verify-full&sslrootcert=/ca.pem\
             &options=-c%20search_path%3Dsessions+--geqo=off&application_name=bot&connect_timeout=3&table_prefix=tl_",
        );
        assert_eq!(options.hosts, [Host::Tcp("::1".into(), 5433), Host::Tcp("db2".into(), 5432)]);
        assert_eq!(options.password.as_ref().unwrap().as_str(), "p@ss/w\0rd");
        assert_eq!(options.settings, [("search_path".into(), "sessions".into()), ("geqo".into(), "off".into())]);
        assert_eq!(options.tls.mode, Some(TlsMode::VerifyFull));
        assert!(options.needs_primary && options.manage_tables);
        assert_eq!(options.connect_timeout, Duration::from_secs(3));
        assert_eq!(options.place(), "postgresql://[::1]:5433,db2:5432/tele thon");
        let socket = parse("postgresql:///telethon?host=/var/run/postgresql&port=5433&user=bot");
        assert_eq!(socket.hosts, [Host::Socket("/var/run/postgresql".into(), 5433)]);
        assert_eq!(socket.user.as_deref(), Some("bot"));
        let encoded = parse("postgresql://%2Fvar%2Frun:5433/db");
        assert_eq!(encoded.hosts, [Host::Socket("/var/run".into(), 5433)]);
        let many = parse("postgresql+psycopg2://u@/db?host=a:1&host=b:2&target_session_attrs=any");
        assert_eq!(many.hosts, [Host::Tcp("a".into(), 1), Host::Tcp("b".into(), 2)]);
        assert!(!many.needs_primary);
    }

    #[test]
    fn urls_of_mysql_clients_are_understood() {
        let options = parse("mysql+pymysql://bot:a:b@db/telethon?charset=utf8mb4&ssl_ca=/ca.pem&manage_tables=false");
        assert_eq!(options.dialect, Dialect::MySql);
        assert_eq!(options.hosts, [Host::Tcp("db".into(), 3306)]);
        assert_eq!(options.password.as_ref().unwrap().as_str(), "a:b");
        assert_eq!(options.tls.mode, Some(TlsMode::VerifyCa));
        assert!(!options.manage_tables);
        let socket = parse("mariadb://bot@localhost/db?unix_socket=/run/mysqld.sock&ssl-mode=VERIFY_IDENTITY");
        assert_eq!(socket.hosts, [Host::Socket("/run/mysqld.sock".into(), 3306)]);
        assert_eq!(socket.tls.mode, Some(TlsMode::VerifyFull));
        assert_eq!(parse("mysql://h/d?ssl=true").tls.mode, Some(TlsMode::VerifyFull));
    }

    #[test]
    fn errors_and_debug_hide_the_password() {
        for url in [
            "sqlite:///secret",
            "secret",
            "postgresql://u:secret@h:port/db",
            "postgresql://u:secret/x@h:1x/db",
            "postgresql://u:secret@h/db?sslmod=require",
            "postgresql://u:secret@h/db?sslmode=full",
            "postgresql://u:secret%ff@h/db",
            "postgresql://u:secret@h/db?options=secret",
            "mysql://u:secret@h/db?manage_tables=secret",
        ] {
            let error = url.parse::<SqlOptions>().unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
        let options = parse("postgresql://u:secret@h/db");
        assert!(!format!("{options:?} {}", options.place()).contains("secret"));
    }

    #[test]
    fn a_prefix_leaves_room_for_names() {
        let long = "x".repeat(40);
        assert!(format!("mysql://h/d?table_prefix={long}").parse::<SqlOptions>().is_err());
        assert_eq!(parse("mysql://h/d?table_prefix=telethon_").table_prefix, "telethon_");
    }
}
