//! A session in MongoDB passes the tests of every store, on a standalone server and on a replica
//! set.

use std::any::Any;
use std::sync::Arc;

use session_core::store::Backend;
use session_core::store::conformance::Fixture;

struct Standalone(String);

impl Fixture for Standalone {
    fn new() -> Self {
        Self(crate::support::own(crate::support::shared()))
    }

    fn backend(&self) -> Arc<dyn Backend> {
        crate::support::backend(&self.0, "anon")
    }

    fn hold(&self) -> Option<Box<dyn Any>> {
        None
    }
}

struct ReplicaSet(String);

impl Fixture for ReplicaSet {
    fn new() -> Self {
        Self(crate::support::own(crate::support::shared_set()))
    }

    fn backend(&self) -> Arc<dyn Backend> {
        crate::support::backend(&self.0, "anon")
    }

    fn hold(&self) -> Option<Box<dyn Any>> {
        None
    }
}

mod standalone {
    session_core::store_conformance!(super::Standalone);
}

mod replica_set {
    session_core::store_conformance!(super::ReplicaSet);
}
