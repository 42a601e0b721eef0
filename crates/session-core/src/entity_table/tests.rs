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
            if next(2) == 0 {
                table.remove(leaving.iter().copied(), |entity| removed.push(entity.id));
            } else {
                table.begin_to_remove(leaving.iter().copied(), |entity| removed.push(entity.id));
            }
            let known: Vec<i64> = leaving.into_iter().filter(|id| model.remove(id).is_some()).collect();
            assert_eq!(removed, known, "step {step}");
        }
        table.end_removal(usize::try_from(next(3)).unwrap());
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
    let count = |kind| model.keys().filter(|id| unmark(**id).1 == kind).count();
    assert!(
        [PeerKind::User, PeerKind::Chat, PeerKind::Channel].into_iter().all(|kind| table.count(kind) == count(kind))
    );
    table.end_removal(usize::MAX);
    assert!(!table.is_removing());
    assert_eq!(table.rows.iter().count(), model.len());
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

/// Returns an entity with a main username, if any, and aliases.
fn named(id: i64, seen: u32, main: Option<&str>, aliases: &[&str]) -> EntityBatch {
    let mut named = batch(id, seen, &texts(main.unwrap_or_default(), "", "Anna"));
    for alias in aliases {
        named.push_alias(alias.as_bytes());
    }
    named
}

fn by_username(table: &mut EntityTable, username: &str) -> Option<i64> {
    table.by_username(username, |_| ()).map(|(id, _)| id)
}

#[test]
fn an_alias_belongs_to_the_entity_seen_with_it_last() {
    let mut table = EntityTable::default();
    put(&mut table, &named(1, 5, Some("anna"), &["x", "y", "x", "anna"]));
    assert_eq!(["anna", "x", "y"].map(|name| by_username(&mut table, name)), [Some(1); 3]);
    // All in one second: as an alias, as a main username, and as an alias again.
    put(&mut table, &named(2, 5, None, &["x"]));
    assert_eq!(["x", "y"].map(|name| by_username(&mut table, name)), [Some(2), Some(1)]);
    put(&mut table, &named(0, 5, Some("x"), &[]));
    assert_eq!(by_username(&mut table, "x"), Some(0));
    put(&mut table, &named(1, 5, Some("anna"), &["x"]));
    assert_eq!(["x", "y"].map(|name| by_username(&mut table, name)), [Some(1), None]);
    assert_eq!(table.get(0).unwrap().username, None);
    put(&mut table, &named(1, 6, Some("anna"), &[]));
    assert_eq!(["anna", "x", "y"].map(|name| by_username(&mut table, name)), [Some(1), None, None]);
}

#[test]
fn what_was_lost_is_dirty_once() {
    let mut table = EntityTable::default();
    let mut stored = EntityBatch::default();
    for (id, alias) in [(1, "x"), (2, "y")] {
        stored.push_stored(id, 1, 5, [None; 3]);
        stored.push_alias(alias.as_bytes());
    }
    table.put_stored(&stored);
    assert_eq!(put(&mut table, &named(3, 6, Some("y"), &["x"])), [3, 2, 1]);
    let mut taken = EntityBatch::default();
    (1..=3).for_each(|id| table.take_dirty(id, &mut taken));
    let parts: Vec<_> = taken.iter().map(|entity| (entity.dirty, entity.has_aliases())).collect();
    assert_eq!(parts, [(Dirty::LostAlias, false), (Dirty::LostAlias, false), (Dirty::Full, true)]);
    // Older rows, as another session may have stored them, do not bring it back.
    table.put_stored(&stored);
    assert_eq!(["x", "y"].map(|name| by_username(&mut table, name)), [Some(3); 2]);
}

#[test]
fn a_stored_username_wins_over_an_alias_that_is_not_newer() {
    for (main_seen, is_main_first) in [(4, true), (4, false), (5, true), (5, false), (6, true), (6, false)] {
        let mut table = EntityTable::default();
        let mut rows = [EntityBatch::default(), EntityBatch::default()];
        rows[0].push_stored(1, 1, main_seen, [Some(b"x"), None, None]);
        rows[1].push_stored(2, 1, 9, [None; 3]);
        rows[1].push_alias(b"x");
        rows[1].set_aliases_seen(5);
        rows.sort_by_key(|batch| (batch.get(0).unwrap().id == 1) != is_main_first);
        for batch in &rows {
            table.put_stored(batch);
        }
        let winner = if main_seen < 5 { 2 } else { 1 };
        assert_eq!(by_username(&mut table, "x"), Some(winner), "{main_seen}, {is_main_first}");
    }
}

