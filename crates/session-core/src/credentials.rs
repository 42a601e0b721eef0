//! The credentials of an account: where to connect, and the keys that log in.

use std::fmt::{self, Debug};

use zeroize::Zeroizing;

use crate::data_centre;

/// Where to connect, and the keys that log in. The keys are wiped from memory when dropped.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// The data centre's ID; 0 if none has been chosen yet.
    pub dc_id: i64,
    /// The data centre's IP address.
    pub server_address: Option<String>,
    /// The data centre's port.
    pub port: Option<i64>,
    /// The authorization key; empty if there is none.
    pub auth_key: Zeroizing<Vec<u8>>,
    /// The ID of the unfinished takeout.
    pub takeout_id: Option<i64>,
    /// The temporary authorization key; empty if there is none or it must not be stored.
    pub tmp_auth_key: Zeroizing<Vec<u8>>,
}

impl Credentials {
    /// Returns `true` if they hold a key to log in with.
    #[must_use]
    pub fn has_key(&self) -> bool {
        !(self.auth_key.is_empty() && self.tmp_auth_key.is_empty())
    }

    /// Fills in the data centre's address if it is missing beside a key, as some converters leave
    /// it. Telethon would use such a key at data centre 2, whatever the ID says.
    ///
    /// Returns `false` if the address stays missing because the ID is not one of Telegram's.
    pub fn fill_in_address(&mut self) -> bool {
        let has_address = self.server_address.as_ref().is_some_and(|address| !address.is_empty());
        if self.auth_key.is_empty() || has_address {
            return true;
        }
        let Some(address) = data_centre::address(self.dc_id) else { return false };
        self.server_address = Some(address.to_owned());
        if self.port.is_none_or(|port| port == 0) {
            self.port = Some(data_centre::PORT.into());
        }
        true
    }
}

impl Debug for Credentials {
    /// Shows whether there is a key, but not the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("dc_id", &self.dc_id)
            .field("has_auth_key", &!self.auth_key.is_empty())
            .finish_non_exhaustive()
    }
}
