//! A model of how sessions forget an entity, for a model checker: what was forgotten does not come
//! back by a write or a page that was under way, and other sessions forget it too.
//!
//! There are one entity and two sessions. Each time that a session receives the entity, it gets a
//! version of its own. A session that has received it and not written it yet may do so after
//! another one has forgotten it: that is as if it had received it later.

use stateright::{Model, Property};

/// How many sessions there are.
const SESSIONS: usize = 2;

/// What keeps the protocol safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// The server refuses a write that is older than the last one of its session. Where a write is
    /// a transaction, its locks do that.
    Numbered,
    /// While a deletion has not been sent, nothing is taken over from the server.
    Pending,
    /// What is read before a write of the session is answered, or shortly after it, is older.
    NewerThanReads,
    /// The date of an entity that the server does not have is not written.
    DatesOfRows,
    /// A deletion that failed is made again.
    Restored,
    /// The server counts deletions, and a session that finds more than its own reads everything
    /// again.
    Counted,
}

/// Guards that are in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guards(u8);

impl Guards {
    /// All guards.
    pub const ALL: Self = Self(u8::MAX);

    /// Returns these guards without one.
    #[must_use]
    pub const fn without(self, guard: Guard) -> Self {
        Self(self.0 & !(1 << guard as u8))
    }

    const fn has(self, guard: Guard) -> bool {
        self.0 & (1 << guard as u8) != 0
    }
}

/// What happens, and how often at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Scenario {
    /// Each session receives the entity.
    pub receipts: [u8; SESSIONS],
    /// Each session sees the entity again as it is, so that only its date changes.
    pub sightings: [u8; SESSIONS],
    /// Each session forgets the entity.
    pub forgettings: [u8; SESSIONS],
    /// Each session asks for a page.
    pub pages: [u8; SESSIONS],
    /// Attempts that a session gives up although the server may still carry them out.
    pub timeouts: u8,
    /// Writes that get lost.
    pub losses: u8,
}

/// The protocol, with its guards, and what happens.
#[derive(Clone, Copy, Debug)]
pub struct Forgetting {
    /// The guards.
    pub guards: Guards,
    /// What happens.
    pub scenario: Scenario,
}

/// Which version of the entity; 0 for none.
type Version = u8;

/// What of the entity a session has to write, or writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Change {
    Full(Version),
    Date(Version),
    Gone,
}

/// A write that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Write {
    session: usize,
    attempt: u8,
    change: Change,
}

/// A session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Session {
    version: Version,
    dirty: Option<Change>,
    /// Whether a deletion is dirty.
    is_pending: bool,
    attempts: u8,
    /// What is under way, and whether the answer has arrived: whether it was carried out.
    flight: Option<(u8, Change, Option<bool>)>,
    /// Whether it has written the entity.
    has_written: bool,
    /// The page that is under way.
    page: Option<Version>,
    /// How many deletions the server had counted, and how many it has made itself since.
    known: u8,
    own: u8,
    /// The versions that it has forgotten, as bits.
    forgotten: u16,
}

/// A state of everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct State {
    sessions: [Session; SESSIONS],
    row: Version,
    deletions: u8,
    attempts: [u8; SESSIONS],
    network: Vec<Write>,
    left: Scenario,
    versions: Version,
    /// The versions that a deletion has removed for good, as bits.
    gone: u16,
    came_back: bool,
}

/// A step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Step {
    Receive(usize),
    See(usize),
    Forget(usize),
    /// The server sends a page.
    Read(usize),
    /// The page arrives.
    Put(usize),
    /// A session sends what is dirty.
    Post(usize),
    /// The server carries a write out.
    CarryOut(usize),
    /// A session hears the answer.
    Hear(usize),
    GiveUp(usize),
    Lose(usize),
    /// A session learns how many deletions there were.
    Look(usize),
}

