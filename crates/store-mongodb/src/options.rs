//! Which server, which database there, and which collections.

use std::fmt::{self, Debug, Display};
use std::time::Duration;

use mongodb::options::{Acknowledgment, ClientOptions, ConnectionString, ReadConcern, WriteConcern};
use percent_encoding::percent_decode_str;
use session_core::store::Kind;
use store_net::driver::{DriverError, Result};

use crate::error::failed;

/// The database if the URL names none.
const DATABASE: &str = "telethon";
const APP_NAME: &str = "telethon-session-rust";
const MOST_CONNECTIONS: u32 = 8;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For how long an operation looks for a server that can be reached, such as a new primary. Sessions
/// try again; until an attempt ends they cannot say what is wrong.
const SELECTION_TIMEOUT: Duration = Duration::from_secs(1);
/// The longest prefix of collections' names. The server's limit is 255 bytes for database and
/// collection together.
const LONGEST_PREFIX: usize = 64;

/// Which server, which database there, and which collections.
#[derive(Clone, PartialEq, Eq)]
pub struct MongoOptions {
    /// The URL without this crate's own parameters. May contain a password.
    url: String,
    database: String,
    prefix: String,
    /// The scheme and the hosts.
    hosts: String,
}

impl MongoOptions {
    /// Parses a `mongodb://` or `mongodb+srv://` URL with the parameters of MongoDB's drivers. The
    /// path names the database. The additional parameter `prefix` is the beginning of the
    /// collections' names.
    ///
    /// # Errors
    /// What is wrong with the URL, without its user name and password.
    pub fn parse(url: &str) -> Result<Self> {
        if url.split_once('?').is_some_and(|(_, query)| query.contains('@')) {
            // It may be a part of a password, which would be taken for hosts or parameters.
            return Err(refused("? in a password must be written as %3F, and @ in a parameter as %40"));
        }
        let (url, prefix) = take_prefix(url)?;
        let parsed = ConnectionString::parse(&url).map_err(|_| invalid(&url))?;
        let database = parsed.default_database.unwrap_or_else(|| DATABASE.to_owned());
        let (scheme, rest) = url.split_once("://").unwrap_or_default();
        let rest = without_user(rest);
        let hosts = rest.split(['/', '?']).next().unwrap_or_default();
        Ok(Self { hosts: format!("{scheme}://{hosts}"), url, database, prefix })
    }

    /// Returns the URL without user name, password and parameters, for messages.
    #[must_use]
    pub fn public_url(&self) -> String {
        self.to_string()
    }

    /// Returns the database's name.
    #[must_use]
    pub fn database(&self) -> &str {
        &self.database
    }

    /// Returns what the collections' names begin with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Returns the options for the client library. Asks the DNS for the hosts of a `mongodb+srv`
    /// URL.
    pub(crate) async fn client_options(&self) -> Result<ClientOptions> {
        let parsed = ClientOptions::parse(&self.url).await;
        let mut options = parsed.map_err(|error| failed("the hosts cannot be looked up", &error))?;
        options.app_name.get_or_insert_with(|| APP_NAME.to_owned());
        options.max_pool_size.get_or_insert(MOST_CONNECTIONS);
        options.connect_timeout.get_or_insert(CONNECT_TIMEOUT);
        options.server_selection_timeout.get_or_insert(SELECTION_TIMEOUT);
        let concern = options.write_concern.get_or_insert_default();
        // An unacknowledged write could be lost without the session learning of it.
        if matches!(concern.w, None | Some(Acknowledgment::Nodes(0))) {
            concern.w = Some(Acknowledgment::Majority);
        }
        concern.journal.get_or_insert(true);
        if concern.w == Some(Acknowledgment::Majority) {
            // Nothing is read that a failover could take back.
            options.read_concern.get_or_insert_with(ReadConcern::majority);
        }
        // A session reads its own writes, so it reads from the primary.
        options.selection_criteria = None;
        Ok(options)
    }
}

impl Display for MongoOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { hosts, database, prefix, .. } = self;
        write!(f, "{hosts}/{database}")?;
        if prefix.is_empty() { Ok(()) } else { write!(f, "?prefix={prefix}") }
    }
}

impl Debug for MongoOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MongoOptions").field(&self.to_string()).finish()
    }
}

