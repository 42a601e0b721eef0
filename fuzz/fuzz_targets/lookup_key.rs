//! Lookup keys: no text makes the parser panic, and every result has the documented form.
#![no_main]

use libfuzzer_sys::fuzz_target;
use session_core::entity::Entity;
use session_core::entity_table::{EntityBatch, EntityTable, TextField};
use session_core::lookup_key::{LookupKey, UsernameRules, parse};

fuzz_target!(|text: &str| {
    for rules in [UsernameRules::CURRENT, UsernameRules::OLD] {
        match parse(text, &rules) {
            LookupKey::Phone(digits) => assert!(!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())),
            LookupKey::Username(name) => {
                assert!(name.len() >= 3 && name.len() <= 32 && !name.bytes().any(|byte| byte.is_ascii_uppercase()));
                assert!(text.to_ascii_lowercase().contains(&*name));
            }
            LookupKey::Invite(id) => assert_ne!(id, 0),
            LookupKey::Name | LookupKey::Unsure => {}
        }
    }
    // An entity with this text as its name is found by it.
    let mut batch = EntityBatch::default();
    batch.push(&Entity { id: 1, access_hash: Some(2), username: Some(text), phone: Some(text), name: Some(text) });
    let mut cache = EntityTable::default();
    cache.put(&batch, |_, _| ());
    for key in TextField::ALL {
        assert_eq!(cache.by_text(key, text), Some((1, Some(2))));
    }
});
