//! Entities as a busy bot sees them: 80% users, 15% channels, 5% groups; 60% with usernames, 20% with phones, a third of the
//! names Cyrillic.
#![allow(dead_code)]

use std::fmt::Write as _;

use telethon_session_rust::entity::Entity;
use telethon_session_rust::entity_cache::EntityPage;

/// Entities in a page, as the binding makes them.
pub const PAGE: usize = 200;

/// The page of the entities from `first` on, of `count` in all.
pub fn page(first: usize, count: usize) -> EntityPage {
    let mut page = EntityPage::with_capacity(PAGE);
    let mut texts = Texts::default();
    for number in first..(first + PAGE).min(count) {
        texts.of(number);
        page.push(&Entity {
            id: id_of(number),
            hash: Some(mix(number).cast_signed()),
            username: has_username(number).then_some(texts.username.as_str()),
            phone: has_phone(number).then_some(texts.phone.as_str()),
            name: Some(&texts.name),
        });
    }
    page
}

/// All pages of `count` entities.
pub fn pages(count: usize) -> impl Iterator<Item = EntityPage> {
    (0..count).step_by(PAGE).map(move |first| page(first, count))
}

/// A person's texts, whether told or not.
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
    /// Those of the person with this number.
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

/// The marked id of the person with this number.
pub fn id_of(number: usize) -> i64 {
    let id = i64::try_from(number * 7919 + 1).unwrap_or_default();
    match number % 20 {
        0..16 => id,
        16..19 => -1_000_000_000_000 - id,
        _ => -id,
    }
}

/// Whether that person has a username.
pub fn has_username(number: usize) -> bool {
    mix(number) % 5 < 3
}

/// Whether that person has a phone.
pub fn has_phone(number: usize) -> bool {
    (mix(number) / 5).is_multiple_of(5)
}

/// Numbers of people among `count`, in no order.
pub fn somebody(count: usize) -> impl Iterator<Item = usize> {
    (0..).map(move |n| usize::try_from(mix(n) >> 16).unwrap_or_default() % count)
}

/// A number that looks random.
pub fn mix(number: usize) -> u64 {
    let bits = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (bits ^ (bits >> 31)).wrapping_mul(0x94d0_49bb_1331_11eb)
}
