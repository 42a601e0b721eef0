//! Commands that write one document, or delete some.
//!
//! The client library would write them as operations of its own, each of which adds as much code to
//! the extension as all of these. Like the library, they are repeated once after a failure that may
//! pass: they can be, because none depends on what it changes.

use mongodb::bson::{Bson, Document, RawDocumentBuf, doc};
use mongodb::error::{Error, ErrorKind};
use session_core::store::Kind;
use store_net::driver::{DriverError, Result};

use crate::bulk::Reply;
use crate::driver::Inner;
use crate::error::{self, failed, refused};

/// Why a document was not written.
pub(crate) enum Failure {
    Client(Error),
    /// The server's code and text.
    Server(i32, String),
}

impl Failure {
    /// Returns the driver's error.
    pub(crate) fn into_error(self, what: &str) -> DriverError {
        match self {
            Self::Client(error) => failed(what, &error),
            Self::Server(code, text) => refused(what, code, &text),
        }
    }

    /// Returns `true` if another document with this key was inserted in the same moment.
    pub(crate) fn is_duplicate(&self) -> bool {
        match self {
            Self::Client(error) => error::code(error) == Some(error::DUPLICATE_KEY),
            Self::Server(code, _) => *code == error::DUPLICATE_KEY,
        }
    }

    /// Returns `true` if the next attempt may succeed at once. The library has waited for a server
    /// already.
    fn may_pass(&self) -> bool {
        match self {
            Self::Client(error) if matches!(*error.kind, ErrorKind::ServerSelection { .. }) => false,
            Self::Client(error) => failed("", error).kind == Kind::Unreachable,
            Self::Server(code, text) => refused("", *code, text).kind == Kind::Unreachable,
        }
    }
}

impl Inner {
    /// Updates a document of the sessions. Returns `true` if it was found or inserted.
    pub(crate) async fn update_session(
        &self,
        filter: Document,
        update: impl Into<Bson>,
        upsert: bool,
    ) -> std::result::Result<bool, Failure> {
        let statement = doc! { "q": filter, "u": update.into(), "upsert": upsert };
        let reply = self.write(doc! { "update": &self.names.sessions, "updates": [statement] }).await?;
        Ok(reply.count > 0)
    }

    /// Updates a document of the sessions. Returns it as it is then; `None` if it was not found.
    pub(crate) async fn update_and_return_session(
        &self,
        filter: Document,
        update: impl Into<Bson>,
        upsert: bool,
    ) -> std::result::Result<Option<RawDocumentBuf>, Failure> {
        let command = doc! {
            "findAndModify": &self.names.sessions,
            "query": filter,
            "update": update.into(),
            "new": true,
            "upsert": upsert,
        };
        let reply = self.run(command).await?;
        let document = reply.get_document("value").ok();
        Ok(document.and_then(|document| RawDocumentBuf::try_from(document.clone()).ok()))
    }

    /// Deletes one document, or all, of a collection. Returns `true` if there were any.
    pub(crate) async fn delete_rows(
        &self,
        collection: &str,
        filter: Document,
        is_one: bool,
        what: &str,
    ) -> Result<bool> {
        let statement = doc! { "q": filter, "limit": i32::from(is_one) };
        let deleted = self.write(doc! { "delete": collection, "deletes": [statement] }).await;
        Ok(deleted.map_err(|failure| failure.into_error(what))?.count > 0)
    }

    async fn write(&self, command: Document) -> std::result::Result<Reply, Failure> {
        Ok(Reply::read(&self.run(command).await?))
    }

    /// Runs a command with the write concern of the URL. Repeats it once.
    async fn run(&self, mut command: Document) -> std::result::Result<Document, Failure> {
        if let Ok(concern) = Document::try_from(self.concern.clone())
            && !concern.is_empty()
        {
            command.insert("writeConcern", concern);
        }
        let mut is_repeated = false;
        loop {
            let failure = match self.database.run_command(command.clone()).await {
                Err(error) => Failure::Client(error),
                Ok(reply) => match Reply::read(&reply).refusal() {
                    None => return Ok(reply),
                    Some((code, text)) => Failure::Server(code, text),
                },
            };
            if is_repeated || !failure.may_pass() {
                return Err(failure);
            }
            is_repeated = true;
        }
    }
}
