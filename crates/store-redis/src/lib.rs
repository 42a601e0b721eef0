//! Stores sessions in Redis or Valkey: a single server, a cluster, or servers that Sentinels watch.
//!
//! What is stored is as durable as the server's configuration makes it. A write is reported as done
//! when the server has it in memory:
//!
//! | the server's setting | what a crash of the server can lose |
//! |---|---|
//! | `appendonly yes`, `appendfsync always` | nothing that was reported as done |
//! | `appendonly yes`, `appendfsync everysec` (the default with `appendonly`) | the last second, two at worst |
//! | `appendonly yes`, `appendfsync no` | what the operating system had not written, usually 30 s |
//! | `appendonly no` (the default of Redis) | everything since the last snapshot: minutes to an hour |
//! | replicas and a failover | what the new primary had not received: mostly less than a second |
//!
//! Set `maxmemory-policy noeviction` (the default), or the server deletes sessions when its memory is
//! full.

mod commit;
mod connect;
mod driver;
mod error;
mod foreign;
mod keys;
mod lease;
mod link;
mod list;
pub mod options;
mod read;
mod row;
mod scripts;
mod url;

pub use driver::RedisDriver;
pub use options::RedisOptions;
pub use url::{UrlError, is_redis_url};

use store_net::{Remote, RemoteServer};

/// Parses the URL of a server.
///
/// # Errors
/// What is not valid in the URL.
pub fn server(url: &str) -> Result<Box<dyn RemoteServer>, UrlError> {
    let options = RedisOptions::parse(url)?;
    let public_url = options.public_url();
    Ok(Box::new(Remote::<RedisDriver>::new(options, public_url)))
}
