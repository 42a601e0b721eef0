//! Leases, fences and logins, on a standalone server and on a replica set.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::Duration;

use crate::support::{LONG, acquire, commit, driver, key, login, own, people, run, taken, write};
use mongodb::bson::{Document, doc};
use session_core::entity_table::EntityBatch;
use session_core::store::{FileKey, FileKind, Kind, UpdateState};
use store_mongodb::MongoDriver;
use store_net::driver::{Acquired, Driver as _, Fence, OwnedQuery, SessionName};
use store_net::{Attempt, Commit, CommitError};

fn on_each(test: fn(&str)) {
    test(&own(crate::support::shared()));
    test(&own(crate::support::shared_set()));
}

fn fenced(fence: Fence, commit: Commit) -> Commit {
    Commit { fence: Some(fence), ..commit }
}

/// Lets the lease of `anon` run out.
fn expire(driver: &Arc<MongoDriver>, fence: Fence) {
    const SHORT: Duration = Duration::from_millis(100);
    let driver = Arc::clone(driver);
    assert!(run(async move { driver.renew(&"anon".into(), fence, "one", SHORT).await.unwrap() }));
    sleep(SHORT * 2);
}

fn ids(url: &str, session: &str) -> Vec<i64> {
    let (driver, session) = (driver(url), SessionName::from(session));
    let query = OwnedQuery::Ids((-5..100).collect());
    let found = run(async move { driver.find(&session, &query).await.unwrap() });
    let mut ids: Vec<i64> = found.iter().map(|entity| entity.id).collect();
    ids.sort_unstable();
    ids
}

#[test]
fn a_lease_is_free_when_it_is_over() {
    on_each(|url| {
        let driver = driver(url);
        let first = taken(&driver, "anon", "one", LONG);
        assert_eq!(acquire(&driver, "anon", "other", LONG), Acquired::InUse("one".to_owned()));
        taken(&driver, "berta", "other", LONG);
        expire(&driver, first);
        let second = taken(&driver, "anon", "other", LONG);
        assert!(second > first);
        let renewed = {
            let driver = driver.clone();
            run(async move {
                let session = "anon".into();
                let stale = driver.renew(&session, first, "one", LONG).await.unwrap();
                driver.release(&session, first).await.unwrap();
                (stale, driver.renew(&session, second, "other", LONG).await.unwrap())
            })
        };
        assert_eq!(renewed, (false, true));
        assert_eq!(acquire(&driver, "anon", "one", LONG), Acquired::InUse("other".to_owned()));
    });
}

#[test]
fn a_released_lease_is_free() {
    on_each(|url| {
        let driver = driver(url);
        let first = taken(&driver, "$odd 'name'\0 \u{1f600}", "$owner", LONG);
        let again = driver.clone();
        run(async move { again.release(&"$odd 'name'\0 \u{1f600}".into(), first).await.unwrap() });
        assert_eq!(taken(&driver, "$odd 'name'\0 \u{1f600}", "other", LONG), Fence(first.0 + 1));
    });
}

/// A lease is never held by two, however many ask.
#[test]
fn one_of_many_gets_the_lease() {
    on_each(|url| {
        let driver = driver(url);
        let asking: Vec<_> = (0..20)
            .map(|owner| {
                let driver = driver.clone();
                async move { driver.acquire(&"anon".into(), &owner.to_string(), LONG).await.unwrap() }
            })
            .collect();
        let answers = run(futures_util::future::join_all(asking));
        assert_eq!(answers.iter().filter(|answer| matches!(answer, Acquired::Taken(_))).count(), 1);
    });
}

