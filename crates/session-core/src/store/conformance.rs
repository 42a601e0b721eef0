//! The tests that every store must pass. A store's crate runs them with
//! [`store_conformance!`](crate::store_conformance).
#![allow(clippy::missing_panics_doc, clippy::unwrap_used, clippy::panic, missing_docs)]

use std::any::Any;
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::slice::from_ref;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::{
    Backend, Base, ChangeSource, Changes, FileKey, FileKind, Kind, Lookup, OpenOptions, Query, Result, Revision,
    Snapshot, Store, StoreError, UpdateState, Written,
};
use crate::credentials::Credentials;
use crate::entity::Entity;
use crate::entity_table::{BatchEntity, EntityBatch, TextField};
use crate::session::{EntityScan, Session, SessionOptions};

/// A place where nothing is stored yet.
pub trait Fixture {
    /// Makes a place of its own.
    fn new() -> Self;

    /// Returns the backend of the place.
    fn backend(&self) -> Arc<dyn Backend>;

    /// Keeps connections from writing, as another program does that writes, until the result is
    /// dropped. `None` if the store knows no locks.
    fn hold(&self) -> Option<Box<dyn Any>>;
}

/// Runs all tests for a [`Fixture`].
#[macro_export]
macro_rules! store_conformance {
    ($fixture:ty) => {
        $crate::store_conformance! { @tests $fixture:
            a_new_store_is_empty
            what_was_written_is_read_again
            all_sent_files_are_listed
            a_refused_write_changes_nothing
            a_write_sees_what_it_is_based_on
            a_write_to_a_held_store_is_busy
            a_write_may_end_early
            the_revision_is_another_connections
            entities_are_found_by_each_key
            a_scan_returns_all_entities
            only_the_dirty_part_is_written
            aliases_are_read_again
            aliases_go_with_the_entity_that_lost_them
            usernames_move_between_sessions
            what_was_forgotten_is_deleted
            what_comes_back_has_nothing_of_before
            entities_are_counted
            the_last_credentials_stay
            what_was_taken_away_is_gone
            a_deleted_store_is_created_again
            a_lease_excludes_others
            errors_name_the_place
            a_trimmed_store_works
            a_session_comes_back
            what_a_session_forgets_others_forget
            what_is_old_is_forgotten
            what_was_seen_later_stays
            bounded_memory_loses_nothing
            what_is_old_is_forgotten_with_bounded_memory
        }
    };
    (@tests $fixture:ty: $($test:ident)*) => {
        $(
            #[test]
            fn $test() {
                $crate::store::conformance::$test::<$fixture>();
            }
        )*
    };
}

const LONG: Duration = Duration::from_mins(2);

fn options(may_create: bool) -> OpenOptions {
    OpenOptions { may_create, timeout: LONG }
}

fn open(fixture: &impl Fixture) -> (Box<dyn Store>, Snapshot) {
    let backend = fixture.backend();
    ended(|| backend.open(options(true))).unwrap()
}

/// Repeats an operation of a server until it has ended.
fn ended<T>(mut operation: impl FnMut() -> Result<T>) -> Result<T> {
    loop {
        match operation() {
            Err(error) if error.kind == Kind::Pending => thread::sleep(Duration::from_millis(1)),
            result => return result,
        }
    }
}

/// Some slices, and a refusal after them if it has one.
#[derive(Default)]
struct Source {
    slices: Vec<Changes>,
    refusal: Option<StoreError>,
    bases: Vec<(Revision, Vec<u8>)>,
}

impl Source {
    fn of(changes: Changes) -> Self {
        Self { slices: vec![changes], ..Self::default() }
    }
}

impl ChangeSource for Source {
    fn next(&mut self, base: &Base) -> Result<Option<Changes>> {
        self.bases.push((base.revision, base.auth_key.to_vec()));
        if self.slices.is_empty() {
            return self.refusal.take().map_or(Ok(None), Err);
        }
        Ok(Some(self.slices.remove(0)))
    }
}

fn write(store: &mut dyn Store, changes: Changes) {
    write_all_of(store, &mut Source::of(changes)).unwrap();
    store.trim();
}

/// Writes, and waits for the end of a write that was posted.
fn write_all_of(store: &mut dyn Store, source: &mut Source) -> Result<Written> {
    match store.write(source) {
        Err(error) if error.kind == Kind::Pending => ended(|| store.poll_write(LONG).unwrap()),
        result => result,
    }
}

fn scan(store: &mut dyn Store, limit: usize) -> Vec<i64> {
    let (mut after, mut ids) = (None, Vec::new());
    loop {
        let batch = ended(|| store.scan(after, limit)).unwrap();
        ids.extend(batch.entities.iter().map(|entity| entity.id));
        after = batch.next;
        if after.is_none() {
            return ids;
        }
    }
}

