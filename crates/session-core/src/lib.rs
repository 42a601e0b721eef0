//! Telegram sessions: what a client remembers of its login and of the users, chats and channels it
//! has met.
//!
//! A [`session`] keeps its entities in an [`entity_table`]. It asks its [`store`] when the table
//! has no answer, and leaves dirty data to the [`writer`]. This crate knows neither Python nor any
//! database: the extension calls [`session`], and each kind of store is a crate that implements the
//! traits in [`store`].

pub mod credentials;
pub mod data_centre;
pub mod entity;
pub mod entity_table;
pub mod error;
pub mod fork;
pub mod lookup_key;
pub mod peer_cache;
pub mod session;
pub mod session_string;
pub mod store;
mod sync;
pub mod writer;
