//! The core without Python: inserting, finding by each key, loading and writing a file.
#![allow(clippy::unwrap_used, missing_docs)]

mod crowd;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crowd::{BATCH, Texts, batches, has_phone, has_username, id_of, random_entities};
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use session_core::entity_table::{EntityBatch, EntityTable, TextField};
use session_core::session::{Session, SessionOptions};
use session_core::store::{self, Backend, Base, ChangeSource, Changes, OpenOptions};
use store_sqlite::SqliteFile;

const SIZES: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];
const FILE_SIZES: [usize; 3] = [1_000, 10_000, 100_000];
const LOOKUPS: usize = 10_000;
/// The database version of the files.
const VERSION: i64 = 8;
const LONG: Duration = Duration::from_mins(1);

fn main() {
    divan::main();
}

fn put(table: &mut EntityTable, batches: &[EntityBatch]) {
    for batch in batches {
        table.put(batch, |id, _| _ = black_box(id));
    }
}

fn filled(count: usize) -> EntityTable {
    let mut table = EntityTable::default();
    batches(count).for_each(|batch| put(&mut table, &[batch]));
    table
}

#[divan::bench(args = SIZES, sample_count = 5, sample_size = 1)]
fn insert(bencher: Bencher<'_, '_>, count: usize) {
    let batches: Vec<EntityBatch> = batches(count).collect();
    bencher.counter(ItemsCount::new(count)).bench_local(|| {
        let mut table = EntityTable::default();
        put(&mut table, &batches);
        table
    });
}

#[divan::bench(args = SIZES, sample_count = 5, sample_size = 1)]
fn insert_again(bencher: Bencher<'_, '_>, count: usize) {
    let batches: Vec<EntityBatch> = batches(count).collect();
    let mut table = EntityTable::default();
    put(&mut table, &batches);
    bencher.counter(ItemsCount::new(count)).bench_local(|| put(&mut table, &batches));
}

#[divan::bench(args = SIZES, sample_count = 5, sample_size = 1)]
fn find_by_id(bencher: Bencher<'_, '_>, count: usize) {
    let table = filled(count);
    let ids: Vec<i64> = random_entities(count).map(id_of).take(LOOKUPS).collect();
    bencher
        .counter(ItemsCount::new(LOOKUPS))
        .bench_local(|| ids.iter().filter(|id| table.by_id(**id).is_some()).count());
}

#[divan::bench(args = SIZES, sample_count = 5, sample_size = 1)]
fn find_by_username(bencher: Bencher<'_, '_>, count: usize) {
    let keys: Vec<String> = keys(count, has_username, |texts| texts.username);
    let mut table = filled(count);
    bencher
        .counter(ItemsCount::new(LOOKUPS))
        .bench_local(|| keys.iter().filter(|key| table.by_username(key, |_| ()).is_some()).count());
}

#[divan::bench(args = SIZES, sample_count = 5, sample_size = 1)]
fn find_by_phone(bencher: Bencher<'_, '_>, count: usize) {
    find_by(bencher, count, TextField::Phone, &keys(count, has_phone, |texts| texts.phone));
}

#[divan::bench(args = SIZES, sample_count = 5, sample_size = 1)]
fn find_by_name(bencher: Bencher<'_, '_>, count: usize) {
    find_by(bencher, count, TextField::Name, &keys(count, |_| true, |texts| texts.name));
}

fn keys(count: usize, has: impl Fn(usize) -> bool, key: impl Fn(Texts) -> String) -> Vec<String> {
    let text_of = |number| {
        let mut texts = Texts::default();
        texts.of(number);
        key(texts)
    };
    random_entities(count).filter(|number| has(*number)).map(text_of).take(LOOKUPS).collect()
}

fn find_by(bencher: Bencher<'_, '_>, count: usize, key: TextField, texts: &[String]) {
    let table = filled(count);
    bencher
        .counter(ItemsCount::new(LOOKUPS))
        .bench_local(|| texts.iter().filter(|text| table.by_text(key, text).is_some()).count());
}

/// Measures from the constructor until everything is in memory.
#[divan::bench(args = FILE_SIZES, sample_count = 5, sample_size = 1)]
fn load_a_file(bencher: Bencher<'_, '_>, count: usize) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("anna.session");
    let (session, _) =
        Session::open(Arc::new(SqliteFile::new(Some(path.clone()), VERSION)), SessionOptions::default(), &mut || true)
            .unwrap();
    batches(count).for_each(|batch| session.put(batch));
    session.close(LONG, &mut || true).unwrap();
    bencher.counter(ItemsCount::new(count)).bench_local(|| {
        let (session, _) = Session::open(
            Arc::new(SqliteFile::new(Some(path.clone()), VERSION)),
            SessionOptions::default(),
            &mut || true,
        )
        .unwrap();
        while !session.is_loaded() {
            std::thread::sleep(Duration::from_micros(100));
        }
        session
    });
}

/// Measures one transaction with `count` entities, into an empty file.
#[divan::bench(args = FILE_SIZES, sample_count = 5, sample_size = 1)]
fn write_a_file(bencher: Bencher<'_, '_>, count: usize) {
    let folder = tempfile::tempdir().unwrap();
    let file = SqliteFile::new(Some(folder.path().join("anna.session")), VERSION);
    assert_eq!(batches(count).count(), count / BATCH);
    bencher
        .counter(ItemsCount::new(count))
        .with_inputs(|| {
            let _ = file.delete(&[], std::time::Duration::ZERO);
            let store = file.open(OpenOptions { may_create: true, timeout: LONG }).unwrap().0;
            (store, Batches(batches(count).collect()))
        })
        .bench_local_refs(|(store, source)| store.write(source).unwrap());
}

struct Batches(VecDeque<EntityBatch>);

impl ChangeSource for Batches {
    fn next(&mut self, _: &Base) -> store::Result<Option<Changes>> {
        Ok(self.0.pop_front().map(|entities| Changes { entities, ..Changes::default() }))
    }
}
