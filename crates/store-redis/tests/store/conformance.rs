//! A store on a Redis server passes the tests of every store.

use std::any::Any;
use std::sync::Arc;

use crate::support::sessions::backend;
use session_core::store::Backend;
use session_core::store::conformance::Fixture;
use session_core::store::fake::FakeBackend;
use store_redis::RedisOptions;

/// Sessions of a server, or in memory if no server is installed: the tests know no "skipped".
enum Place {
    Server(Box<RedisOptions>, &'static str),
    Memory(FakeBackend),
}

impl Place {
    fn new(name: &'static str, change: impl FnOnce(&mut RedisOptions)) -> Self {
        match crate::support::shared() {
            Some(mut options) => {
                change(&mut options);
                Self::Server(Box::new(options), name)
            }
            None => Self::Memory(FakeBackend::default()),
        }
    }

    fn backend(&self) -> Arc<dyn Backend> {
        match self {
            Self::Server(options, name) => backend(options, name),
            Self::Memory(fake) => Arc::new(fake.clone()),
        }
    }

    fn hold(&self) -> Option<Box<dyn Any>> {
        match self {
            Self::Server(..) => None,
            Self::Memory(fake) => fake.try_hold().map(|held| Box::new(held) as Box<dyn Any>),
        }
    }
}

macro_rules! fixture {
    ($module:ident $name:literal $change:expr) => {
        mod $module {
            use super::*;

            struct Redis(Place);

            impl Fixture for Redis {
                fn new() -> Self {
                    Self(Place::new($name, $change))
                }

                fn backend(&self) -> Arc<dyn Backend> {
                    self.0.backend()
                }

                fn hold(&self) -> Option<Box<dyn Any>> {
                    self.0.hold()
                }
            }

            session_core::store_conformance!(Redis);
        }
    };
}

fixture!(plain "anon" |_| ());
fixture!(resp3_and_an_odd_name "{a}:*\0 \u{1f600}" |options| options.resp3 = true);
