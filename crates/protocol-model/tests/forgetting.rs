//! What was forgotten stays forgotten with all guards, and comes back or stays somewhere without
//! any of them.

use protocol_model::forgetting::{Forgetting, Guard, Guards, Scenario};
use stateright::{Checker, HasDiscoveries, Model};

const STAYS_AWAY: &str = "what was forgotten does not come back";
const EVERYWHERE: &str = "all forget in the end";
const MADE: &str = "a deletion is made in the end";
const FORGOTTEN: &str = "something is forgotten";

const NONE: Scenario =
    Scenario { receipts: [0; 2], sightings: [0; 2], forgettings: [0; 2], pages: [0; 2], timeouts: 0, losses: 0 };
/// One session, with lost answers and pages.
const ALONE: Scenario =
    Scenario { receipts: [2, 0], forgettings: [1, 0], pages: [2, 0], timeouts: 1, losses: 1, ..NONE };
/// One session forgets what both have received, seen again and read.
const TOGETHER: Scenario =
    Scenario { receipts: [1, 1], sightings: [0, 1], forgettings: [1, 0], pages: [1, 1], timeouts: 1, losses: 0 };
/// One session forgets what it has only read.
const READING: Scenario = Scenario { receipts: [0, 1], forgettings: [1, 0], pages: [2, 0], ..NONE };
/// Both forget.
const BOTH: Scenario = Scenario { receipts: [1, 1], forgettings: [1, 1], pages: [0, 1], ..NONE };

/// Looks at all states, or until one of `sought` is found.
fn found(guards: Guards, scenario: Scenario, sought: HasDiscoveries) -> Vec<&'static str> {
    let checker = Forgetting { guards, scenario }.checker().finish_when(sought).spawn_bfs().join();
    println!("{} states", checker.unique_state_count());
    let found = checker.discoveries().into_iter();
    found
        .map(|(property, path)| {
            if property != FORGOTTEN {
                println!("{property:?} fails: {:?}", path.into_actions());
            }
            property
        })
        .collect()
}

#[test]
fn nothing_fails_with_all_guards() {
    for scenario in [ALONE, TOGETHER, READING, BOTH] {
        assert_eq!(found(Guards::ALL, scenario, HasDiscoveries::AnyFailures), [FORGOTTEN], "{scenario:?}");
    }
}

macro_rules! guards {
    ($($name:ident: $guard:ident, $scenario:ident, $property:ident;)*) => {
        $(#[test]
        fn $name() {
            let guards = Guards::ALL.without(Guard::$guard);
            let found = found(guards, $scenario, HasDiscoveries::AnyOf([$property].into()));
            assert!(found.contains(&$property), "{:?} does not fail without {:?}", $property, Guard::$guard);
        })*
    };
}

guards! {
    a_late_write_brings_nothing_back: Numbered, ALONE, STAYS_AWAY;
    a_page_brings_nothing_back_before_the_deletion: Pending, READING, STAYS_AWAY;
    a_page_brings_nothing_back_after_the_deletion: NewerThanReads, ALONE, STAYS_AWAY;
    a_date_brings_nothing_back: DatesOfRows, TOGETHER, STAYS_AWAY;
    a_failed_deletion_is_made_again: Restored, ALONE, MADE;
    other_sessions_forget_too: Counted, TOGETHER, EVERYWHERE;
}
