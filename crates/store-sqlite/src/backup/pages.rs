//! Copies the pages of a session file, through a connection of its own.
//!
//! The moment is the one at which the pages begin to be read, together with what memory held and the
//! file lacked. A file that is not written meanwhile is copied without a lock. One that is written
//! is copied again, and in the end under a lock for reading: others write again when the copy is
//! complete. In WAL mode that lock never keeps them from writing.

use std::any::Any;
use std::path::Path;

use session_core::error::{Error, Result};
use session_core::fork;
use session_core::session::{Frozen, Session};
use session_core::store::{self, Kind, Place, Revision, Store};

use super::{BackupOptions, Caller, sealed, waiting};
use crate::copy::FileCopy;
use crate::read_only::ReadOnlyStore;
use crate::store::SqliteStore;

/// How often a file is copied without a lock before it is locked for reading.
const UNLOCKED_ATTEMPTS: u32 = 2;
/// How many entities memory may hold that the file lacks. More are written first, because they are
/// copied with the session locked.
const MAX_UNSAVED: usize = 2000;

/// The state of a file for one connection.
#[derive(Clone, Copy, Debug)]
enum Base {
    /// It stays as it is.
    Pinned,
    /// It is at this revision, if the connection can tell.
    At(Option<Revision>),
}

impl Base {
    /// Returns the state, which stays if it is to be `pinned`, or if that keeps no other program from
    /// writing.
    fn of(reader: &mut SqliteStore, pinned: bool) -> store::Result<Self> {
        if !reader.takes_locks() {
            return Ok(Self::At(None));
        }
        if pinned || reader.is_in_wal_mode()? {
            reader.pin()?;
            return Ok(Self::Pinned);
        }
        Ok(Self::At(Some(reader.own_revision()?)))
    }

    /// Returns whether the file has not changed since; `None` if the connection cannot tell.
    fn is_still_there(self, reader: &mut SqliteStore) -> store::Result<Option<bool>> {
        match self {
            Self::Pinned => Ok(Some(true)),
            Self::At(None) => Ok(None),
            Self::At(revision) => Ok(Some(Some(reader.own_revision()?) == revision)),
        }
    }
}

/// Copies the file of a session, and adds what the session has not written yet. Returns `false` if
/// the session has no file, or it cannot be opened again.
pub(super) fn copy_session(
    session: &Session,
    options: BackupOptions<'_>,
    caller: &mut dyn Caller,
    copy: &mut FileCopy,
) -> Result<bool> {
    let target = options.target;
    // The copy gets a login that is encrypted with an older key, or not yet, as the session would save it.
    let needs_login = options.needs_login || session.has_outdated_login();
    let login = if needs_login { Some(sealed(&caller.parts()?.credentials, target, caller)?) } else { None };
    for attempt in 0.. {
        if session.unsaved_entities() > MAX_UNSAVED {
            // Best effort: they are copied in any case.
            let _ = session.write_now();
        }
        let mut base = None;
        let frozen = waiting(&session.place(), &mut || caller.keep_going(), || {
            session.freeze(|reader| {
                if let Some(reader) = sqlite(reader) {
                    base = Some(Base::of(reader, attempt >= UNLOCKED_ATTEMPTS)?);
                }
                Ok(())
            })
        });
        let frozen = match frozen {
            // An entity file that is or may be another account's. The session is kept in memory.
            Err(error) if error.kind().is_some_and(Kind::is_of_others) => return Ok(false),
            frozen => frozen?,
        };
        let (Some(mut frozen), Some(base)) = (frozen, base) else { return Ok(false) };
        let Some(reader) = sqlite(&mut *frozen.reader) else { return Ok(false) };
        if !copy.copy_pages(reader, &mut || caller.keep_going())? {
            continue;
        }
        let is_still_there = waiting(&session.place(), &mut || caller.keep_going(), || {
            let _guard = fork::guard();
            Ok(base.is_still_there(reader)?)
        })?;
        let version = reader.version();
        let Frozen { mut changes, reader } = frozen;
        drop(reader);
        if is_still_there != Some(false) {
            changes.credentials =
                changes.credentials.map(|credentials| sealed(&credentials, target, caller)).transpose()?;
            copy.amend(&changes, login.as_ref(), version)?;
            break;
        }
    }
    Ok(true)
}

/// Copies a session file, which may be in use, as it is. What its sessions have not written yet is
/// not in the copy.
///
/// # Errors
/// As those of [`back_up`](super::back_up).
pub fn copy_file(source: &Path, target: &Path, may_replace: bool, keep_going: &mut dyn FnMut() -> bool) -> Result<()> {
    let place = Place::File(source.to_owned());
    let source = ReadOnlyStore::over(source)?;
    let mut copy = FileCopy::begin(target, may_replace)?;
    for attempt in 0.. {
        let (mut reader, revision, base) = waiting(&place, keep_going, || {
            let _guard = fork::guard();
            let (mut reader, revision) = source.open_again()?;
            let base = Base::of(&mut reader, attempt >= UNLOCKED_ATTEMPTS)?;
            Ok((reader, revision, base))
        })?;
        if !copy.copy_pages(&reader, keep_going)? {
            continue;
        }
        let is_whole = waiting(&place, keep_going, || {
            let _guard = fork::guard();
            let is_still_there = base.is_still_there(&mut reader)?;
            is_still_there.map_or_else(|| Ok::<_, Error>(source.current_revision()? == revision), Ok)
        })?;
        if is_whole {
            break;
        }
    }
    copy.make_single()?;
    Ok(copy.finish()?)
}

fn sqlite(store: &mut dyn Store) -> Option<&mut SqliteStore> {
    (store as &mut dyn Any).downcast_mut()
}
