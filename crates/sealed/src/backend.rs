//! A backend whose store holds sealed keys.

use std::borrow::Cow;
use std::fmt::{self, Debug};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use session_core::store::{Backend, Lease, OpenOptions, Place, Result, Snapshot, Store};
use zeroize::Zeroizing;

use crate::forms::Forms;
use crate::keyring::Keyring;
use crate::store::SealedStore;

/// A backend whose store holds sealed keys. A key that is stored as it is can be read too.
///
/// Without an encryption key it stores keys as they are, and refuses sealed ones.
pub struct SealedBackend {
    inner: Arc<dyn Backend>,
    shared: Arc<Shared>,
}

/// What a backend and its stores share.
pub(crate) struct Shared {
    pub(crate) keyring: Keyring,
    forms: Mutex<Forms>,
}

impl Shared {
    /// Locks the forms, for moments only and with a fork guard held.
    pub(crate) fn forms(&self) -> MutexGuard<'_, Forms> {
        self.forms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Debug for SealedBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SealedBackend").field(&self.inner).finish()
    }
}

impl SealedBackend {
    /// Seals what `inner` stores.
    #[must_use]
    pub fn new(inner: Arc<dyn Backend>, keyring: Keyring) -> Self {
        Self { inner, shared: Arc::new(Shared { keyring, forms: Mutex::default() }) }
    }

    fn open_snapshot(&self, snapshot: &mut Snapshot) -> Result<()> {
        let Some(credentials) = &mut snapshot.credentials else { return Ok(()) };
        self.shared.forms().open(&self.shared.keyring, &self.inner.place(), credentials)
    }
}

impl Backend for SealedBackend {
    fn open(&self, options: OpenOptions) -> Result<(Box<dyn Store>, Snapshot)> {
        let (store, mut snapshot) = self.inner.open(options)?;
        self.open_snapshot(&mut snapshot)?;
        Ok((Box::new(SealedStore::new(store, Arc::clone(&self.shared), self.inner.place())), snapshot))
    }

    fn lease(&self, options: OpenOptions) -> Result<Box<dyn Lease>> {
        self.inner.lease(options)
    }

    fn delete(&self, own_keys: &[Zeroizing<Vec<u8>>], timeout: Duration) -> Result<bool> {
        let deadline = Instant::now() + timeout;
        let forms = self.shared.forms().of(own_keys);
        let is_deleted = self.inner.delete(&forms, timeout)?;
        if is_deleted || !self.inner.is_remote() || self.shared.keyring.is_empty() {
            return Ok(is_deleted);
        }
        // Another program may have sealed an own key anew.
        let rest = deadline.saturating_duration_since(Instant::now());
        let options = OpenOptions { may_create: false, timeout: rest };
        let Ok((_, mut snapshot)) = self.inner.open(options) else { return Ok(false) };
        if self.open_snapshot(&mut snapshot).is_err() {
            return Ok(false);
        }
        let auth_key = snapshot.auth_key();
        if auth_key.is_empty() || !own_keys.contains(&auth_key) {
            return Ok(false);
        }
        let forms = self.shared.forms().of(own_keys);
        self.inner.delete(&forms, deadline.saturating_duration_since(Instant::now()))
    }

    fn place(&self) -> Place {
        self.inner.place()
    }

    fn is_remote(&self) -> bool {
        self.inner.is_remote()
    }

    fn is_ephemeral(&self) -> bool {
        self.inner.is_ephemeral()
    }

    fn is_read_only(&self) -> bool {
        self.inner.is_read_only()
    }

    fn switch_place(&self) -> bool {
        self.inner.switch_place()
    }

    fn is_outdated(&self, auth_key: &[u8]) -> bool {
        self.shared.forms().is_outdated(auth_key)
    }

    fn normalize_phone<'p>(&self, phone: &'p str) -> Cow<'p, str> {
        self.inner.normalize_phone(phone)
    }
}
