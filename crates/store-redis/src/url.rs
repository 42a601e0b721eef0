//! Parses URLs of servers.
//!
//! `redis://`, `rediss://` (TLS), `valkey://` and `valkeys://` name one server, or several hosts of
//! which one is the primary; with `+cluster`, `+sentinel` or `+unix` in the scheme, a cluster,
//! Sentinels (`redis+sentinel://h1,h2/master/db`) or a socket. Parameters have the names that
//! redis-py, redis-cli and others use.

use std::error::Error;
use std::fmt::{self, Display};
use std::path::PathBuf;

use percent_encoding::percent_decode_str;

use crate::options::{Address, Host, Login, Mode, PORT, Password, RedisOptions, SENTINEL_PORT, Tls};

/// Parameters of other client libraries that change nothing here.
const IGNORED: [&str; 14] = [
    "client_name",
    "decode_responses",
    "encoding",
    "encoding_errors",
    "health_check_interval",
    "max_connections",
    "retry_on_error",
    "retry_on_timeout",
    "single_connection_client",
    "socket_connect_timeout",
    "socket_keepalive",
    "socket_read_size",
    "socket_timeout",
    "timeout",
];

/// A URL that is not usable. Never contains a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlError(String);

impl Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for UrlError {}

fn fail<T>(message: impl Into<String>) -> Result<T, UrlError> {
    Err(UrlError(message.into()))
}

/// Returns `true` if a URL names a Redis or Valkey server.
#[must_use]
pub fn is_redis_url(url: &str) -> bool {
    url.split_once("://").is_some_and(|(scheme, _)| parse_scheme(scheme).is_some())
}

/// What a scheme says.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Single,
    Cluster,
    Sentinel,
    Unix,
}

/// Returns the kind of server, and whether TLS is used.
fn parse_scheme(scheme: &str) -> Option<(Kind, bool)> {
    let scheme = scheme.to_ascii_lowercase();
    if scheme == "unix" {
        return Some((Kind::Unix, false));
    }
    let (base, suffix) = scheme.split_once(['+', '-']).unwrap_or((&scheme, ""));
    let tls = match base {
        "redis" | "valkey" => false,
        "rediss" | "valkeys" => true,
        _ => return None,
    };
    let kind = match suffix {
        "" => Kind::Single,
        "cluster" => Kind::Cluster,
        "sentinel" => Kind::Sentinel,
        "unix" | "socket" if !tls => Kind::Unix,
        _ => return None,
    };
    Some((kind, tls))
}