fn entities(entities: &[Entity<'_>], seen: u32) -> Changes {
    let mut batch = EntityBatch::default();
    for entity in entities {
        batch.push_seen(entity, seen);
    }
    Changes { entities: batch, ..Changes::default() }
}

fn named(id: i64, name: &'static str) -> Entity<'static> {
    Entity { id, access_hash: Some(id.wrapping_mul(7)), name: Some(name), ..Entity::default() }
}

/// Returns credentials whose key has this byte in all places, and that lack nothing.
#[must_use]
pub fn with_key(key: u8) -> Credentials {
    Credentials {
        dc_id: 2,
        server_address: Some("149.154.167.51".to_owned()),
        port: Some(443),
        auth_key: Zeroizing::new(vec![key; 256]),
        takeout_id: Some(1 << 40),
        tmp_auth_key: Zeroizing::new(vec![key + 1; 256]),
    }
}

fn login(key: u8) -> Changes {
    Changes { credentials: Some(with_key(key)), ..Changes::default() }
}

/// An entity as a store returns it.
type Row = (i64, Option<i64>, u32, [Option<String>; 3]);

fn row(entity: &BatchEntity<'_>) -> Row {
    let texts = entity.texts().map(|text| text.map(|text| String::from_utf8(text.to_vec()).unwrap()));
    (entity.id, entity.access_hash, entity.seen, texts)
}

fn find(store: &mut dyn Store, query: &Query<'_>) -> Vec<Row> {
    let Lookup::Found(found) = ended(|| store.find(query, None, LONG)).unwrap() else { panic!() };
    found.iter().map(|entity| row(&entity)).collect()
}

fn find_ids(store: &mut dyn Store, query: &Query<'_>) -> Vec<i64> {
    let mut ids: Vec<i64> = find(store, query).into_iter().map(|(id, ..)| id).collect();
    ids.sort_unstable();
    ids
}

pub fn a_new_store_is_empty<F: Fixture>() {
    let fixture = F::new();
    let (mut store, snapshot) = open(&fixture);
    assert!(snapshot.is_new && snapshot.credentials.is_none() && snapshot.update_states.is_empty());
    assert!(scan(&mut *store, 10).is_empty());
    assert!(ended(|| store.snapshot()).unwrap().auth_key().is_empty());
    let (_, again) = open(&fixture);
    // A server keeps nothing of a session in which nothing was written.
    assert_eq!(again.is_new, fixture.backend().is_remote());
    assert_eq!(again.identity, snapshot.identity);
}

pub fn what_was_written_is_read_again<F: Fixture>() {
    let fixture = F::new();
    let anna = Entity {
        id: 777_000,
        access_hash: Some(i64::MIN),
        username: Some("anna"),
        phone: Some("79991234567"),
        name: Some("Анна \u{1f600} \"O'Neill\""),
    };
    let chat = Entity { id: -1_000_000_000_007, access_hash: Some(i64::MAX), ..Entity::default() };
    let update_states = vec![
        (0, UpdateState { pts: Some(1), qts: Some(2), date: Some(1_700_000_000.0), seq: Some(4) }),
        (7, UpdateState { pts: Some(5), qts: Some(0), date: Some(1_700_000_001.0), seq: Some(0) }),
    ];
    let file = FileKey { md5_digest: vec![0, 255, 7], size: 1 << 33, kind: FileKind::Photo };
    {
        let (mut store, _) = open(&fixture);
        let mut changes = entities(&[anna, chat], 1_700_000_000);
        changes.credentials = Some(with_key(1));
        changes.update_states.clone_from(&update_states);
        changes.sent_files.push((file.clone(), (i64::MAX, i64::MIN)));
        write(&mut *store, changes);
    }
    let (mut store, snapshot) = open(&fixture);
    assert!(!snapshot.is_new);
    assert!(snapshot.credentials.as_ref() == Some(&with_key(1)), "other credentials");
    let mut read = snapshot.update_states;
    read.sort_by_key(|(id, _)| *id);
    assert_eq!(read, update_states);
    let texts = [anna.username, anna.phone, anna.name].map(|text| text.map(str::to_owned));
    assert_eq!(find(&mut *store, &Query::Id(anna.id)), [(anna.id, anna.access_hash, 1_700_000_000, texts)]);
    let none = [const { None }; 3];
    assert_eq!(find(&mut *store, &Query::Id(chat.id)), [(chat.id, chat.access_hash, 1_700_000_000, none)]);
    assert_eq!(ended(|| store.sent_file(&file, LONG)).unwrap(), Some((i64::MAX, i64::MIN)));
    let file = FileKey { kind: FileKind::Document, ..file };
    assert_eq!(ended(|| store.sent_file(&file, LONG)).unwrap(), None);
}

pub fn all_sent_files_are_listed<F: Fixture>() {
    let fixture = F::new();
    let (mut store, _) = open(&fixture);
    assert_eq!(ended(|| store.sent_files(LONG)).unwrap(), []);
    let key = |number: i64| FileKey {
        md5_digest: number.to_le_bytes().to_vec(),
        size: number % 3,
        kind: if number % 2 == 0 { FileKind::Document } else { FileKind::Photo },
    };
    let mut files: Vec<_> = (0..7000).map(|number| (key(number), (number, -number))).collect();
    write(&mut *store, Changes { sent_files: files.clone(), ..Changes::default() });
    files[5].1 = (i64::MAX, i64::MIN);
    write(&mut *store, Changes { sent_files: vec![files[5].clone()], ..Changes::default() });
    let (mut other, _) = open(&fixture);
    let mut listed = ended(|| other.sent_files(LONG)).unwrap();
    listed.sort_by_key(|(key, _)| key.md5_digest.clone());
    files.sort_by_key(|(key, _)| key.md5_digest.clone());
    assert!(listed == files, "{} files, {} of them listed", files.len(), listed.len());
}

pub fn a_refused_write_changes_nothing<F: Fixture>() {
    let fixture = F::new();
    let (mut store, _) = open(&fixture);
    write(&mut *store, entities(&[named(1, "Anna")], 5));
    let mut source = Source::of(entities(&[named(1, "Berta"), named(2, "Clara")], 6));
    source.slices.push(login(1));
    source.refusal = Some(StoreError::replaced(fixture.backend().place()));
    assert_eq!(store.write(&mut source).unwrap_err().kind, Kind::Replaced);
    store.trim();
    assert_eq!(source.bases.len(), 3);
    let (mut other, snapshot) = open(&fixture);
    assert!(snapshot.auth_key().is_empty());
    for store in [&mut store, &mut other] {
        assert_eq!(find_ids(&mut **store, &Query::Text(TextField::Name, "Anna")), [1]);
        assert_eq!(find_ids(&mut **store, &Query::Id(2)), [0_i64; 0]);
    }
    write(&mut *store, entities(&[named(3, "Dora")], 7));
    assert_eq!(find_ids(&mut *other, &Query::Id(3)), [3]);
}

pub fn a_write_sees_what_it_is_based_on<F: Fixture>() {
    let fixture = F::new();
    let ((mut store, snapshot), (mut other, _)) = (open(&fixture), open(&fixture));
    let mut first = Source::of(login(3));
    let written = write_all_of(&mut *store, &mut first).unwrap();
    store.trim();
    assert_eq!(first.bases[0], (snapshot.revision, Vec::new()));
    if fixture.backend().is_remote() {
        // It learns of another login when it writes its own.
        let error = write_all_of(&mut *other, &mut Source::of(login(5))).unwrap_err();
        assert!(error.is_retryable(), "{error}");
        write(&mut *other, login(5));
        write_all_of(&mut *store, &mut Source::of(login(3))).unwrap_err();
    } else {
        write(&mut *other, login(5));
    }
    let mut second = Source::default();
    store.write(&mut second).unwrap();
    store.trim();
    assert_ne!(second.bases[0].0, written.revision);
    assert_eq!(second.bases[0].1, [5; 256]);
}

pub fn a_write_to_a_held_store_is_busy<F: Fixture>() {
    let fixture = F::new();
    let (mut store, _) = open(&fixture);
    let Some(held) = fixture.hold() else { return };
    let mut source = Source::of(entities(&[named(1, "Anna")], 5));
    let error = write_all_of(&mut *store, &mut source).unwrap_err();
    assert!(error.kind == Kind::Busy && error.is_retryable() && !error.kind.needs_reopening());
    assert!(source.bases.is_empty(), "asked for changes that could not be written");
    drop(held);
    write_all_of(&mut *store, &mut source).unwrap();
    store.trim();
    assert_eq!(find_ids(&mut *store, &Query::Id(1)), [1]);
}

pub fn a_write_may_end_early<F: Fixture>() {
    let fixture = F::new();
    let (mut store, _) = open(&fixture);
    for id in 1..4 {
        write(&mut *store, entities(&[named(id, "Anna")], 5));
    }
    store.write(&mut Source::default()).unwrap();
    store.trim();
    let (mut other, _) = open(&fixture);
    assert_eq!(find_ids(&mut *other, &Query::Text(TextField::Name, "Anna")), [1, 2, 3]);
}

pub fn the_revision_is_another_connections<F: Fixture>() {
    let fixture = F::new();
    let ((mut store, snapshot), (mut other, _)) = (open(&fixture), open(&fixture));
    if fixture.backend().is_remote() {
        // It would have to ask the server each time.
        return;
    }
    let query = Query::Id(1);
    assert_eq!(store.revision().unwrap(), snapshot.revision);
    assert!(matches!(store.find(&query, Some(snapshot.revision), LONG).unwrap(), Lookup::Unchanged));
    let mut source = Source::of(entities(&[named(1, "Anna")], 5));
    let written = store.write(&mut source).unwrap();
    store.trim();
    assert_eq!(source.bases[0].0, snapshot.revision);
    assert_eq!(store.revision().unwrap(), written.revision, "its own write counts as another's");
    write(&mut *other, entities(&[named(2, "Berta")], 5));
    assert_ne!(store.revision().unwrap(), written.revision);
    let found = store.find(&Query::Id(2), Some(written.revision), LONG).unwrap();
    assert!(matches!(found, Lookup::Found(batch) if batch.len() == 1));
    let now = store.snapshot().unwrap().revision;
    assert_eq!(store.revision().unwrap(), now);
}

pub fn entities_are_found_by_each_key<F: Fixture>() {
    let fixture = F::new();
    let (mut store, _) = open(&fixture);
    let person = |id, username, phone, name| Entity { id, access_hash: Some(1), username, phone, name };
    let people = [
        person(5, Some("anna"), Some("79991234567"), Some("Anna")),
        person(-5, None, None, Some("Anna")),
        person(-1_000_000_000_005, Some("anna"), None, Some("anna")),
        person(6, Some(""), Some("7"), Some("")),
    ];
    write(&mut *store, entities(&people, 5));
    let mut ids = |query| find_ids(&mut *store, &query);
    assert_eq!(ids(Query::Id(5)), [5]);
    assert_eq!(ids(Query::Id(4)), [0_i64; 0]);
    assert_eq!(ids(Query::AnyId([Some(-1_000_000_000_005), Some(-5), Some(5)])), [-1_000_000_000_005, -5, 5]);
    assert_eq!(ids(Query::AnyId([None, Some(4), Some(6)])), [6]);
    let thousand: Vec<i64> = (-500..500).collect();
    assert_eq!(ids(Query::Ids(&thousand)), [-5, 5, 6]);
    assert_eq!(ids(Query::Ids(&[])), [0_i64; 0]);
    assert_eq!(ids(Query::Text(TextField::Username, "anna")), [-1_000_000_000_005, 5]);
    assert_eq!(ids(Query::Text(TextField::Phone, "79991234567")), [5]);
    assert_eq!(ids(Query::Text(TextField::Name, "Anna")), [-5, 5]);
    assert_eq!(ids(Query::Text(TextField::Name, "ANNA")), [0_i64; 0]);
    assert_eq!(ids(Query::Text(TextField::Username, "' or 1=1 --")), [0_i64; 0]);
}

pub fn a_scan_returns_all_entities<F: Fixture>() {
    let fixture = F::new();
    let (mut store, _) = open(&fixture);
    let ids = [-1_000_000_000_007, -12, -7, 0, 3, 20, 100, i64::MAX];
    let shuffled = [3, -7, i64::MAX, -1_000_000_000_007, 100, 0, 20, -12].map(|id| named(id, "Anna"));
    write(&mut *store, entities(&shuffled, 5));
    for limit in [1, 3, ids.len(), 100] {
        let mut scanned = scan(&mut *store, limit);
        if fixture.backend().is_remote() {
            // In any order, and in pages of its own size.
            scanned.sort_unstable();
        } else {
            assert!(store.scan(None, limit).unwrap().entities.len() <= limit);
        }
        assert_eq!(scanned, ids);
    }
}

pub fn only_the_dirty_part_is_written<F: Fixture>() {
    let fixture = F::new();
    let (mut store, _) = open(&fixture);
    let full = |id| Entity { id, access_hash: Some(1), username: Some("anna"), phone: Some("7"), name: Some("Anna") };
    write(&mut *store, entities(&[full(1), full(2), full(3)], 5));
    let texts = |username: Option<&str>| [username, Some("7"), Some("Anna")].map(|text| text.map(str::to_owned));

    let mut peers = EntityBatch::default();
    peers.push_input_peer(1, Some(11));
    peers.push_input_peer(4, Some(44));
    peers.set_seen(6);
    write(&mut *store, Changes { entities: peers, ..Changes::default() });
    assert_eq!(find(&mut *store, &Query::Id(1)), [(1, Some(11), 6, texts(Some("anna")))]);
    assert_eq!(find(&mut *store, &Query::Id(4)), [(4, Some(44), 6, [const { None }; 3])]);

    // What a table hands out once it has seen them again, and once one has lost its username.
    let mut table = crate::entity_table::EntityTable::default();
    let mut stored = EntityBatch::default();
    for id in [2, 3] {
        stored.push_stored(id, 1, 5, [Some(b"anna"), Some(b"7"), Some(b"Anna")]);
    }
    table.put_stored(&stored);
    let mut seen = EntityBatch::default();
    seen.push_seen(&full(2), 9);
    table.put(&seen, |_, _| ());
    assert_eq!(table.by_username("anna", |_| ()), Some((2, Some(1))));
    let mut dirty = EntityBatch::default();
    for id in [2, 3] {
        table.take_dirty(id, &mut dirty);
    }
    assert_eq!(dirty.len(), 2);
    write(&mut *store, Changes { entities: dirty, ..Changes::default() });
    assert_eq!(find(&mut *store, &Query::Id(2)), [(2, Some(1), 9, texts(Some("anna")))]);
    assert_eq!(find(&mut *store, &Query::Id(3)), [(3, Some(1), 5, texts(None))]);
}

/// Adds an entity with aliases.
fn push_named(batch: &mut EntityBatch, id: i64, seen: u32, username: Option<&str>, aliases: &[&str]) {
    batch.push_seen(&Entity { username, ..named(id, "Anna") }, seen);
    batch.set_knows_aliases(true);
    for alias in aliases {
        batch.push_alias(alias.as_bytes());
    }
}

type Named = (i64, Option<String>, Vec<String>);

fn names_of(batch: &EntityBatch) -> Vec<Named> {
    let text = |text: &[u8]| String::from_utf8(text.to_vec()).unwrap();
    let of = |entity: BatchEntity<'_>| (entity.id, entity.texts()[0].map(text), entity.aliases().map(text).collect());
    let mut names: Vec<Named> = batch.iter().map(of).collect();
    names.sort();
    names
}

fn find_names(store: &mut dyn Store, query: &Query<'_>) -> Vec<Named> {
    let Lookup::Found(found) = ended(|| store.find(query, None, LONG)).unwrap() else { panic!() };
    names_of(&found)
}

fn owned(id: i64, username: Option<&str>, aliases: &[&str]) -> Named {
    (id, username.map(str::to_owned), aliases.iter().map(|alias| (*alias).to_owned()).collect())
}

pub fn aliases_are_read_again<F: Fixture>() {
    let fixture = F::new();
    let (mut store, _) = open(&fixture);
    let mut batch = EntityBatch::default();
    push_named(&mut batch, 1, 5, Some("anna"), &["zoe", "b_1", "' or 1=1 --"]);
    push_named(&mut batch, -1_000_000_000_007, 5, None, &["channel", "news"]);
    push_named(&mut batch, 3, 5, Some("plain"), &[]);
    write(&mut *store, Changes { entities: batch, ..Changes::default() });
    let anna = owned(1, Some("anna"), &["zoe", "b_1", "' or 1=1 --"]);
    let channel = owned(-1_000_000_000_007, None, &["channel", "news"]);
    let plain = owned(3, Some("plain"), &[]);
    let (mut other, _) = open(&fixture);
    for store in [&mut store, &mut other] {
        let mut find = |query| find_names(&mut **store, &query);
        for query in [Query::Id(1), Query::AnyId([Some(1), None, Some(4)]), Query::Text(TextField::Username, "anna")] {
            assert_eq!(find(query), from_ref(&anna));
        }
        for alias in ["zoe", "b_1", "' or 1=1 --"] {
            assert_eq!(find(Query::Text(TextField::Username, alias)), from_ref(&anna));
        }
        assert_eq!(find(Query::Text(TextField::Username, "news")), from_ref(&channel));
        assert_eq!(find(Query::Text(TextField::Username, "nobody")), []);
        assert_eq!(find(Query::Text(TextField::Name, "news")), []);
        let all = [channel.clone(), anna.clone(), plain.clone()];
        assert_eq!(find(Query::Text(TextField::Name, "Anna")), all);
        for limit in [1, 2, 100] {
            let (mut after, mut scanned) = (None, Vec::new());
            loop {
                let batch = ended(|| store.scan(after, limit)).unwrap();
                scanned.extend(names_of(&batch.entities));
                after = batch.next;
                if after.is_none() {
                    break;
                }
            }
            scanned.sort();
            assert_eq!(scanned, all);
        }
    }
}

pub fn aliases_go_with_the_entity_that_lost_them<F: Fixture>() {
    let fixture = F::new();
    let (mut store, _) = open(&fixture);
    let mut put = |fill: &mut dyn FnMut(&mut EntityBatch)| {
        let mut entities = EntityBatch::default();
        fill(&mut entities);
        write(&mut *store, Changes { entities, ..Changes::default() });
    };
    put(&mut |batch| {
        push_named(batch, 1, 5, Some("anna"), &["x", "y"]);
        push_named(batch, 2, 5, None, &["z"]);
    });
    // What a table hands out when they were seen again, and when others have taken over an alias.
    let mut table = crate::entity_table::EntityTable::default();
    let mut change = |fill: &dyn Fn(&mut EntityBatch)| {
        let mut seen = EntityBatch::default();
        fill(&mut seen);
        let mut dirty = Vec::new();
        table.put(&seen, |id, _| dirty.push(id));
        put(&mut |batch| dirty.iter().for_each(|id| table.take_dirty(*id, batch)));
    };
    change(&|batch| {
        push_named(batch, 1, 5, Some("anna"), &["x", "y"]);
        push_named(batch, 2, 5, None, &["z"]);
    });
    change(&|batch| {
        push_named(batch, 1, 6, Some("anna"), &["x", "y"]);
        push_named(batch, 3, 6, Some("z"), &["x"]);
    });
    let find = |username| find_names(&mut *open(&fixture).0, &Query::Text(TextField::Username, username));
    let third = owned(3, Some("z"), &["x"]);
    assert_eq!(find("x"), from_ref(&third));
    assert_eq!(find("y"), [owned(1, Some("anna"), &["y"])]);
    assert_eq!(find("z"), [third]);
    change(&|batch| push_named(batch, 1, 7, Some("anna"), &[]));
    change(&|batch| push_named(batch, 3, 7, None, &["w", "x"]));
    assert_eq!(find("y"), []);
    assert_eq!(find("z"), []);
    assert_eq!(find("w"), [owned(3, None, &["w", "x"])]);
}

/// The whole way: aliases that are found by other sessions, move and go.
pub fn usernames_move_between_sessions<F: Fixture>() {
    let fixture = F::new();
    let used = |call: &dyn Fn(&Session)| {
        let (session, _) = Session::open(fixture.backend(), SessionOptions::default(), &mut || true).unwrap();
        while fixture.backend().is_remote() && !session.is_loaded() {
            thread::sleep(Duration::from_millis(1));
        }
        call(&session);
        session.close(LONG, &mut || true).unwrap();
    };
    let receive = |session: &Session, id, username: Option<&str>, aliases: &[&str]| {
        let mut batch = EntityBatch::default();
        push_named(&mut batch, id, 0, username, aliases);
        session.put(batch);
    };
    let find =
        |session: &Session, username| session.find(&Query::Text(TextField::Username, username)).map(|(id, _)| id);
    used(&|session| {
        session.set_credentials(with_key(1));
        receive(session, 1, None, &["first", "second", "third"]);
        receive(session, 2, Some("anna"), &["fourth"]);
        assert_eq!(find(session, "second"), Some(1));
    });
    used(&|session| {
        let found = ["first", "second", "third", "anna", "fourth"].map(|username| find(session, username));
        assert_eq!(found, [Some(1), Some(1), Some(1), Some(2), Some(2)]);
        receive(session, 3, Some("first"), &["second"]);
        receive(session, 2, Some("anna"), &["third"]);
    });
    used(&|session| {
        let found = ["first", "second", "third", "anna", "fourth"].map(|username| find(session, username));
        assert_eq!(found, [Some(3), Some(3), Some(2), Some(2), None]);
        // The one before does not get back what the new one loses.
        receive(session, 3, None, &[]);
    });
    used(&|session| {
        let found = ["first", "second", "third"].map(|username| find(session, username));
        assert_eq!(found, [None, None, Some(2)]);
    });
    assert!(fixture.backend().delete(&[with_key(1).auth_key], LONG).unwrap());
    used(&|session| assert_eq!(find(session, "third"), None));
}

pub fn what_was_forgotten_is_deleted<F: Fixture>() {
    let fixture = F::new();
    let (mut store, _) = open(&fixture);
    let full = |id| Entity { id, access_hash: Some(1), username: Some("anna"), phone: Some("7"), name: Some("Anna") };
    let ids = [1, 2, 3, 4, -5, -1_000_000_000_006];
    write(&mut *store, entities(&ids.map(full), 5));
    let mut gone = EntityBatch::default();
    // Seen before 6, but not before 5.
    for (id, before) in [(1, u32::MAX), (2, 6), (3, 5), (99, u32::MAX), (98, 5), (-5, u32::MAX)] {
        gone.push_gone(id, before);
    }
    write(&mut *store, Changes { entities: gone, ..Changes::default() });
    let (mut other, _) = open(&fixture);
    for store in [&mut store, &mut other] {
        let mut scanned = scan(&mut **store, 100);
        scanned.sort_unstable();
        assert_eq!(scanned, [-1_000_000_000_006, 3, 4]);
        for (field, text) in [(TextField::Username, "anna"), (TextField::Phone, "7"), (TextField::Name, "Anna")] {
            assert_eq!(find_ids(&mut **store, &Query::Text(field, text)), [-1_000_000_000_006, 3, 4]);
        }
        for id in [1, 2, 99, -5] {
            assert_eq!(find_ids(&mut **store, &Query::Id(id)), [0_i64; 0]);
        }
    }
    // Dates alone bring nothing back.
    let mut dates = EntityBatch::default();
    let mut table = crate::entity_table::EntityTable::default();
    let mut known = EntityBatch::default();
    known.push_stored(1, 1, 5, [None; 3]);
    known.push_stored(3, 1, 5, [Some(b"anna"), Some(b"7"), Some(b"Anna")]);
    table.put_stored(&known);
    let mut seen = EntityBatch::default();
    seen.push_seen(&Entity { id: 1, access_hash: Some(1), ..Entity::default() }, 9);
    seen.push_seen(&full(3), 9);
    table.put(&seen, |_, _| ());
    for id in [1, 3] {
        table.take_dirty(id, &mut dates);
    }
    write(&mut *store, Changes { entities: dates, ..Changes::default() });
    assert_eq!(find_ids(&mut *store, &Query::Id(1)), [0_i64; 0]);
    assert!(find(&mut *store, &Query::Id(3)).iter().all(|(.., seen, _)| *seen == 9));
}

pub fn what_comes_back_has_nothing_of_before<F: Fixture>() {
    let fixture = F::new();
    let (mut store, _) = open(&fixture);
    let full =
        |id, name| Entity { id, access_hash: Some(1), username: Some("anna"), phone: Some("7"), name: Some(name) };
    write(&mut *store, entities(&[full(1, "Anna"), full(2, "Anna")], 5));
    // In one write: forgotten, and received again.
    let mut gone = EntityBatch::default();
    for id in 1..=3 {
        gone.push_gone(id, u32::MAX);
    }
    let mut peers = EntityBatch::default();
    peers.push_input_peer(1, Some(11));
    peers.set_seen(6);
    let slices = vec![
        Changes { entities: gone, ..Changes::default() },
        Changes { entities: peers, ..Changes::default() },
        entities(&[full(2, "Berta")], 7),
    ];
    write_all_of(&mut *store, &mut Source { slices, ..Source::default() }).unwrap();
    store.trim();
    assert_eq!(find(&mut *store, &Query::Id(1)), [(1, Some(11), 6, [const { None }; 3])]);
    assert_eq!(find_ids(&mut *store, &Query::Text(TextField::Username, "anna")), [2]);
    assert_eq!(find_ids(&mut *store, &Query::Text(TextField::Name, "Anna")), [0_i64; 0]);
    assert_eq!(find_ids(&mut *store, &Query::Text(TextField::Name, "Berta")), [2]);
    // And in two.
    let mut gone = EntityBatch::default();
    gone.push_gone(2, u32::MAX);
    write(&mut *store, Changes { entities: gone, ..Changes::default() });
    let mut peers = EntityBatch::default();
    peers.push_input_peer(2, Some(22));
    peers.set_seen(8);
    write(&mut *store, Changes { entities: peers, ..Changes::default() });
    assert_eq!(find(&mut *store, &Query::Id(2)), [(2, Some(22), 8, [const { None }; 3])]);
}

pub fn entities_are_counted<F: Fixture>() {
    let fixture = F::new();
    let (mut store, _) = open(&fixture);
    let count = |store: &mut dyn Store, ids: RangeInclusive<i64>| {
        let (mut sum, mut begin) = (0, *ids.start());
        loop {
            let counted = ended(|| store.count(begin..=*ids.end(), 3, LONG)).unwrap();
            sum += counted.entities;
            match counted.next {
                Some(last) if last < *ids.end() => begin = last + 1,
                _ => return sum,
            }
        }
    };
    assert_eq!(count(&mut *store, i64::MIN..=i64::MAX), 0);
    let ids = [i64::MIN, -1_000_000_000_008, -1_000_000_000_007, -12, -7, 0, 3, 20, 100, i64::MAX];
    write(&mut *store, entities(&ids.map(|id| named(id, "Anna")), 5));
    let mut gone = EntityBatch::default();
    gone.push_gone(20, u32::MAX);
    write(&mut *store, Changes { entities: gone, ..Changes::default() });
    for (range, expected) in [
        (i64::MIN..=i64::MAX, 9),
        (1..=i64::MAX, 3),
        (i64::MIN..=-1, 5),
        (-1_000_000_000_000..=-1, 2),
        (i64::MIN..=-1_000_000_000_001, 3),
        (4..=99, 0),
    ] {
        assert_eq!(count(&mut *store, range.clone()), expected, "{range:?}");
    }
}

pub fn the_last_credentials_stay<F: Fixture>() {
    let fixture = F::new();
    let (mut store, _) = open(&fixture);
    write(&mut *store, login(1));
    let last = Credentials { dc_id: 4, server_address: None, port: None, takeout_id: None, ..with_key(7) };
    write(&mut *store, Changes { credentials: Some(last.clone()), ..Changes::default() });
    let (_, snapshot) = open(&fixture);
    assert!(snapshot.credentials == Some(last), "other credentials");
    write(&mut *store, Changes { credentials: Some(Credentials::default()), ..Changes::default() });
    let (_, snapshot) = open(&fixture);
    assert!(snapshot.auth_key().is_empty());
}

pub fn what_was_taken_away_is_gone<F: Fixture>() {
    let fixture = F::new();
    if fixture.backend().is_remote() {
        let (mut store, _) = open(&fixture);
        write(&mut *store, login(1));
        assert!(!fixture.backend().delete(&[with_key(2).auth_key], LONG).unwrap(), "deleted another login");
        assert!(open(&fixture).1.auth_key() == with_key(1).auth_key);
        return;
    }
    assert_eq!(fixture.backend().open(options(false)).unwrap_err().kind, Kind::Gone);
    let (mut store, _) = open(&fixture);
    write(&mut *store, login(1));
    assert!(fixture.backend().delete(&[with_key(1).auth_key], LONG).unwrap());
    let error = store.write(&mut Source::of(login(2))).unwrap_err();
    assert!(error.kind == Kind::Gone && error.kind.needs_reopening());
    drop(store);
    assert_eq!(fixture.backend().open(options(false)).unwrap_err().kind, Kind::Gone);
}

pub fn a_deleted_store_is_created_again<F: Fixture>() {
    let fixture = F::new();
    let backend = fixture.backend();
    {
        let (mut store, _) = open(&fixture);
        let mut changes = entities(&[named(1, "Anna")], 5);
        changes.credentials = Some(with_key(1));
        write(&mut *store, changes);
    }
    assert!(backend.delete(&[with_key(1).auth_key], LONG).unwrap());
    assert!(!backend.delete(&[with_key(1).auth_key], LONG).unwrap_or(false));
    let (mut store, snapshot) = open(&fixture);
    assert!(snapshot.is_new && snapshot.auth_key().is_empty());
    assert!(scan(&mut *store, 10).is_empty());
}

pub fn a_lease_excludes_others<F: Fixture>() {
    let fixture = F::new();
    let backend = fixture.backend();
    let lease = ended(|| backend.lease(options(true))).unwrap();
    let (mut store, _) = open(&fixture);
    lease.check().unwrap();
    write(&mut *store, login(1));
    let other = fixture.backend();
    let error = ended(|| other.lease(options(true))).unwrap_err();
    assert!(error.kind == Kind::InUse && !error.is_retryable());
    drop(store);
    drop(lease);
    // A server is told in the background.
    let again = ended(|| match other.lease(options(true)) {
        Err(error) if error.kind == Kind::InUse && other.is_remote() => {
            Err(StoreError::new(Kind::Pending, other.place(), error.to_string()))
        }
        result => result,
    });
    drop(again.unwrap());
}

pub fn errors_name_the_place<F: Fixture>() {
    let fixture = F::new();
    if fixture.backend().is_remote() {
        // No error can be had from a server that works.
        return;
    }
    let error = fixture.backend().open(options(false)).unwrap_err();
    assert_eq!(error.place, fixture.backend().place());
    assert!(error.to_string().contains(&error.place.to_string()), "{error}");
}

pub fn a_trimmed_store_works<F: Fixture>() {
    let fixture = F::new();
    let (mut store, _) = open(&fixture);
    for id in 1..4 {
        store.trim();
        write(&mut *store, entities(&[named(id, "Anna")], 5));
        store.trim();
        assert_eq!(find_ids(&mut *store, &Query::Id(id)), [id]);
    }
}

/// The whole way: thousands of entities through a session, and back into another one.
pub fn a_session_comes_back<F: Fixture>() {
    const COUNT: i64 = 2500;
    let fixture = F::new();
    let open = || Session::open(fixture.backend(), SessionOptions::default(), &mut || true).unwrap();
    {
        let (session, credentials) = open();
        assert!(credentials.is_none());
        let mut batch = EntityBatch::default();
        (1..=COUNT).for_each(|id| {
            let username = format!("user_{id}");
            batch.push(&Entity { username: Some(&username), ..named(id, "Anna") });
        });
        session.put(batch);
        session.set_update_state(0, UpdateState { pts: Some(5), date: Some(1e9), ..UpdateState::default() });
        session.set_credentials(with_key(1));
        session.close(LONG, &mut || true).unwrap();
    }
    let (session, credentials) = open();
    if fixture.backend().is_remote() {
        while !session.is_loaded() {
            thread::sleep(Duration::from_millis(1));
        }
    }
    assert!(credentials == Some(with_key(1)), "other credentials");
    assert_eq!(session.update_state(0).unwrap().pts, Some(5));
    for id in [1, 1234, COUNT] {
        let query = format!("user_{id}");
        assert_eq!(session.find(&Query::Text(TextField::Username, &query)), Some((id, Some(id * 7))));
    }
    assert_eq!(session.find(&Query::Text(TextField::Name, "Anna")), Some((1, Some(7))));
    assert_eq!(session.find(&Query::Id(COUNT + 1)), None);
    session.close(LONG, &mut || true).unwrap();
    assert!(session.delete(LONG));
}

/// Waits until another session has noticed something.
fn until(mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < LONG, "it is not noticed");
        thread::sleep(Duration::from_millis(2));
    }
}

