//! A server of any kind, without its driver's type.
//!
//! Each store makes it in its own crate, so that all code that depends on the driver is compiled
//! there, for size, and not in the extension, which is compiled for speed.

use std::borrow::Cow;
use std::fmt::{self, Debug};
use std::sync::Arc;
use std::time::{Duration, Instant};

use session_core::fork;
use session_core::store::{Backend, Kind, Result};

use crate::backend::{NetBackend, Sessions};
use crate::driver::Driver;

/// For how long a listing waits between two questions whether to go on.
const STEP: Duration = Duration::from_millis(10);

/// A server of any kind.
pub trait RemoteServer: Debug + Send + Sync {
    /// Names a session on this server.
    fn session(&self, name: &str) -> Arc<dyn Backend>;

    /// Returns the names of all sessions, sorted. Calls `keep_waiting` before each further wait; it
    /// returns `false` to stop.
    ///
    /// # Errors
    /// What prevents them from being read.
    fn list(&self, deadline: Instant, keep_waiting: &mut dyn FnMut() -> bool) -> Result<Vec<String>>;

    /// Returns the URL without user, password and parameters.
    fn public_url(&self) -> &str;
}

/// A server of one kind.
pub struct Remote<D: Driver> {
    options: D::Options,
    public_url: String,
    normalize_phone: fn(&str) -> Cow<'_, str>,
}

impl<D: Driver> Debug for Remote<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The options may hold a password.
        f.debug_struct("Remote").field("public_url", &self.public_url).finish_non_exhaustive()
    }
}

impl<D: Driver> Remote<D> {
    /// Names a server by its options. `public_url` is shown to the user and must not hold a password.
    #[must_use]
    pub fn new(options: D::Options, public_url: String) -> Self {
        Self { options, public_url, normalize_phone: |phone| phone.into() }
    }

    /// Sets in which form the server returns phone numbers.
    #[must_use]
    pub fn with_phones(self, normalize_phone: fn(&str) -> Cow<'_, str>) -> Self {
        Self { normalize_phone, ..self }
    }
}

impl<D: Driver> RemoteServer for Remote<D> {
    fn session(&self, name: &str) -> Arc<dyn Backend> {
        let place = format!("{} (session {name:?})", self.public_url);
        Arc::new(NetBackend::<D>::new(self.options.clone(), name, place).with_phones(self.normalize_phone))
    }

    fn list(&self, deadline: Instant, keep_waiting: &mut dyn FnMut() -> bool) -> Result<Vec<String>> {
        let sessions = Sessions::<D>::new(self.options.clone(), self.public_url.clone());
        let mut failure = None;
        loop {
            let listed = {
                let _guard = fork::guard();
                sessions.list(STEP)
            };
            match listed {
                Err(error) if error.is_retryable() && Instant::now() < deadline && keep_waiting() => {
                    failure = Some(error).filter(|error| error.kind != Kind::Pending).or(failure);
                }
                // The failure before tells more.
                Err(error) if error.kind == Kind::Pending => return Err(failure.unwrap_or(error)),
                listed => return listed,
            }
        }
    }

    fn public_url(&self) -> &str {
        &self.public_url
    }
}
