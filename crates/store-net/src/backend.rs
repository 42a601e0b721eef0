//! A session on a server, as the core sees it.

use std::borrow::Cow;
use std::fmt::{self, Debug};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use session_core::fork;
use session_core::store::{Backend, Kind, Lease, OpenOptions, Place, Result, Revision, Snapshot, Store, StoreError};
use tokio::time::sleep;
use zeroize::Zeroizing;

use crate::driver::{self, Acquired, Driver, Loaded};
use crate::forgettings::Forgettings;
use crate::lease::{self, NetLease};
use crate::owner::Owner;
use crate::request::Request;
use crate::server::{Server, limited};
use crate::shared::{Shared, locked};
use crate::store::NetStore;

/// For how long a deletion is tried again in the background, and after which pause.
const DELETE_LIMIT: Duration = Duration::from_mins(1);
const DELETE_RETRY: Duration = Duration::from_secs(1);

/// An operation of a server that was begun and is continued by the next call.
type Begun<D, T> = Mutex<Option<(Arc<Server<D>>, Request<driver::Result<T>>)>>;

/// A session on a server.
pub struct NetBackend<D: Driver> {
    options: D::Options,
    shared: Arc<Shared>,
    opening: Begun<D, Loaded>,
    leasing: Begun<D, (Acquired, Instant)>,
    /// As whom the lease is asked for until there is an answer, and the fork generation in which that
    /// began.
    asking: Mutex<Option<(u64, Arc<str>)>>,
    normalize_phone: fn(&str) -> Cow<'_, str>,
}

impl<D: Driver> Debug for NetBackend<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The options may hold a password.
        f.debug_struct("NetBackend").field("place", &self.shared.place).finish_non_exhaustive()
    }
}

impl<D: Driver> NetBackend<D> {
    /// Names a session on the server with these options. `place` is shown to the user and must not hold
    /// a password.
    #[must_use]
    pub fn new(options: D::Options, session: &str, place: String) -> Self {
        Self {
            options,
            shared: Arc::new(Shared::new(session, place)),
            opening: Mutex::new(None),
            leasing: Mutex::new(None),
            asking: Mutex::new(None),
            normalize_phone: |phone| phone.into(),
        }
    }

    /// Sets in which form this layout keeps phone numbers.
    #[must_use]
    pub fn with_phones(self, normalize_phone: fn(&str) -> Cow<'_, str>) -> Self {
        Self { normalize_phone, ..self }
    }

    fn server(&self) -> Result<Arc<Server<D>>> {
        Server::get(&self.options).map_err(|error| {
            let message = format!("{}: the network thread cannot be started: {error}", self.shared.place);
            StoreError::new(Kind::CannotOpen, self.shared.place.clone(), message).caused_by(error)
        })
    }

    /// Returns as whom the lease is asked for: if an answer was lost, as before, so that the server
    /// knows its holder.
    fn owner(&self) -> Arc<str> {
        let mut asking = locked(&self.asking);
        match &*asking {
            Some((generation, owner)) if *generation == fork::generation() => Arc::clone(owner),
            _ => {
                let owner: Arc<str> = Owner::this().to_stored().into();
                *asking = Some((fork::generation(), Arc::clone(&owner)));
                owner
            }
        }
    }

    /// Continues an operation, or begins it.
    fn resume<T: Send + 'static>(
        &self,
        begun: &Begun<D, T>,
        timeout: Duration,
        start: impl FnOnce(&Arc<Server<D>>) -> Request<driver::Result<T>>,
    ) -> Result<(Arc<Server<D>>, T)> {
        let mut begun = locked(begun);
        if begun.as_ref().is_some_and(|(server, _)| server.is_foreign()) {
            std::mem::forget(begun.take());
        }
        let (server, request) = if let Some(running) = begun.take() {
            running
        } else {
            let server = self.server()?;
            let request = start(&server);
            (server, request)
        };
        let Some(result) = request.wait(timeout) else {
            *begun = Some((server, request));
            return Err(self.shared.pending());
        };
        Ok((server, self.shared.ended(result)?))
    }
}

/// The sessions of a server.
pub struct Sessions<D: Driver> {
    backend: NetBackend<D>,
    listing: Begun<D, Vec<String>>,
}

impl<D: Driver> Debug for Sessions<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("backend", &self.backend).finish_non_exhaustive()
    }
}

impl<D: Driver> Sessions<D> {
    /// Names a server by its options. `place` is shown to the user and must not hold a password.
    #[must_use]
    pub fn new(options: D::Options, place: String) -> Self {
        Self { backend: NetBackend::new(options, "", place), listing: Mutex::new(None) }
    }

