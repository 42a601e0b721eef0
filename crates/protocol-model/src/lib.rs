//! A model of how sessions write to a server, for a model checker.
//!
//! It has the parts of the protocol that can go wrong when messages are late or lost and processes
//! die: data that is dirty, one write of a session that is under way, its retry, the comparison of
//! logins, leases and their fences, and deletions. The checker looks at every order in which these
//! can happen.
//!
//! | here | there |
//! |---|---|
//! | [`session::Session`] | `State`, `StoredLogin` and `write.rs` of `session-core`; `NetStore` of `store-net` |
//! | [`server::Server`] | `commit`, `delete`, `acquire`, `renew` and `release` of a `Driver` |
//! | [`guards::Guard`] | what each of them checks |
//!
//! # Time
//! There are no clocks. A message arrives at any time, a process takes its next step at any time,
//! and a lease expires at any time. So a process that is stopped, or whose clock is wrong, is one
//! that takes its next step late. A message that its sender has given up may still arrive.
//!
//! # What is left out
//! A write has one entity and one login, and is carried out as a whole. What sessions read, and how
//! they forget entities, has a model of its own: [`forgetting`]. A store that writes row by row,
//! and what a server loses in a failover, are not modelled.

pub mod forgetting;
pub mod guards;
pub mod history;
pub mod model;
pub mod server;
pub mod session;

pub use guards::{Guard, Guards};
pub use history::Violation;
pub use model::{Protocol, Scenario};
