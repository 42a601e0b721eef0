//! A claim on a whole file, which lasts as long as its holder and names the holder's process.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

use crate::lock::{self, Attempt};
use crate::open_files::{self, Shared, locked};

/// A claim on a file. It ends when it is dropped, or with the process. It excludes only others that
/// claim the file too.
#[derive(Debug)]
pub struct Claim {
    file: Shared,
}

/// The outcome of an attempt to claim a file.
#[derive(Debug)]
pub enum Claimed {
    /// The file is claimed.
    Ours(Claim),
    /// A process with this ID holds the claim: another one, or this one.
    By(u32),
}

impl Claim {
    /// Claims an existing file that may be written.
    ///
    /// # Errors
    /// What prevents the file from being opened or locked.
    pub fn take(path: &Path) -> io::Result<Claimed> {
        let file = match open_files::take_waiting(path, true) {
            Some(file) => file,
            None => OpenOptions::new().read(true).write(true).open(path)?,
        };
        let file = Self { file: open_files::add(file) };
        loop {
            let attempt = match &*locked(&file.file) {
                Some(file) => match lock::claim(file, std::process::id())? {
                    Attempt::Locked => Ok(()),
                    Attempt::Busy => Err(lock::claimed_by(file)?),
                },
                None => return Err(io::Error::other("the process was forked meanwhile")),
            };
            match attempt {
                Ok(()) => return Ok(Claimed::Ours(file)),
                Err(Some(process)) => return Ok(Claimed::By(process)),
                // The claim ended just now.
                Err(None) => {}
            }
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some(file) = locked(&self.file).take() {
            close(file);
        }
    }
}

/// Ends the claim at once, although it may take a while until the file can be closed.
fn close(file: File) {
    let _ = lock::give_up(&file);
    open_files::close(file, true, lock::ALL);
}
