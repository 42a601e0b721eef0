//! Sessions in `PostgreSQL`, `MySQL` and `MariaDB`.
//!
//! The tables are those of telethon-session-sqlalchemy, see `layout`: either package goes on with
//! what the other wrote. Both kinds of servers are asked in the same words; where they differ, a
//! [`Dialect`] says so.

mod bulk;
mod connect;
mod connection;
mod driver;
mod entities;
mod error;
mod gone;
mod layout;
mod lease;
mod logins;
mod merge;
mod options;
mod order;
mod parts;
mod pool;
mod sanitize;
mod sessions;
mod sql;
mod url;
mod usernames;
mod write;

pub use driver::SqlDriver;
pub use options::{Dialect, Host, SqlOptions, Tls, TlsMode};
pub use sanitize::normalize_phone;
pub use url::UrlError;

use store_net::{Remote, RemoteServer};

/// Parses the URL of a server.
///
/// # Errors
/// What is not valid in the URL.
pub fn server(url: &str) -> Result<Box<dyn RemoteServer>, UrlError> {
    let options: SqlOptions = url.parse()?;
    let public_url = options.place();
    Ok(Box::new(Remote::<SqlDriver>::new(options, public_url).with_phones(normalize_phone)))
}
