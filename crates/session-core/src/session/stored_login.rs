//! The login that was last seen in the store.

use zeroize::Zeroizing;

use crate::credentials::Credentials;
use crate::store::{Identity, Revision, Snapshot};

/// The login that was last seen in the store.
#[derive(Debug, Default)]
pub(super) struct StoredLogin {
    /// The key that was last seen in the store, or written to it.
    pub(super) stored_key: Zeroizing<Vec<u8>>,
    /// The key that was read when the store was last opened.
    pub(super) read_key: Zeroizing<Vec<u8>>,
    /// The key that the session had when it was pointed to a store with another login. It is not
    /// written there.
    pub(super) former_key: Option<Zeroizing<Vec<u8>>>,
    /// A key that may have been written to the store: there was no answer.
    pub(super) unsure_key: Option<Zeroizing<Vec<u8>>>,
    /// The keys of a deletion that failed, which may be repeated.
    pub(super) undeleted: Vec<Zeroizing<Vec<u8>>>,
    /// The revision at which the login was last checked.
    pub(super) checked_at: Option<Revision>,
    /// What identified the store when it was last opened.
    pub(super) identity: Option<Identity>,
    /// Whether the store got a login while the session, which has none, was closed. It only reads
    /// then.
    pub(super) is_guest: bool,
}

impl StoredLogin {
    /// Returns the login of a store that has just been opened for a new session.
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        Self {
            stored_key: snapshot.auth_key(),
            read_key: snapshot.auth_key(),
            former_key: None,
            unsure_key: None,
            undeleted: Vec::new(),
            checked_at: Some(snapshot.revision),
            identity: snapshot.identity.clone(),
            is_guest: false,
        }
    }

    /// Notes the key that has been written to the store.
    pub(super) fn set_written(&mut self, key: Zeroizing<Vec<u8>>) {
        self.stored_key = key;
        self.former_key = None;
        self.unsure_key = None;
    }

    /// Notes a key that may have been written to the store, because there was no answer.
    pub(super) fn set_unsure(&mut self, key: Zeroizing<Vec<u8>>) {
        self.unsure_key = Some(key);
    }

    /// Notes the revision after a write, if the login was checked at the one before.
    pub(super) fn set_revision(&mut self, before: Revision, after: Revision) {
        if self.checked_at == Some(before) {
            self.checked_at = Some(after);
        }
    }

    /// Takes the key in the store for this session's: the caller has changed it there.
    pub(super) fn adopt(&mut self, key: Zeroizing<Vec<u8>>) {
        self.stored_key = key;
        self.checked_at = None;
    }

    /// Forgets the keys, because the store is to be deleted. Returns those with which it may be: a
    /// deletion that failed is repeated with its keys.
    pub(super) fn forget(&mut self, own_key: Zeroizing<Vec<u8>>) -> &[Zeroizing<Vec<u8>>] {
        for key in [std::mem::take(&mut self.stored_key), own_key] {
            if !key.is_empty() && !self.undeleted.contains(&key) {
                self.undeleted.push(key);
            }
        }
        self.read_key = Zeroizing::default();
        self.former_key = None;
        self.unsure_key = None;
        &self.undeleted
    }

    /// Returns `true` if the login in the store allows `credentials`, or anything else, to be
    /// written.
    ///
    /// Several programs may share an open store, and the last login wins. A key that was only read
    /// from the store is not a login, though, and neither is the lack of one. On a server, where a write
    /// may have been made although its answer was lost, a key that was there once is not a new login
    /// either; with a file, as with Telethon, who sets a key again logs in again.
    pub(super) fn may_write(
        &self,
        found: &Zeroizing<Vec<u8>>,
        credentials: Option<&Credentials>,
        own_key: &[u8],
        is_remote: bool,
    ) -> bool {
        match credentials.map(|credentials| &credentials.auth_key) {
            _ if found.is_empty() => true,
            _ if self.is_guest => found.as_slice() == own_key,
            None => true,
            Some(key) if found == key => true,
            Some(key) if self.former_key.as_ref() == Some(key) => false,
            Some(key) => *found == self.stored_key || !(key.is_empty() || self.was_stored(key, is_remote)),
        }
    }

    fn was_stored(&self, key: &Zeroizing<Vec<u8>>, is_remote: bool) -> bool {
        let was_written = *key == self.stored_key || self.unsure_key.as_ref() == Some(key);
        *key == self.read_key || (is_remote && was_written)
    }
}
