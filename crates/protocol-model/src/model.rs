//! The steps that sessions, the network and the server can take.

use stateright::{Model, Property};

use crate::guards::Guards;
use crate::history::{History, Violation, of};
use crate::server::{Answer, LIVES, Leased, Message, Server, Writer};
use crate::session::Session;

/// What happens, and how often at most. All numbers are those of both processes together unless said
/// otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Scenario {
    /// Whether sessions ask for a lease.
    pub is_exclusive: bool,
    /// How many processes have a session: 1 or 2.
    pub processes: u8,
    /// Changes of an entity by each process.
    pub changes: [u8; 2],
    /// Logins by each process.
    pub logins: [u8; 2],
    /// Writes of a key that the session had already, by each process.
    pub repeated_logins: [u8; 2],
    /// Deletions by the first process.
    pub deletions: u8,
    /// Attempts that a session gives up although the server may still carry them out.
    pub timeouts: u8,
    /// Processes that are killed and started again.
    pub crashes: u8,
    /// Crashes of the server. What is under way is lost then, and answers.
    pub restarts: u8,
    /// Sessions that are closed and opened again.
    pub closes: u8,
    /// Leases that expire.
    pub expiries: u8,
    /// Renewals of leases.
    pub renewals: u8,
    /// Questions for the lease.
    pub questions: u8,
}

/// The protocol, with its guards, and what happens.
#[derive(Clone, Copy, Debug)]
pub struct Protocol {
    /// The guards.
    pub guards: Guards,
    /// What happens.
    pub scenario: Scenario,
}

/// A state of everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// The server.
    pub server: Server,
    /// The sessions.
    pub sessions: Vec<Session>,
    /// What is under way to the server, sorted.
    network: Vec<Message>,
    /// What can still happen.
    left: Scenario,
    /// What has happened.
    pub history: History,
}

/// A step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Step {
    Change(usize),
    LogIn(usize),
    RepeatLogin(usize),
    Delete(usize),
    /// A session sends what is dirty.
    Post(usize),
    SendDeletion(usize),
    /// The server carries a message out.
    CarryOut(usize),
    /// A session hears the answer.
    Hear(usize),
    /// A session gives up waiting for an answer.
    GiveUp(usize),
    Crash(usize),
    Close(usize),
    /// A session is opened, or asks for the lease.
    Open(usize),
    /// A session gives up waiting for the lease.
    StopAsking(usize),
    Renew(usize),
    Expire,
    RestartServer,
}

impl Protocol {
    /// Returns the steps that happen by themselves sooner or later.
    fn work(&self, state: &State, steps: &mut Vec<Step>) {
        for (at, session) in state.sessions.iter().enumerate() {
            if session.can_post() {
                steps.push(Step::Post(at));
            }
            if session.can_send_deletion(self.guards) {
                steps.push(Step::SendDeletion(at));
            }
            if session.flight.is_some_and(|flight| flight.answer.is_some()) {
                steps.push(Step::Hear(at));
            } else if session.flight.is_some() && !state.is_under_way(session) {
                steps.push(Step::GiveUp(at));
            }
        }
        steps.extend((0..state.network.len()).map(Step::CarryOut));
    }
}

impl State {
    /// Returns `true` if the server may still carry out what a session waits for.
    fn is_under_way(&self, session: &Session) -> bool {
        let Some(flight) = session.flight else { return false };
        self.network.iter().any(|message| match message {
            Message::Write { writer, attempt, .. } | Message::Delete { writer, attempt, .. } => {
                (*writer, *attempt) == (session.writer, flight.attempt)
            }
            _ => false,
        })
    }

    fn is_renewing(&self, session: &Session) -> bool {
        self.network.iter().any(|message| matches!(message, Message::Renew(writer, _) if *writer == session.writer))
    }

    fn send(&mut self, message: Option<Message>) {
        self.network.extend(message);
        self.network.sort_unstable();
    }

    fn carry_out(&mut self, at: usize, guards: Guards) {
        let message = self.network.remove(at);
        let answer = self.server.carry_out(&message, guards, &mut self.history);
        match message {
            Message::Write { writer, attempt, .. } | Message::Delete { writer, attempt, .. } => {
                let session = &mut self.sessions[usize::from(writer.process)];
                let is_awaited = session.writer == writer;
                if let Some(flight) = session.flight.as_mut().filter(|flight| is_awaited && flight.attempt == attempt) {
                    flight.answer = Some(answer);
                }
            }
            Message::Acquire(writer) => {
                let session = &mut self.sessions[usize::from(writer.process)];
                if session.writer == writer && session.is_asking {
                    session.is_asking = false;
                    if let Answer::Taken(leased) = answer {
                        session.open(self.server.key, leased);
                    }
                }
            }
            // A session that hears that its lease is over writes less. The model has only those that
            // do not hear it.
            Message::Renew(..) | Message::Release(_) => {}
        }
    }

    /// Ends a session of a process, which may then open another one.
    fn end_session(&mut self, at: usize) {
        let Writer { process, life } = self.sessions[at].writer;
        self.sessions[at] = Session::closed(Writer { process, life: life + 1 });
    }
}

fn take(left: &mut u8) {
    *left -= 1;
}

