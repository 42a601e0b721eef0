//! Deletes sessions.
//!
//! The login goes first, by a single update that compares the key, and its document is marked. Then
//! the rows go, then the mark. If that is cut short, it is finished before the session is used
//! again, so that the next account finds nothing of this one.

use mongodb::bson::{Document, doc};
use store_net::driver::{Result, SessionName};
use zeroize::Zeroizing;

use crate::driver::Inner;
use crate::layout::rows_of;
use crate::login::{self, StoredSession};

const WHAT: &str = "the session cannot be deleted";

/// Deletes a session if its key is one of `own_keys`, or if it has none.
pub(crate) async fn delete(inner: &Inner, session: &SessionName, own_keys: &[Zeroizing<Vec<u8>>]) -> Result<bool> {
    let Some(document) = inner.session(session).await? else { return Ok(false) };
    let stored = StoredSession::read(&document);
    inner.forget(session);
    let no_key = Zeroizing::default();
    let keys: Vec<_> = own_keys.iter().chain([&no_key]).collect();
    let filter = doc! { "_id": &**session, "auth_key": login::is_one_of(&keys) };
    let fields = ["layout", "dc_id", "server_address", "port", "auth_key", "takeout_id", "tmp_auth_key"];
    let absent: Document = fields.into_iter().map(|field| (field.to_owned(), "".into())).collect();
    let update = doc! { "$set": { "deleting": true }, "$unset": absent };
    let updated = inner.update_session(filter, update, false).await;
    if !updated.map_err(|failure| failure.into_error(WHAT))? {
        return Ok(false);
    }
    let had_rows = finish(inner, session).await?;
    Ok(stored.layout.is_some() || had_rows)
}

/// Removes the rows of a session whose login was deleted, and the mark. Returns `true` if there
/// were rows.
pub(crate) async fn finish(inner: &Inner, session: &str) -> Result<bool> {
    let names = &inner.names;
    let mut had_rows = false;
    for (collection, second) in [(&names.entities, "i"), (&names.update_states, "i"), (&names.sent_files, "m")] {
        had_rows |= inner.delete_rows(collection, rows_of(session, second), false, WHAT).await?;
    }
    // The fence must not begin again, and what was adopted must not be adopted again.
    let marked = doc! { "_id": session, "deleting": true };
    let mut nothing_else = marked.clone();
    nothing_else.extend(doc! { "fence": { "$exists": false }, "adopted": { "$exists": false } });
    if !inner.delete_rows(&names.sessions, nothing_else, true, WHAT).await? {
        let update = doc! { "$unset": { "deleting": "" } };
        inner.update_session(marked, update, false).await.map_err(|failure| failure.into_error(WHAT))?;
    }
    Ok(had_rows)
}
