//! What a session's backend, its stores and its lease share: its name and place, the fence of its
//! lease, and the order of its writes.

use std::fmt::{self, Debug};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use session_core::fork;
use session_core::store::{Identity, Kind, Place, Result, Revision, Snapshot, StoreError};
use tokio::sync::Mutex as AsyncMutex;

use crate::attempt::Attempts;
use crate::driver::{self, DriverError, Fence, Loaded, SessionName};
use crate::request::Lost;

/// What a backend and its stores share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) session: SessionName,
    pub(crate) place: Place,
    fence: Mutex<Option<Fence>>,
    order: Mutex<(u64, Order)>,
}

/// Held by whatever writes, so that each attempt begins after the end of the one before.
pub(crate) type Order = Arc<AsyncMutex<Attempts>>;

fn new_order() -> Order {
    Arc::new(AsyncMutex::new(Attempts::new()))
}

impl Shared {
    pub(crate) fn new(session: &str, place: String) -> Self {
        Self {
            session: session.into(),
            place: Place::Server(place),
            fence: Mutex::new(None),
            order: Mutex::new((fork::generation(), new_order())),
        }
    }

    /// Returns the order of the session's attempts to write. After a fork it is a new one: the
    /// parent's may be held, and the parent goes on with its numbers.
    pub(crate) fn order(&self) -> Order {
        let mut order = locked(&self.order);
        if order.0 != fork::generation() {
            std::mem::forget(std::mem::replace(&mut *order, (fork::generation(), new_order())));
        }
        Arc::clone(&order.1)
    }

    pub(crate) fn fence(&self) -> Option<Fence> {
        *locked(&self.fence)
    }

    pub(crate) fn set_fence(&self, fence: Fence) {
        *locked(&self.fence) = Some(fence);
    }

    /// Makes the error for an operation that has not ended yet.
    pub(crate) fn pending(&self) -> StoreError {
        let message = format!("{}: the server has not answered yet: check host and port, or wait longer", self.place);
        StoreError::new(Kind::Pending, self.place.clone(), message)
    }

    pub(crate) fn error(&self, error: DriverError) -> StoreError {
        let DriverError { kind, message, source } = error;
        let place = self.place.clone();
        let message = format!("{place}: {message}");
        match source {
            Some(source) => StoreError::new(kind, place, message).caused_by(DriverSource(source)),
            None => StoreError::new(kind, place, message),
        }
    }

    pub(crate) fn ended<T>(&self, result: std::result::Result<driver::Result<T>, Lost>) -> Result<T> {
        result
            .unwrap_or_else(|Lost| Err(DriverError::new(Kind::Unreachable, "the operation was interrupted")))
            .map_err(|error| self.error(error))
    }

    /// Makes a snapshot of what was loaded.
    pub(crate) fn snapshot(&self, loaded: Loaded, revision: Revision) -> Snapshot {
        Snapshot {
            credentials: loaded.credentials,
            update_states: loaded.update_states.into_iter().filter(|(_, state)| state.has_date()).collect(),
            is_new: loaded.is_new,
            revision,
            // A name on a server is never moved.
            identity: Some(Identity(self.place.to_string())),
        }
    }
}

/// The error of a client library.
#[derive(Debug)]
struct DriverSource(Arc<dyn std::error::Error + Send + Sync>);

impl fmt::Display for DriverSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Debug::fmt(&self.0, f)
    }
}

impl std::error::Error for DriverSource {}

/// Locks a mutex that is held for moments.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
