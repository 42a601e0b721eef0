use std::collections::BTreeMap;

use super::*;

type Texts = [Option<String>; 3];

fn page(id: i64, seen: u32, texts: &Texts) -> EntityPage {
    let [username, phone, name] = texts.each_ref().map(Option::as_deref);
    let mut page = EntityPage::default();
    page.push(&Entity { id, hash: Some(id * 3), username, phone, name });
    page.set_seen(seen);
    page
}

fn put(cache: &mut EntityCache, page: &EntityPage) -> Vec<i64> {
    let mut unsaved = Vec::new();
    cache.put(page, |id, _| unsaved.push(id));
    unsaved
}

fn texts(username: &str, phone: &str, name: &str) -> Texts {
    [username, phone, name].map(|text| (!text.is_empty()).then(|| text.to_owned()))
}

#[test]
fn answers_by_every_key() {
    let mut cache = EntityCache::default();
    put(&mut cache, &page(7, 1, &texts("anna", "79991234567", "Анна")));
    let found = Some((7, Some(21)));
    assert_eq!(cache.by_id(7), found);
    assert_eq!(cache.by_username("anna", |_| ()), found);
    assert_eq!(cache.by_text(TextKey::Phone, "79991234567"), found);
    assert_eq!(cache.by_text(TextKey::Name, "Анна"), found);
    assert_eq!(cache.by_text(TextKey::Name, "anna"), None);
    assert_eq!(cache.by_id(8), None);
}

#[test]
fn an_input_peer_keeps_the_names_and_refreshes_the_hash() {
    let mut cache = EntityCache::default();
    put(&mut cache, &page(7, 1, &texts("anna", "", "Anna")));
    let mut bare = EntityPage::default();
    bare.push_input_peer(7, Some(99));
    put(&mut cache, &bare);
    assert_eq!(cache.by_username("anna", |_| ()), Some((7, Some(99))));
}

#[test]
fn what_is_unsaved_is_told_once_and_kept_from_the_store() {
    let mut cache = EntityCache::default();
    let seen = page(7, 1, &texts("anna", "", "Anna"));
    assert_eq!(put(&mut cache, &seen), [7]);
    assert!(put(&mut cache, &seen).is_empty());
    let mut stored = EntityPage::default();
    stored.push_stored(7, 1, 5, [None, None, Some(b"Old")]);
    cache.put_stored(&stored);
    assert_eq!(cache.get(7).unwrap().name, Some("Anna"));
    let mut taken = EntityPage::default();
    cache.take_unsaved(7, &mut taken);
    assert_eq!(taken.iter().next().unwrap().unsaved, Unsaved::Row);
    cache.put_stored(&stored);
    assert_eq!(cache.get(7).unwrap().name, Some("Old"));
    assert_eq!(put(&mut cache, &seen), [7]);
}

/// A small life of many renames, beside a plain map searched row by row.
#[test]
fn ties_and_renames_answer_as_a_search_of_all_rows_does() {
    let mut cache = EntityCache::default();
    let mut model: BTreeMap<i64, (u32, Texts)> = BTreeMap::new();
    let mut state = 1_u64;
    let mut next = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    // Miri takes a thousand times as long.
    for step in 0..if cfg!(miri) { 100 } else { 30_000 } {
        let id = i64::try_from(next(60)).unwrap() - 30;
        let word = |n: u64| ["", "a", "b", "c", "a name that takes more room"][usize::try_from(n).unwrap()];
        let row = (u32::try_from(next(4)).unwrap(), texts(word(next(5)), word(next(5)), word(next(5))));
        put(&mut cache, &page(id, row.0, &row.1));
        model.insert(id, row);
        let asked = word(next(4) + 1);
        for key in [TextKey::Phone, TextKey::Name] {
            let lowest = model.iter().find(|(_, (_, texts))| texts[key as usize].as_deref() == Some(asked));
            assert_eq!(cache.by_text(key, asked), lowest.map(|(id, _)| (*id, Some(id * 3))), "step {step}");
        }
        let holders = || model.iter().filter(|(_, (_, texts))| texts[0].as_deref() == Some(asked));
        let newest = holders().max_by_key(|(id, (seen, _))| (*seen, **id)).map(|(id, _)| *id);
        let losers: Vec<i64> = holders().map(|(id, _)| *id).filter(|id| Some(*id) != newest).collect();
        assert_eq!(cache.by_username(asked, |_| ()), newest.map(|id| (id, Some(id * 3))), "step {step}");
        for id in losers {
            model.get_mut(&id).unwrap().1[0] = None;
        }
    }
    assert_eq!(cache.len(), model.len());
}
