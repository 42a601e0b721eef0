//! Opening the store: first when the session is made, and again when a closed one is needed.

use std::sync::Arc;
use std::time::Duration;

use super::bounds::max_entities;
use super::handle::StoreHandle;
use super::load_state::LoadState;
use super::newer_than_reads::NewerThanReads;
use super::retry::{KeepWaiting, retry_while_busy};
use super::state::State;
use super::stored_login::StoredLogin;
use super::{BRIEF_TIMEOUT, Session, SessionOptions};
use crate::credentials::Credentials;
use crate::error::Result;
use crate::fork;
use crate::store::{Backend, Kind, Lease, OpenOptions, Place, Snapshot, Store, StoreError};
use crate::sync::Ordering;

/// How long loading waits after opening: a program that opens one session often opens many.
const LOAD_DELAY: Duration = Duration::from_millis(50);

impl Session {
    /// Opens the session that `backend` stores, and returns the credentials found there. Its
    /// entities are loaded in the background.
    ///
    /// # Errors
    /// What prevents it from being opened. A lock is waited for until the timeout of `options` has
    /// passed or `keep_waiting` returns `false`.
    #[allow(clippy::needless_pass_by_value)] // The session keeps it.
    pub fn open(
        backend: Arc<dyn Backend>,
        options: SessionOptions,
        keep_waiting: KeepWaiting<'_>,
    ) -> Result<(Arc<Self>, Option<Credentials>)> {
        let mut lease = None;
        let attempt = || {
            let _guard = fork::guard();
            Self::open_now(Arc::clone(&backend), options, &mut lease)
        };
        retry_while_busy(options.timeout, keep_waiting, |_| (), attempt)
    }

    /// Opens a session. The lease of a server is kept in `lease` for the next attempt if this one fails.
    fn open_now(
        backend: Arc<dyn Backend>,
        options: SessionOptions,
        lease: &mut Option<Box<dyn Lease>>,
    ) -> Result<(Arc<Self>, Option<Credentials>)> {
        let timeout = if backend.is_remote() { BRIEF_TIMEOUT } else { Duration::ZERO };
        let open_options = OpenOptions { may_create: true, timeout };
        *lease = take_lease(&*backend, lease.take(), options.exclusive, open_options)?;
        let (store, snapshot) = match backend.open(open_options) {
            Err(error) if error.kind == Kind::Unconfirmed => return Ok((Self::unopened(backend, options), None)),
            opened => opened?,
        };
        let handle = StoreHandle {
            store: Some(store),
            lease: lease.take(),
            login: StoredLogin::of(&snapshot),
            loaded_revision: snapshot.revision,
            generation: fork::generation(),
            ..StoreHandle::default()
        };
        let is_bounded = !backend.is_read_only() && (options.max_entities.is_some() || max_entities().is_some());
        let state = State {
            key: snapshot.auth_key(),
            update_states: snapshot.update_states.into_iter().collect(),
            loading: match (is_bounded, snapshot.is_new) {
                (true, _) => LoadState::begin_bounded(),
                (false, true) => LoadState::Loaded,
                (false, false) => LoadState::begin(),
            },
            generation: fork::generation(),
            newer_than_reads: backend.is_remote().then(NewerThanReads::default),
            ..State::default()
        };
        let session = Self::new(Some(backend), options, handle, state);
        {
            let mut handle = session.lock_store();
            session.listen(&mut handle);
            session.begin_to_index(&mut handle);
        }
        if is_bounded {
            session.share_limit();
        }
        if is_bounded || !snapshot.is_new {
            session.schedule(LOAD_DELAY);
        }
        let mut credentials = snapshot.credentials;
        if let Some(credentials) = &mut credentials
            && !credentials.fill_in_address()
        {
            log::warn!(
                "{} holds a key, but neither the address of its data centre nor a valid data centre ID ({}): the \
                 client will use the key at data centre 2, which may not know it",
                session.place(),
                credentials.dc_id
            );
        }
        if session.is_read_only() {
            session.state().read_only_login = Some(credentials.clone().unwrap_or_default());
        }
        Ok((session, credentials))
    }

    /// Returns the open store. Opens it if it is closed, waiting at most `timeout` for a lock.
    pub(super) fn opened<'a>(&self, handle: &'a mut StoreHandle, timeout: Duration) -> Result<&'a mut dyn Store> {
        if handle.store.is_none()
            && let Some(backend) = &self.backend
        {
            let options = OpenOptions { may_create: handle.may_create, timeout };
            handle.lease = take_lease(&**backend, handle.lease.take(), self.is_exclusive, options)?;
            let (store, snapshot) = backend.open(options)?;
            self.check_reopened(handle, &snapshot)?;
            handle.store = Some(store);
            self.listen(handle);
            self.begin_to_index(handle);
            self.take_over_reopened(handle, snapshot);
        }
        let store = handle.store.as_deref_mut();
        store.ok_or_else(|| {
            let message = "this session is kept in memory only".to_owned();
            StoreError::new(Kind::CannotOpen, Place::Memory, message).into()
        })
    }

    /// Has the store wake the writer when it has news.
    fn listen(&self, handle: &mut StoreHandle) {
        if self.is_remote()
            && let Some(store) = &mut handle.store
        {
            let me = self.me.clone();
            store.set_waker(Arc::new(move || {
                // If this is the last reference, it is dropped without the guard.
                if let Some(me) = me.upgrade() {
                    let _guard = fork::guard();
                    me.schedule(Duration::ZERO);
                }
            }));
        }
    }

    fn take_over_reopened(&self, handle: &mut StoreHandle, snapshot: Snapshot) {
        handle.is_gone = false;
        handle.may_create = false;
        handle.loaded_revision = snapshot.revision;
        self.was_moved.store(false, Ordering::Release);
        self.is_closed.store(false, Ordering::Release);
        if snapshot.is_new {
            // Created anew after it was deleted: what is still known goes into it too.
            self.mark_all_dirty();
        }
        let mut state = self.state();
        state.put_stored_update_states(snapshot.update_states);
        if self.is_remote() {
            state.loading.mark_stale();
        } else {
            // What was read before it was closed may have changed since.
            state.loading.begin_again();
        }
        self.schedule(Duration::ZERO);
    }

    /// Opens the store that the session was pointed to, for what is answered from memory alone.
    pub(super) fn open_if_moved(&self) {
        if self.was_moved.load(Ordering::Acquire) {
            let mut handle = self.lock_store();
            let opened = self.opened(&mut handle, BRIEF_TIMEOUT).map(|_: &mut dyn Store| Some(()));
            self.or_cached(&mut handle, opened, || None);
        }
    }
}

/// Returns the lease to hold: that of a server which is held already, or a new one if the session is
/// exclusive.
fn take_lease(
    backend: &dyn Backend,
    held: Option<Box<dyn Lease>>,
    is_exclusive: bool,
    options: OpenOptions,
) -> Result<Option<Box<dyn Lease>>> {
    let held = held.filter(|_| backend.is_remote());
    if held.is_some() || !is_exclusive {
        return Ok(held);
    }
    Ok(Some(backend.lease(options)?))
}
