//! Whether inserting and finding stay as fast when a session grows: nanoseconds each for several sizes, in a table of
//! tab-separated columns. `--quick` leaves the largest size out.
#![allow(missing_docs)]

mod crowd;

use std::hint::black_box;
use std::time::{Duration, Instant};

use crowd::{Texts, has_phone, has_username, id_of, pages, somebody};
use telethon_session_rust::entity_cache::{EntityCache, TextKey};

const SIZES: [usize; 5] = [1_000, 10_000, 100_000, 1_000_000, 10_000_000];
const LOOKUPS: usize = 100_000;
const ROUNDS: usize = 5;

fn main() {
    let is_quick = std::env::args().any(|argument| argument == "--quick");
    println!("entities\tinsert\tfind by id\tfind by username\tfind by phone\tfind by name");
    for size in SIZES.into_iter().take(if is_quick { 4 } else { 5 }) {
        // A small cache is filled in no time that a clock could tell.
        let fills = (100_000 / size).clamp(3, 100);
        let mut insert = Vec::new();
        let mut cache = EntityCache::default();
        for _ in 0..fills {
            let (filled, time) = fill(size);
            cache = filled;
            insert.push(each(time, size));
        }
        let mut columns = vec![median(insert), median(find_ids(&cache, size))];
        columns.push(median(find_texts(&cache, size, TextKey::Username)));
        columns.push(median(find_texts(&cache, size, TextKey::Phone)));
        columns.push(median(find_texts(&cache, size, TextKey::Name)));
        let columns: Vec<String> = columns.iter().map(|column| format!("{column:.1}")).collect();
        println!("{size}\t{}", columns.join("\t"));
    }
}

/// A cache of so many entities, page by page as they come, and how long it took to put them in.
fn fill(count: usize) -> (EntityCache, Duration) {
    let mut cache = EntityCache::default();
    let mut time = Duration::ZERO;
    for page in pages(count) {
        let begun = Instant::now();
        cache.put(&page, |id, _| _ = black_box(id));
        time += begun.elapsed();
    }
    (cache, time)
}

fn find_ids(cache: &EntityCache, count: usize) -> Vec<f64> {
    let ids: Vec<i64> = somebody(count).map(id_of).take(LOOKUPS).collect();
    let run = || {
        let begun = Instant::now();
        let found = ids.iter().filter(|id| cache.by_id(black_box(**id)).is_some()).count();
        assert_eq!(found, LOOKUPS);
        each(begun.elapsed(), LOOKUPS)
    };
    (0..ROUNDS).map(|_| run()).collect()
}

fn find_texts(cache: &EntityCache, count: usize, key: TextKey) -> Vec<f64> {
    let has = |number: &usize| match key {
        TextKey::Username => has_username(*number),
        TextKey::Phone => has_phone(*number),
        TextKey::Name => true,
    };
    // One run of bytes, so that the keys themselves need not be waited for.
    let (mut keys, mut ends, mut texts) = (String::new(), Vec::new(), Texts::default());
    for number in somebody(count).filter(has).take(LOOKUPS) {
        texts.of(number);
        keys.push_str([&texts.username, &texts.phone, &texts.name][key as usize]);
        ends.push(keys.len());
    }
    let run = || {
        let (mut start, mut found) = (0, 0);
        let begun = Instant::now();
        for end in &ends {
            found += usize::from(cache.by_text(key, black_box(&keys[start..*end])).is_some());
            start = *end;
        }
        assert_eq!(found, LOOKUPS);
        each(begun.elapsed(), LOOKUPS)
    };
    (0..ROUNDS).map(|_| run()).collect()
}

/// Nanoseconds.
fn each(time: Duration, count: usize) -> f64 {
    #[allow(clippy::cast_precision_loss)]
    let count = count as f64;
    time.as_secs_f64() * 1e9 / count
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
