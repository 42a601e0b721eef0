//! A store with sealed keys passes the tests of every store: in memory, in a file, and on a server.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../../store-net/tests/support/mod.rs"]
mod support;

use std::any::Any;
use std::path::PathBuf;
use std::sync::Arc;

use sealed::{KEY_LEN, Keyring, Owner, SealedBackend};
use session_core::store::Backend;
use session_core::store::conformance::Fixture;
use session_core::store::fake::FakeBackend;
use store_net::NetBackend;
use store_sqlite::{SqliteFile, VERSION_7, VERSION_8};
use support::{FakeDriver, FakeServer, Options};

fn sealed(inner: impl Backend + 'static, owner: Owner<'_>) -> Arc<dyn Backend> {
    Arc::new(SealedBackend::new(Arc::new(inner), Keyring::new([&[7; KEY_LEN]], owner)))
}

struct Fake(FakeBackend);

impl Fixture for Fake {
    fn new() -> Self {
        Self(FakeBackend::default())
    }

    fn backend(&self) -> Arc<dyn Backend> {
        sealed(self.0.clone(), Owner::Session("anon"))
    }

    fn hold(&self) -> Option<Box<dyn Any>> {
        self.0.try_hold().map(|held| Box::new(held) as Box<dyn Any>)
    }
}

struct File {
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl Fixture for File {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { path: folder.path().join("anna.session"), _folder: folder }
    }

    fn backend(&self) -> Arc<dyn Backend> {
        sealed(SqliteFile::new(Some(self.path.clone()), VERSION_8), Owner::File)
    }

    fn hold(&self) -> Option<Box<dyn Any>> {
        // Its locks are tested with the file alone.
        None
    }
}

struct Server(Arc<FakeServer>);

impl Fixture for Server {
    fn new() -> Self {
        Self(Arc::default())
    }

    fn backend(&self) -> Arc<dyn Backend> {
        let net = NetBackend::<FakeDriver>::new(Options(Arc::clone(&self.0)), "anon", "fake://server/anon".to_owned());
        sealed(net, Owner::Session("anon"))
    }

    fn hold(&self) -> Option<Box<dyn Any>> {
        None
    }
}

mod in_memory {
    use super::Fake;

    session_core::store_conformance!(Fake);
}

mod in_a_file {
    use super::File;

    session_core::store_conformance!(File);
}

mod on_a_server {
    use super::Server;

    session_core::store_conformance!(Server);
}

/// The file's older layout has no column for the temporary key.
#[test]
fn a_file_of_version_7_keeps_a_sealed_key() {
    use session_core::credentials::Credentials;
    use session_core::session::{Session, SessionOptions};

    let file = File::new();
    let key = zeroize::Zeroizing::new(vec![9; 256]);
    let backend = || sealed(SqliteFile::new(Some(file.path.clone()), VERSION_7), Owner::File);
    let (session, _) = Session::open(backend(), SessionOptions::default(), &mut || true).unwrap();
    session.set_credentials(Credentials { dc_id: 2, auth_key: key.clone(), ..Credentials::default() });
    session.save(true, &mut || true).unwrap();
    let (_, found) = Session::open(backend(), SessionOptions::default(), &mut || true).unwrap();
    assert!(found.unwrap().auth_key == key);
    assert!(!std::fs::read(&file.path).unwrap().windows(8).any(|bytes| bytes == [9; 8]));
}
