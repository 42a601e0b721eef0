//! What is committed, on real servers: logins, leases, and transactions in each other's way.

use std::sync::Arc;
use std::time::Duration;

use crate::support::operations::*;
use crate::support::{Database, on_both};
use session_core::entity_table::EntityBatch;
use session_core::store::{Changes, UpdateState};
use store_net::{Acquired, Commit, CommitError};
use store_sql::Dialect;

on_both! {
    a_login_that_was_replaced_is_a_conflict
    one_of_many_first_logins_wins
    an_expired_lease_is_taken_over_and_its_writes_are_refused
    deleting_a_session_keeps_its_fence
    a_deletion_waits_for_a_commit_that_is_under_way
    a_lease_whose_answer_was_lost_is_taken_again
    several_commits_are_each_made_or_not
    a_refused_row_does_not_keep_others_from_being_written
    an_entity_is_written_once_for_many_changes
    transactions_in_each_others_way_are_repeated
}

fn a_login_that_was_replaced_is_a_conflict(database: &Database) {
    let driver = Arc::new(database.driver());
    commit_one(&driver, login("anon", 1, None)).unwrap();
    assert!(load(&driver, "anon").credentials == Some(with_key(1)));
    let conflict = commit_one(&driver, login("anon", 3, None));
    assert!(matches!(conflict, Err(CommitError::Conflict(found)) if *found == [1; 256]));
    // As after a commit whose answer was lost.
    commit_one(&driver, login("anon", 1, Some(9))).unwrap();
    commit_one(&driver, login("anon", 3, Some(1))).unwrap();
    assert_eq!(key_of(&driver, "anon"), Some(3));
    assert_eq!(list(&driver), ["anon"]);
}