impl RedisOptions {
    /// Parses a URL.
    ///
    /// # Errors
    /// Which part of the URL is not usable.
    pub fn parse(url: &str) -> Result<Self, UrlError> {
        let Some((scheme, rest)) = url.split_once("://") else {
            return fail("not a URL: expected redis://host/db");
        };
        let Some((kind, tls)) = parse_scheme(scheme) else {
            return fail(
                "not a URL of a Redis server: expected redis://, rediss://, valkey:// or valkeys://; open_session() takes \
                 the URL of any kind of server",
            );
        };
        if rest.contains('#') {
            return fail(
                "a Redis URL has no fragment (#): TLS certificates are always verified, write # in a password as %23",
            );
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let path = rest.find('/').map_or("", |at| &rest[at..]);
        if path.contains('@') || query.contains('@') {
            // It may be a part of a password, which would be taken for hosts, a path or parameters.
            return fail("write / and ? in a password as %2F and %3F, and @ in a path or a parameter as %40");
        }
        let mut options = Self { tls: tls.then(Tls::default), ..Self::default() };
        if kind == Kind::Unix {
            // Some write a host or a user before the path.
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            options.login = parse_login(authority.rsplit_once('@').map_or("", |(login, _)| login))?;
            if path.len() < 2 {
                return fail("the URL of a socket needs a path: unix:///run/redis.sock");
            }
            options.address = Address::Unix(PathBuf::from(decode(path, "path")?));
        } else {
            let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
            let (login, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
            options.login = parse_login(login)?;
            let default_port = if kind == Kind::Sentinel { SENTINEL_PORT } else { PORT };
            let hosts: Result<Vec<_>, _> = hosts.split(',').map(|host| parse_host(host, default_port)).collect();
            options.address = Address::Hosts(hosts?);
            options.read_path(kind, path)?;
        }
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            options.set(name, decode(&value.replace('+', "%20"), name)?)?;
        }
        options.check()?;
        Ok(options)
    }

    fn read_path(&mut self, kind: Kind, path: &str) -> Result<(), UrlError> {
        let path = path.trim_end_matches('/');
        let db = if kind == Kind::Sentinel {
            let (master, db) = path.split_once('/').unwrap_or((path, ""));
            self.mode = Mode::Sentinel { master: decode(master, "name of the primary")? };
            db
        } else {
            path
        };
        if kind == Kind::Cluster {
            self.mode = Mode::Cluster;
        }
        if !db.is_empty() {
            self.db = parse_db(db)?;
        }
        Ok(())
    }

    fn set(&mut self, name: &str, value: String) -> Result<(), UrlError> {
        match name {
            "db" => self.db = parse_db(&value)?,
            "prefix" => self.prefix = value,
            "hive_prefix" => self.hive_prefix = value,
            "redisthon_prefix" => self.redisthon_prefix = value,
            "teleredis_dc" => match value.parse() {
                Ok(dc_id) => self.teleredis_dc = Some(dc_id),
                Err(_) => return fail("the parameter teleredis_dc is not a number"),
            },
            "protocol" => {
                self.resp3 = match &*value {
                    "2" | "resp2" => false,
                    "3" | "resp3" => true,
                    _ => return fail("the parameter protocol must be 2 or 3"),
                }
            }
            "user" | "username" => self.login.username = Some(value),
            "pass" | "password" => self.login.password = Some(Password::new(value)),
            "sentinel_username" => self.sentinel_login.username = Some(value),
            "sentinel_password" => self.sentinel_login.password = Some(Password::new(value)),
            "master" | "service_name" | "sentinel_master_id" => match &mut self.mode {
                Mode::Sentinel { master } => *master = value,
                _ => return fail(format!("the parameter {name} needs a URL with redis+sentinel://")),
            },
            "tls_ca_file" | "ssl_ca_certs" | "cacert" => self.tls(name)?.ca_file = Some(value.into()),
            "tls_cert_file" | "ssl_certfile" | "cert" => self.tls(name)?.cert_file = Some(value.into()),
            "tls_key_file" | "ssl_keyfile" | "key" => self.tls(name)?.key_file = Some(value.into()),
            "ssl_cert_reqs" | "ssl_check_hostname" => {
                if !matches!(&*value.to_ascii_lowercase(), "required" | "true" | "yes" | "1") {
                    return fail(format!(
                        "{name}: TLS certificates are always verified; name a certificate to trust in tls_ca_file"
                    ));
                }
            }
            _ if IGNORED.contains(&name) => {}
            // Anything else may be a part of a password with an unescaped question mark.
            _ if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') && name.len() < 40 => {
                return fail(format!("unknown parameter {name}"));
            }
            _ => return fail("unknown parameter; write / ? # @ in a password as %2F %3F %23 %40"),
        }
        Ok(())
    }

    fn tls(&mut self, name: &str) -> Result<&mut Tls, UrlError> {
        match &mut self.tls {
            Some(tls) => Ok(tls),
            None => fail(format!("the parameter {name} needs a URL with rediss://")),
        }
    }

    /// Checks options that were put together by hand; [`parse`](Self::parse) has done so.
    ///
    /// # Errors
    /// Which of them is not usable.
    pub fn check(&self) -> Result<(), UrlError> {
        let (hosts, is_unix) = match &self.address {
            Address::Hosts(hosts) => (hosts.len(), false),
            Address::Unix(_) => (1, true),
        };
        if hosts == 0 {
            return fail("no host is given");
        }
        if is_unix && self.mode != Mode::Single {
            return fail("a cluster or Sentinel cannot be reached by a socket");
        }
        if self.mode == Mode::Cluster && self.db != 0 {
            return fail("a Redis cluster has only database 0");
        }
        if matches!(&self.mode, Mode::Sentinel { master } if master.is_empty()) {
            return fail("the name of the primary is missing: redis+sentinel://host/NAME/db");
        }
        if self.prefix.is_empty() || self.prefix.contains(['{', '}']) {
            return fail("the prefix of keys must not be empty or contain { or }");
        }
        match &self.tls {
            Some(tls) if tls.cert_file.is_some() != tls.key_file.is_some() => {
                fail("tls_cert_file and tls_key_file belong together")
            }
            _ => Ok(()),
        }
    }
}

fn decode(text: &str, part: &str) -> Result<String, UrlError> {
    match percent_decode_str(text).decode_utf8() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => fail(format!("the {part} is not UTF-8 after percent-decoding")),
    }
}

fn parse_login(login: &str) -> Result<Login, UrlError> {
    let (username, password) = match login.split_once(':') {
        Some((username, password)) => (username, Some(Password::new(decode(password, "password")?))),
        None => (login, None),
    };
    let username = decode(username, "user")?;
    Ok(Login { username: (!username.is_empty()).then_some(username), password })
}

