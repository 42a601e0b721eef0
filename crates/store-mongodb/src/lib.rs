//! Stores sessions in MongoDB.
//!
//! All sessions of a database share four collections, whose names begin with the prefix of the URL;
//! [`layout`] describes them. Sessions that telemongo wrote are copied into them when they are
//! first opened.
//!
//! On a replica set, each commit is a transaction. A standalone server has none: entities, update
//! states and sent files are written first and the credentials last, so that a commit that is cut
//! short is simply repeated.

mod adopt;
mod bson;
mod bulk;
mod commit;
mod delete;
mod direct;
mod driver;
mod entities;
mod error;
pub mod layout;
mod lease;
mod login;
mod options;
mod records;
mod transaction;
mod write;

pub use driver::MongoDriver;
pub use options::MongoOptions;

use store_net::driver::Result;
use store_net::{Remote, RemoteServer};

/// Parses the URL of a server.
///
/// # Errors
/// What is not valid in the URL.
pub fn server(url: &str) -> Result<Box<dyn RemoteServer>> {
    let options = MongoOptions::parse(url)?;
    let public_url = options.public_url();
    Ok(Box::new(Remote::<MongoDriver>::new(options, public_url)))
}
