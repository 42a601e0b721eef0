//! What the database file and its shared memory need of the file system.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Returns the file with a descriptor above those of the standard streams. A program that has closed
/// these streams would otherwise write to the file.
pub(crate) fn above_standard_streams(file: File) -> io::Result<File> {
    const FIRST: i32 = 3;
    if file.as_raw_fd() < FIRST { file.try_clone() } else { Ok(file) }
}

/// Returns `true` if the file at a path is the one with these attributes; `None` if there is no file.
pub(crate) fn is_at(path: &Path, attributes: &Metadata) -> Option<bool> {
    let found = fs::metadata(path).ok()?;
    Some((found.dev(), found.ino()) == (attributes.dev(), attributes.ino()))
}