#[test]
fn a_late_session_writes_nothing() {
    on_each(|url| {
        let (late, other) = (driver(url), driver(url));
        let first = taken(&late, "anon", "one", LONG);
        let written = write(&late, vec![fenced(first, commit("anon", people(1..4)))]);
        assert!(matches!(written[..], [Ok(())]), "{written:?}");
        expire(&late, first);
        let second = taken(&other, "anon", "other", LONG);
        let mut everything = login("anon", None, 1);
        everything.changes.entities = people(2..40);
        everything.changes.update_states.push((0, UpdateState { pts: Some(1), ..UpdateState::default() }));
        let file = FileKey { md5_digest: vec![1], size: 2, kind: FileKind::Photo };
        everything.changes.sent_files.push((file.clone(), (3, 4)));
        let rows = commit("anon", people(50..60));
        // Each of them is refused, and another session's is not.
        let commits = vec![fenced(first, everything), fenced(first, rows), commit("berta", people(1..4))];
        let written = write(&late, commits);
        assert!(matches!(written[..], [Err(CommitError::Fenced), Err(CommitError::Fenced), Ok(())]), "{written:?}");
        assert_eq!(ids(url, "anon"), [1, 2, 3]);
        assert_eq!(ids(url, "berta"), [1, 2, 3]);
        let reading = other.clone();
        let (loaded, found) = run(async move {
            let session = "anon".into();
            (reading.load(&session).await.unwrap(), reading.sent_file(&session, &file).await.unwrap())
        });
        assert!(loaded.credentials.is_none() && loaded.update_states.is_empty() && found.is_none());
        let written =
            write(&other, vec![fenced(second, login("anon", None, 2)), fenced(second, commit("anon", people(7..8)))]);
        assert!(matches!(written[..], [Ok(()), Ok(())]), "{written:?}");
        assert_eq!(ids(url, "anon"), [1, 2, 3, 7]);
    });
}

/// A process that knows its lease, sends rows, and learns only then that the time is over.
#[test]
fn a_lease_that_has_only_expired_is_taken_again_to_write() {
    on_each(|url| {
        // The write takes it for as long again, and has to end within that time.
        const TIME: Duration = Duration::from_secs(5);
        let driver = driver(url);
        let fence = taken(&driver, "anon", "one", TIME);
        sleep(TIME + Duration::from_millis(100));
        let mut changes = commit("anon", people(1..400));
        changes.changes.update_states.push((0, UpdateState { pts: Some(1), ..UpdateState::default() }));
        let written = write(&driver, vec![fenced(fence, changes), fenced(fence, login("anon", None, 1))]);
        assert!(matches!(written[..], [Ok(()), Ok(())]), "{written:?}");
        assert_eq!(ids(url, "anon").len(), 99);
    });
}

/// What the server itself refuses: no other session has the lease, but its end has passed.
#[test]
fn the_server_refuses_rows_when_the_time_is_over() {
    let database = crate::support::client(crate::support::shared()).database("guard");
    let reply: Document = run(async move {
        let past = doc! { "q": { "_id": 1 }, "u": [{ "$replaceWith": { "$cond": [{ "$lt": ["$$NOW", mongodb::bson::DateTime::from_millis(1)] }, { "$literal": { "_id": 1 } }, "over"] } }], "upsert": true };
        database.run_command(doc! { "update": "rows", "updates": [past], "ordered": false }).await.unwrap()
    });
    let error = reply.get_array("writeErrors").unwrap()[0].as_document().unwrap();
    assert_eq!(error.get_i32("code").unwrap(), 40_228, "{reply}");
}

#[test]
fn another_login_is_a_conflict() {
    on_each(|url| {
        let driver = driver(url);
        let mut first = login("anon", None, 1);
        first.changes.entities = people(1..4);
        assert!(write(&driver, vec![first])[0].is_ok());
        let mut second = login("anon", None, 2);
        second.changes.entities = people(10..14);
        let written = write(&driver, vec![second, login("berta", None, 9)]);
        assert!(matches!(&written[..], [Err(CommitError::Conflict(found)), Ok(())] if *found == key(1)), "{written:?}");
        assert_eq!(ids(url, "anon"), [1, 2, 3]);
        // One whose answer was lost is made again.
        let written = write(&driver, vec![login("anon", None, 1)]);
        assert!(written[0].is_ok(), "{written:?}");
        assert!(write(&driver, vec![login("anon", Some(1), 3)])[0].is_ok());
        let written = write(&driver, vec![login("nobody", Some(1), 3)]);
        assert!(matches!(&written[0], Err(CommitError::Conflict(found)) if found.is_empty()), "{written:?}");
    });
}

/// Two sessions of one process, whose commits come together.
#[test]
fn two_logins_in_one_group() {
    on_each(|url| {
        let driver = driver(url);
        let written = write(&driver, vec![login("anon", None, 1), login("anon", None, 2), login("berta", None, 3)]);
        assert_eq!(written.iter().filter(|result| result.is_ok()).count(), 2, "{written:?}");
        assert!(
            written[2].is_ok() && matches!(written[0].as_ref().and(written[1].as_ref()), Err(CommitError::Conflict(_)))
        );
    });
}

