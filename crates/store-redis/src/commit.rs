//! Writes changes of sessions: one script call for about a thousand rows, and as many calls as it
//! takes in one pipeline.
//!
//! A larger call would keep other programs of the server waiting. The first call of a commit compares
//! and writes the login, and the later ones only go on if it is still the one that was written. Each
//! call may be repeated.

use redis::{Pipeline, RedisResult, Value};
use session_core::store::{Changes, Kind};
use store_net::{Attempt, Commit, CommitError, DriverError, Fence};
use zeroize::Zeroizing;

use crate::error::failure;
use crate::keys::Keys;
use crate::link::Slot;
use crate::row::{Pairs, file_field, login_pairs, write_change, write_file, write_state};
use crate::scripts::{COMMIT, Call, is_unknown};

/// How many rows, and how many bytes of them, one call takes. Lua hands a command at most 7,999
/// arguments.
const MOST_ROWS: usize = 1000;
const MOST_BYTES: usize = 1 << 20;

type CommitResult = Result<(), CommitError>;

/// What the script is to do with the login.
pub(crate) enum Check {
    /// Nothing.
    None,
    /// To replace the login if its key is this one, or the one that is written.
    Replace(Zeroizing<Vec<u8>>),
    /// To go on if its key is this one.
    Keep(Zeroizing<Vec<u8>>),
}

/// What makes a call too late.
#[derive(Clone, Copy, Default)]
struct Order {
    fence: Option<Fence>,
    attempt: Attempt,
}

/// One call of the script.
#[derive(Default)]
struct Chunk {
    entities: Vec<Vec<u8>>,
    states: Vec<Vec<u8>>,
    files: Vec<Vec<u8>>,
    bytes: usize,
}

impl Chunk {
    fn push(list: &mut Vec<Vec<u8>>, bytes: &mut usize, field: String, value: Vec<u8>) {
        *bytes += field.len() + value.len();
        list.push(field.into_bytes());
        list.push(value);
    }

    fn is_full(&self) -> bool {
        let most = 2 * MOST_ROWS;
        [&self.entities, &self.states, &self.files].iter().any(|list| list.len() >= most) || self.bytes >= MOST_BYTES
    }

    fn call(self, keys: &Keys, order: &Order, purpose: &str, check: &Check, pairs: Pairs, is_forgetting: bool) -> Call {
        let Self { entities, states, files, .. } = self;
        let count = |length: usize| (length / 2).to_string().into_bytes();
        let (check, key) = match check {
            Check::None => ("", Vec::new()),
            Check::Replace(key) => ("replace", key.to_vec()),
            Check::Keep(key) => ("keep", key.to_vec()),
        };
        let writer = keys.writer(order.attempt.writer);
        let mut call = Call::new(&COMMIT, keys.stored().into_iter().chain([&*writer]))
            .arg(order.fence.map_or_else(String::new, |Fence(fence)| fence.to_string()))
            .arg(order.attempt.number.to_string())
            .arg(purpose)
            .arg(check)
            .arg(key)
            .arg(if is_forgetting { "1" } else { "" })
            .arg(pairs.len().to_string());
        for (field, mut value) in pairs {
            call = call.arg(field).arg(std::mem::take(&mut *value));
        }
        for list in [entities, states, files] {
            call = call.arg(count(list.len())).args(list);
        }
        call
    }
}

fn chunks(changes: &Changes) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    let mut chunk = Chunk::default();
    let mut next = |chunk: &mut Chunk| {
        if chunk.is_full() {
            chunks.push(std::mem::take(chunk));
        }
    };
    for entity in changes.entities.iter() {
        let mut change = Vec::with_capacity(64);
        if write_change(&mut change, &entity) {
            next(&mut chunk);
            Chunk::push(&mut chunk.entities, &mut chunk.bytes, entity.id.to_string(), change);
        }
    }
    for (id, state) in &changes.update_states {
        next(&mut chunk);
        Chunk::push(&mut chunk.states, &mut chunk.bytes, id.to_string(), write_state(state).into_bytes());
    }
    for (key, file) in &changes.sent_files {
        next(&mut chunk);
        Chunk::push(&mut chunk.files, &mut chunk.bytes, file_field(key), write_file(file).into_bytes());
    }
    chunks.push(chunk);
    chunks
}

/// Returns the calls that make a commit, in order.
pub(crate) fn calls(keys: &Keys, commit: &Commit) -> Vec<Call> {
    let credentials = commit.changes.credentials.as_ref();
    let mut check = credentials.map_or(Check::None, |_| Check::Replace(commit.expected_key.clone()));
    let mut pairs = credentials.map(login_pairs).unwrap_or_default();
    let order = Order { fence: commit.fence, attempt: commit.attempt };
    let mut calls = Vec::new();
    let chunks = chunks(&commit.changes);
    // A commit counts once.
    let last = chunks.len() - 1;
    for (at, chunk) in chunks.into_iter().enumerate() {
        let is_forgetting = at == last && commit.has_forgotten();
        calls.push(chunk.call(keys, &order, "write", &check, std::mem::take(&mut pairs), is_forgetting));
        if let Some(credentials) = credentials {
            check = Check::Keep(credentials.auth_key.clone());
        }
    }
    calls
}

