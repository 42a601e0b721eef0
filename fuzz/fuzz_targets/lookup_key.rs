//! What a person may type: no text makes the reading of it panic, and what it makes of one is of the form that is promised.
#![no_main]

use libfuzzer_sys::fuzz_target;
use telethon_session_rust::entity::Entity;
use telethon_session_rust::entity_cache::{EntityCache, EntityPage, TextKey};
use telethon_session_rust::lookup_key::{Dialect, LookupKey, parse};

fuzz_target!(|text: &str| {
    for dialect in [Dialect::CURRENT, Dialect::OLD] {
        match parse(text, &dialect) {
            LookupKey::Phone(digits) => assert!(!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())),
            LookupKey::Username(name) => {
                assert!(name.len() >= 3 && name.len() <= 32 && !name.bytes().any(|byte| byte.is_ascii_uppercase()));
                assert!(text.to_ascii_lowercase().contains(&*name));
            }
            LookupKey::Invite(id) => assert_ne!(id, 0),
            LookupKey::Name | LookupKey::Unsure => {}
        }
    }
    // And whoever has such a name is found by it.
    let mut page = EntityPage::default();
    page.push(&Entity { id: 1, hash: Some(2), username: Some(text), phone: Some(text), name: Some(text) });
    let mut cache = EntityCache::default();
    cache.put(&page, |_, _| ());
    for key in TextKey::ALL {
        assert_eq!(cache.by_text(key, text), Some((1, Some(2))));
    }
});
