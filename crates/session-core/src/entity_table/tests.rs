use std::collections::BTreeMap;

use super::*;

type Texts = [Option<String>; 3];

fn batch(id: i64, seen: u32, texts: &Texts) -> EntityBatch {
    let [username, phone, name] = texts.each_ref().map(Option::as_deref);
    let mut batch = EntityBatch::default();
    batch.push(&Entity { id, access_hash: Some(id * 3), username, phone, name });
    batch.set_seen(seen);
    batch
}

fn put(table: &mut EntityTable, batch: &EntityBatch) -> Vec<i64> {
    let mut unsaved = Vec::new();
    table.put(batch, |id, _| unsaved.push(id));
    unsaved
}

fn texts(username: &str, phone: &str, name: &str) -> Texts {
    [username, phone, name].map(|text| (!text.is_empty()).then(|| text.to_owned()))
}

#[test]
fn answers_by_every_key() {
    let mut table = EntityTable::default();
    put(&mut table, &batch(7, 1, &texts("anna", "79991234567", "Анна")));
    let found = Some((7, Some(21)));
    assert_eq!(table.by_id(7), found);
    assert_eq!(table.by_username("anna", |_| ()), found);
    assert_eq!(table.by_text(TextField::Phone, "79991234567"), found);
    assert_eq!(table.by_text(TextField::Name, "Анна"), found);
    assert_eq!(table.by_text(TextField::Name, "anna"), None);
    assert_eq!(table.by_id(8), None);
}

#[test]
fn an_input_peer_keeps_the_names_and_refreshes_the_hash() {
    let mut table = EntityTable::default();
    put(&mut table, &batch(7, 1, &texts("anna", "", "Anna")));
    let mut bare = EntityBatch::default();
    bare.push_input_peer(7, Some(99));
    put(&mut table, &bare);
    assert_eq!(table.by_username("anna", |_| ()), Some((7, Some(99))));
}

#[test]
fn dirty_entities_are_reported_once_and_kept_from_the_store() {
    let mut table = EntityTable::default();
    let seen = batch(7, 1, &texts("anna", "", "Anna"));
    assert_eq!(put(&mut table, &seen), [7]);
    assert!(put(&mut table, &seen).is_empty());
    let mut stored = EntityBatch::default();
    stored.push_stored(7, 1, 5, [None, None, Some(b"Old")]);
    table.put_stored(&stored);
    assert_eq!(table.get(7).unwrap().name, Some("Anna"));
    let mut taken = EntityBatch::default();
    table.take_dirty(7, &mut taken);
    assert_eq!(taken.iter().next().unwrap().dirty, Dirty::Full);
    table.put_stored(&stored);
    assert_eq!(table.get(7).unwrap().name, Some("Old"));
    assert_eq!(put(&mut table, &seen), [7]);
}

/// A small life of many renames, beside a plain map searched row by row.
#[test]
fn ties_and_renames_answer_as_a_search_of_all_rows_does() {
    let mut table = EntityTable::default();
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
        put(&mut table, &batch(id, row.0, &row.1));
        model.insert(id, row);
        if next(3) == 0 {
            let leaving: Vec<i64> = (0..next(8)).map(|_| i64::try_from(next(60)).unwrap() - 30).collect();
            let mut removed = Vec::new();
            table.remove(leaving.iter().copied(), |entity| removed.push(entity.id));
            let known: Vec<i64> = leaving.into_iter().filter(|id| model.remove(id).is_some()).collect();
            assert_eq!(removed, known, "step {step}");
        }
        let asked = word(next(4) + 1);
        for key in [TextField::Phone, TextField::Name] {
            let lowest = model.iter().find(|(_, (_, texts))| texts[key as usize].as_deref() == Some(asked));
            assert_eq!(table.by_text(key, asked), lowest.map(|(id, _)| (*id, Some(id * 3))), "step {step}");
        }
        let holders = || model.iter().filter(|(_, (_, texts))| texts[0].as_deref() == Some(asked));
        let newest = holders().max_by_key(|(id, (seen, _))| (*seen, **id)).map(|(id, _)| *id);
        let losers: Vec<i64> = holders().map(|(id, _)| *id).filter(|id| Some(*id) != newest).collect();
        assert_eq!(table.by_username(asked, |_| ()), newest.map(|id| (id, Some(id * 3))), "step {step}");
        for id in losers {
            model.get_mut(&id).unwrap().1[0] = None;
        }
    }
    assert_eq!(table.len(), model.len());
}

