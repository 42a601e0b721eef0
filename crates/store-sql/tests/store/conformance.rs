//! The store passes the tests of every store, on real servers.

use std::any::Any;
use std::sync::Arc;

use crate::support::Database;
use session_core::store::Backend;
use session_core::store::conformance::Fixture;
use session_core::store::fake::FakeBackend;
use store_net::NetBackend;
use store_sql::{Dialect, SqlDriver, normalize_phone};

/// A database, or a store in memory in place of a server that is not installed.
enum Place {
    Server(Database),
    Memory(FakeBackend),
}

impl Place {
    fn new(dialect: Dialect) -> Self {
        Database::create(dialect).map_or_else(|| Self::Memory(FakeBackend::default()), Self::Server)
    }

    fn backend(&self) -> Arc<dyn Backend> {
        match self {
            Self::Server(database) => {
                let place = format!("{}#anon", database.options().place());
                let backend = NetBackend::<SqlDriver>::new(database.options(), "anon", place);
                Arc::new(backend.with_phones(normalize_phone))
            }
            Self::Memory(backend) => Arc::new(backend.clone()),
        }
    }
}

macro_rules! conformance {
    ($module:ident, $dialect:expr) => {
        mod $module {
            use super::*;

            struct OnServer(Place);

            impl Fixture for OnServer {
                fn new() -> Self {
                    Self(Place::new($dialect))
                }

                fn backend(&self) -> Arc<dyn Backend> {
                    self.0.backend()
                }

                fn hold(&self) -> Option<Box<dyn Any>> {
                    None
                }
            }

            session_core::store_conformance!(OnServer);
        }
    };
}

conformance!(postgres, Dialect::Postgres);
conformance!(mysql, Dialect::MySql);
