//! In which forms a store holds keys.
//!
//! Each sealing of a key is another one, and stores compare keys byte by byte. So the form that was
//! read or written last stands for its key.

use std::collections::VecDeque;

use session_core::credentials::Credentials;
use session_core::store::{Kind, Place, Result, StoreError};
use zeroize::Zeroizing;

use crate::keyring::{Failure, Keyring, Opened, is_sealed};

/// How many forms are remembered. A session has two keys, and seldom gets others.
const MOST: usize = 16;

type Bytes = Zeroizing<Vec<u8>>;

#[derive(Clone)]
struct Form {
    key: Bytes,
    stored: Bytes,
    is_current: bool,
}

/// The forms that were read or written, the last one at the end.
#[derive(Default)]
pub(crate) struct Forms {
    known: VecDeque<Form>,
    /// The authorization key of a login that is stored in a form that is out of date.
    outdated: Option<Bytes>,
}

impl Forms {
    /// Opens the credentials of a store.
    pub(crate) fn open(&mut self, keyring: &Keyring, place: &Place, credentials: &mut Credentials) -> Result<()> {
        let opened = [&credentials.auth_key, &credentials.tmp_auth_key].map(|stored| keyring.open(stored));
        let [auth_key, tmp_auth_key] = opened;
        let auth_key = auth_key.map_err(|failure| explain(failure, place))?;
        let tmp_auth_key = tmp_auth_key.map_err(|failure| explain(failure, place))?;
        let is_current = auth_key.is_current && tmp_auth_key.is_current;
        self.outdated = (!is_current).then(|| auth_key.key.clone());
        self.take(&mut credentials.auth_key, auth_key);
        self.take(&mut credentials.tmp_auth_key, tmp_auth_key);
        Ok(())
    }

    /// Opens the key on which a write is based.
    pub(crate) fn open_key(&mut self, keyring: &Keyring, stored: &mut Bytes) -> std::result::Result<(), Failure> {
        let opened = keyring.open(stored)?;
        self.take(stored, opened);
        Ok(())
    }

    /// Seals credentials that are to be stored.
    pub(crate) fn seal(&mut self, keyring: &Keyring, place: &Place, credentials: &mut Credentials) -> Result<()> {
        for key in [&mut credentials.auth_key, &mut credentials.tmp_auth_key] {
            self.seal_key(keyring, key).map_err(|failure| explain(failure, place))?;
        }
        self.outdated = None;
        Ok(())
    }

    /// Returns the forms in which the store may hold these keys.
    pub(crate) fn of(&self, keys: &[Bytes]) -> Vec<Bytes> {
        let known = self.known.iter().filter(|form| keys.contains(&form.key));
        keys.iter().chain(known.map(|form| &form.stored)).cloned().collect()
    }

    /// Returns `true` if the login with this key is stored in a form that is out of date.
    pub(crate) fn is_outdated(&self, auth_key: &[u8]) -> bool {
        self.outdated.as_ref().is_some_and(|outdated| outdated.as_slice() == auth_key)
    }

    /// Puts a key in the place of its stored form.
    fn take(&mut self, stored: &mut Bytes, opened: Opened) {
        let Opened { key, is_current } = opened;
        let stored = std::mem::replace(stored, key.clone());
        self.remember(Form { key, stored, is_current });
    }

    /// Puts the form in which a key is stored in its place: a known one, so that a write that is made
    /// again changes nothing.
    fn seal_key(&mut self, keyring: &Keyring, key: &mut Bytes) -> std::result::Result<(), Failure> {
        let known = self.known.iter().rev().find(|form| form.is_current && form.key == *key);
        let stored = match known {
            Some(form) => form.stored.clone(),
            None => keyring.seal(key)?,
        };
        let key = std::mem::replace(key, stored.clone());
        self.remember(Form { key, stored, is_current: true });
        Ok(())
    }

    fn remember(&mut self, form: Form) {
        if !is_sealed(&form.stored) {
            // It is its own form.
            return;
        }
        self.known.retain(|known| known.stored != form.stored);
        if self.known.len() >= MOST {
            self.known.pop_front();
        }
        self.known.push_back(form);
    }
}

/// Makes the error for a key that cannot be opened or sealed.
pub(crate) fn explain(failure: Failure, place: &Place) -> StoreError {
    let (kind, what) = match failure {
        Failure::NoKey => (
            Kind::Sealed,
            "the login is encrypted: give encryption_key=, the key with which it was encrypted. Nothing was changed",
        ),
        Failure::WrongKey => (
            Kind::Sealed,
            "the login cannot be decrypted: it was encrypted with another key than the given encryption_key=, or for \
             a session of another name, or is damaged. Give the key with which it was encrypted, and the session's \
             own name. Nothing was changed",
        ),
        Failure::CannotSeal => {
            (Kind::Io, "the login cannot be encrypted, because the system gives no random numbers; it is not stored")
        }
    };
    StoreError::new(kind, place.clone(), format!("{place}: {what}"))
}