#[test]
fn what_is_removed_is_exactly_what_is_said() {
    let mut table = EntityTable::default();
    let (anna, other) = (batch(7, 1, &texts("anna", "", "Anna")), batch(7, 1, &texts("anna", "", "Ann")));
    put(&mut table, &anna);
    table.remove_exactly(&other, |_| ());
    assert_eq!(table.len(), 1);
    let mut removed = Vec::new();
    table.remove_exactly(&anna, |entity| removed.push(entity.id));
    assert_eq!((removed, table.len(), table.by_username("anna", |_| ())), (vec![7], 0, None));
}

#[test]
fn what_was_seen_later_stays() {
    let mut table = EntityTable::default();
    put(&mut table, &batch(7, 5, &texts("anna", "", "Anna")));
    for (seen, name) in [(4, "Anna"), (5, "Ann"), (6, "An")] {
        table.put_unless_older(&batch(7, seen, &texts("anna", "", name)), |_, _| ());
        assert_eq!(table.get(7).unwrap().name, Some(name));
    }
}

#[test]
fn a_revision_changes_with_rows_only() {
    let mut table = EntityTable::default();
    let mut before = table.revision();
    let mut changes = |table: &EntityTable| std::mem::replace(&mut before, table.revision()) != table.revision();
    put(&mut table, &batch(7, 1, &texts("anna", "", "Anna")));
    assert!(changes(&table));
    put(&mut table, &batch(7, 2, &texts("anna", "", "Anna")));
    assert!(!changes(&table));
    put(&mut table, &batch(7, 2, &texts("anna", "", "Ann")));
    assert!(changes(&table));
    let mut hash = EntityBatch::default();
    hash.push_input_peer(7, Some(1));
    put(&mut table, &hash);
    assert!(changes(&table));
    table.remove([8], |_| ());
    assert!(!changes(&table));
    table.remove([7], |_| ());
    assert!(changes(&table));
    table.clear();
    assert!(changes(&table));
}

/// A scan in small steps, between which others come and go: those that stay are met once, the
/// others at most once.
#[test]
fn a_scan_meets_each_once_while_others_come_and_go() {
    let count: i64 = if cfg!(miri) { 600 } else { 30_000 };
    let mut table = EntityTable::default();
    let add = |table: &mut EntityTable, ids: std::ops::Range<i64>| {
        let mut many = EntityBatch::default();
        ids.for_each(|id| many.push(&Entity { id, access_hash: Some(id), name: Some("Anna"), ..Entity::default() }));
        put(table, &many);
    };
    add(&mut table, 0..count);
    let (mut met, mut next, mut newest, mut longest) = (Vec::new(), Some(0), count, 0);
    while let Some(from) = next {
        let mut some = EntityBatch::default();
        next = table.scan(from, 100, &mut some);
        longest = longest.max(some.len());
        met.extend(some.iter().map(|entity| entity.id));
        assert!(some.iter().all(|entity| next.is_none_or(|next| table.position(entity.id) < next)));
        // Tables are split, rows move, and every third goes; some come back.
        add(&mut table, newest..newest + 200);
        newest += 200;
        table.remove((0..count).filter(|id| id % 3 == newest / 200 % 3 && id % 2 == 0), |_| ());
        add(&mut table, 0..count / 10);
    }
    assert!(longest < 250, "{longest}");
    let all = met.len();
    met.sort_unstable();
    met.dedup();
    assert_eq!(met.len(), all);
    let stayed = (0..count).filter(|id| id % 2 == 1);
    assert!(stayed.into_iter().all(|id| met.binary_search(&id).is_ok()));
    table.clear();
    assert_eq!(table.scan(0, 100, &mut EntityBatch::default()), None);
}
