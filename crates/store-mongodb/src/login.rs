//! The documents of sessions: the credentials, the lease and the fence.

use mongodb::bson::{Binary, Bson, DateTime, Document, RawBsonRef, RawDocument, doc, spec::BinarySubtype};
use session_core::credentials::Credentials;
use session_core::store::Kind;
use store_net::driver::{DriverError, Result};
use store_net::{Commit, CommitError, Fence};
use zeroize::Zeroizing;

use crate::bson::{bytes, integer, text};
use crate::layout::VERSION;

/// A session's document.
#[derive(Debug, Default)]
pub(crate) struct StoredSession {
    /// The version of the layout; `None` if nothing was written yet.
    pub(crate) layout: Option<i64>,
    /// Whether it is a copy of another package's, even if it has been deleted since.
    pub(crate) is_adopted: bool,
    /// Whether its rows are being deleted, or were when that was cut short.
    pub(crate) is_being_deleted: bool,
    pub(crate) auth_key: Zeroizing<Vec<u8>>,
    pub(crate) fence: i64,
    /// When its lease ends.
    pub(crate) until: Option<DateTime>,
    /// Who has the lease, or had it.
    pub(crate) owner: String,
}

impl StoredSession {
    pub(crate) fn read(document: &RawDocument) -> Self {
        let value = |name| document.get(name).ok().flatten();
        let lease = value("lease").and_then(RawBsonRef::as_document);
        let of_lease = |name| lease.and_then(|lease| lease.get(name).ok().flatten());
        Self {
            layout: value("layout").and_then(integer),
            is_adopted: value("adopted").is_some(),
            is_being_deleted: value("deleting").is_some(),
            auth_key: Zeroizing::new(value("auth_key").and_then(bytes).unwrap_or_default().to_vec()),
            fence: value("fence").and_then(integer).unwrap_or_default(),
            until: of_lease("until").and_then(RawBsonRef::as_datetime),
            owner: of_lease("owner").and_then(text).unwrap_or_default().to_owned(),
        }
    }

    /// Checks whether a commit may be made.
    pub(crate) fn check(&self, commit: &Commit) -> std::result::Result<(), CommitError> {
        if commit.fence.is_some_and(|Fence(fence)| fence < self.fence) {
            return Err(CommitError::Fenced);
        }
        if let Some(credentials) = &commit.changes.credentials
            && self.auth_key != commit.expected_key
            // A commit whose answer was lost is made again.
            && (self.auth_key != credentials.auth_key || self.auth_key.is_empty())
        {
            return Err(CommitError::Conflict(self.auth_key.clone()));
        }
        Ok(())
    }
}

/// Returns how many commits had forgotten entities in them.
pub(crate) fn forgettings(document: &RawDocument) -> i64 {
    document.get("forgettings").ok().flatten().and_then(integer).unwrap_or(0)
}

/// Returns the update that stores credentials.
pub(crate) fn set(credentials: &Credentials) -> Document {
    let Credentials { dc_id, server_address, port, auth_key, takeout_id, tmp_auth_key } = credentials;
    let mut fields = doc! {
        "layout": VERSION,
        "dc_id": dc_id,
        "auth_key": binary(auth_key),
        "tmp_auth_key": binary(tmp_auth_key),
    };
    let mut absent = Document::new();
    let optional = [
        ("server_address", server_address.as_deref().map(Bson::from)),
        ("port", port.map(Bson::from)),
        ("takeout_id", takeout_id.map(Bson::from)),
    ];
    for (name, value) in optional {
        match value {
            Some(value) => fields.insert(name, value),
            None => absent.insert(name, ""),
        };
    }
    let mut update = doc! { "$set": fields };
    if !absent.is_empty() {
        update.insert("$unset", absent);
    }
    update
}

/// Returns the filter for the document of a commit's session if the server has the expected key, or
/// the key that is to be written, and no newer lease.
pub(crate) fn filter(commit: &Commit) -> Document {
    let mut filter = doc! { "_id": &*commit.session };
    if let Some(credentials) = &commit.changes.credentials {
        filter.insert("auth_key", is_one_of(&[&commit.expected_key, &credentials.auth_key]));
    }
    if let Some(Fence(fence)) = commit.fence {
        filter.insert("fence", doc! { "$not": { "$gt": fence } });
    }
    filter
}

/// Returns the condition that a key is one of these. An empty key may also be absent.
pub(crate) fn is_one_of(keys: &[&Zeroizing<Vec<u8>>]) -> Document {
    let mut values: Vec<Bson> = keys.iter().map(|key| binary(key)).collect();
    if keys.iter().any(|key| key.is_empty()) {
        values.push(Bson::Null);
    }
    doc! { "$in": values }
}

fn binary(key: &[u8]) -> Bson {
    Bson::Binary(Binary { subtype: BinarySubtype::Generic, bytes: key.to_vec() })
}

/// Reads the credentials of a document; `None` if it has none.
///
/// # Errors
/// Values of other types, or a newer layout.
pub(crate) fn read_credentials(document: &RawDocument) -> Result<Option<Credentials>> {
    if let Some(layout) = StoredSession::read(document).layout.filter(|layout| *layout > i64::from(VERSION)) {
        let message = format!("the session was written by a newer release (layout {layout}); update this one");
        return Err(DriverError::new(Kind::TooNew, message));
    }
    credentials(document).ok_or_else(|| {
        DriverError::new(Kind::Corrupt, "the session's document holds values of other types than were written")
    })
}

/// Reads credentials. The outer `None` means that there are values of other types.
#[allow(clippy::option_option)]
pub(crate) fn credentials(document: &RawDocument) -> Option<Option<Credentials>> {
    let value = |name| document.get(name).ok().map(|value| value.filter(|value| *value != RawBsonRef::Null));
    let number = |name| value(name)?.map_or(Some(None), |value| integer(value).map(Some));
    let key = |name| {
        let key = value(name)?.map_or(Some(&[][..]), bytes)?;
        Some(Zeroizing::new(key.to_vec()))
    };
    let Some(dc_id) = number("dc_id")? else { return Some(None) };
    Some(Some(Credentials {
        dc_id,
        server_address: value("server_address")?
            .map_or(Some(None), |value| text(value).map(|text| Some(text.to_owned())))?,
        port: number("port")?,
        auth_key: key("auth_key")?,
        takeout_id: number("takeout_id")?,
        tmp_auth_key: key("tmp_auth_key")?,
    }))
}
