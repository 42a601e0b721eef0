//! The `.session` file: an SQLite database as Telethon writes it.

mod backend;
mod entities;
mod error;
mod lease;
mod login;
mod prepare;
mod schema;
mod store;
mod usernames;
mod watch;

pub use backend::SqliteFile;
pub use error::{ErrorClass, HeldBy, SqliteFailure};
pub use schema::{VERSION_7, VERSION_8};
pub use store::{SqliteStore, Value};
pub use usernames::CREATE_USERNAMES;