/// Returns a write concern as a command has it.
pub(crate) fn write_concern(concern: Option<&WriteConcern>) -> mongodb::bson::RawDocumentBuf {
    use mongodb::bson::raw::cstr;
    let mut document = mongodb::bson::RawDocumentBuf::new();
    let Some(WriteConcern { w, w_timeout, journal, .. }) = concern else { return document };
    match w {
        Some(Acknowledgment::Nodes(nodes)) => document.append(cstr!("w"), i64::from(*nodes)),
        Some(Acknowledgment::Custom(name)) => document.append(cstr!("w"), name.as_str()),
        _ => document.append(cstr!("w"), "majority"),
    }
    if let Some(journal) = journal {
        document.append(cstr!("j"), *journal);
    }
    if let Some(timeout) = w_timeout {
        document.append(cstr!("wtimeout"), i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX));
    }
    document
}

/// Removes the parameter `prefix` from a URL and returns its value.
fn take_prefix(url: &str) -> Result<(String, String)> {
    let Some((address, query)) = url.split_once('?') else { return Ok((url.to_owned(), String::new())) };
    let (ours, theirs): (Vec<_>, Vec<_>) = query
        .split('&')
        .filter(|parameter| !parameter.is_empty())
        .partition(|parameter| parameter.starts_with("prefix="));
    let encoded = ours.last().and_then(|parameter| parameter.split_once('=')).map_or("", |(_, value)| value);
    let prefix = percent_decode_str(encoded).decode_utf8().unwrap_or_default().into_owned();
    let is_valid = prefix.len() <= LONGEST_PREFIX && !prefix.contains(['$', '\0']) && !prefix.starts_with("system.");
    if !is_valid || (prefix.is_empty() && !encoded.is_empty()) {
        let message = "the URL's parameter `prefix` cannot begin the name of a collection: it has up to 64 bytes, no \
                       `$` and no NUL, and does not begin with `system.`";
        return Err(DriverError::new(Kind::CannotOpen, message));
    }
    if theirs.is_empty() {
        return Ok((address.to_owned(), prefix));
    }
    Ok((format!("{address}?{}", theirs.join("&")), prefix))
}

/// Returns what follows the user name and password in a URL without its scheme, as the client
/// library splits it.
fn without_user(rest: &str) -> &str {
    let end = rest.find('?').unwrap_or(rest.len());
    rest[..end].rfind('@').map_or(rest, |at| &rest[at + 1..])
}

/// Makes the error for a URL that the client library refuses. Its own message repeats pieces of the
/// URL, which may belong to a password that was not encoded: so it is repeated only if it is about a
/// parameter.
fn invalid(url: &str) -> DriverError {
    const ENCODE: &str = "in a user name or password, write % / ? # [ ] @ : as %25 %2F %3F %23 %5B %5D %40 %3A";
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    if !matches!(scheme, "mongodb" | "mongodb+srv") {
        return refused("it begins neither with mongodb:// nor with mongodb+srv://");
    }
    let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (user, address) = address.rsplit_once('@').map_or((None, address), |(user, address)| (Some(user), address));
    let (hosts, database) = address.split_once('/').unwrap_or((address, ""));
    let is_valid = |url: &str| ConnectionString::parse(url);
    if user.is_some_and(|user| is_valid(&format!("mongodb://{user}@localhost")).is_err()) {
        return refused(&format!("user name or password are not percent-encoded: {ENCODE}"));
    }
    if is_valid(&format!("{scheme}://{hosts}")).is_err() {
        return refused(&format!("a host or a port is not valid; {ENCODE}"));
    }
    if is_valid(&format!("mongodb://localhost/{database}")).is_err() {
        return refused("the database's name is not valid; a ? precedes the parameters");
    }
    let (public, secrets) = without_secrets(query);
    match is_valid(&format!("{scheme}://{hosts}/?{public}")) {
        Err(error) => refused(&error.kind.to_string()),
        Ok(_) if !secrets.is_empty() => refused(&format!("{} cannot be used", secrets.join(" and "))),
        Ok(_) => refused("user name, password and parameters do not fit together"),
    }
}

fn refused(what: &str) -> DriverError {
    DriverError::new(Kind::CannotOpen, format!("the URL of the MongoDB server is not valid: {what}"))
}