fn parse_host(host: &str, default_port: u16) -> Result<Host, UrlError> {
    // A password with an unescaped slash ends up here, so that no part of it may be shown.
    let bad_port =
        || UrlError("the port of a host is not a number; write / ? # @ in a password as %2F %3F %23 %40".to_owned());
    let parse_port = |port: &str| match port {
        "" => Ok(default_port),
        port => port.parse().map_err(|_| bad_port()),
    };
    if let Some(bracketed) = host.strip_prefix('[') {
        let Some((name, port)) = bracketed.split_once(']') else { return fail("an IPv6 address lacks its ]") };
        let port = port.strip_prefix(':').or(port.is_empty().then_some("")).ok_or_else(bad_port)?;
        return Ok(Host { name: name.to_owned(), port: parse_port(port)? });
    }
    let (name, port) = host.split_once(':').unwrap_or((host, ""));
    let name = if name.is_empty() { "localhost".to_owned() } else { decode(name, "host")? };
    Ok(Host { name, port: parse_port(port)? })
}

fn parse_db(db: &str) -> Result<i64, UrlError> {
    match db.parse() {
        Ok(db) if db >= 0 => Ok(db),
        _ => fail("the database is not a number: expected redis://host/0"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> RedisOptions {
        RedisOptions::parse(url).unwrap_or_else(|error| panic!("{url}: {error}"))
    }

    #[test]
    fn urls_are_shown_without_password() {
        for (url, shown) in [
            ("redis://localhost", "redis://localhost:6379/0"),
            ("REDIS://", "redis://localhost:6379/0"),
            ("valkey://bot:s3cret@db:7000/5", "redis://db:7000/5"),
            ("rediss://:s3cret%2F%40@[::1]:7/2?tls_ca_file=/ca.pem", "rediss://[::1]:7/2"),
            ("valkeys://h", "rediss://h:6379/0"),
            ("redis://h1,h2:7/", "redis://h1:6379,h2:7/0"),
            ("unix:///run/redis.sock?db=3", "redis+unix:///run/redis.sock?db=3"),
            ("redis+unix://:s3cret@/run/redis.sock", "redis+unix:///run/redis.sock"),
            ("redis+cluster://u:s3cret@h1,h2:7000/", "redis+cluster://h1:6379,h2:7000/"),
            ("redis+sentinel://:s3cret@h1,h2:7/mymaster/4", "redis+sentinel://h1:26379,h2:7/mymaster/4"),
            ("rediss-sentinel://h1?master=a%20b", "rediss+sentinel://h1:26379/a b/0"),
        ] {
            let options = parse(url);
            assert_eq!(options.public_url(), shown);
            assert!(!format!("{options:?}").contains("s3cret"));
            assert!(is_redis_url(url));
        }
    }

    #[test]
    fn parts_are_decoded() {
        let options = parse(
            "rediss://us%40er:pa%3Ass@h/1?tls_ca_file=%2Fca&tls_cert_file=a&tls_key_file=b&prefix=bots&protocol=3&hive_prefix=x&socket_timeout=5",
        );
        assert_eq!(options.login.username.as_deref(), Some("us@er"));
        assert_eq!(options.login.password.as_ref().map(Password::as_str), Some("pa:ss"));
        let files = Tls { ca_file: Some("/ca".into()), cert_file: Some("a".into()), key_file: Some("b".into()) };
        assert_eq!(options.tls, Some(files));
        assert_eq!((&*options.prefix, &*options.hive_prefix, options.db, options.resp3), ("bots", "x", 1, true));
        let options = parse("redis://a@b:c@d:e@h");
        assert_eq!(options.login.password.as_ref().map(Password::as_str), Some("c@d:e"));
    }

    #[test]
    fn what_is_wrong_is_said_without_the_password() {
        for url in [
            "localhost",
            "http://s3cret@h",
            "redis+unixes://h",
            "redis://:s3/cret@h/0",
            "redis://:s3?s3cret@h/0",
            "redis://:12?s3cret@h/0",
            "redis://:s3#cret@h/0",
            "redis://h:s3cret",
            "redis://h/x",
            "redis://h/-1",
            "redis://[::1/0",
            "redis://%ff:s3cret@h",
            "redis://h?tls_ca_file=x",
            "redis://h?protocol=4",
            "redis://h?prefix=",
            "redis://h?prefix=a%7Bb",
            "redis://h?s3=s3cret",
            "rediss://h#insecure",
            "rediss://h?ssl_cert_reqs=none",
            "rediss://h?tls_cert_file=x",
            "redis+cluster://h/1",
            "redis+sentinel://h",
            "redis://h?master=x",
            "unix://",
        ] {
            let error = RedisOptions::parse(url).unwrap_err().to_string();
            assert!(!error.contains("s3cret") && !error.contains("cret@"), "{error}");
        }
    }
}
