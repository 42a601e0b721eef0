//! Commands that write many rows.

use mongodb::bson::raw::{CStr, cstr};
use mongodb::bson::{DateTime, Document, RawArrayBuf, RawDocumentBuf};
use mongodb::error::Result;
use mongodb::{ClientSession, Database};
use store_net::Attempt;

use crate::bson::integer;

/// How many rows a command writes. The server's limit is 100,000.
const MOST_STATEMENTS: usize = 5000;
/// How many statements are made before other tasks run.
const STATEMENTS_AT_ONCE: usize = 500;
/// How large they may be. The server's limit for a command is 16 MB, and a row has at most 3.
const MOST_BYTES: usize = 8 << 20;

/// What makes a write too late that is not part of a transaction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Guard {
    /// Until when, by the server's clock, it is allowed.
    pub(crate) until: Option<DateTime>,
    /// Its number. A row that a later attempt of the same writer has written stays.
    pub(crate) attempt: Attempt,
}

impl Guard {
    fn writer(&self) -> i64 {
        self.attempt.writer.cast_signed()
    }

    fn number(&self) -> i64 {
        self.attempt.number.cast_signed()
    }

    /// Appends what tells later attempts from earlier ones.
    pub(crate) fn append_to(&self, row: &mut RawDocumentBuf) {
        row.append(cstr!("w"), self.writer());
        row.append(cstr!("a"), self.number());
    }

    /// Appends the condition that no later attempt has written the row.
    fn append_condition(&self, query: &mut RawDocumentBuf) {
        let mut later = RawDocumentBuf::new();
        later.append(cstr!("$gt"), self.number());
        let mut written = RawDocumentBuf::new();
        written.append(cstr!("w"), self.writer());
        written.append(cstr!("a"), later);
        let mut none = RawArrayBuf::new();
        none.push(written);
        query.append(cstr!("$nor"), none);
    }
}

/// What becomes of a row.
pub(crate) enum Change {
    /// It has these fields and no others.
    Replace {
        /// The fields.
        fields: RawDocumentBuf,
        /// The names of all fields that it may have had.
        absent: RawDocumentBuf,
    },
    /// It has these fields besides its others.
    Merge {
        /// The fields.
        fields: RawDocumentBuf,
        /// The name of a field that it loses.
        absent: Option<&'static CStr>,
    },
    /// Likewise, unless it was seen after this date.
    MergeUnlessNewer {
        /// The fields.
        fields: RawDocumentBuf,
        /// The date.
        seen: u32,
    },
    /// It loses a field.
    Remove {
        /// The name.
        field: &'static CStr,
    },
}

/// Which row a statement changes, and on which condition.
pub(crate) struct Target<'a> {
    pub(crate) id: &'a RawDocumentBuf,
    /// Before which date it must have been.
    pub(crate) before: Option<i64>,
    /// Whether it is inserted if there is none.
    pub(crate) may_insert: bool,
}

/// Returns one statement of an `update` command.
///
/// With a guard, a row that a later attempt has written does not match, and the server refuses to
/// insert another one with its `_id`. If time is limited, it is a pipeline that the server refuses
/// when the time is over: what it would have to put in the row's place then is not a document.
pub(crate) fn statement(target: &Target<'_>, change: Change, guard: Option<Guard>) -> RawDocumentBuf {
    let Target { id, before, may_insert } = *target;
    let mut query = RawDocumentBuf::new();
    query.append(cstr!("_id"), id);
    if let Some(before) = before {
        let mut later = RawDocumentBuf::new();
        later.append(cstr!("$lt"), before);
        query.append(cstr!("date"), later);
    }
    if let Some(guard) = guard {
        guard.append_condition(&mut query);
    }
    let change = match change {
        Change::MergeUnlessNewer { fields, seen } => {
            let mut not_newer = RawDocumentBuf::new();
            not_newer.append(cstr!("$lte"), i64::from(seen));
            query.append(cstr!("date"), not_newer);
            Change::Merge { fields, absent: None }
        }
        change => change,
    };
    let mut statement = RawDocumentBuf::new();
    statement.append(cstr!("q"), query);
    match guard.and_then(|guard| Some((guard, guard.until?))) {
        None => statement.append(cstr!("u"), operators(change, guard)),
        Some((guard, until)) => statement.append(cstr!("u"), pipeline(id, change, guard, until)),
    }
    if may_insert {
        statement.append(cstr!("upsert"), true);
    }
    statement
}

