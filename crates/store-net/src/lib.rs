//! What all stores on servers share.
//!
//! A [`Driver`] knows one kind of server and its client library, and does one thing at a time,
//! asynchronously. Everything else is here, once for all kinds: the [`thread`] on which drivers run,
//! one [`server`] for each URL with its connections, the [`backend`] and the [`store`] that sessions
//! use without waiting, writes of many sessions that are committed together ([`commit`]), and
//! [`lease`]s.

pub mod attempt;
pub mod backend;
pub mod commit;
pub mod driver;
mod forgettings;
pub mod lease;
pub mod owner;
pub mod remote;
pub mod request;
pub mod server;
mod shared;
pub mod store;
pub mod thread;

pub use attempt::Attempt;
pub use backend::{NetBackend, Sessions};
pub use commit::{Commit, CommitError};
pub use driver::{Acquired, Driver, DriverError, Fence, Loaded, OwnedQuery, Pages, SessionName};
pub use remote::{Remote, RemoteServer};