    /// Returns the names of all sessions, sorted. Waits at most `timeout`; the next call goes on waiting.
    ///
    /// # Errors
    /// [`Kind::Pending`], or what prevents them from being read.
    pub fn list(&self, timeout: Duration) -> Result<Vec<String>> {
        let (_, names) = self.backend.resume(&self.listing, timeout, |server| {
            server.begin(None, |server| async move { server.driver().await?.list().await })
        })?;
        Ok(names)
    }
}

impl<D: Driver> Backend for NetBackend<D> {
    fn open(&self, options: OpenOptions) -> Result<(Box<dyn Store>, Snapshot)> {
        let session = Arc::clone(&self.shared.session);
        let (server, loaded) = self.resume(&self.opening, options.timeout, |server| {
            server.begin(None, move |server| async move { server.driver().await?.load(&session).await })
        })?;
        let forgettings = Forgettings::new(loaded.forgettings);
        let snapshot = self.shared.snapshot(loaded, Revision::default());
        let store = NetStore::new(server, Arc::clone(&self.shared), snapshot.auth_key(), forgettings);
        Ok((Box::new(store), snapshot))
    }

    fn lease(&self, options: OpenOptions) -> Result<Box<dyn Lease>> {
        let owner = self.owner();
        let (session, asking) = (Arc::clone(&self.shared.session), Arc::clone(&owner));
        let (server, (acquired, taken)) = self.resume(&self.leasing, options.timeout, |server| {
            server.begin(None, move |server| async move {
                let taken = Instant::now();
                Ok((server.driver().await?.acquire(&session, &asking, lease::TIME).await?, taken))
            })
        })?;
        *locked(&self.asking) = None;
        let place = &self.shared.place;
        match acquired {
            Acquired::Taken(fence) => {
                self.shared.set_fence(fence);
                Ok(Box::new(NetLease::keep(&server, &self.shared, owner, fence, taken)))
            }
            Acquired::InUse(owner) => {
                let owner = Owner::from_stored(&owner);
                let message = format!(
                    "{place} is in use by {owner}. Close it there; if that process was killed, the session is free \
                     within {} s",
                    lease::TIME.as_secs()
                );
                Err(StoreError::new(Kind::InUse, place.clone(), message).caused_by(owner))
            }
        }
    }

    fn delete(&self, own_keys: &[Zeroizing<Vec<u8>>], timeout: Duration) -> Result<bool> {
        let deletion = Deletion {
            server: self.server()?,
            shared: Arc::clone(&self.shared),
            own_keys: own_keys.to_vec(),
            is_in_background: Arc::default(),
        };
        let is_in_background = Arc::clone(&deletion.is_in_background);
        let server = Arc::clone(&deletion.server);
        let request = Request::begin(&server.handle, &server.health, None, deletion.run());
        let result = request.wait_for(timeout).or_else(|| {
            is_in_background.store(true, Ordering::SeqCst);
            // It may have ended just before.
            request.wait(Duration::ZERO)
        });
        result.map_or(Ok(true), |result| self.shared.ended(result))
    }

    fn place(&self) -> Place {
        self.shared.place.clone()
    }

    fn is_remote(&self) -> bool {
        true
    }

    fn normalize_phone<'p>(&self, phone: &'p str) -> Cow<'p, str> {
        (self.normalize_phone)(phone)
    }
}

/// A deletion, which its caller may leave to the background.
struct Deletion<D: Driver> {
    server: Arc<Server<D>>,
    shared: Arc<Shared>,
    own_keys: Vec<Zeroizing<Vec<u8>>>,
    is_in_background: Arc<AtomicBool>,
}

impl<D: Driver> Deletion<D> {
    /// Deletes after the writes that were begun before. In the background, tries again for a while.
    async fn run(self) -> driver::Result<bool> {
        let Self { server, shared, own_keys, is_in_background } = self;
        let order = shared.order();
        let mut attempts = order.lock().await;
        let attempt = attempts.next();
        let begun = Instant::now();
        loop {
            let result = limited(async { server.driver().await?.delete(&shared.session, &own_keys, attempt).await });
            let error = match result.await {
                Err(error) if is_in_background.load(Ordering::SeqCst) => error,
                result => return result,
            };
            if !error.kind.is_retryable() || begun.elapsed() >= DELETE_LIMIT {
                log::warn!("{}: the session is not deleted: {error}", shared.place);
                return Err(error);
            }
            sleep(DELETE_RETRY).await;
        }
    }
}
