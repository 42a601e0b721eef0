//! Logins that are encrypted, encrypted with another key, or not encrypted yet.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;
use std::time::Duration;

use sealed::{KEY_LEN, Keyring, Owner, SealedBackend, is_sealed};
use session_core::credentials::Credentials;
use session_core::error::Error;
use session_core::session::{Session, SessionOptions};
use session_core::store::fake::FakeBackend;
use session_core::store::{Backend, Kind, UpdateState};
use zeroize::Zeroizing;

const ONE: [u8; KEY_LEN] = [1; KEY_LEN];
const TWO: [u8; KEY_LEN] = [2; KEY_LEN];
const LONG: Duration = Duration::from_mins(1);

fn login(byte: u8) -> Credentials {
    let key = Zeroizing::new(vec![byte; 256]);
    Credentials {
        dc_id: 2,
        server_address: Some("149.154.167.51".to_owned()),
        port: Some(443),
        auth_key: key.clone(),
        takeout_id: None,
        tmp_auth_key: key,
    }
}

type Opened = Result<(Arc<Session>, Option<Credentials>), Error>;

/// Opens a store with these encryption keys.
fn open(store: &FakeBackend, keys: &[[u8; KEY_LEN]], name: &str) -> Opened {
    let keyring = Keyring::new(keys, Owner::Session(name));
    let backend: Arc<dyn Backend> = Arc::new(SealedBackend::new(Arc::new(store.clone()), keyring));
    Session::open(backend, SessionOptions::default(), &mut || true)
}

fn session(store: &FakeBackend, keys: &[[u8; KEY_LEN]]) -> Arc<Session> {
    open(store, keys, "anna").unwrap().0
}

fn save(session: &Session, credentials: Credentials) {
    session.set_credentials(credentials);
    session.save(true, &mut || true).unwrap();
}

/// Returns a store with a login that is encrypted with `keys`.
fn store(byte: u8, keys: &[[u8; KEY_LEN]]) -> FakeBackend {
    let store = FakeBackend::default();
    save(&session(&store, keys), login(byte));
    store
}

fn stored(store: &FakeBackend) -> Credentials {
    store.contents().0.unwrap()
}

/// Asserts that the login is refused and stays what it is.
fn assert_refused(store: &FakeBackend, keys: &[[u8; KEY_LEN]], name: &str) {
    let before = stored(store);
    let error = open(store, keys, name).map(drop).unwrap_err();
    assert_eq!(error.kind(), Some(Kind::Sealed));
    assert!(error.to_string().contains("encryption_key="), "{error}");
    assert!(stored(store) == before);
}

#[test]
fn both_keys_are_sealed_and_opened() {
    let store = store(9, &[ONE]);
    assert!(is_sealed(&stored(&store).auth_key) && is_sealed(&stored(&store).tmp_auth_key));
    let (session, found) = open(&store, &[ONE], "anna").unwrap();
    assert!(found == Some(login(9)) && !session.has_outdated_login());
}

#[test]
fn without_the_right_key_and_name_it_is_refused() {
    let store = store(9, &[ONE]);
    assert_refused(&store, &[], "anna");
    assert_refused(&store, &[TWO], "anna");
    assert_refused(&store, &[ONE], "anna2");
    assert_refused(&store, &[TWO, ONE], "");
}

#[test]
fn an_older_key_is_replaced_by_the_first_one() {
    let store = store(9, &[ONE]);
    let (session, found) = open(&store, &[TWO, ONE], "anna").unwrap();
    assert!(session.has_outdated_login());
    save(&session, found.unwrap());
    assert!(!session.has_outdated_login());
    assert_refused(&store, &[ONE], "anna");
    assert!(open(&store, &[TWO], "anna").unwrap().1 == Some(login(9)));
}

#[test]
fn a_plain_login_is_read_and_sealed() {
    let store = store(9, &[]);
    assert!(stored(&store) == login(9));
    let (session, found) = open(&store, &[ONE], "anna").unwrap();
    assert!(found == Some(login(9)) && session.has_outdated_login());
    save(&session, found.unwrap());
    assert_refused(&store, &[], "anna");
}

#[test]
fn only_the_own_login_is_out_of_date() {
    let store = store(9, &[]);
    let (session, _) = open(&store, &[ONE], "anna").unwrap();
    // Another login is about to be written, which seals it.
    session.set_credentials(login(8));
    assert!(!session.has_outdated_login());
}

#[test]
fn a_write_that_is_made_again_writes_the_same_bytes() {
    let store = FakeBackend::default();
    let session = session(&store, &[ONE]);
    save(&session, login(9));
    let first = stored(&store);
    save(&session, Credentials { takeout_id: Some(1), ..login(9) });
    assert!(stored(&store).auth_key == first.auth_key);
    // A session that has read it does not change it either.
    let (other, found) = open(&store, &[ONE], "anna").unwrap();
    save(&other, Credentials { takeout_id: Some(2), ..found.unwrap() });
    assert!(stored(&store).auth_key == first.auth_key && stored(&store).takeout_id == Some(2));
}

#[test]
fn sessions_that_share_a_login_see_that_it_is_theirs() {
    let store = store(9, &[ONE]);
    let (one, two) = (session(&store, &[ONE]), session(&store, &[TWO, ONE]));
    save(&two, login(9));
    // It is encrypted anew, with a key that the first one does not have.
    one.set_update_state(0, UpdateState { pts: Some(5), ..UpdateState::default() });
    one.save(true, &mut || true).unwrap();
    assert_eq!(store.contents().1[&0].pts, Some(5));
    let before = stored(&store);
    one.set_credentials(login(8));
    assert!(one.save(true, &mut || true).is_err());
    assert!(stored(&store) == before, "a login that cannot be read was replaced");
    assert!(open(&store, &[TWO], "anna").unwrap().1 == Some(login(9)));
}

#[test]
fn a_login_that_was_encrypted_meanwhile_is_not_replaced() {
    let store = store(9, &[]);
    let (one, two) = (session(&store, &[]), session(&store, &[ONE]));
    save(&two, login(9));
    one.set_credentials(login(9));
    let error = one.save(true, &mut || true).unwrap_err();
    assert_eq!(error.kind(), Some(Kind::Sealed));
    assert!(is_sealed(&stored(&store).auth_key));
}

#[test]
fn a_login_of_another_key_is_not_deleted() {
    let store = store(9, &[ONE]);
    let one = session(&store, &[ONE]);
    save(&session(&store, &[TWO, ONE]), login(9));
    assert!(!one.delete(LONG));
    assert!(session(&store, &[TWO]).delete(LONG));
}

#[test]
fn an_empty_login_stays_empty() {
    let store = store(9, &[ONE]);
    save(&session(&store, &[ONE]), Credentials::default());
    assert!(stored(&store) == Credentials::default());
    assert!(!session(&store, &[TWO]).has_outdated_login());
}

#[test]
fn nothing_shows_a_key() {
    let store = store(9, &[]);
    let keyring = Keyring::new([&[0x77; KEY_LEN]], Owner::File);
    let backend: Arc<dyn Backend> = Arc::new(SealedBackend::new(Arc::new(store), keyring));
    let (session, _) = Session::open(Arc::clone(&backend), SessionOptions::default(), &mut || true).unwrap();
    let shown = format!("{backend:?} {session:?}");
    assert!(!shown.contains("119, 119") && !shown.contains("9, 9") && !shown.contains("7777"), "{shown}");
}
