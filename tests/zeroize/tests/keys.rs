//! No key is left in memory that was given back: whatever held one was wiped first.
//!
//! The allocator looks through each block that is given back. It sees what Rust holds; SQLite, which is C, has its own.
#![allow(clippy::unwrap_used, missing_docs)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::slice;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use telethon_session_rust::session::Session;
use telethon_session_rust::session_string::{Login, decode, encode};
use telethon_session_rust::store::Credentials;
use telethon_session_rust::store::sqlite::{SqliteFile, VERSION_8};
use zeroize::Zeroizing;

struct Watching;

static LEAKS: AtomicUsize = AtomicUsize::new(0);
/// A piece of the string that holds the key, once there is one.
static TEXT: OnceLock<[u8; 16]> = OnceLock::new();

/// The key's bytes are 0, 1, 2 ..., so eight that count up are a piece of it.
fn holds_a_key(bytes: &[u8]) -> bool {
    let counts_up = |run: &[u8]| run.windows(2).all(|pair| pair[1] == pair[0].wrapping_add(1));
    let is_text = |run: &[u8]| TEXT.get().is_some_and(|text| text == run);
    bytes.windows(8).any(counts_up) || bytes.windows(16).any(is_text)
}

// SAFETY: all is done by the system's own allocator; blocks are only looked at before they are given back.
unsafe impl GlobalAlloc for Watching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as for the caller. Zeroed, for what was never written must not be looked at.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the block is `size` bytes long, all of them written, if only with zeros.
        if holds_a_key(unsafe { slice::from_raw_parts(block, layout.size()) }) {
            LEAKS.fetch_add(1, Ordering::Relaxed);
        }
        // SAFETY: as for the caller.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Watching = Watching;

fn key() -> Zeroizing<Vec<u8>> {
    Zeroizing::new((0..=255).collect())
}

fn leaks(of: impl FnOnce()) -> usize {
    let before = LEAKS.load(Ordering::Relaxed);
    of();
    LEAKS.load(Ordering::Relaxed) - before
}

fn live(path: &Path) {
    let file = SqliteFile::new(Some(path.to_owned()), VERSION_8);
    let (session, found) = Session::open(Box::new(file), &mut || true).unwrap();
    drop(found);
    for dc_id in 0..3 {
        session.set_credentials(Credentials { dc_id, auth_key: key(), tmp_auth_key: key(), ..Credentials::default() });
        session.save(false, &mut || true).unwrap();
    }
    session.set_credentials(Credentials { auth_key: key(), ..Credentials::default() });
    session.close(Duration::from_secs(60), &mut || true).unwrap();
    // Unsaved when it is dropped.
    session.set_credentials(Credentials { auth_key: key(), ..Credentials::default() });
    session.abandon();
}

/// One test, for the count is the program's.
#[test]
fn what_held_a_key_is_wiped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("anna.session");
    assert_eq!(leaks(|| live(&path)), 0);
    assert_eq!(leaks(|| live(&path)), 0, "when there is a key in the file");
    let login = || Login {
        dc_id: 2,
        ip: [1, 2, 3, 4].into(),
        port: 443,
        key: Zeroizing::new(std::array::from_fn(|n| u8::try_from(n).unwrap())),
    };
    TEXT.set(encode(&login().pack()).as_bytes()[100..116].try_into().unwrap()).unwrap();
    let strings = || {
        let text = encode(&login().pack());
        Login::unpack(&decode(&text).unwrap()).unwrap();
        for cut in [20, 300, 301, 348] {
            assert!(decode(&text[..cut]).and_then(|bytes| Login::unpack(&bytes)).is_err());
        }
        let wrong = Zeroizing::new([text.as_bytes(), b"!"].concat());
        assert!(decode(std::str::from_utf8(&wrong).unwrap()).is_err());
    };
    assert_eq!(leaks(strings), 0, "strings");
    // It would be seen.
    assert_eq!(leaks(|| drop(key().to_vec())), 1);
    assert_eq!(leaks(|| drop(encode(&login().pack()).to_string())), 1);
}