/// Two processes log in at the same moment: one of them learns of the other's.
#[test]
fn one_of_two_logins_stays() {
    on_each(|url| {
        let drivers = [driver(url), driver(url)];
        for round in 0..20 {
            let session = format!("s{round}");
            let writing = [(0_usize, 1_u8), (1, 2)].map(|(at, byte)| {
                let (driver, commit) = (drivers[at].clone(), login(&session, None, byte));
                async move { driver.commit(&[commit]).await.remove(0) }
            });
            let results = run(futures_util::future::join_all(writing));
            assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
            let lost = results.iter().position(Result::is_err).unwrap();
            assert!(
                matches!(&results[lost], Err(CommitError::Conflict(found)) if *found == key(if lost == 0 { 2 } else { 1 })),
                "{results:?}"
            );
        }
    });
}

#[test]
fn a_lease_survives_deletion() {
    on_each(|url| {
        let driver = driver(url);
        let first = taken(&driver, "anon", "one", LONG);
        assert!(write(&driver, vec![fenced(first, login("anon", None, 1))])[0].is_ok());
        let again = driver.clone();
        let (deleted, listed) = run(async move {
            let deleted = again.delete(&"anon".into(), &[key(1)], Attempt::default()).await.unwrap();
            again.release(&"anon".into(), first).await.unwrap();
            (deleted, again.list().await.unwrap())
        });
        assert!(deleted && listed.is_empty());
        assert!(taken(&driver, "anon", "other", LONG) > first, "the fence begins again");
        let written = write(&driver, vec![fenced(first, commit("anon", people(1..3)))]);
        assert!(matches!(written[0], Err(CommitError::Fenced)), "{written:?}");
    });
}

/// Renewals and commits change the same document.
#[test]
fn renewals_do_not_disturb_commits() {
    on_each(|url| {
        let driver = driver(url);
        let fence = taken(&driver, "anon", "one", LONG);
        let (renewing, writing) = (driver.clone(), driver.clone());
        let results = run(async move {
            let renewals = AtomicUsize::new(0);
            let renew = async {
                loop {
                    assert!(renewing.renew(&"anon".into(), fence, "one", LONG).await.unwrap());
                    renewals.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            let commit = async {
                let mut results = Vec::new();
                while results.len() < 30 || renewals.load(Ordering::Relaxed) < 10 {
                    results.extend(writing.commit(&[fenced(fence, commit("anon", people(1..50)))]).await);
                }
                results
            };
            tokio::select! {
                () = renew => unreachable!(),
                results = commit => results,
            }
        });
        assert!(results.len() > 3 && results.iter().all(Result::is_ok), "{results:?}");
        let none: EntityBatch = EntityBatch::default();
        assert!(write(&driver, vec![commit("anon", none)])[0].is_ok());
    });
}

/// A standalone server carries out a command that its sender has given up.
#[test]
fn a_late_attempt_replaces_nothing() {
    let url = own(crate::support::shared());
    let driver = driver(&url);
    let state = |pts| vec![(0, UpdateState { pts: Some(pts), ..UpdateState::default() })];
    let attempt = |writer, number, pts| {
        let mut commit = commit("anon", people(1..3));
        (commit.attempt, commit.changes.update_states) = (Attempt { writer, number }, state(pts));
        write(&driver, vec![commit]).remove(0)
    };
    let pts = || {
        let driver = driver.clone();
        run(async move { driver.load(&"anon".into()).await.unwrap().update_states[0].1.pts })
    };
    assert!(attempt(7, 1, 1).is_ok() && attempt(7, 3, 3).is_ok());
    assert!(matches!(attempt(7, 2, 2), Err(CommitError::Failed(error)) if error.kind == Kind::Busy));
    assert_eq!(pts(), Some(3));
    // The next one, and another writer.
    assert!(attempt(7, 4, 4).is_ok() && attempt(8, 1, 5).is_ok());
    assert_eq!(pts(), Some(5));
    let fence = taken(&driver, "anon", "one", LONG);
    let mut with_lease = fenced(fence, commit("anon", people(1..3)));
    (with_lease.attempt, with_lease.changes.update_states) = (Attempt { writer: 8, number: 2 }, state(6));
    assert!(write(&driver, vec![with_lease])[0].is_ok());
    assert!(attempt(8, 1, 7).is_err());
    assert_eq!(pts(), Some(6));
}

#[test]
fn a_lease_whose_answer_was_lost_is_taken_again() {
    on_each(|url| {
        let driver = driver(url);
        assert!(taken(&driver, "anon", "1 2 3 here", LONG) <= taken(&driver, "anon", "1 2 3 here", LONG));
        assert_eq!(acquire(&driver, "anon", "1 2 4 here", LONG), Acquired::InUse("1 2 3 here".to_owned()));
    });
}
