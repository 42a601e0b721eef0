//! A store on a server passes the tests of every store, on a server that answers at once and on one that
//! is far away.

mod support;

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use session_core::store::Backend;
use session_core::store::conformance::Fixture;
use store_net::NetBackend;
use support::{FakeDriver, FakeServer, Options};

fn backend(server: &Arc<FakeServer>) -> Arc<dyn Backend> {
    Arc::new(NetBackend::<FakeDriver>::new(Options(Arc::clone(server)), "anon", "fake://server/anon".to_owned()))
}

struct Near(Arc<FakeServer>);

impl Fixture for Near {
    fn new() -> Self {
        Self(Arc::default())
    }

    fn backend(&self) -> Arc<dyn Backend> {
        backend(&self.0)
    }

    fn hold(&self) -> Option<Box<dyn Any>> {
        None
    }
}

struct Far(Arc<FakeServer>);

impl Fixture for Far {
    fn new() -> Self {
        let server = FakeServer::default();
        server.delay.store(30_000, Ordering::SeqCst);
        Self(Arc::new(server))
    }

    fn backend(&self) -> Arc<dyn Backend> {
        backend(&self.0)
    }

    fn hold(&self) -> Option<Box<dyn Any>> {
        None
    }
}

mod near {
    session_core::store_conformance!(super::Near);
}

mod far {
    session_core::store_conformance!(super::Far);
}