fn operators(change: Change, guard: Option<Guard>) -> RawDocumentBuf {
    let (mut fields, absent) = match change {
        Change::Replace { fields, absent } => (fields, absent),
        Change::Merge { fields, absent: lost } => {
            let mut absent = RawDocumentBuf::new();
            if let Some(lost) = lost {
                absent.append(lost, "");
            }
            (fields, absent)
        }
        Change::MergeUnlessNewer { fields, .. } => (fields, RawDocumentBuf::new()),
        Change::Remove { field } => {
            let mut absent = RawDocumentBuf::new();
            absent.append(field, "");
            (RawDocumentBuf::new(), absent)
        }
    };
    if let Some(guard) = guard {
        guard.append_to(&mut fields);
    }
    let mut update = RawDocumentBuf::new();
    if !fields.is_empty() {
        update.append(cstr!("$set"), fields);
    }
    if !absent.is_empty() {
        update.append(cstr!("$unset"), absent);
    }
    update
}

fn pipeline(id: &RawDocumentBuf, change: Change, guard: Guard, until: DateTime) -> RawArrayBuf {
    let one = |key: &'static CStr, value: RawDocumentBuf| {
        let mut document = RawDocumentBuf::new();
        document.append(key, value);
        document
    };
    let array = |key: &'static CStr, values: RawArrayBuf| {
        let mut document = RawDocumentBuf::new();
        document.append(key, values);
        document
    };
    let merged = |fields: RawDocumentBuf| {
        let mut parts = RawArrayBuf::new();
        parts.push("$$ROOT");
        parts.push(one(cstr!("$literal"), fields));
        array(cstr!("$mergeObjects"), parts)
    };
    let mut is_in_time = RawArrayBuf::new();
    is_in_time.push("$$NOW");
    is_in_time.push(until);
    let mut choice = RawArrayBuf::new();
    choice.push(array(cstr!("$lt"), is_in_time));
    let mut removed = None;
    match change {
        Change::Replace { fields, .. } => {
            let mut row = one(cstr!("_id"), id.clone());
            for (key, value) in fields.iter().flatten() {
                row.append(key, value);
            }
            guard.append_to(&mut row);
            choice.push(one(cstr!("$literal"), row));
        }
        Change::MergeUnlessNewer { mut fields, .. } => {
            guard.append_to(&mut fields);
            choice.push(merged(fields));
        }
        Change::Merge { mut fields, absent } => {
            guard.append_to(&mut fields);
            choice.push(merged(fields));
            removed = absent;
        }
        Change::Remove { field } => {
            let mut fields = RawDocumentBuf::new();
            guard.append_to(&mut fields);
            choice.push(merged(fields));
            removed = Some(field);
        }
    }
    choice.push("the lease is over");
    let mut pipeline = RawArrayBuf::new();
    pipeline.push(one(cstr!("$replaceWith"), array(cstr!("$cond"), choice)));
    if let Some(field) = removed {
        let mut stage = RawDocumentBuf::new();
        stage.append(cstr!("$unset"), field.as_str());
        pipeline.push(stage);
    }
    pipeline
}

/// Where a statement comes from: the commit's index, and the row's.
pub(crate) type Origin = (usize, usize);

/// The statements of one command.
pub(crate) struct Chunk {
    pub(crate) origins: Vec<Origin>,
    statements: RawArrayBuf,
}

