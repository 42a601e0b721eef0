//! The `.session` file: an SQLite database as Telethon writes it.

mod backend;
mod backup;
mod copy;
mod entities;
mod error;
mod index;
mod key_lease;
mod lease;
mod login;
mod owner;
mod peek;
mod prepare;
mod read_only;
mod schema;
mod store;
mod usernames;
mod watch;

pub use backend::SqliteFile;
pub use backup::{BackupOptions, Caller, LastStep, Parts, back_up, copy_file};
pub use error::{ErrorClass, HeldBy, SqliteFailure};
pub use key_lease::KeyLease;
pub use owner::{FileOwner, OWNER_TABLE};
pub use read_only::ReadOnlyStore;
pub use schema::{VERSION_7, VERSION_8};
pub use store::{SqliteStore, Value};
pub use usernames::CREATE_USERNAMES;