#[test]
fn of_two_stored_in_one_second_the_one_that_is_read_last_has_an_alias() {
    let stored = |id| {
        let mut batch = EntityBatch::default();
        batch.push_stored(id, 1, 5, [None; 3]);
        batch.push_alias(b"x");
        batch
    };
    let mut table = EntityTable::default();
    for id in [1, 2] {
        table.put_stored(&stored(id));
        assert_eq!(by_username(&mut table, "x"), Some(id));
    }
    // One that is not stored yet was seen later.
    put(&mut table, &named(3, 5, None, &["x"]));
    table.put_stored(&stored(4));
    assert_eq!(by_username(&mut table, "x"), Some(3));
}

#[test]
fn rows_without_aliases_leave_them_alone_if_the_name_is_known() {
    let mut table = EntityTable::default();
    for main in [Some("anna"), None] {
        put(&mut table, &named(1, 5, main, &["x", "y"]));
        let mut row = EntityBatch::default();
        let shown = main.or(Some("x"));
        row.push_seen(
            &Entity { id: 1, access_hash: Some(3), username: shown, name: Some("Ann"), ..Entity::default() },
            5,
        );
        put(&mut table, &row);
        assert_eq!((by_username(&mut table, "y"), table.get(1).unwrap().name), (Some(1), Some("Ann")));
        assert_eq!(table.get(1).unwrap().username, main);
    }
    let mut row = EntityBatch::default();
    row.push_seen(&Entity { id: 1, access_hash: Some(3), username: Some("z"), ..Entity::default() }, 5);
    put(&mut table, &row);
    assert_eq!(["x", "y", "z"].map(|name| by_username(&mut table, name)), [None, None, Some(1)]);
}

/// A small life of usernames that move, beside a model that looks at all entities.
#[test]
fn usernames_move_as_in_a_search_of_all_entities() {
    const WORDS: [&str; 4] = ["a", "b", "c", "a username that takes more room"];
    type Model = BTreeMap<i64, (u32, Option<&'static str>, Vec<&'static str>)>;
    let mut table = EntityTable::default();
    let mut model = Model::new();
    let mut state = 1_u64;
    let mut next = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((state >> 33) % below).unwrap()
    };
    let mut seen = 1;
    for step in 0..if cfg!(miri) { 100 } else { 30_000 } {
        seen += u32::try_from(next(2)).unwrap();
        let id = i64::try_from(next(8)).unwrap();
        let main = WORDS.get(next(12)).copied();
        let mut aliases: Vec<&str> = WORDS.into_iter().filter(|word| Some(*word) != main && next(4) == 0).collect();
        if next(2) == 0 {
            aliases.clear();
        }
        put(&mut table, &named(id, seen, main, &aliases));
        for (other, (_, their_main, their_aliases)) in &mut model {
            if *other != id {
                *their_main = their_main.filter(|main| !aliases.contains(main));
                their_aliases.retain(|alias| !aliases.contains(alias) && Some(*alias) != main);
            }
        }
        model.insert(id, (seen, main, aliases));
        if next(4) == 0 {
            let gone = i64::try_from(next(8)).unwrap();
            table.remove([gone], |_| ());
            model.remove(&gone);
        }
        let asked = WORDS[next(4)];
        let with_alias = model.iter().find(|(_, (.., aliases))| aliases.contains(&asked)).map(|(id, _)| *id);
        let holders = model.iter().filter(|(_, (_, main, _))| *main == Some(asked));
        let holder = holders.max_by_key(|(id, (seen, ..))| (*seen, **id)).map(|(id, _)| *id);
        let expected = with_alias.or(holder);
        assert_eq!(by_username(&mut table, asked), expected, "step {step}");
        for (id, (_, main, _)) in &mut model {
            *main = main.filter(|main| *main != asked || Some(*id) == expected);
        }
        let known: Vec<_> = model.keys().map(|id| table.get(*id).unwrap().username).collect();
        assert_eq!(known, model.values().map(|(_, main, _)| *main).collect::<Vec<_>>(), "step {step}");
    }
}
