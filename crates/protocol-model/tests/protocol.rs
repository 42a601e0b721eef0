//! No property fails with all guards, and one fails without any of them.

use std::time::Instant;

use protocol_model::{Guard, Guards, Protocol, Scenario};
use stateright::{Checker, HasDiscoveries, Model};

const SAVED: &str = "what is saved is on the server";
const VERSIONS: &str = "versions rise";
const LEASES: &str = "leases do not overlap";
const READ_LOGINS: &str = "a read login replaces none";
const LOGINS: &str = "logins do not come back";
const DELETIONS: &str = "deletions last";
const STORED: &str = "everything is stored in the end";
const PROGRESS: &str = "a write is saved";

/// A session that writes, with lost answers and late attempts.
const WRITING: Scenario =
    Scenario { processes: 1, changes: [2, 0], logins: [1, 0], timeouts: 2, crashes: 1, restarts: 1, ..NONE };
/// A session that is deleted.
const DELETING: Scenario = Scenario { deletions: 1, timeouts: 1, crashes: 0, ..WRITING };
/// A session that is deleted, on a connection on which nothing is late.
const DELETING_IN_TIME: Scenario = Scenario { timeouts: 0, crashes: 1, ..DELETING };
/// Two processes that sign in to one account.
const SIGNING_IN: Scenario =
    Scenario { changes: [1, 0], logins: [1, 1], repeated_logins: [0, 1], timeouts: 1, crashes: 1, ..NONE };
/// Two processes that take turns with a lease.
const LEASING: Scenario = Scenario {
    is_exclusive: true,
    changes: [2, 1],
    timeouts: 1,
    closes: 1,
    expiries: 1,
    renewals: 1,
    questions: 3,
    ..NONE
};
/// Two processes that take turns with a lease, and one deletes the session.
const LEASED_DELETING: Scenario =
    Scenario { is_exclusive: true, changes: [1, 1], deletions: 1, timeouts: 1, expiries: 2, questions: 3, ..NONE };
const NONE: Scenario = Scenario {
    is_exclusive: false,
    processes: 2,
    changes: [0, 0],
    logins: [0, 0],
    repeated_logins: [0, 0],
    deletions: 0,
    timeouts: 0,
    crashes: 0,
    restarts: 0,
    closes: 0,
    expiries: 0,
    renewals: 0,
    questions: 0,
};

/// Looks at all states, or until one of `sought` is found. Returns the properties that have failed
/// or, if they are to be found at some time, were. Prints how many states there are, and a way to
/// each failure.
fn found(guards: Guards, scenario: Scenario, sought: HasDiscoveries) -> Vec<&'static str> {
    let begun = Instant::now();
    let checker = Protocol { guards, scenario }.checker().finish_when(sought).spawn_bfs().join();
    println!("{} states in {:.1} s", checker.unique_state_count(), begun.elapsed().as_secs_f32());
    let found = checker.discoveries().into_iter();
    found
        .map(|(property, path)| {
            if property != PROGRESS {
                println!("{property:?} fails: {:?}", path.into_actions());
            }
            property
        })
        .collect()
}

/// Checks that no property fails with `guards`, and that something is saved.
fn check_all(guards: Guards, scenario: Scenario) {
    assert_eq!(found(guards, scenario, HasDiscoveries::AnyFailures), [PROGRESS], "{scenario:?}");
}

/// Checks that no property fails with `guards`, and that one does without `guard`.
fn check(guard: Guard, guards: Guards, scenario: Scenario, property: &'static str) {
    check_all(guards, scenario);
    let found = found(guards.without(guard), scenario, HasDiscoveries::AnyOf([property].into()));
    assert!(found.contains(&property), "{property:?} does not fail without {guard:?}");
}

#[test]
fn nothing_fails_with_all_guards() {
    for scenario in [WRITING, DELETING, DELETING_IN_TIME, SIGNING_IN, LEASING, LEASED_DELETING] {
        check_all(Guards::ALL, scenario);
    }
}

macro_rules! guards {
    ($($name:ident: $guard:ident, $guards:expr, $scenario:ident, $property:ident;)*) => {
        $(#[test]
        fn $name() {
            check(Guard::$guard, $guards, $scenario, $property);
        })*
    };
}

guards! {
    a_write_with_an_old_fence_is_refused: Fence, Guards::ALL, LEASING, LEASES;
    each_lease_has_a_higher_fence: RisingFence, Guards::ALL, LEASING, LEASES;
    a_deletion_keeps_the_fence: LastingFence, Guards::ALL, LEASED_DELETING, LEASES;
    the_clock_of_the_server_ends_a_lease: ServerClock, Guards::ALL, LEASING, LEASES;
    a_renewal_does_not_take_the_lease_of_another: CheckedRenewal, Guards::ALL, LEASING, LEASES;
    a_login_replaces_the_expected_one_only: ComparedLogin, Guards::ALL, SIGNING_IN, READ_LOGINS;
    a_conflict_is_decided_again: RecheckedLogin, Guards::ALL, SIGNING_IN, READ_LOGINS;
    a_key_is_a_new_login_only_once: LoginOnce, Guards::ALL, SIGNING_IN, LOGINS;
    what_a_failed_write_had_is_dirty_again: Restore, Guards::ALL, DELETING_IN_TIME, STORED;
    what_a_failed_write_had_is_not_reported_as_saved: Restore, Guards::ALL, WRITING, SAVED;
    a_deletion_waits_for_a_write: OrderedDeletion, Guards::ALL.without(Guard::Numbered), DELETING_IN_TIME, DELETIONS;
    a_late_attempt_does_not_replace_a_newer_one: Numbered, Guards::ALL, WRITING, VERSIONS;
    a_late_attempt_in_a_lease_does_not_replace_a_newer_one: Numbered, Guards::ALL, LEASING, VERSIONS;
    a_late_attempt_does_not_undo_a_deletion: Numbered, Guards::ALL, DELETING, DELETIONS;
}