impl Model for Protocol {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        let server = Server::default();
        let mut sessions: Vec<Session> = Vec::new();
        for process in 0..self.scenario.processes {
            let mut session = Session::closed(Writer { process, life: 0 });
            if !self.scenario.is_exclusive {
                session.open(server.key, Leased { fence: 0, grant: 0 });
            }
            sessions.push(session);
        }
        vec![State { server, sessions, network: Vec::new(), left: self.scenario, history: History::default() }]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        self.work(state, steps);
        let left = &state.left;
        for (at, session) in state.sessions.iter().enumerate() {
            let may_open = usize::from(session.writer.life) < LIVES && (!left.is_exclusive || left.questions > 0);
            let is_under_way = state.is_under_way(session);
            let is_leased = session.is_open && left.is_exclusive;
            let can = [
                (session.is_open && left.changes[at] > 0, Step::Change(at)),
                (session.is_open && left.logins[at] > 0, Step::LogIn(at)),
                (session.is_open && left.repeated_logins[at] > 0, Step::RepeatLogin(at)),
                (session.is_open && left.deletions > 0 && at == 0, Step::Delete(at)),
                (is_under_way && left.timeouts > 0, Step::GiveUp(at)),
                (session.is_open && left.crashes > 0, Step::Crash(at)),
                (session.is_open && session.is_saved() && left.closes > 0, Step::Close(at)),
                (!session.is_open && !session.is_asking && may_open, Step::Open(at)),
                (session.is_asking && left.timeouts > 0, Step::StopAsking(at)),
                (is_leased && left.renewals > 0 && !state.is_renewing(session), Step::Renew(at)),
            ];
            steps.extend(can.into_iter().filter_map(|(can, step)| can.then_some(step)));
        }
        if state.server.lease > 0 && left.expiries > 0 {
            steps.push(Step::Expire);
        }
        if left.restarts > 0 {
            steps.push(Step::RestartServer);
        }
    }

    fn next_state(&self, last: &State, step: Step) -> Option<State> {
        let mut state = last.clone();
        let State { server, sessions, network, left, history } = &mut state;
        match step {
            Step::Change(at) => {
                take(&mut left.changes[at]);
                sessions[at].change();
            }
            Step::LogIn(at) => {
                take(&mut left.logins[at]);
                sessions[at].log_in();
            }
            Step::RepeatLogin(at) => {
                take(&mut left.repeated_logins[at]);
                sessions[at].set_login_again();
            }
            Step::Delete(at) => {
                take(&mut left.deletions);
                sessions[at].delete();
            }
            Step::Post(at) => {
                let message = sessions[at].post(self.guards);
                state.send(message);
            }
            Step::SendDeletion(at) => {
                let message = sessions[at].send_deletion();
                state.send(message);
            }
            Step::CarryOut(at) => state.carry_out(at, self.guards),
            Step::Hear(at) => sessions[at].end(self.guards, history),
            Step::GiveUp(at) => {
                if last.is_under_way(&last.sessions[at]) {
                    take(&mut left.timeouts);
                }
                sessions[at].end(self.guards, history);
            }
            Step::Crash(at) => {
                take(&mut left.crashes);
                state.end_session(at);
            }
            Step::Close(at) => {
                take(&mut left.closes);
                let leased = sessions[at].leased;
                state.end_session(at);
                if leased.fence > 0 {
                    state.send(Some(Message::Release(leased)));
                }
            }
            Step::Open(at) if left.is_exclusive => {
                take(&mut left.questions);
                sessions[at].is_asking = true;
                let writer = sessions[at].writer;
                state.send(Some(Message::Acquire(writer)));
            }
            Step::Open(at) => sessions[at].open(server.key, Leased { fence: 0, grant: 0 }),
            Step::StopAsking(at) => {
                take(&mut left.timeouts);
                sessions[at].is_asking = false;
            }
            Step::Renew(at) => {
                take(&mut left.renewals);
                let Session { writer, leased, .. } = sessions[at];
                state.send(Some(Message::Renew(writer, leased)));
            }
            Step::Expire => {
                take(&mut left.expiries);
                server.lease = 0;
            }
            Step::RestartServer => {
                take(&mut left.restarts);
                network.clear();
                for session in sessions {
                    session.is_asking = false;
                    if let Some(flight) = &mut session.flight {
                        flight.answer = None;
                    }
                }
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("what is saved is on the server", |_, state: &State| {
                let (mut saved, mut written) = (state.history.saved, state.history.written);
                let is_kept = state.server.row.is_none_or(|row| row.version >= *of(&mut saved, row.writer));
                let is_written =
                    saved.as_flattened().iter().zip(written.as_flattened_mut()).all(|(one, other)| one <= other);
                is_kept && is_written && !state.history.has(Violation::LostChange)
            }),
            Property::always("versions rise", |_, state: &State| !state.history.has(Violation::OlderVersion)),
            Property::always("leases do not overlap", |_, state: &State| !state.history.has(Violation::Overlap)),
            Property::always("a read login replaces none", |_, state: &State| !state.history.has(Violation::ReadLogin)),
            Property::always("logins do not come back", |_, state: &State| !state.history.has(Violation::OlderLogin)),
            Property::always("deletions last", |_, state: &State| !state.history.has(Violation::Resurrection)),
            Property::always("everything is stored in the end", |model: &Self, state: &State| {
                let mut work = Vec::new();
                model.work(state, &mut work);
                let mut written = state.history.written;
                let mut is_stored = |session: &Session| {
                    !session.is_open
                        || session.has_given_up()
                        || session.has_stored_everything(*of(&mut written, session.writer), &state.history)
                };
                !work.is_empty() || state.sessions.iter().all(&mut is_stored)
            }),
            Property::sometimes("a write is saved", |_, state: &State| {
                state.history.saved.as_flattened().iter().any(|version| *version > 0)
            }),
        ]
    }
}
