//! The lease of a session on a server: who may use it, for how long.
//!
//! It lasts [`TIME`] and is renewed after a third of that. A process that was stopped for longer finds
//! that it is over. What it writes then is refused by the server, because each lease has a number that
//! is higher than the one before.

use std::fmt::{self, Debug};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use session_core::store::{Kind, Lease, Place, Result, StoreError};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use crate::driver::{Driver, Fence, SessionName};
use crate::server::{Health, Server};
use crate::shared::Shared;

/// How long a lease lasts after it was last renewed.
pub const TIME: Duration = Duration::from_secs(15);
/// When it is renewed.
const RENEW_AFTER: Duration = Duration::from_secs(5);
/// How long the end of a session waits until the server knows that the lease is over. Later, it
/// learns of it in the background.
const RELEASE_WAIT: Duration = Duration::from_millis(8);
/// When a renewal that failed is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A lease that is renewed until it is dropped.
pub(crate) struct NetLease {
    place: Place,
    is_lost: Arc<AtomicBool>,
    /// Dropping it ends the renewals and the lease, unless it is the parent's.
    end: Option<oneshot::Sender<()>>,
    /// Disconnected when the server knows that the lease is over.
    released: mpsc::Receiver<()>,
    health: Arc<Health>,
    is_foreign: Box<dyn Fn() -> bool + Send>,
}

impl Debug for NetLease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NetLease").field("is_lost", &self.is_lost).finish_non_exhaustive()
    }
}

impl NetLease {
    /// Renews a lease that was taken at `taken`.
    pub(crate) fn keep<D: Driver>(
        server: &Arc<Server<D>>,
        shared: &Arc<Shared>,
        owner: Arc<str>,
        fence: Fence,
        taken: Instant,
    ) -> Self {
        let is_lost = Arc::new(AtomicBool::new(false));
        let (end, ended) = oneshot::channel();
        let (releasing, released) = mpsc::channel::<()>();
        let session = &shared.session;
        let renewals = renew(Arc::clone(server), Arc::clone(session), owner, fence, taken, Arc::clone(&is_lost));
        let (kept, session, order) = (Arc::clone(server), Arc::clone(session), shared.order());
        let place = shared.place.clone();
        server.handle.spawn(async move {
            tokio::select! {
                () = renewals => return,
                _ = ended => {}
            }
            // If it fails, the lease expires.
            let _ = timeout(TIME, async {
                // What was posted before is not refused.
                drop(order.lock().await);
                kept.driver().await?.release(&session, fence).await
            })
            .await;
            drop(releasing);
        });
        let health = Arc::clone(&server.health);
        let server = Arc::clone(server);
        let is_foreign = Box::new(move || server.is_foreign());
        Self { place, is_lost, end: Some(end), released, health, is_foreign }
    }
}

impl Lease for NetLease {
    fn check(&self) -> Result<()> {
        if !self.is_lost.load(Ordering::Acquire) {
            return Ok(());
        }
        Err(lost(&self.place))
    }
}

impl Drop for NetLease {
    fn drop(&mut self) {
        if (self.is_foreign)() {
            std::mem::forget(self.end.take());
            return;
        }
        drop(self.end.take());
        if !self.health.is_silent() {
            // So that the next session that asks for the lease finds it free.
            let _ = self.released.recv_timeout(RELEASE_WAIT);
        }
    }
}

/// Makes the error for a lease that is over.
pub(crate) fn lost(place: &Place) -> StoreError {
    let message = format!(
        "{place} is no longer this session's alone: its lease was not renewed in time, and another session has taken it. \
         This session writes nothing more; open it again when the other one is closed"
    );
    StoreError::new(Kind::LeaseLost, place.clone(), message)
}

async fn renew<D: Driver>(
    server: Arc<Server<D>>,
    session: SessionName,
    owner: Arc<str>,
    fence: Fence,
    taken: Instant,
    is_lost: Arc<AtomicBool>,
) {
    let mut renewed = taken;
    let mut wait = RENEW_AFTER;
    loop {
        sleep(wait).await;
        let begun = Instant::now();
        let renewal = async {
            let driver = server.driver().await?;
            driver.renew(&session, fence, &owner, TIME).await
        };
        match timeout(RENEW_AFTER, renewal).await {
            Ok(Ok(true)) => {
                server.health.note_answer();
                renewed = begun;
                wait = RENEW_AFTER;
            }
            Ok(Ok(false)) => {
                is_lost.store(true, Ordering::Release);
                return;
            }
            Ok(Err(_)) | Err(_) => {
                if renewed.elapsed() >= TIME {
                    log::debug!("a lease could not be renewed in time; it is taken again if no other session has it");
                }
                wait = RETRY_AFTER;
            }
        }
    }
}