fn knows(session: &Session, id: i64) -> bool {
    let found = session.find_certainly(&Query::Id(id), LONG, false, &mut || true).unwrap();
    found.is_some() && !session.known(id, true, &mut || true).is_empty()
}

pub fn what_a_session_forgets_others_forget<F: Fixture>() {
    let fixture = F::new();
    let open = || Session::open(fixture.backend(), SessionOptions::default(), &mut || true).unwrap().0;
    let receive = |session: &Session, ids: RangeInclusive<i64>| {
        let mut batch = EntityBatch::default();
        ids.for_each(|id| batch.push(&Entity { username: Some("anna"), ..named(id, "Anna") }));
        session.put(batch);
    };
    let (one, other) = (open(), open());
    receive(&one, 1..=4);
    one.save(true, &mut || true).unwrap();
    let third = open();
    for session in [&one, &other, &third] {
        until(|| session.is_loaded());
        until(|| session.find_certainly(&Query::Id(1), LONG, false, &mut || true).unwrap().is_some());
    }
    assert!(one.forget(1) && !one.forget(1) && !one.forget(99));
    assert!(!knows(&one, 1) && knows(&one, 2));
    one.save(true, &mut || true).unwrap();
    assert_eq!(one.count(None, LONG, &mut || true).unwrap(), 3);
    // A lookup that asks notices at once.
    until(|| !knows(&other, 1));
    assert!(knows(&other, 2));
    // So does the session after it has written something.
    receive(&third, 10..=10);
    third.save(true, &mut || true).unwrap();
    until(|| third.find(&Query::Id(1)).is_none());
    assert_eq!(third.count(None, LONG, &mut || true).unwrap(), 4);
    // What was received again is known again.
    receive(&other, 1..=1);
    other.save(true, &mut || true).unwrap();
    assert!(knows(&other, 1));
    until(|| third.find_certainly(&Query::Id(1), LONG, false, &mut || true).unwrap().is_some());
    for session in [one, other, third] {
        session.close(LONG, &mut || true).unwrap();
    }
    let again = open();
    assert_eq!(again.count(None, LONG, &mut || true).unwrap(), 5);
    again.close(LONG, &mut || true).unwrap();
}

