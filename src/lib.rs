//! Telethon's session classes in Rust.
//!
//! Data goes one way: `py` (the only module that knows Python) calls [`session`], which keeps entities in
//! an [`entity_cache`], looks in its [`store`] when the cache has no answer, and leaves its unsaved changes to the
//! [`writer`]. Nothing below `py` imports `PyO3`; without the feature `python` it is not compiled at all.

pub mod data_centre;
pub mod entity;
pub mod entity_cache;
pub mod error;
pub mod fork;
pub mod lookup_key;
pub mod peer_cache;
#[cfg(feature = "python")]
mod py;
pub mod session;
pub mod session_string;
pub mod store;
mod sync;
pub mod writer;
