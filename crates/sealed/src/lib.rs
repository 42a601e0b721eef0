//! Encrypts the authorization keys in any store of a session.
//!
//! A [`SealedBackend`] wraps another backend. The session above sees its keys as they are, and the
//! store below gets and returns them sealed: encrypted and authenticated. Nothing else is encrypted.

mod backend;
mod forms;
mod keyring;
mod store;

pub use backend::SealedBackend;
pub use keyring::{KEY_LEN, Keyring, Owner, is_sealed};
pub use store::SealedStore;
