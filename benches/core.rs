//! The core alone: inserting, finding by each key, loading a file, applying a journal.
#![allow(clippy::unwrap_used, missing_docs)]

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use telethon_session_rust::entity::Entity;
use telethon_session_rust::entity_cache::{EntityCache, EntityPage, TextKey};

const PAGE: usize = 200;
const SIZES: [usize; 5] = [1_000, 10_000, 100_000, 1_000_000, 10_000_000];

fn main() {
    divan::main();
}

/// Entities as a busy bot sees them: 80% users, 15% channels, 5% groups; 60% with usernames, 20% with phones, a third of the
/// names Cyrillic.
fn pages(count: usize) -> Vec<EntityPage> {
    let mut pages = Vec::new();
    let (mut username, mut phone, mut name) = (String::new(), String::new(), String::new());
    for first in (0..count).step_by(PAGE) {
        let mut page = EntityPage::with_capacity(PAGE);
        for number in first..(first + PAGE).min(count) {
            use std::fmt::Write as _;
            let bits = mix(number as u64);
            username.clear();
            phone.clear();
            name.clear();
            write!(username, "user_{number:x}").unwrap();
            write!(phone, "{}", 79_000_000_000_u64 + number as u64).unwrap();
            let (first_name, last_name) = if bits.is_multiple_of(3) {
                ("Александра", "Петрова")
            } else {
                ("Alexandra", "Smith")
            };
            write!(name, "{first_name} {last_name}{}", bits >> 44).unwrap();
            let id = id_of(number);
            page.push(&Entity {
                id,
                hash: Some(bits.cast_signed()),
                username: (bits % 5 < 3).then_some(username.as_str()),
                phone: (bits / 5).is_multiple_of(5).then_some(phone.as_str()),
                name: Some(&name),
            });
        }
        pages.push(page);
    }
    pages
}

fn id_of(number: usize) -> i64 {
    let id = i64::try_from(number * 7919 + 1).unwrap();
    match number % 20 {
        0..16 => id,
        16..19 => -1_000_000_000_000 - id,
        _ => -id,
    }
}

fn mix(number: u64) -> u64 {
    let bits = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (bits ^ (bits >> 31)).wrapping_mul(0x94d0_49bb_1331_11eb)
}

fn filled(pages: &[EntityPage]) -> EntityCache {
    let mut cache = EntityCache::default();
    put(&mut cache, pages);
    cache
}

fn put(cache: &mut EntityCache, pages: &[EntityPage]) {
    for entity in pages.iter().flat_map(EntityPage::iter) {
        black_box(cache.put(&entity));
    }
}

#[divan::bench(args = SIZES, sample_count = 3, sample_size = 1)]
fn insert(bencher: Bencher<'_, '_>, count: usize) {
    let pages = pages(count);
    bencher.counter(ItemsCount::new(count)).bench_local(|| filled(&pages));
}

#[divan::bench(args = SIZES, sample_count = 3, sample_size = 1)]
fn insert_again(bencher: Bencher<'_, '_>, count: usize) {
    let pages = pages(count);
    let mut cache = filled(&pages);
    bencher.counter(ItemsCount::new(count)).bench_local(|| put(&mut cache, &pages));
}

const LOOKUPS: usize = 10_000;

#[divan::bench(args = SIZES, sample_count = 5, sample_size = 1)]
fn find_by_id(bencher: Bencher<'_, '_>, count: usize) {
    let cache = filled(&pages(count));
    bencher.counter(ItemsCount::new(LOOKUPS)).bench_local(|| {
        for number in (0..LOOKUPS).map(|n| n * 7877 % count) {
            black_box(cache.by_id(id_of(number)));
        }
    });
}

#[divan::bench(args = SIZES, sample_count = 5, sample_size = 1)]
fn find_by_username(bencher: Bencher<'_, '_>, count: usize) {
    let mut cache = filled(&pages(count));
    let names: Vec<String> = (0..LOOKUPS).map(|n| format!("user_{:x}", n * 7877 % count)).collect();
    bencher.counter(ItemsCount::new(LOOKUPS)).bench_local(|| {
        for name in &names {
            black_box(cache.by_username(name, |_| ()));
        }
    });
}

#[divan::bench(args = SIZES, sample_count = 5, sample_size = 1)]
fn find_by_phone(bencher: Bencher<'_, '_>, count: usize) {
    let cache = filled(&pages(count));
    let phones: Vec<String> = (0..LOOKUPS).map(|n| (79_000_000_000 + n * 7877 % count).to_string()).collect();
    bencher.counter(ItemsCount::new(LOOKUPS)).bench_local(|| {
        for phone in &phones {
            black_box(cache.by_text(TextKey::Phone, phone));
        }
    });
}