fn one_of_many_first_logins_wins(database: &Database) {
    let drivers: Vec<Shared> = (0..4).map(|_| Arc::new(database.driver())).collect();
    let results: Vec<_> = std::thread::scope(|scope| {
        let run = |(at, driver)| {
            scope.spawn(move || {
                let mut own = login("anon", u8::try_from(at).unwrap(), None);
                own.changes.credentials.as_mut().unwrap().dc_id = i64::try_from(at).unwrap();
                commit_one(driver, own)
            })
        };
        let threads: Vec<_> = drivers.iter().enumerate().map(run).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
    let count = database.query("SELECT CAST(COUNT(*) AS CHAR(9)) FROM sessions").remove(0).unwrap();
    assert_eq!(count.trim(), "1");
}

fn an_expired_lease_is_taken_over_and_its_writes_are_refused(database: &Database) {
    const SHORT: Duration = Duration::from_millis(300);
    let driver = Arc::new(database.driver());
    let Acquired::Taken(first) = acquire(&driver, "anon", "one", LONG) else { panic!() };
    assert_eq!(acquire(&driver, "anon", "other", LONG), Acquired::InUse("one".to_owned()));
    assert!(matches!(acquire(&driver, "another session", "other", LONG), Acquired::Taken(_)));
    assert!(renew(&driver, "anon", first, "one", SHORT));
    assert!(renew(&driver, "anon", first, "one", LONG));
    std::thread::sleep(SHORT * 2);
    // It was renewed for longer.
    assert_eq!(acquire(&driver, "anon", "other", LONG), Acquired::InUse("one".to_owned()));
    assert!(renew(&driver, "anon", first, "one", SHORT));
    std::thread::sleep(SHORT * 2);
    let Acquired::Taken(second) = acquire(&driver, "anon", "other", SHORT) else { panic!() };
    assert!(second > first);
    assert!(!renew(&driver, "anon", first, "one", LONG));
    std::thread::sleep(SHORT * 2);
    // Expired, but not taken by another session.
    assert!(renew(&driver, "anon", second, "other", LONG));
    let with_fence = |fence, commit| Commit { fence: Some(fence), ..commit };
    let anna = || entities("anon", &[person(1, [None, None, Some("Anna")])]);
    let late = commit(&driver, vec![with_fence(first, anna()), with_fence(first, login("anon", 1, None))]);
    assert!(late.iter().all(|result| matches!(result, Err(CommitError::Fenced))), "{late:?}");
    assert!(load(&driver, "anon").is_new);
    commit_one(&driver, with_fence(second, anna())).unwrap();
    commit_one(&driver, with_fence(second, login("anon", 1, None))).unwrap();
    release(&driver, "anon", first);
    assert_eq!(acquire(&driver, "anon", "third", LONG), Acquired::InUse("other".to_owned()));
    release(&driver, "anon", second);
    assert!(matches!(acquire(&driver, "anon", "third", LONG), Acquired::Taken(_)));
}

fn deleting_a_session_keeps_its_fence(database: &Database) {
    let driver = Arc::new(database.driver());
    let Acquired::Taken(first) = acquire(&driver, "anon", "one", Duration::ZERO) else { panic!() };
    commit_one(&driver, login("anon", 1, None)).unwrap();
    assert!(!delete(&driver, "anon", 2));
    assert!(delete(&driver, "anon", 1));
    assert!(!delete(&driver, "anon", 1));
    assert!(load(&driver, "anon").is_new);
    let Acquired::Taken(second) = acquire(&driver, "anon", "other", LONG) else { panic!() };
    assert!(second > first);
    let late = Commit { fence: Some(first), ..entities("anon", &[person(1, [None; 3])]) };
    assert!(matches!(commit_one(&driver, late), Err(CommitError::Fenced)));
}

fn a_deletion_waits_for_a_commit_that_is_under_way(database: &Database) {
    let driver = Arc::new(database.driver());
    let with_state = |id: i64, pts| {
        let mut commit = entities("anon", &[person(id, [None; 3])]);
        commit.changes.update_states = vec![(7, UpdateState { pts: Some(pts), date: Some(1e9), ..Default::default() })];
        commit
    };
    commit_one(&driver, login("anon", 1, None)).unwrap();
    commit_one(&driver, with_state(1, 1)).unwrap();
    let count =
        |what: &str| database.query(&format!("SELECT CAST(COUNT(*) AS CHAR(9)) FROM {what}")).remove(0).unwrap();
    let (activity, waiting) = match database.dialect {
        Dialect::Postgres => ("pg_stat_activity", "wait_event_type = 'Lock' AND datname = current_database()"),
        Dialect::MySql => ("information_schema.innodb_trx", "trx_state = 'LOCK WAIT'"),
    };
    // Holds a row in the middle of the commit.
    let release = database.hold("SELECT * FROM update_state WHERE entity_id = 7 FOR UPDATE");
    std::thread::scope(|scope| {
        let wait_for = |at_least: usize| {
            while count(&format!("{activity} WHERE {waiting}")).trim().parse::<usize>().unwrap() < at_least {
                // MariaDB does not look again for who asks more often than ten times a second.
                std::thread::sleep(Duration::from_millis(200));
            }
        };
        let commit = scope.spawn(|| commit_one(&driver, with_state(2, 2)));
        wait_for(1);
        let deletion = scope.spawn(|| delete(&driver, "anon", 1));
        wait_for(2);
        release.send(()).unwrap();
        commit.join().unwrap().unwrap();
        assert!(deletion.join().unwrap());
    });
    assert_eq!(count("entities").trim(), "0");
    assert!(load(&driver, "anon").is_new);
}

fn a_lease_whose_answer_was_lost_is_taken_again(database: &Database) {
    let driver = Arc::new(database.driver());
    let (first, second) = (acquire(&driver, "anon", "1 2 3 here", LONG), acquire(&driver, "anon", "1 2 3 here", LONG));
    assert!(matches!((&first, &second), (Acquired::Taken(first), Acquired::Taken(second)) if second > first));
    assert_eq!(acquire(&driver, "anon", "1 2 4 here", LONG), Acquired::InUse("1 2 3 here".to_owned()));
}

fn several_commits_are_each_made_or_not(database: &Database) {
    let driver = Arc::new(database.driver());
    commit_one(&driver, login("b", 1, None)).unwrap();
    let mut wrong = login("c", 1, None);
    wrong.changes.credentials.as_mut().unwrap().dc_id = 1 << 40;
    wrong.changes.entities = entities("c", &[person(1, [None; 3])]).changes.entities;
    let results = commit(
        &driver,
        vec![
            entities("a", &[person(1, [Some("anna"), None, None])]),
            login("b", 3, Some(9)),
            wrong,
            login("d", 1, None),
            entities("b", &[person(2, [None; 3])]),
        ],
    );
    assert!(matches!(results[0], Ok(())));
    assert!(matches!(results[1], Err(CommitError::Conflict(_))));
    assert!(matches!(results[2], Err(CommitError::Failed(_))));
    assert!(matches!(results[3], Ok(())) && matches!(results[4], Ok(())));
    assert!(by_id(&driver, "a", 1).is_some() && by_id(&driver, "b", 2).is_some());
    assert_eq!((key_of(&driver, "b"), key_of(&driver, "d")), (Some(1), Some(1)));
    assert!(load(&driver, "c").is_new);
}

fn a_refused_row_does_not_keep_others_from_being_written(database: &Database) {
    let driver = Arc::new(database.driver());
    assert!(load(&driver, "anon").is_new);
    // As a user may have added them.
    database.execute("ALTER TABLE entities ADD CONSTRAINT no_seven CHECK (id <> 7)");
    database.execute("ALTER TABLE entities ADD CONSTRAINT no_anna CHECK (name <> 'Anna')");
    database.execute("ALTER TABLE sessions ADD CONSTRAINT no_port CHECK (port <> 1)");
    database.execute("ALTER TABLE update_state ADD CONSTRAINT no_nine CHECK (entity_id <> 9)");
    let people: Vec<_> = (1..100).map(|id| person(id, [None, None, Some("Berta")])).collect();
    let mut commits = vec![
        entities("anon", &people),
        entities("other", &[person(8, [None, None, Some("Anna")]), person(9, [None, None, Some("Clara")])]),
        login("refused", 1, None),
        login("anon", 1, None),
    ];
    let state = |pts| UpdateState { pts: Some(pts), date: Some(1e9), ..UpdateState::default() };
    commits[0].changes.update_states = vec![(8, state(8)), (9, state(9)), (10, state(10))];
    commits[2].changes.credentials.as_mut().unwrap().port = Some(1);
    commits[2].changes.entities = entities("refused", &[person(1, [None; 3])]).changes.entities;
    let results = commit(&driver, commits);
    assert!(results[0].is_ok() && results[1].is_ok() && results[3].is_ok(), "{results:?}");
    assert!(matches!(results[2], Err(CommitError::Failed(_))));
    assert_eq!(scan(database.options(), "anon").0.len(), 98);
    let other = scan(database.options(), "other").0;
    assert_eq!(
        other.iter().map(|(id, .., texts)| (*id, texts[2].as_deref())).collect::<Vec<_>>(),
        [(8, None), (9, Some("Clara"))]
    );
    assert!(load(&driver, "refused").is_new);
    let loaded = load(&driver, "anon");
    assert_eq!(loaded.update_states.len(), 2);
    assert!(loaded.credentials == Some(with_key(1)));
}

fn an_entity_is_written_once_for_many_changes(database: &Database) {
    let driver = Arc::new(database.driver());
    let mut peer = EntityBatch::default();
    peer.push_input_peer(1, Some(5));
    peer.set_seen(9);
    let peer = Commit {
        session: "anon".into(),
        changes: Changes { entities: peer, ..Changes::default() },
        ..Commit::default()
    };
    let first = entities("anon", &[person(1, [Some("anna"), None, Some("Anna")]), person(1, [None, None, Some("A")])]);
    let other = entities("other", &[person(1, [None, None, Some("Other")])]);
    let results = commit(&driver, vec![first, other, peer]);
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(by_id(&driver, "anon", 1), Some((1, 5, 9, [None, None, Some("A".to_owned())])));
    assert_eq!(by_id(&driver, "other", 1).unwrap().1, 7);
}

fn transactions_in_each_others_way_are_repeated(database: &Database) {
    let drivers: Vec<Shared> = (0..4).map(|_| Arc::new(database.driver())).collect();
    std::thread::scope(|scope| {
        for (at, driver) in drivers.iter().enumerate() {
            scope.spawn(move || {
                for round in 0..10 {
                    let people: Vec<_> = (0..500).map(|id| person(id, [Some("anna"), None, None])).collect();
                    let mut first = entities(["a", "b"][(at + round) % 2], &people);
                    first.changes.entities.push_input_peer(1000, Some(1));
                    let second = entities(["b", "a"][(at + round) % 2], &people);
                    for result in commit(driver, vec![first, second]) {
                        result.unwrap();
                    }
                }
            });
        }
    });
    assert_eq!(scan(database.options(), "a").0.len(), 501);
}
