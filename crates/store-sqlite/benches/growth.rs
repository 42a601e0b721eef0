//! How inserting and finding scale with the size of a session: nanoseconds each for several sizes,
//! as tab-separated columns. `--quick` omits the largest size.

#![allow(missing_docs)]

mod crowd;

use std::hint::black_box;
use std::time::{Duration, Instant};

use crowd::{Texts, batches, has_phone, has_username, id_of, random_entities};
use session_core::entity_table::{EntityTable, TextField};

const SIZES: [usize; 5] = [1_000, 10_000, 100_000, 1_000_000, 10_000_000];
const LOOKUPS: usize = 100_000;
const ROUNDS: usize = 5;

fn main() {
    let is_quick = std::env::args().any(|argument| argument == "--quick");
    println!("entities\tinsert\tfind by id\tfind by username\tfind by phone\tfind by name");
    for size in SIZES.into_iter().take(if is_quick { 4 } else { 5 }) {
        // A small table is filled too fast for the clock.
        let fills = (100_000 / size).clamp(3, 100);
        let mut insert = Vec::new();
        let mut table = EntityTable::default();
        for _ in 0..fills {
            let (filled, time) = fill(size);
            table = filled;
            insert.push(each(time, size));
        }
        let mut columns = vec![median(insert), median(find_ids(&table, size))];
        columns.push(median(find_texts(&table, size, TextField::Username)));
        columns.push(median(find_texts(&table, size, TextField::Phone)));
        columns.push(median(find_texts(&table, size, TextField::Name)));
        let columns: Vec<String> = columns.iter().map(|column| format!("{column:.1}")).collect();
        println!("{size}\t{}", columns.join("\t"));
    }
}

/// Returns a table of `count` entities, inserted in batches, and how long the inserts took.
fn fill(count: usize) -> (EntityTable, Duration) {
    let mut table = EntityTable::default();
    let mut time = Duration::ZERO;
    for batch in batches(count) {
        let begun = Instant::now();
        table.put(&batch, |id, _| _ = black_box(id));
        time += begun.elapsed();
    }
    (table, time)
}

fn find_ids(table: &EntityTable, count: usize) -> Vec<f64> {
    let ids: Vec<i64> = random_entities(count).map(id_of).take(LOOKUPS).collect();
    let run = || {
        let begun = Instant::now();
        let found = ids.iter().filter(|id| table.by_id(black_box(**id)).is_some()).count();
        assert_eq!(found, LOOKUPS);
        each(begun.elapsed(), LOOKUPS)
    };
    (0..ROUNDS).map(|_| run()).collect()
}

fn find_texts(table: &EntityTable, count: usize, key: TextField) -> Vec<f64> {
    let has = |number: &usize| match key {
        TextField::Username => has_username(*number),
        TextField::Phone => has_phone(*number),
        TextField::Name => true,
    };
    // Contiguous bytes, so that reading the keys costs no cache misses.
    let (mut keys, mut ends, mut texts) = (String::new(), Vec::new(), Texts::default());
    for number in random_entities(count).filter(has).take(LOOKUPS) {
        texts.of(number);
        keys.push_str([&texts.username, &texts.phone, &texts.name][key as usize]);
        ends.push(keys.len());
    }
    let run = || {
        let (mut start, mut found) = (0, 0);
        let begun = Instant::now();
        for end in &ends {
            found += usize::from(table.by_text(key, black_box(&keys[start..*end])).is_some());
            start = *end;
        }
        assert_eq!(found, LOOKUPS);
        each(begun.elapsed(), LOOKUPS)
    };
    (0..ROUNDS).map(|_| run()).collect()
}

/// Returns nanoseconds per item.
fn each(time: Duration, count: usize) -> f64 {
    #[allow(clippy::cast_precision_loss)]
    let count = count as f64;
    time.as_secs_f64() * 1e9 / count
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
