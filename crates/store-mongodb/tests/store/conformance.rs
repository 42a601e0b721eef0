//! A session in MongoDB passes the tests of every store, on a standalone server and on a replica
//! set.

use std::any::Any;
use std::sync::Arc;

use crate::support::{backend, own, shared, shared_set};
use session_core::store::Backend;
use session_core::store::conformance::Fixture;

macro_rules! conformance {
    ($module:ident, $server:expr) => {
        mod $module {
            use super::*;

            struct OnServer(String);

            impl Fixture for OnServer {
                fn new() -> Self {
                    Self(own($server))
                }

                fn backend(&self) -> Arc<dyn Backend> {
                    backend(&self.0, "anon")
                }

                fn hold(&self) -> Option<Box<dyn Any>> {
                    None
                }
            }

            session_core::store_conformance!(OnServer);
        }
    };
}

conformance!(standalone, shared());
conformance!(replica_set, shared_set());