impl Session {
    /// Returns `true` if it may still write a version that it has received.
    fn may_write(&self, version: Version) -> bool {
        let full = Change::Full(version);
        self.dirty == Some(full) || self.flight.is_some_and(|(_, change, _)| change == full)
    }

    fn end(&mut self, is_done: bool, guards: Guards) {
        let Some((_, change, _)) = self.flight.take() else { return };
        if is_done {
            self.own += u8::from(change == Change::Gone);
            return;
        }
        match change {
            Change::Full(version) if self.version == version => self.dirty = Some(change),
            Change::Date(version) if self.version == version => {
                self.dirty.get_or_insert(change);
            }
            Change::Gone if guards.has(Guard::Restored) => {
                self.is_pending = true;
                if self.version == 0 {
                    self.dirty = Some(Change::Gone);
                }
            }
            _ => {}
        }
    }
}

impl State {
    fn is_under_way(&self, at: usize) -> bool {
        let flight = self.sessions[at].flight;
        self.network
            .iter()
            .any(|write| write.session == at && flight.is_some_and(|(attempt, ..)| attempt == write.attempt))
    }

    fn carry_out(&mut self, write: Write, guards: Guards) {
        let Write { session: at, attempt, change } = write;
        let is_late = guards.has(Guard::Numbered) && attempt < self.attempts[at];
        if !is_late {
            self.attempts[at] = attempt.max(self.attempts[at]);
            self.apply(at, change, guards);
        }
        let flight = self.sessions[at].flight.as_mut().filter(|flight| flight.0 == attempt);
        if let Some((.., answer)) = flight {
            *answer = Some(!is_late);
        }
    }

    fn apply(&mut self, at: usize, change: Change, guards: Guards) {
        match change {
            Change::Full(version) => self.row = version,
            Change::Date(version) if self.row == 0 && !guards.has(Guard::DatesOfRows) => self.row = version,
            Change::Date(_) => {}
            Change::Gone => {
                let other = &self.sessions[1 - at];
                if !other.may_write(self.row) {
                    self.gone |= 1 << self.row;
                }
                self.gone |= self.sessions[at].forgotten;
                self.row = 0;
                self.deletions += 1;
            }
        }
        self.came_back |= self.row != 0 && self.gone & (1 << self.row) != 0;
    }

    /// Reads everything again. A page that is under way is of no use.
    fn reload(&mut self, at: usize) {
        let (row, deletions) = (self.row, self.deletions);
        let session = &mut self.sessions[at];
        (session.known, session.own, session.page) = (deletions, 0, None);
        let is_received = matches!(session.dirty, Some(Change::Full(_))) || session.flight.is_some();
        if row == 0 && !is_received && !session.is_pending {
            (session.version, session.dirty) = (0, None);
        }
    }
}

fn take(left: &mut u8) {
    *left -= 1;
}