pub fn what_is_old_is_forgotten<F: Fixture>() {
    forget_what_is_old::<F>(SessionOptions::default());
}

pub fn what_is_old_is_forgotten_with_bounded_memory<F: Fixture>() {
    forget_what_is_old::<F>(SessionOptions { max_entities: NonZeroUsize::new(100), ..SessionOptions::default() });
}

fn forget_what_is_old<F: Fixture>(options: SessionOptions) {
    const COUNT: i64 = 3000;
    let fixture = F::new();
    let open = || Session::open(fixture.backend(), options, &mut || true).unwrap().0;
    let is_loaded = |session: &Session| session.is_loaded() || options.max_entities.is_some();
    let one = open();
    let mut batch = EntityBatch::default();
    for id in 0..=COUNT {
        batch.push_seen(&named(id, "Anna"), 1000 + u32::try_from(id).unwrap());
    }
    one.add(batch);
    one.close(LONG, &mut || true).unwrap();
    // Each has loaded what is stored, and one of them has seen an entity again.
    let (one, other) = (open(), open());
    until(|| is_loaded(&one) && is_loaded(&other));
    let mut seen = EntityBatch::default();
    seen.push(&named(5, "Anna"));
    other.put(seen);
    other.close(LONG, &mut || true).unwrap();
    let half = 1000 + u32::try_from(COUNT / 2).unwrap();
    let old = usize::try_from(COUNT / 2).unwrap() - 2;
    assert_eq!(one.forget_older_than(half, &mut || true).unwrap(), old);
    assert_eq!(one.forget_older_than(half, &mut || true).unwrap(), 0);
    one.close(LONG, &mut || true).unwrap();
    let again = open();
    let left = usize::try_from(COUNT).unwrap() - old;
    assert_eq!(again.count(None, LONG, &mut || true).unwrap(), left);
    until(|| is_loaded(&again));
    assert_eq!(again.count(None, LONG, &mut || true).unwrap(), left);
    let find = |query| again.find_certainly(&query, LONG, false, &mut || true).unwrap();
    assert_eq!(find(Query::Text(TextField::Name, "Anna")), Some((0, Some(0))));
    assert!([0, 5, COUNT / 2].into_iter().all(|id| find(Query::Id(id)).is_some()));
    assert!([1, 4, COUNT / 2 - 1].into_iter().all(|id| find(Query::Id(id)).is_none()));
    again.close(LONG, &mut || true).unwrap();
}