/// Removes the parameters that are, or contain, secrets. Returns their names, too.
fn without_secrets(query: &str) -> (String, Vec<&str>) {
    let is_secret = |parameter: &&str| {
        let name = parameter.split('=').next().unwrap_or_default().to_ascii_lowercase();
        name.ends_with("password") || name == "authmechanismproperties"
    };
    let (secrets, public): (Vec<_>, Vec<_>) = query.split('&').partition(is_secret);
    let names = secrets.into_iter().filter_map(|secret| secret.split('=').next()).collect();
    (public.join("&"), names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(url: &str) -> String {
        MongoOptions::parse(url).unwrap_err().message
    }

    #[test]
    fn the_path_names_the_database() {
        let options = MongoOptions::parse("mongodb://localhost").unwrap();
        assert_eq!((options.database(), options.prefix()), ("telethon", ""));
        assert_eq!(options.public_url(), "mongodb://localhost/telethon");
        let options = MongoOptions::parse("mongodb://a:1,b:2/people?replicaSet=rs&prefix=bot%5F&w=1&").unwrap();
        assert_eq!((options.database(), options.prefix()), ("people", "bot_"));
        assert_eq!(options.public_url(), "mongodb://a:1,b:2/people?prefix=bot_");
        assert_ne!(options, MongoOptions::parse("mongodb://a:1,b:2/people?replicaSet=rs&w=1").unwrap());
    }

    #[test]
    fn nothing_shows_the_password() {
        let url = "mongodb+srv://anna:s3cr%40t@host.example/db?authSource=admin&tls=true";
        let options = MongoOptions::parse(url).unwrap();
        for shown in [options.public_url(), format!("{options:?}")] {
            assert!(!shown.contains("s3cr") && !shown.contains("anna"), "{shown}");
            assert!(shown.contains("host.example/db"), "{shown}");
        }
        for url in [
            "mongodb://anna:s3cr@t@host/db",
            "mongodb://anna:s3cr/t@host/db",
            "mongodb://anna:s3cr?t@host/db",
            "mongodb://anna:s3cr:t@host/db",
            "mongodb://anna:s3cr%t@host/db",
            "mongodb://anna:s3cr@host:port/db",
            "mongodb://anna:s3cr@host/db?w=-5",
            "mongodb://anna:s3cr@host/db?tls=perhaps&prefix=x",
            "mongodb://host/db?tls=true&tlsCertificateKeyFilePassword=s3cr",
            "mongodb://host/db?tls=maybe&tlsCertificateKeyFilePassword=s3cr",
            "mongo://anna:s3cr@host",
            "anna:s3cr@host",
            "mongodb://anna:s3cr",
            "mongodb://anna:s3cr/t",
            "mongodb://anna:1?s3cr=t@host",
            "mongodb://host:s3cr/db?w=1",
        ] {
            assert!(!message(url).contains("s3cr"), "{}", message(url));
        }
        assert!(message("mongodb://anna:s3cr@t@host/db").contains("percent-encoded"));
        let encrypted = message("mongodb://a:b@host/db?tls=true&tlsCertificateKeyFilePassword=c");
        assert!(encrypted.contains("tlsCertificateKeyFilePassword cannot be used"), "{encrypted}");
        assert!(message("mongodb://a:b@host/db?w=-5").contains('w'));
    }

    #[test]
    fn a_prefix_must_fit_a_collection() {
        for prefix in ["%24", "%00", "system.x", &"x".repeat(65), "%FF"] {
            assert!(message(&format!("mongodb://host/?prefix={prefix}")).contains("prefix"));
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn writes_are_durable_unless_the_url_says_otherwise() {
        let concern = async |url: &str| {
            let options = MongoOptions::parse(url).unwrap().client_options().await.unwrap();
            (write_concern(options.write_concern.as_ref()), options.max_pool_size)
        };
        let expected = mongodb::bson::rawdoc! { "w": "majority", "j": true };
        assert_eq!(concern("mongodb://host").await, (expected.clone(), Some(8)));
        assert_eq!(concern("mongodb://host/?w=0&maxPoolSize=3").await, (expected, Some(3)));
        let expected = mongodb::bson::rawdoc! { "w": 1_i64, "j": false, "wtimeout": 5_i64 };
        assert_eq!(concern("mongodb://host/?w=1&journal=false&wTimeoutMS=5").await.0, expected);
    }
}