/// Takes as many statements as one command may have; `None` at the end. Lets other tasks of the
/// thread run meanwhile.
pub(crate) async fn next_chunk(rows: &mut impl Iterator<Item = (Origin, RawDocumentBuf)>) -> Option<Chunk> {
    let mut chunk = Chunk { origins: Vec::new(), statements: RawArrayBuf::new() };
    while chunk.origins.len() < MOST_STATEMENTS && chunk.statements.as_bytes().len() < MOST_BYTES {
        let Some((origin, statement)) = rows.next() else { break };
        chunk.origins.push(origin);
        if chunk.origins.len().is_multiple_of(STATEMENTS_AT_ONCE) {
            tokio::task::yield_now().await;
        }
        chunk.statements.push(statement);
    }
    (!chunk.origins.is_empty()).then_some(chunk)
}

/// A statement that the server refused.
pub(crate) struct Refusal {
    /// Its index.
    pub(crate) index: usize,
    pub(crate) code: i32,
    pub(crate) text: String,
}

/// The answer to a command that writes.
pub(crate) struct Reply {
    /// How many rows were found or inserted.
    pub(crate) count: i64,
    pub(crate) refusals: Vec<Refusal>,
    /// Why the write may not be as durable as asked for.
    pub(crate) concern: Option<(i32, String)>,
}

impl Reply {
    /// Returns code and text of the first refusal.
    pub(crate) fn refusal(self) -> Option<(i32, String)> {
        self.refusals.into_iter().next().map(|refusal| (refusal.code, refusal.text)).or(self.concern)
    }

    pub(crate) fn read(reply: &Document) -> Self {
        let number = |document: &Document, key: &str| {
            let value = document.get(key).and_then(|value| mongodb::bson::RawBson::try_from(value.clone()).ok());
            value.and_then(|value| integer(value.as_raw_bson_ref())).unwrap_or_default()
        };
        let code = |document: &Document| i32::try_from(number(document, "code")).unwrap_or_default();
        let text = |document: &Document| document.get_str("errmsg").unwrap_or_default().to_owned();
        let errors = reply.get_array("writeErrors").map(Vec::as_slice).unwrap_or_default();
        let refusals = errors.iter().filter_map(|error| error.as_document()).map(|error| Refusal {
            index: usize::try_from(number(error, "index")).unwrap_or(usize::MAX),
            code: code(error),
            text: text(error),
        });
        Self {
            count: number(reply, "n"),
            refusals: refusals.collect(),
            concern: reply.get_document("writeConcernError").ok().map(|error| (code(error), text(error))),
        }
    }
}

/// Runs commands that write, in a transaction or not.
pub(crate) struct Runner<'a> {
    pub(crate) database: &'a Database,
    /// Outside of a transaction.
    pub(crate) concern: &'a RawDocumentBuf,
    pub(crate) transaction: Option<&'a mut ClientSession>,
    /// How long the server may work at a command, in milliseconds.
    pub(crate) limit: Option<i64>,
}

impl Runner<'_> {
    /// Runs `update` commands.
    pub(crate) async fn update(&mut self, collection: &str, chunk: Chunk) -> Result<Reply> {
        self.run(cstr!("update"), collection, cstr!("updates"), chunk.statements).await
    }

    /// Runs `insert` commands.
    pub(crate) async fn insert(&mut self, collection: &str, chunk: Chunk) -> Result<Reply> {
        self.run(cstr!("insert"), collection, cstr!("documents"), chunk.statements).await
    }

    async fn run(&mut self, name: &CStr, collection: &str, key: &CStr, statements: RawArrayBuf) -> Result<Reply> {
        let mut command = RawDocumentBuf::new();
        command.append(name, collection);
        command.append(key, statements);
        // One that is refused does not keep the others from being written; but it ends a
        // transaction.
        command.append(cstr!("ordered"), self.transaction.is_some());
        if self.transaction.is_none() && !self.concern.is_empty() {
            command.append(cstr!("writeConcern"), self.concern);
        }
        if let Some(limit) = self.limit {
            command.append(cstr!("maxTimeMS"), limit);
        }
        let running = self.database.run_raw_command(command);
        let reply = match &mut self.transaction {
            Some(session) => running.session(&mut **session).await?,
            None => running.await?,
        };
        Ok(Reply::read(&reply))
    }
}