/// Added entities that were seen earlier than the stored ones change nothing, although nothing had
/// been read when they were added.
pub fn what_was_seen_later_stays<F: Fixture>() {
    const COUNT: i64 = 2500;
    for max_entities in [None, NonZeroUsize::new(100)] {
        let fixture = F::new();
        let options = SessionOptions { max_entities, ..SessionOptions::default() };
        let open = || Session::open(fixture.backend(), options, &mut || true).unwrap().0;
        let add = |session: &Session, access_hash, prefix, seen: fn(i64) -> u32| {
            let mut batch = EntityBatch::default();
            for id in 1..=COUNT {
                let username = format!("{prefix}_{id}");
                let access_hash = Some(access_hash);
                let entity = Entity { id, access_hash, username: Some(&username), ..Entity::default() };
                batch.push_seen(&entity, seen(id));
            }
            session.add(batch);
        };
        let session = open();
        add(&session, 1, "first", |_| 2000);
        session.close(LONG, &mut || true).unwrap();
        let session = open();
        add(&session, 2, "second", |id| if id % 2 == 0 { 1000 } else { 3000 });
        session.close(LONG, &mut || true).unwrap();
        let again = open();
        until(|| again.is_loaded() || max_entities.is_some());
        let find = |query: Query<'_>| again.find_certainly(&query, LONG, false, &mut || true).unwrap();
        for id in [1, 2, 999, 1000, COUNT - 1, COUNT] {
            let access_hash = if id % 2 == 0 { 1 } else { 2 };
            assert_eq!(find(Query::Id(id)), Some((id, Some(access_hash))));
            let names = [format!("first_{id}"), format!("second_{id}")];
            let found = names.each_ref().map(|name| find(Query::Text(TextField::Username, name)).is_some());
            assert_eq!(found, [access_hash == 1, access_hash == 2], "{id}");
        }
        again.close(LONG, &mut || true).unwrap();
    }
}

