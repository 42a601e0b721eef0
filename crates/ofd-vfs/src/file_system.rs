//! What the database file and its shared memory need of the file system.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::sys::statfs::{
    BTRFS_SUPER_MAGIC, EXT4_SUPER_MAGIC, F2FS_SUPER_MAGIC, FsType, OVERLAYFS_SUPER_MAGIC, TMPFS_MAGIC, fstatfs,
};

// `nix` does not have them for every libc.
const XFS_SUPER_MAGIC: FsType = FsType(0x5846_5342);
const ZFS_SUPER_MAGIC: FsType = FsType(0x2fc1_2fc1);

/// Returns the file with a descriptor above those of the standard streams. A program that has
/// closed these streams would otherwise write to the file.
pub(crate) fn above_standard_streams(file: File) -> io::Result<File> {
    const FIRST: i32 = 3;
    if file.as_raw_fd() < FIRST { file.try_clone() } else { Ok(file) }
}

/// Returns `true` if the file at a path is the one with these attributes; `None` if there is no
/// file.
pub(crate) fn is_at(path: &Path, attributes: &Metadata) -> Option<bool> {
    let found = fs::metadata(path).ok()?;
    Some((found.dev(), found.ino()) == (attributes.dev(), attributes.ino()))
}

/// Returns `true` if reading this file always returns what was last written to it. That is so on a
/// disk of this machine. A network file system asks its server only from time to time, or when a
/// file is locked; any other file system that is not known may do so.
pub(crate) fn is_coherent(file: &File, is_writable: bool) -> bool {
    // ext2, ext3 and ext4 have one number.
    const LOCAL: [FsType; 6] =
        [EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, BTRFS_SUPER_MAGIC, F2FS_SUPER_MAGIC, ZFS_SUPER_MAGIC, TMPFS_MAGIC];
    let Ok(found) = fstatfs(file) else { return false };
    let kind = found.filesystem_type();
    // An overlay copies a file when it is first opened for writing; until then it is one of any
    // file system.
    LOCAL.contains(&kind) || (kind == OVERLAYFS_SUPER_MAGIC && is_writable)
}
