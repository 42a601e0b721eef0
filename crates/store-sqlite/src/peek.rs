//! A look at a file without a connection to it.

#[cfg(target_os = "linux")]
pub(crate) use ofd_vfs::Peek;

#[cfg(not(target_os = "linux"))]
pub(crate) use other::Peek;

#[cfg(not(target_os = "linux"))]
mod other {
    use std::fs::{self, File};
    use std::io::{self, Read as _, Seek as _, SeekFrom};
    use std::path::{Path, PathBuf};

    /// A file that is open for looking at it.
    #[derive(Debug)]
    pub(crate) struct Peek {
        file: Option<File>,
        path: PathBuf,
    }

    impl Peek {
        const HEADER_LEN: u64 = 100;

        pub(crate) fn open(path: &Path) -> io::Result<Self> {
            let path = path.canonicalize()?;
            Ok(Self { file: Some(File::open(&path)?), path })
        }

        pub(crate) fn header(&self) -> io::Result<Vec<u8>> {
            let mut header = Vec::new();
            if let Some(mut file) = self.file.as_ref() {
                file.seek(SeekFrom::Start(0))?;
                file.take(Self::HEADER_LEN).read_to_end(&mut header)?;
            }
            Ok(header)
        }

        #[allow(clippy::unused_self)]
        pub(crate) fn shared_memory(&self) -> Option<Vec<u8>> {
            None
        }

        pub(crate) fn is_in_place(&self) -> bool {
            #[cfg(unix)]
            {
                use std::os::unix::fs::MetadataExt as _;
                let opened = self.file.as_ref().and_then(|file| file.metadata().ok());
                let identity = |found: fs::Metadata| (found.dev(), found.ino());
                opened.is_some_and(|opened| {
                    fs::metadata(&self.path).is_ok_and(|found| identity(found) == identity(opened))
                })
            }
            #[cfg(not(unix))]
            fs::exists(&self.path).unwrap_or(true)
        }

        #[allow(clippy::unused_self)]
        pub(crate) fn is_coherent(&self) -> bool {
            true
        }
    }

    impl Drop for Peek {
        fn drop(&mut self) {
            if cfg!(unix) {
                // Closing a file drops the locks that this process has of it.
                std::mem::forget(self.file.take());
            }
        }
    }
}
