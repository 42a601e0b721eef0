//! Copies the rows of a session that has no file, in small steps.
//!
//! What changes meanwhile is copied again. The moment is the last step, which takes everything that
//! is left.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use session_core::error::Result;
use session_core::session::{EntityScan, Session, TrackedChanges, Tracker};
use session_core::store::{FileKey, Kind, SentFile, StoreError};

use super::{BackupOptions, Caller, LastStep, sealed};
use crate::copy::FileCopy;

/// How long to wait until a session is loaded from its server: as long as the caller keeps going.
const LOADING: Duration = Duration::from_secs(u32::MAX as u64);

/// How many entities the last step copies, with the session locked, if that is enough.
const FIRST_LIMIT: usize = 1000;
/// How many steps copy what has changed before the last step is tried.
const MAX_STEPS: u32 = 1000;
/// How many last steps are tried until one is of one moment. The update states of the copy are older
/// than its entities if none is. A client asks Telegram for what happened since.
const MAX_LAST_STEPS: u32 = 100;

/// Copies everything that a session knows.
pub(super) fn copy_session(
    session: &Arc<Session>,
    options: BackupOptions<'_>,
    caller: &mut dyn Caller,
    copy: &mut FileCopy,
) -> Result<()> {
    let tracker = session.track();
    copy.create_tables(options.version)?;
    loop {
        copy_entities(session, caller, copy)?;
        let stored = stored_files(session, caller)?;
        if let Some(LastStep { parts, rest, .. }) = copy_rest(session, &tracker, caller, copy)? {
            let update_states = if session.is_stored() { rest.update_states } else { parts.update_states };
            let mut sent_files: HashMap<FileKey, SentFile> = stored.into_iter().collect();
            sent_files.extend(rest.sent_files.into_iter().chain(parts.sent_files));
            let mut login = parts.credentials;
            login.fill_in_address();
            let login = sealed(&login, options.target, caller)?;
            return Ok(copy.fill(&login, update_states, sent_files.into_iter().collect(), options.version)?);
        }
        copy.remove_all()?;
    }
}

fn copy_entities(session: &Session, caller: &mut dyn Caller, copy: &mut FileCopy) -> Result<()> {
    let mut scan = EntityScan::default();
    loop {
        let batch = session.scan(&mut scan, LOADING, &mut || caller.keep_going())?;
        check(session, caller)?;
        if batch.is_empty() {
            return Ok(());
        }
        copy.put(&batch)?;
    }
}

fn stored_files(session: &Session, caller: &mut dyn Caller) -> Result<Vec<(FileKey, SentFile)>> {
    if !session.is_stored() {
        return Ok(Vec::new());
    }
    match session.sent_files(LOADING, &mut || caller.keep_going()) {
        // Those of another account.
        Err(error) if error.kind().is_some_and(Kind::is_of_others) => Ok(Vec::new()),
        files => files,
    }
}

/// Copies what has changed since, and takes the rest; `None` if everything is to be copied again.
fn copy_rest(
    session: &Session,
    tracker: &Tracker,
    caller: &mut dyn Caller,
    copy: &mut FileCopy,
) -> Result<Option<LastStep>> {
    let (mut limit, mut last_steps) = (FIRST_LIMIT, 0);
    loop {
        for _ in 0..MAX_STEPS {
            check(session, caller)?;
            let changes = tracker.take();
            if changes.begins_again {
                return Ok(None);
            }
            apply(&changes, copy)?;
            if !changes.has_more {
                break;
            }
        }
        match caller.last_step(tracker, limit)? {
            Some(last) if last.rest.changes.begins_again => return Ok(None),
            Some(last) => {
                apply(&last.rest.changes, copy)?;
                last_steps += 1;
                if last.is_one_moment || last_steps == MAX_LAST_STEPS {
                    return Ok(Some(last));
                }
            }
            // A session that changes faster than it is copied is held for longer.
            None => limit *= 2,
        }
    }
}

fn apply(changes: &TrackedChanges, copy: &mut FileCopy) -> Result<()> {
    copy.put(&changes.entities)?;
    Ok(copy.remove(&changes.gone)?)
}

fn check(session: &Session, caller: &mut dyn Caller) -> Result<()> {
    if caller.keep_going() { Ok(()) } else { Err(StoreError::stopped(session.place()).into()) }
}
