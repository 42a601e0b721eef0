//! Who holds a lease: host, process and since when, for the message that another session gets.

use std::error::Error;
use std::fmt::{self, Display};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::attempt::random;

/// The holder of a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The host's name.
    pub host: String,
    /// The process ID there.
    pub pid: u32,
    /// When the session was opened, in seconds since 1970.
    pub since: u64,
    /// Random, so that no other session ever asks with the same words.
    pub token: u64,
}

impl Owner {
    /// Returns this process, from now on.
    #[must_use]
    pub fn this() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let host = gethostname::gethostname().to_string_lossy().into_owned();
        Self { host, pid: std::process::id(), since, token: random() }
    }

    /// Returns the form in which it is stored.
    #[must_use]
    pub fn to_stored(&self) -> String {
        let Self { host, pid, since, token } = self;
        format!("{pid} {since} {token:x} {host}")
    }

    /// Reads the stored form. Anything else is taken for the name of a host.
    #[must_use]
    pub fn from_stored(stored: &str) -> Self {
        let read = || {
            let mut parts = stored.splitn(4, ' ');
            let (pid, since) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
            let token = u64::from_str_radix(parts.next()?, 16).ok()?;
            Some(Self { host: parts.next()?.to_owned(), pid, since, token })
        };
        read().unwrap_or_else(|| Self { host: stored.to_owned(), pid: 0, since: 0, token: 0 })
    }
}

impl Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, pid, since, .. } = self;
        let ago = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs().saturating_sub(*since);
        write!(f, "process {pid} on {host:?}, which opened it {ago} s ago")
    }
}

impl Error for Owner {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stored_form_is_read_again() {
        let owner = Owner { host: "a host".to_owned(), pid: 7, since: 9, token: 1 << 40 };
        assert_eq!(Owner::from_stored(&owner.to_stored()), owner);
        assert_eq!(Owner::from_stored("somewhere").host, "somewhere");
        assert_eq!(Owner::from_stored("").pid, 0);
    }
}
