//! The layout, version 1.
//!
//! | collection | `_id` | fields |
//! |---|---|---|
//! | `{prefix}sessions` | name | `layout` 1, `dc_id`, `server_address`?, `port`?, `auth_key`, `takeout_id`?, `tmp_auth_key`?; `fence`, `lease` {`owner`, `until`}; `writes`; `forgettings`?; `adopted`?; `deleting`? |
//! | `{prefix}entities` | {`s` name, `i` marked ID} | `hash`, `username`?, `phone`?, `name`?, `date`, `usernames`?; or `forgotten` |
//! | `{prefix}update_states` | {`s` name, `i` marked ID} | `pts`?, `qts`?, `date`?, `seq`? |
//! | `{prefix}sent_files` | {`s` name, `m` MD5, `n` size, `k` kind} | `id`, `hash` |
//!
//! Integers are 64 bits wide, except `layout` and `k`. A session without `layout` holds nothing
//! yet: its document is only a lease, or says that the session was deleted after it had been
//! adopted. With `deleting`, rows of a deleted session may be left; they are removed before
//! anything is written.
//!
//! Rows that were not written in a transaction also have the number of their writer, `w`, and of its
//! attempt, `a`.
//!
//! `usernames` are the active usernames besides `username`.
//!
//! A row with `forgotten`, a date, is one of an entity that was forgotten. It keeps late commands
//! from writing it again, and the server removes it after an hour. `forgettings` counts commits
//! with such rows.
//!
//! Scans are ranges of `_id`. Each text has an index of its own that has no entry for an entity
//! without it.

use mongodb::bson::raw::{CStr, RawBson, cstr};
use mongodb::bson::{Document, RawDocumentBuf, doc};
use session_core::store::FileKey;

/// The version of the layout.
pub const VERSION: i32 = 1;

/// The field of a row of an entity that was forgotten: when.
pub(crate) const FORGOTTEN: &CStr = cstr!("forgotten");
/// For how long it stays, in seconds. No command is as late as that.
const FORGOTTEN_TIME: i32 = 3600;

/// The names of the collections.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    pub(crate) sessions: String,
    pub(crate) entities: String,
    pub(crate) update_states: String,
    pub(crate) sent_files: String,
}

impl Names {
    pub(crate) fn new(prefix: &str) -> Self {
        let name = |of: &str| format!("{prefix}{of}");
        Self {
            sessions: name("sessions"),
            entities: name("entities"),
            update_states: name("update_states"),
            sent_files: name("sent_files"),
        }
    }
}

/// Returns the command that makes the indexes of the entities.
pub(crate) fn create_indexes(names: &Names) -> Document {
    let mut indexes: Vec<_> = ["username", "usernames", "phone", "name"]
        .map(|text| {
            doc! {
                "key": { "_id.s": 1, text: 1 },
                "name": format!("session_{text}"),
                "partialFilterExpression": { text: { "$exists": true } },
            }
        })
        .into();
    let forgotten = FORGOTTEN.as_str();
    indexes.push(doc! {
        "key": { forgotten: 1 },
        "name": forgotten,
        "partialFilterExpression": { forgotten: { "$exists": true } },
        "expireAfterSeconds": FORGOTTEN_TIME,
    });
    doc! { "createIndexes": &names.entities, "indexes": indexes }
}

/// Returns the `_id` of a row with a marked ID.
pub(crate) fn row_id(session: &str, id: i64) -> RawDocumentBuf {
    let mut key = RawDocumentBuf::new();
    key.append(cstr!("s"), session);
    key.append(cstr!("i"), id);
    key
}

/// Returns the `_id` of a sent file.
pub(crate) fn file_id(session: &str, key: &FileKey) -> RawDocumentBuf {
    let mut id = RawDocumentBuf::new();
    id.append(cstr!("s"), session);
    id.append(cstr!("m"), binary(&key.md5_digest));
    id.append(cstr!("n"), key.size);
    id.append(cstr!("k"), key.kind as i32);
    id
}

/// Returns the filter for all rows of a session. `second` is the second field of their `_id`.
pub(crate) fn rows_of(session: &str, second: &str) -> Document {
    let bound = |value: mongodb::bson::Bson| doc! { "s": session, second: value };
    doc! { "_id": { "$gte": bound(mongodb::bson::Bson::MinKey), "$lte": bound(mongodb::bson::Bson::MaxKey) } }
}

/// Returns bytes as a value.
pub(crate) fn binary(bytes: &[u8]) -> RawBson {
    RawBson::Binary(mongodb::bson::Binary {
        subtype: mongodb::bson::spec::BinarySubtype::Generic,
        bytes: bytes.to_vec(),
    })
}
