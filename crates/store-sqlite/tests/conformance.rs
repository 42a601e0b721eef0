//! A session file passes the tests of every store.
#![allow(clippy::unwrap_used, missing_docs)]

use std::any::Any;
use std::path::PathBuf;
use std::sync::Arc;

use rusqlite::Connection;
use session_core::store::Backend;
use session_core::store::conformance::Fixture;
use store_sqlite::{SqliteFile, VERSION_8};

struct File {
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl Fixture for File {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { path: folder.path().join("anna.session"), _folder: folder }
    }

    fn backend(&self) -> Arc<dyn Backend> {
        Arc::new(SqliteFile::new(Some(self.path.clone()), VERSION_8))
    }

    fn hold(&self) -> Option<Box<dyn Any>> {
        let holder = Connection::open(&self.path).unwrap();
        holder.execute_batch("begin immediate").unwrap();
        Some(Box::new(holder))
    }
}

session_core::store_conformance!(File);