impl Model for Forgetting {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        vec![State { left: self.scenario, ..State::default() }]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        self.work(state, steps);
        let left = &state.left;
        for (at, session) in state.sessions.iter().enumerate() {
            let knows = session.version != 0;
            let can = [
                (left.receipts[at] > 0, Step::Receive(at)),
                (left.sightings[at] > 0 && knows && session.dirty.is_none(), Step::See(at)),
                (left.forgettings[at] > 0 && knows, Step::Forget(at)),
                (left.pages[at] > 0 && session.page.is_none(), Step::Read(at)),
                (left.timeouts > 0 && session.flight.is_some(), Step::GiveUp(at)),
            ];
            steps.extend(can.into_iter().filter_map(|(can, step)| can.then_some(step)));
        }
        if left.losses > 0 {
            steps.extend((0..state.network.len()).map(Step::Lose));
        }
    }

    fn next_state(&self, last: &State, step: Step) -> Option<State> {
        let mut state = last.clone();
        match step {
            Step::Receive(at) => {
                take(&mut state.left.receipts[at]);
                state.versions += 1;
                let session = &mut state.sessions[at];
                session.version = state.versions;
                session.dirty = Some(Change::Full(state.versions));
            }
            Step::See(at) => {
                take(&mut state.left.sightings[at]);
                let session = &mut state.sessions[at];
                session.dirty = Some(Change::Date(session.version));
            }
            Step::Forget(at) => {
                take(&mut state.left.forgettings[at]);
                let version = state.sessions[at].version;
                let may_come_back = state.sessions[1 - at].may_write(version);
                let session = &mut state.sessions[at];
                if !may_come_back {
                    session.forgotten |= 1 << version;
                }
                (session.version, session.dirty, session.is_pending) = (0, Some(Change::Gone), true);
            }
            Step::Read(at) => {
                take(&mut state.left.pages[at]);
                state.sessions[at].page = Some(state.row);
            }
            Step::Put(at) => {
                let session = &mut state.sessions[at];
                let version = session.page.take()?;
                let is_older = (self.guards.has(Guard::Pending) && session.is_pending)
                    || (self.guards.has(Guard::NewerThanReads) && session.has_written);
                if version != 0 && session.version == 0 && !is_older {
                    session.version = version;
                    session.dirty = session.dirty.filter(|change| *change == Change::Gone);
                    state.came_back |= session.forgotten & (1 << version) != 0;
                }
            }
            Step::Post(at) => {
                let session = &mut state.sessions[at];
                let change = session.dirty.take()?;
                session.attempts += 1;
                (session.is_pending, session.has_written) = (false, true);
                session.flight = Some((session.attempts, change, None));
                state.network.push(Write { session: at, attempt: session.attempts, change });
                state.network.sort_unstable();
            }
            Step::CarryOut(at) => {
                let write = state.network.remove(at);
                state.carry_out(write, self.guards);
            }
            Step::Hear(at) => {
                let is_done = state.sessions[at].flight?.2?;
                state.sessions[at].end(is_done, self.guards);
            }
            Step::GiveUp(at) => {
                if state.is_under_way(at) || state.sessions[at].flight.is_some_and(|(.., answer)| answer.is_some()) {
                    take(&mut state.left.timeouts);
                }
                state.sessions[at].end(false, self.guards);
            }
            Step::Lose(at) => {
                take(&mut state.left.losses);
                state.network.remove(at);
            }
            Step::Look(at) => state.reload(at),
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("what was forgotten does not come back", |_, state: &State| !state.came_back),
            Property::always("all forget in the end", |model: &Self, state: &State| {
                let mut work = Vec::new();
                model.work(state, &mut work);
                let is_everywhere_as_stored = || state.sessions.iter().all(|session| session.version == 0);
                !work.is_empty() || state.row != 0 || is_everywhere_as_stored()
            }),
            Property::always("a deletion is made in the end", |model: &Self, state: &State| {
                let mut work = Vec::new();
                model.work(state, &mut work);
                let is_gone = |session: &Session| state.row == 0 || session.forgotten & (1 << state.row) == 0;
                !work.is_empty() || state.sessions.iter().all(is_gone)
            }),
            Property::sometimes("something is forgotten", |_, state: &State| state.gone != 0),
        ]
    }
}

impl Forgetting {
    /// Returns the steps that happen by themselves sooner or later.
    fn work(&self, state: &State, steps: &mut Vec<Step>) {
        for (at, session) in state.sessions.iter().enumerate() {
            if session.dirty.is_some() && session.flight.is_none() {
                steps.push(Step::Post(at));
            }
            if session.flight.is_some_and(|(.., answer)| answer.is_some()) {
                steps.push(Step::Hear(at));
            } else if session.flight.is_some() && !state.is_under_way(at) {
                steps.push(Step::GiveUp(at));
            }
            if session.page.is_some() {
                steps.push(Step::Put(at));
            }
            let has_changed = state.deletions != session.known + session.own && session.flight.is_none();
            if self.guards.has(Guard::Counted) && has_changed {
                steps.push(Step::Look(at));
            }
        }
        steps.extend((0..state.network.len()).map(Step::CarryOut));
    }
}
