//! No secret is in what is logged. A program of its own, because a program has one logger.
#![allow(clippy::panic, clippy::unwrap_used)]

#[allow(dead_code, unused_imports, unused_macros)]
#[path = "store/support/mod.rs"]
mod support;

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use store_net::CommitError;
use store_sql::Dialect;
use support::Database;
use support::operations::{commit_one, entities, login, person};

/// Collects everything that is logged.
struct Collector(Mutex<String>);

static LOG: Collector = Collector(Mutex::new(String::new()));

impl log::Log for Collector {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let _ = writeln!(self.0.lock().unwrap(), "{} {}", record.target(), record.args());
    }

    fn flush(&self) {}
}

#[test]
fn nothing_secret_is_logged() {
    log::set_logger(&LOG).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    for dialect in [Dialect::Postgres, Dialect::MySql] {
        let Some(database) = Database::create(dialect) else { continue };
        let driver = Arc::new(database.driver());
        let mut both = login("anon", 0xab, None);
        both.changes.entities = entities("anon", &[person(1, [Some("anna_petrova"), None, None])]).changes.entities;
        commit_one(&driver, both).unwrap();
        // Its refusal shows the whole row in the details.
        database.execute("ALTER TABLE sessions ADD CONSTRAINT no_other CHECK (session_id <> 'other')");
        let Err(CommitError::Failed(error)) = commit_one(&driver, login("other", 0xab, None)) else { panic!() };
        assert!(!format!("{error} {error:?}").contains("abab"), "{error:?}");
    }
    let log = LOG.0.lock().unwrap();
    for secret in ["abababab", "171, 171", "secret", "616e6e61", "anna_petrova"] {
        let shown: Vec<_> = log.lines().filter(|line| line.contains(secret)).collect();
        assert!(shown.is_empty(), "{shown:?}");
    }
}
