//! The store in memory passes the tests of every store.
#![allow(missing_docs)]

use std::any::Any;
use std::sync::Arc;

use session_core::store::Backend;
use session_core::store::conformance::Fixture;
use session_core::store::fake::FakeBackend;

struct Fake(FakeBackend);

impl Fixture for Fake {
    fn new() -> Self {
        Self(FakeBackend::default())
    }

    fn backend(&self) -> Arc<dyn Backend> {
        Arc::new(self.0.clone())
    }

    fn hold(&self) -> Option<Box<dyn Any>> {
        self.0.try_hold().map(|held| Box::new(held) as Box<dyn Any>)
    }
}

session_core::store_conformance!(Fake);
