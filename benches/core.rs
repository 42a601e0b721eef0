//! The core alone: inserting, finding by each key, loading a file, applying a journal.
#![allow(clippy::unwrap_used, missing_docs)]

mod crowd;

use std::time::Duration;

use crowd::{PAGE, Texts, has_phone, has_username, id_of, pages, somebody};
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use telethon_session_rust::entity_cache::{EntityCache, EntityPage, TextKey};
use telethon_session_rust::session::Session;
use telethon_session_rust::store::sqlite::SqliteFile;
use telethon_session_rust::store::{Changes, Location, Opening};

const SIZES: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];
const FILE_SIZES: [usize; 3] = [1_000, 10_000, 100_000];
const LOOKUPS: usize = 10_000;
/// The database version of the files.
const VERSION: i64 = 8;
const LONG: Duration = Duration::from_secs(60);

fn main() {
    divan::main();
}

fn put(cache: &mut EntityCache, pages: &[EntityPage]) {
    for page in pages {
        cache.put(page, |id, _| _ = black_box(id));
    }
}

fn filled(count: usize) -> EntityCache {
    let mut cache = EntityCache::default();
    pages(count).for_each(|page| put(&mut cache, &[page]));
    cache
}

#[divan::bench(args = SIZES, sample_count = 5, sample_size = 1)]
fn insert(bencher: Bencher<'_, '_>, count: usize) {
    let pages: Vec<EntityPage> = pages(count).collect();
    bencher.counter(ItemsCount::new(count)).bench_local(|| {
        let mut cache = EntityCache::default();
        put(&mut cache, &pages);
        cache
    });
}

#[divan::bench(args = SIZES, sample_count = 5, sample_size = 1)]
fn insert_again(bencher: Bencher<'_, '_>, count: usize) {
    let pages: Vec<EntityPage> = pages(count).collect();
    let mut cache = EntityCache::default();
    put(&mut cache, &pages);
    bencher.counter(ItemsCount::new(count)).bench_local(|| put(&mut cache, &pages));
}

#[divan::bench(args = SIZES, sample_count = 5, sample_size = 1)]
fn find_by_id(bencher: Bencher<'_, '_>, count: usize) {
    let cache = filled(count);
    let ids: Vec<i64> = somebody(count).map(id_of).take(LOOKUPS).collect();
    bencher
        .counter(ItemsCount::new(LOOKUPS))
        .bench_local(|| ids.iter().filter(|id| cache.by_id(**id).is_some()).count());
}

#[divan::bench(args = SIZES, sample_count = 5, sample_size = 1)]
fn find_by_username(bencher: Bencher<'_, '_>, count: usize) {
    let keys: Vec<String> = keys(count, has_username, |texts| texts.username);
    let mut cache = filled(count);
    bencher
        .counter(ItemsCount::new(LOOKUPS))
        .bench_local(|| keys.iter().filter(|key| cache.by_username(key, |_| ()).is_some()).count());
}

#[divan::bench(args = SIZES, sample_count = 5, sample_size = 1)]
fn find_by_phone(bencher: Bencher<'_, '_>, count: usize) {
    find_by(bencher, count, TextKey::Phone, &keys(count, has_phone, |texts| texts.phone));
}

#[divan::bench(args = SIZES, sample_count = 5, sample_size = 1)]
fn find_by_name(bencher: Bencher<'_, '_>, count: usize) {
    find_by(bencher, count, TextKey::Name, &keys(count, |_| true, |texts| texts.name));
}

fn keys(count: usize, has: impl Fn(usize) -> bool, key: impl Fn(Texts) -> String) -> Vec<String> {
    let text_of = |number| {
        let mut texts = Texts::default();
        texts.of(number);
        key(texts)
    };
    somebody(count).filter(|number| has(*number)).map(text_of).take(LOOKUPS).collect()
}

fn find_by(bencher: Bencher<'_, '_>, count: usize, key: TextKey, texts: &[String]) {
    let cache = filled(count);
    bencher
        .counter(ItemsCount::new(LOOKUPS))
        .bench_local(|| texts.iter().filter(|text| cache.by_text(key, text).is_some()).count());
}

/// From the constructor until everything is in memory.
#[divan::bench(args = FILE_SIZES, sample_count = 5, sample_size = 1)]
fn load_a_file(bencher: Bencher<'_, '_>, count: usize) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("anna.session");
    let (session, _) = Session::open(Box::new(SqliteFile::new(Some(path.clone()), VERSION)), &mut || true).unwrap();
    pages(count).for_each(|page| session.put(page));
    session.close(LONG, &mut || true).unwrap();
    bencher.counter(ItemsCount::new(count)).bench_local(|| {
        let (session, _) = Session::open(Box::new(SqliteFile::new(Some(path.clone()), VERSION)), &mut || true).unwrap();
        while !session.is_loaded() {
            std::thread::sleep(Duration::from_micros(100));
        }
        session
    });
}

/// One transaction with so many entities, into an empty file.
#[divan::bench(args = FILE_SIZES, sample_count = 5, sample_size = 1)]
fn apply_a_journal(bencher: Bencher<'_, '_>, count: usize) {
    let folder = tempfile::tempdir().unwrap();
    let file = SqliteFile::new(Some(folder.path().join("anna.session")), VERSION);
    let slices: Vec<Changes> = pages(count).map(|entities| Changes { entities, ..Changes::default() }).collect();
    assert_eq!(slices.len(), count / PAGE);
    bencher
        .counter(ItemsCount::new(count))
        .with_inputs(|| {
            let _ = file.delete();
            file.open(Opening { may_create: true, wait: LONG }).unwrap().0
        })
        .bench_local_refs(|store| {
            store.begin().unwrap();
            for changes in &slices {
                store.apply(changes).unwrap();
            }
            store.commit().unwrap();
        });
}
