//! Merges what several commits write of one entity, because one statement can write a row only once.

use std::collections::HashMap;

use session_core::entity_table::{BatchEntity, Dirty};
use store_net::Commit;

/// What of an entity is written, from less to more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Nothing,
    Date,
    AccessHashAndDate,
    Full,
    /// It is deleted. `seen` is the date before which it must have been seen.
    Gone,
}

/// An entity to write.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EntityRow<'a> {
    pub(crate) session: &'a str,
    pub(crate) id: i64,
    pub(crate) access_hash: i64,
    pub(crate) seen: u32,
    pub(crate) texts: [Option<&'a str>; 3],
    /// The entity whose aliases are written.
    pub(crate) named: BatchEntity<'a>,
    part: Part,
    has_lost_username: bool,
    has_lost_alias: bool,
}

/// The entities of several commits, each once, sorted by session and ID: transactions that lock rows
/// in one order do not deadlock.
#[derive(Debug, Default)]
pub(crate) struct Merged<'a> {
    pub(crate) full: Vec<EntityRow<'a>>,
    pub(crate) access_hashes: Vec<EntityRow<'a>>,
    pub(crate) dates: Vec<EntityRow<'a>>,
    pub(crate) lost_usernames: Vec<(&'a str, i64)>,
    /// Those whose aliases are new or lost.
    pub(crate) usernames: Vec<EntityRow<'a>>,
    /// Those to delete if they were last seen before `seen`; `u32::MAX` for any date.
    pub(crate) gone: Vec<EntityRow<'a>>,
}

impl EntityRow<'_> {
    /// Returns `true` if all of the entity is written, and so are its aliases.
    pub(crate) fn is_full(&self) -> bool {
        self.part == Part::Full
    }

    /// Adds what is written later.
    fn add(&mut self, later: &Self) {
        if matches!(later.part, Part::Full | Part::Gone) {
            *self = *later;
            return;
        }
        if self.part == Part::Gone {
            if later.part == Part::AccessHashAndDate {
                // Nothing is left of what was known before.
                *self = Self { part: Part::Full, texts: [None; 3], ..*later };
            }
            return;
        }
        if later.has_lost_username {
            self.has_lost_username = true;
            self.texts[0] = None;
        }
        if later.has_lost_alias {
            self.has_lost_alias = true;
            self.named = later.named;
        }
        if later.part >= Part::Date {
            self.seen = later.seen;
        }
        if later.part >= Part::AccessHashAndDate || self.part == Part::Nothing {
            self.access_hash = later.access_hash;
        }
        self.part = self.part.max(later.part);
    }
}

/// Merges the entities of commits, in order.
pub(crate) fn merge<'a>(commits: impl Iterator<Item = &'a Commit>) -> Merged<'a> {
    let mut rows: Vec<EntityRow<'a>> = Vec::new();
    let mut places: HashMap<(&'a str, i64), usize> = HashMap::new();
    for commit in commits {
        places.reserve(commit.entities().len());
        for entity in commit.entities().iter() {
            // Without an access hash a row cannot be stored.
            let access_hash = entity.access_hash.or((entity.dirty == Dirty::Gone).then_some(0));
            let Some(access_hash) = access_hash else { continue };
            let part = match entity.dirty {
                Dirty::Clean => continue,
                Dirty::Full => Part::Full,
                Dirty::AccessHashAndDate => Part::AccessHashAndDate,
                Dirty::Date => Part::Date,
                Dirty::LostUsername | Dirty::LostAlias => Part::Nothing,
                Dirty::Gone => Part::Gone,
            };
            let (has_lost_username, has_lost_alias) =
                (entity.dirty == Dirty::LostUsername, entity.dirty == Dirty::LostAlias);
            let texts = match part {
                Part::Full => entity.texts().map(|text| text.and_then(|text| std::str::from_utf8(text).ok())),
                _ => [None; 3],
            };
            let session: &'a str = &commit.session;
            let row = EntityRow {
                session,
                id: entity.id,
                access_hash,
                seen: entity.seen,
                texts,
                named: entity,
                part,
                has_lost_username,
                has_lost_alias,
            };
            let next = rows.len();
            match places.entry((session, entity.id)).or_insert(next) {
                place if *place == next => rows.push(row),
                place => {
                    if let Some(before) = rows.get_mut(*place) {
                        before.add(&row);
                    }
                }
            }
        }
    }
    rows.sort_unstable_by_key(|row| (row.session, row.id));
    let mut merged = Merged::default();
    for row in rows {
        if row.is_full() || row.has_lost_alias {
            merged.usernames.push(row);
        }
        match row.part {
            Part::Full => merged.full.push(row),
            Part::AccessHashAndDate => merged.access_hashes.push(row),
            Part::Date => merged.dates.push(row),
            Part::Gone => merged.gone.push(row),
            Part::Nothing => {}
        }
        if row.has_lost_username && row.part < Part::Full {
            merged.lost_usernames.push((row.session, row.id));
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(part: Part, access_hash: i64, seen: u32) -> EntityRow<'static> {
        let texts = if part == Part::Full { [Some("anna"), None, Some("Anna")] } else { [None; 3] };
        let (named, has_lost_username) = (BatchEntity::default(), part == Part::Nothing);
        EntityRow {
            session: "s",
            id: 1,
            access_hash,
            seen,
            texts,
            named,
            part,
            has_lost_username,
            has_lost_alias: false,
        }
    }

    #[test]
    fn what_is_written_later_stands() {
        let mut full = row(Part::Full, 1, 1);
        full.add(&row(Part::AccessHashAndDate, 2, 2));
        assert_eq!((full.access_hash, full.seen, full.texts[0]), (2, 2, Some("anna")));
        full.add(&row(Part::Date, 9, 3));
        assert_eq!((full.access_hash, full.seen, full.part), (2, 3, Part::Full));
        full.add(&row(Part::Nothing, 9, 9));
        assert_eq!((full.seen, full.texts), (3, [None, None, Some("Anna")]));
        let mut lost = row(Part::Nothing, 1, 1);
        lost.add(&row(Part::Date, 1, 5));
        assert_eq!((lost.part, lost.seen, lost.has_lost_username), (Part::Date, 5, true));
        lost.add(&EntityRow { has_lost_alias: true, ..row(Part::Nothing, 1, 1) });
        assert!(lost.has_lost_alias);
        lost.add(&row(Part::Full, 4, 6));
        assert!(!lost.has_lost_username && !lost.has_lost_alias && lost.texts[0].is_some());
    }

    #[test]
    fn nothing_is_left_of_what_was_forgotten() {
        let mut gone = row(Part::Full, 1, 1);
        gone.add(&row(Part::Gone, 0, u32::MAX));
        gone.add(&row(Part::Date, 1, 2));
        gone.add(&row(Part::Nothing, 1, 2));
        assert_eq!((gone.part, gone.seen, gone.has_lost_username), (Part::Gone, u32::MAX, false));
        gone.add(&row(Part::AccessHashAndDate, 2, 3));
        assert_eq!((gone.part, gone.access_hash, gone.seen, gone.texts), (Part::Full, 2, 3, [None; 3]));
    }
}
