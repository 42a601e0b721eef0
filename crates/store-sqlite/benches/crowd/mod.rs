//! Entities as a busy bot sees them: 80% users, 15% channels, 5% groups; 60% with usernames, 20%
//! with phones, a third of the names Cyrillic.
#![allow(dead_code)]

use std::fmt::Write as _;

use session_core::entity::Entity;
use session_core::entity_table::EntityBatch;

/// Entities in a batch, as in the extension.
pub const BATCH: usize = 200;

/// Returns the batch of entities from `first` on, of `count` in all.
pub fn batch(first: usize, count: usize) -> EntityBatch {
    let mut batch = EntityBatch::with_capacity(BATCH);
    let mut texts = Texts::default();
    for number in first..(first + BATCH).min(count) {
        texts.of(number);
        batch.push(&Entity {
            id: id_of(number),
            access_hash: Some(mix(number).cast_signed()),
            username: has_username(number).then_some(texts.username.as_str()),
            phone: has_phone(number).then_some(texts.phone.as_str()),
            name: Some(&texts.name),
        });
    }
    batch
}

/// Returns all batches of `count` entities.
pub fn batches(count: usize) -> impl Iterator<Item = EntityBatch> {
    (0..count).step_by(BATCH).map(move |first| batch(first, count))
}

/// The texts of an entity, whether it publishes them or not.
#[derive(Default)]
pub struct Texts {
    /// In lower case.
    pub username: String,
    /// Digits only.
    pub phone: String,
    /// First and last name.
    pub name: String,
}

impl Texts {
    /// Sets the texts of entity `number`.
    pub fn of(&mut self, number: usize) {
        let bits = mix(number);
        let (first, last) =
            if bits.is_multiple_of(3) { ("Александра", "Петрова") } else { ("Alexandra", "Smith") };
        self.username.clear();
        self.phone.clear();
        self.name.clear();
        let _ = write!(self.username, "user_{number:x}");
        let _ = write!(self.phone, "{}", 79_000_000_000 + number);
        let _ = write!(self.name, "{first} {last}{number}");
    }
}

/// Returns the marked ID of entity `number`.
pub fn id_of(number: usize) -> i64 {
    let id = i64::try_from(number * 7919 + 1).unwrap_or_default();
    match number % 20 {
        0..16 => id,
        16..19 => -1_000_000_000_000 - id,
        _ => -id,
    }
}

/// Returns `true` if entity `number` has a username.
pub fn has_username(number: usize) -> bool {
    mix(number) % 5 < 3
}

/// Returns `true` if entity `number` has a phone.
pub fn has_phone(number: usize) -> bool {
    (mix(number) / 5).is_multiple_of(5)
}

/// Returns numbers of entities among `count`, in random order.
pub fn random_entities(count: usize) -> impl Iterator<Item = usize> {
    (0..).map(move |n| usize::try_from(mix(n) >> 16).unwrap_or_default() % count)
}

/// Returns a pseudo-random number.
pub fn mix(number: usize) -> u64 {
    let bits = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (bits ^ (bits >> 31)).wrapping_mul(0x94d0_49bb_1331_11eb)
}
