//! Files: whatever is in one, opening it (which upgrades older ones), looking and writing neither panic nor hang, and a file
//! that is refused is left as it was.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use telethon_session_rust::entity::Entity;
use telethon_session_rust::entity_cache::TextKey;
use telethon_session_rust::session::{InMemory, Session};
use telethon_session_rust::store::sqlite::{SqliteFile, VERSION_8};
use telethon_session_rust::store::{Credentials, Query, UpdateState};

/// Memory, where the system has a file system of it: nothing here is about the disk.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = PathBuf::from("/dev/shm");
    let parent = if memory.is_dir() { memory } else { std::env::temp_dir() };
    let folder = parent.join(format!("session_file_fuzz_{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    folder
});

fuzz_target!(|data: &[u8]| {
    let path = FOLDER.join("anna.session");
    let journal = FOLDER.join("anna.session-journal");
    fs::write(&path, data).unwrap();
    match Session::open(Box::new(SqliteFile::new(Some(path.clone()), VERSION_8)), &mut || true) {
        Err(_) => assert!(fs::read(&path).unwrap() == data && !journal.exists(), "a refused file was changed"),
        Ok((session, _)) => {
            for query in [
                Query::Id(1),
                Query::AnyId([Some(-1_000_000_000_001), Some(-1), Some(1)]),
                Query::Text(TextKey::Username, "anna"),
                Query::Text(TextKey::Phone, "79991234567"),
                Query::Text(TextKey::Name, "Anna"),
            ] {
                if session.try_find(&query) == InMemory::Unknown {
                    let _ = session.find(&query);
                }
            }
            let mut page = Session::new_page();
            page.push(&Entity { id: 1, hash: Some(2), username: Some("anna"), phone: None, name: Some("Anna") });
            page.push_input_peer(2, Some(3));
            session.put(page);
            session.set_update_state(0, UpdateState { pts: Some(1), ..UpdateState::default() });
            session.set_credentials(Credentials { dc_id: 2, ..Credentials::default() });
            let _ = session.save(false, &mut || true);
            let _ = session.close(Duration::ZERO, &mut || true);
            assert_eq!(session.find(&Query::Id(1)), Some((1, Some(2))));
            let _ = session.delete();
        }
    }
    let _ = fs::remove_file(&path);
    let _ = fs::remove_file(&journal);
});
