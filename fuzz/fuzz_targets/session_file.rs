//! Session files: for any content, opening (which upgrades older versions), lookups and writing neither
//! panic nor hang. A refused file is unchanged.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use session_core::credentials::Credentials;
use session_core::entity::Entity;
use session_core::entity_table::TextField;
use session_core::session::{CacheLookup, Session, SessionOptions};
use session_core::store::{Query, UpdateState};
use store_sqlite::{SqliteFile, VERSION_8};

/// A folder in memory if the system has one, because no test here depends on the disk.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = PathBuf::from("/dev/shm");
    let parent = if memory.is_dir() { memory } else { std::env::temp_dir() };
    let folder = parent.join(format!("session_file_fuzz_{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    folder
});

fuzz_target!(|data: &[u8]| {
    let path = FOLDER.join("anna.session");
    let dirty = FOLDER.join("anna.session-dirty");
    fs::write(&path, data).unwrap();
    match Session::open(
        Arc::new(SqliteFile::new(Some(path.clone()), VERSION_8)),
        SessionOptions::default(),
        &mut || true,
    ) {
        Err(_) => assert!(fs::read(&path).unwrap() == data && !dirty.exists(), "a refused file was changed"),
        Ok((session, _)) => {
            for query in [
                Query::Id(1),
                Query::AnyId([Some(-1_000_000_000_001), Some(-1), Some(1)]),
                Query::Text(TextField::Username, "anna"),
                Query::Text(TextField::Phone, "79991234567"),
                Query::Text(TextField::Name, "Anna"),
            ] {
                if session.try_find(&query) == CacheLookup::Unknown {
                    let _ = session.find(&query);
                }
            }
            let mut batch = Session::new_batch();
            batch.push(&Entity {
                id: 1,
                access_hash: Some(2),
                username: Some("anna"),
                phone: None,
                name: Some("Anna"),
            });
            batch.push_input_peer(2, Some(3));
            session.put(batch);
            session.set_update_state(0, UpdateState { pts: Some(1), ..UpdateState::default() });
            session.set_credentials(Credentials { dc_id: 2, ..Credentials::default() });
            let _ = session.save(false, &mut || true);
            let _ = session.close(Duration::ZERO, &mut || true);
            assert_eq!(session.find(&Query::Id(1)), Some((1, Some(2))));
            let _ = session.delete(Duration::from_mins(1));
        }
    }
    let _ = fs::remove_file(&path);
    let _ = fs::remove_file(&dirty);
});