/// A session that keeps few entities in memory knows all of them, and so does the next.
pub fn bounded_memory_loses_nothing<F: Fixture>() {
    const COUNT: i64 = 1500;
    const MOST: usize = 50;
    let fixture = F::new();
    let options = SessionOptions { max_entities: NonZeroUsize::new(MOST), ..SessionOptions::default() };
    let open = || Session::open(fixture.backend(), options, &mut || true).unwrap().0;
    let session = open();
    let mut batch = EntityBatch::default();
    for id in 1..=COUNT {
        let (username, phone) = (format!("user_{id}"), format!("7999{id}"));
        let entity = Entity { username: Some(&username), phone: Some(&phone), ..named(id, "Anna") };
        batch.push_seen(&entity, 1000 + u32::try_from(id).unwrap());
    }
    session.add(batch);
    let knows_all = |session: &Session| {
        let find = |query: Query<'_>| session.find_certainly(&query, LONG, false, &mut || true).unwrap();
        for id in [1, 2, COUNT / 2, COUNT - 1, COUNT] {
            assert_eq!(find(Query::Id(id)), Some((id, Some(id * 7))));
            assert_eq!(find(Query::Text(TextField::Username, &format!("user_{id}"))), Some((id, Some(id * 7))));
            assert_eq!(find(Query::Text(TextField::Phone, &format!("7999{id}"))), Some((id, Some(id * 7))));
            assert_eq!(session.known(id, true, &mut || true).get(0).map(|known| known.id), Some(id));
        }
        assert_eq!(find(Query::Text(TextField::Name, "Anna")), Some((1, Some(7))));
        assert_eq!(find(Query::Id(COUNT + 1)), None);
        assert_eq!(find(Query::Text(TextField::Username, "user_0")), None);
        assert_eq!(session.count(None, LONG, &mut || true).unwrap(), usize::try_from(COUNT).unwrap());
        // Two at the same time.
        let mut scans = [EntityScan::default(), EntityScan::default()];
        let mut scanned = [Vec::new(), Vec::new()];
        let mut are_done = [false; 2];
        while are_done != [true; 2] {
            for ((scan, ids), is_done) in scans.iter_mut().zip(&mut scanned).zip(&mut are_done) {
                let batch = session.scan(scan, LONG, &mut || true).unwrap();
                *is_done = batch.is_empty();
                ids.extend(batch.ids());
            }
        }
        for mut ids in scanned {
            ids.sort_unstable();
            assert!(ids.into_iter().eq(1..=COUNT), "other entities");
        }
    };
    // While they are written, and when they have left memory.
    knows_all(&session);
    session.close(LONG, &mut || true).unwrap();
    knows_all(&session);
    // What was written to a server stays in memory for half a minute.
    until(|| fixture.backend().is_remote() || session.entities_in_memory() <= MOST);
    knows_all(&session);
    // One with a username of another one takes it over.
    let mut moved = EntityBatch::default();
    moved.push(&Entity { username: Some("user_1"), ..named(COUNT, "Bert") });
    session.put(moved);
    let moved = session.find_certainly(&Query::Text(TextField::Username, "user_1"), LONG, false, &mut || true).unwrap();
    assert_eq!(moved, Some((COUNT, Some(COUNT * 7))));
    session.close(LONG, &mut || true).unwrap();
    let again = Session::open(fixture.backend(), SessionOptions::default(), &mut || true).unwrap().0;
    until(|| again.is_loaded());
    assert_eq!(again.entities_in_memory(), usize::try_from(COUNT).unwrap());
    for (query, id) in [("user_1", COUNT), ("user_2", 2)] {
        assert_eq!(again.find(&Query::Text(TextField::Username, query)), Some((id, Some(id * 7))));
    }
    assert_eq!(again.find(&Query::Text(TextField::Name, "Bert")), Some((COUNT, Some(COUNT * 7))));
    again.close(LONG, &mut || true).unwrap();
}
