//! Knows the revision of a file without asking SQLite, as long as nothing is committed to it.

use session_core::store::Revision;

#[cfg(target_os = "linux")]
use ofd_vfs::{Mark, Watch as FileWatch};

/// Watches a file for commits. Does nothing where only SQLite can tell.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    #[cfg(target_os = "linux")]
    file: Option<FileWatch>,
    /// What SQLite last said, and the mark of the file then.
    known: Option<(Revision, Mark)>,
}

/// There is no such mark on other systems.
#[cfg(not(target_os = "linux"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {}

impl Watch {
    /// Returns a watch of the file that this thread has just opened.
    #[cfg(target_os = "linux")]
    pub(crate) fn of_opened() -> Self {
        Self { file: ofd_vfs::take_watch(), known: None }
    }

    /// Returns whether both watch the same file; `None` if this cannot be told.
    #[cfg_attr(not(target_os = "linux"), allow(clippy::unused_self))]
    pub(crate) fn is_same_file(&self, other: &Self) -> Option<bool> {
        #[cfg(target_os = "linux")]
        return Some(self.file.as_ref()?.is_same_file(other.file.as_ref()?));
        #[cfg(not(target_os = "linux"))]
        {
            let _ = other;
            None
        }
    }

    /// Returns the mark of the file; `None` if it has none.
    #[cfg_attr(not(target_os = "linux"), allow(clippy::unused_self))]
    pub(crate) fn look(&self) -> Option<Mark> {
        #[cfg(target_os = "linux")]
        return self.file.as_ref()?.now();
        #[cfg(not(target_os = "linux"))]
        None
    }

    /// Returns the revision of the file if it has this mark and SQLite need not be asked.
    pub(crate) fn revision_at(&self, mark: Option<Mark>) -> Option<Revision> {
        self.known.filter(|known| Some(known.1) == mark).map(|known| known.0)
    }

    /// Notes the revision that SQLite has said, and the mark of the file before it was asked.
    #[cfg_attr(not(target_os = "linux"), allow(clippy::needless_pass_by_value))]
    pub(crate) fn note(&mut self, revision: Revision, before: Option<Mark>) {
        #[cfg(target_os = "linux")]
        let mark = self.file.as_ref().and_then(|file| file.seen(before));
        #[cfg(not(target_os = "linux"))]
        let mark = before;
        self.known = mark.map(|mark| (revision, mark));
    }
}
