//! No freed memory contains a key: everything that held one was zeroized first.
//!
//! The allocator searches each block that is freed. It sees Rust's memory only, because SQLite, which
//! is C, has its own allocator.
#![allow(clippy::unwrap_used, missing_docs)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::slice;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sealed::{KEY_LEN, Keyring, Owner, SealedBackend};
use session_core::credentials::Credentials;
use session_core::session::{Session, SessionOptions};
use session_core::session_string::{SessionString, decode, encode};
use store_sqlite::{SqliteFile, VERSION_8};
use zeroize::Zeroizing;

struct LeakDetector;

static LEAKS: AtomicUsize = AtomicUsize::new(0);
/// A piece of the session string that contains the key, once there is one.
static TEXT: OnceLock<[u8; 16]> = OnceLock::new();

/// Returns `true` if the bytes contain a piece of the key.
///
/// The key's bytes are 0, 1, 2 ..., so eight ascending bytes are a piece of it.
fn contains_key(bytes: &[u8]) -> bool {
    let counts_up = |run: &[u8]| run.windows(2).all(|pair| pair[1] == pair[0].wrapping_add(1));
    let is_text = |run: &[u8]| TEXT.get().is_some_and(|text| text == run);
    bytes.windows(8).any(counts_up) || bytes.windows(16).any(is_text)
}

// SAFETY: the system's allocator does all the work; blocks are only read before they are freed.
unsafe impl GlobalAlloc for LeakDetector {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as for the caller. Zeroed, because reading uninitialized memory is undefined
        // behaviour.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the block has `size` bytes, all of which are initialized, at least with zeros.
        if contains_key(unsafe { slice::from_raw_parts(block, layout.size()) }) {
            LEAKS.fetch_add(1, Ordering::Relaxed);
        }
        // SAFETY: as for the caller.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: LeakDetector = LeakDetector;

fn key() -> Zeroizing<Vec<u8>> {
    Zeroizing::new((0..=255).collect())
}

fn leaks(call: impl FnOnce()) -> usize {
    let before = LEAKS.load(Ordering::Relaxed);
    call();
    LEAKS.load(Ordering::Relaxed) - before
}

fn use_session(path: &Path, encryption_keys: &[[u8; KEY_LEN]]) {
    let file = SqliteFile::new(Some(path.to_owned()), VERSION_8);
    let file = SealedBackend::new(Arc::new(file), Keyring::new(encryption_keys, Owner::File));
    let (session, found) = Session::open(Arc::new(file), SessionOptions::default(), &mut || true).unwrap();
    drop(found);
    for dc_id in 0..3 {
        session.set_credentials(Credentials { dc_id, auth_key: key(), tmp_auth_key: key(), ..Credentials::default() });
        session.save(false, &mut || true).unwrap();
    }
    session.set_credentials(Credentials { auth_key: key(), ..Credentials::default() });
    session.close(Duration::from_mins(1), &mut || true).unwrap();
    // Dirty when it is dropped.
    session.set_credentials(Credentials { auth_key: key(), ..Credentials::default() });
    session.release();
}

/// A single test, because the count is global.
#[test]
fn memory_that_held_a_key_is_zeroized() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("anna.session");
    assert_eq!(leaks(|| use_session(&path, &[])), 0);
    assert_eq!(leaks(|| use_session(&path, &[])), 0, "with a key in the file");
    // Encryption keys that count up, too.
    let [old, new]: [[u8; KEY_LEN]; 2] = [0, 100].map(|from| std::array::from_fn(|n| from + u8::try_from(n).unwrap()));
    assert_eq!(leaks(|| use_session(&path, &[old])), 0, "with a key that is encrypted");
    assert_eq!(leaks(|| use_session(&path, &[new, old])), 0, "with a key that is encrypted anew");
    let refused = || {
        let file = SqliteFile::new(Some(path.clone()), VERSION_8);
        let file = SealedBackend::new(Arc::new(file), Keyring::new([&old], Owner::File));
        assert!(Session::open(Arc::new(file), SessionOptions::default(), &mut || true).is_err());
    };
    assert_eq!(leaks(refused), 0, "with the wrong key");
    let string = || SessionString {
        dc_id: 2,
        ip: [1, 2, 3, 4].into(),
        port: 443,
        auth_key: Zeroizing::new(std::array::from_fn(|n| u8::try_from(n).unwrap())),
    };
    TEXT.set(encode(&string().pack()).as_bytes()[100..116].try_into().unwrap()).unwrap();
    let strings = || {
        let text = encode(&string().pack());
        SessionString::unpack(&decode(&text).unwrap()).unwrap();
        for cut in [20, 300, 301, 348] {
            assert!(decode(&text[..cut]).and_then(|bytes| SessionString::unpack(&bytes)).is_err());
        }
        let wrong = Zeroizing::new([text.as_bytes(), b"!"].concat());
        assert!(decode(std::str::from_utf8(&wrong).unwrap()).is_err());
    };
    assert_eq!(leaks(strings), 0, "strings");
    // A leak is detected.
    assert_eq!(leaks(|| drop(key().to_vec())), 1);
    assert_eq!(leaks(|| drop(encode(&string().pack()).to_string())), 1);
}
