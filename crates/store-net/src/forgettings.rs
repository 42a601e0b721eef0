//! Whether other connections have forgotten entities: the server counts the commits that did, and a
//! session knows how many of them were its own.

use std::time::{Duration, Instant};

use crate::driver;
use crate::request::{Lost, Request};

/// For how long the server is not asked again by a caller that waits for the answer.
const FRESH_TIME: Duration = Duration::from_millis(200);

/// What is known of the commits with forgotten entities.
#[derive(Debug)]
pub(crate) struct Forgettings {
    /// How many the server has counted.
    known: i64,
    /// How many of this session it has carried out since.
    own: i64,
    /// When that was answered last.
    answered: Instant,
    /// The question that is under way, and how many own commits there had been.
    asked: Option<(Request<driver::Result<i64>>, i64)>,
}

impl Forgettings {
    pub(crate) fn new(known: i64) -> Self {
        Self { known, own: 0, answered: Instant::now(), asked: None }
    }

    /// Returns `true` if there was an answer a moment ago.
    pub(crate) fn are_fresh(&self) -> bool {
        self.asked.is_none() && self.answered.elapsed() < FRESH_TIME
    }

    /// Notes a commit of this session.
    pub(crate) fn note_own(&mut self, has_forgotten: bool) {
        self.own += i64::from(has_forgotten);
    }

    /// Continues to ask, or begins. Returns the answer if there is one within `timeout`.
    pub(crate) fn ask(
        &mut self,
        timeout: Duration,
        begin: impl FnOnce() -> Request<driver::Result<i64>>,
    ) -> Option<Result<driver::Result<i64>, Lost>> {
        if self.asked.is_none() {
            self.asked = Some((begin(), self.own));
        }
        let (request, _) = self.asked.as_ref()?;
        let answer = request.wait(timeout)?;
        if !matches!(answer, Ok(Ok(_))) {
            self.asked = None;
        }
        Some(answer)
    }

    /// Returns the answer to a question that is under way, if there is one by now.
    pub(crate) fn answer(&mut self) -> Option<Result<driver::Result<i64>, Lost>> {
        let (request, _) = self.asked.as_ref()?;
        let answer = request.wait(Duration::ZERO)?;
        if !matches!(answer, Ok(Ok(_))) {
            self.asked = None;
        }
        Some(answer)
    }

    /// Notes an answer. Returns `true` if other connections have forgotten entities.
    pub(crate) fn note(&mut self, found: i64) -> bool {
        let own = self.asked.take().map_or(self.own, |(_, own)| own);
        let has_changed = found != self.known + own;
        (self.known, self.own, self.answered) = (found, self.own - own, Instant::now());
        has_changed
    }
}
