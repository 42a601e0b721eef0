//! Leases: fields of a session's document, changed by single updates that compare with the server's
//! own clock, so that the clocks of clients do not matter.

use std::sync::Arc;
use std::time::Duration;

use mongodb::bson::{Document, doc};
use session_core::store::Kind;
use store_net::Fence;
use store_net::driver::{Acquired, DriverError, Result, SessionName};

use crate::driver::{Inner, locked};
use crate::login::StoredSession;

/// At most how long before the end of its lease a session stops writing.
const LONGEST_MARGIN: Duration = Duration::from_secs(5);

/// How long before the end of its lease a session stops writing, and how long the server may work
/// at a command that writes for it. So no such command runs when the lease is over.
pub(crate) fn margin(time: Duration) -> Duration {
    LONGEST_MARGIN.min(time / 3)
}

fn until(time: Duration) -> Document {
    doc! { "$add": ["$$NOW", i64::try_from(time.as_millis()).unwrap_or(i64::MAX)] }
}

/// Takes the lease of a session if it is free.
pub(crate) async fn acquire(inner: &Inner, session: &SessionName, owner: &str, time: Duration) -> Result<Acquired> {
    // An answer that was lost must not keep this process from its own lease.
    let is_ours = doc! { "$eq": ["$lease.owner", { "$literal": owner }] };
    let is_free = doc! { "$lte": ["$lease.until", "$$NOW"] };
    let lease = doc! { "owner": { "$literal": owner }, "until": until(time) };
    let fence = doc! { "$add": [{ "$ifNull": ["$fence", 0_i64] }, 1_i64] };
    let update = vec![doc! { "$set": {
        "lease": { "$cond": [{ "$or": [&is_ours, &is_free] }, lease, "$lease"] },
        "fence": { "$cond": [{ "$and": [is_free, { "$not": [is_ours] }] }, fence, "$fence"] },
    } }];
    let mut attempts = 0;
    let document = loop {
        match inner.update_and_return_session(doc! { "_id": &**session }, update.clone(), true).await {
            // Another process has made the document in the same moment.
            Err(failure) if failure.is_duplicate() && attempts < 3 => attempts += 1,
            Err(failure) => return Err(failure.into_error("the lease cannot be taken")),
            Ok(document) => break document.unwrap_or_default(),
        }
    };
    let stored = StoredSession::read(&document);
    if stored.owner != owner {
        return Ok(Acquired::InUse(stored.owner));
    }
    let (fence, Some(until)) = (Fence(stored.fence), stored.until) else {
        return Err(DriverError::new(Kind::Corrupt, "the session's lease cannot be read"));
    };
    locked(&inner.leases).insert(Arc::clone(session), (fence, until, time));
    Ok(Acquired::Taken(fence))
}

/// Extends a lease unless another has been taken since.
pub(crate) async fn renew(
    inner: &Inner,
    session: &SessionName,
    fence: Fence,
    owner: &str,
    time: Duration,
) -> Result<bool> {
    let update = vec![doc! { "$set": { "lease.owner": { "$literal": owner }, "lease.until": until(time) } }];
    let filter = doc! { "_id": &**session, "fence": fence.0 };
    let renewed = inner.update_and_return_session(filter, update, false).await;
    let renewed = renewed.map_err(|failure| failure.into_error("the lease cannot be renewed"))?;
    let until = renewed.as_ref().and_then(|document| StoredSession::read(document).until);
    let mut leases = locked(&inner.leases);
    match until {
        Some(until) => {
            leases.insert(Arc::clone(session), (fence, until, time));
        }
        None if leases.get(session).is_some_and(|(known, ..)| *known == fence) => {
            leases.remove(session);
        }
        None => {}
    }
    Ok(until.is_some())
}

/// Ends a lease, if it still stands.
pub(crate) async fn release(inner: &Inner, session: &SessionName, fence: Fence) -> Result<()> {
    locked(&inner.leases).retain(|leased, (known, ..)| leased != session || *known != fence);
    let update = vec![doc! { "$set": { "lease.until": "$$NOW" } }];
    let ended = inner.update_session(doc! { "_id": &**session, "fence": fence.0 }, update, false).await;
    ended.map(|_| ()).map_err(|failure| failure.into_error("the lease cannot be ended"))
}