/// Returns the calls that copy what another package wrote. The last one makes it a session.
pub(crate) fn adoption(keys: &Keys, changes: &Changes, login: Pairs) -> Vec<Call> {
    let order = Order::default();
    let mut chunks = chunks(changes);
    let last = chunks.pop().unwrap_or_default();
    let mut calls: Vec<_> =
        chunks.into_iter().map(|chunk| chunk.call(keys, &order, "adopt", &Check::None, Pairs::new(), false)).collect();
    calls.push(last.call(keys, &order, "adopt", &Check::None, login, false));
    calls
}

/// What the script answered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Done,
    /// Nothing was adopted because there is a session now.
    Taken,
}

/// Reads the answer of the script.
fn read_answer(answer: RedisResult<Value>, finds_primary: bool) -> Result<Answer, CommitError> {
    let answer = answer.map_err(|error| failure(error, finds_primary).error)?;
    let mut words = redis::from_redis_value::<Vec<Vec<u8>>>(answer).unwrap_or_default().into_iter();
    match words.next().as_deref() {
        Some(b"ok") => Ok(Answer::Done),
        Some(b"taken") => Ok(Answer::Taken),
        Some(b"late") => Err(CommitError::late()),
        Some(b"fenced") => Err(CommitError::Fenced),
        Some(b"conflict") => Err(CommitError::Conflict(Zeroizing::new(words.next().unwrap_or_default()))),
        Some(b"layout") => Err(too_new(&String::from_utf8_lossy(&words.next().unwrap_or_default())).into()),
        _ => Err(DriverError::new(Kind::Other, "the server's answer to a write cannot be read").into()),
    }
}

/// Makes the error for a layout of a later release.
pub(crate) fn too_new(layout: &str) -> DriverError {
    let layout: String = layout.chars().take(20).collect();
    let message = format!("the session has layout {layout:?}, of a later release of telethon-session-rust: update it");
    DriverError::new(Kind::TooNew, message)
}

/// Makes the calls of several commits in one pipeline. Returns one result for each.
pub(crate) async fn run(slot: &Slot, commits: &[Vec<Call>]) -> Vec<Result<Answer, CommitError>> {
    let mut pipeline = Pipeline::new();
    for call in commits.iter().flatten() {
        pipeline.add_command(call.by_hash());
    }
    let answers = match slot.pipeline(&pipeline).await {
        Ok(answers) => answers,
        Err(error) => return commits.iter().map(|_| Err(error.clone().into())).collect(),
    };
    let mut answers = answers.into_iter();
    let mut results = Vec::with_capacity(commits.len());
    for calls in commits {
        let answers: Vec<_> = answers.by_ref().take(calls.len()).collect();
        let is_unknown = answers.iter().any(|answer| answer.as_ref().is_err_and(is_unknown));
        // All calls again: one that did find the script may have come before one that did not.
        results.push(if is_unknown { run_in_full(slot, calls).await } else { combine(answers, calls, slot) });
    }
    results
}

/// Makes the calls of a commit for a server that does not know the script.
async fn run_in_full(slot: &Slot, calls: &[Call]) -> Result<Answer, CommitError> {
    let mut pipeline = Pipeline::new();
    for (at, call) in calls.iter().enumerate() {
        pipeline.add_command(if at == 0 { call.in_full() } else { call.by_hash() });
    }
    combine(slot.pipeline(&pipeline).await?, calls, slot)
}

/// Returns the first failure. Those that follow are its consequences.
fn combine(answers: Vec<RedisResult<Value>>, calls: &[Call], slot: &Slot) -> Result<Answer, CommitError> {
    let mut result = Answer::Done;
    if answers.len() != calls.len() {
        return Err(DriverError::new(Kind::Other, "the server left a write unanswered").into());
    }
    for answer in answers {
        if read_answer(answer, slot.finds_primary())? == Answer::Taken {
            result = Answer::Taken;
        }
    }
    Ok(result)
}

/// Writes the changes of several sessions. A cluster gets a pipeline for each session.
pub(crate) async fn commit(slot: &Slot, prefix: &str, commits: &[Commit], is_cluster: bool) -> Vec<CommitResult> {
    let mut calls = Vec::with_capacity(commits.len());
    for commit in commits {
        calls.push(self::calls(&Keys::new(prefix, &commit.session), commit));
        // Encoding thousands of rows takes some milliseconds.
        tokio::task::yield_now().await;
    }
    let results = if is_cluster {
        let each = calls.chunks(1).map(|calls| run(slot, calls));
        futures_util::future::join_all(each).await.into_iter().flatten().collect()
    } else {
        run(slot, &calls).await
    };
    results.into_iter().map(|result| result.map(|_| ())).collect()
}
