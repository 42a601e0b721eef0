//! What has happened, as far as the properties need it. The protocol itself does not see it.

use crate::server::{LIVES, Leased, Message, Server, Writer};

/// What must never happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// Something that a caller was told is saved is not on the server.
    LostChange,
    /// An older version of a session's entity has replaced a newer one of the same session.
    OlderVersion,
    /// A session wrote, or was given the lease, in another one's time.
    Overlap,
    /// A login that was only read has replaced another one.
    ReadLogin,
    /// A login has replaced the one by which it had been replaced.
    OlderLogin,
    /// A write from before a deletion was carried out after it.
    Resurrection,
}

/// What has happened so far.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct History {
    /// The highest version of each session that was carried out.
    pub written: [[u8; LIVES]; 2],
    /// The highest version of each session that a caller was told is saved.
    pub saved: [[u8; LIVES]; 2],
    /// The attempt of each session that was its last deletion; 0 if there was none.
    deletions: [[u8; LIVES]; 2],
    /// How many leases were granted.
    grants: u8,
    /// The logins that have been on the server, as bits.
    keys: u8,
    violations: u8,
}

impl Default for History {
    fn default() -> Self {
        let nothing = [[0; LIVES]; 2];
        let keys = 1 << crate::server::FIRST_KEY;
        Self { written: nothing, saved: nothing, deletions: nothing, grants: 0, keys, violations: 0 }
    }
}

/// Returns a session's part of a table.
pub fn of<T>(table: &mut [[T; LIVES]; 2], Writer { process, life }: Writer) -> &mut T {
    &mut table[usize::from(process)][usize::from(life)]
}

impl History {
    /// Returns `true` if something has happened that must not.
    #[must_use]
    pub fn has(&self, violation: Violation) -> bool {
        self.violations & (1 << violation as u8) != 0
    }

    fn note(&mut self, violation: Violation, has_happened: bool) {
        self.violations |= u8::from(has_happened) << violation as u8;
    }

    /// Returns `true` if a login has been on the server.
    #[must_use]
    pub fn had_key(&self, key: u8) -> bool {
        self.keys & (1 << key) != 0
    }

    /// Notes that a caller was told that a version is saved.
    pub fn note_saved(&mut self, writer: Writer, version: u8) {
        let written = *of(&mut self.written, writer);
        self.note(Violation::LostChange, written < version);
        let saved = of(&mut self.saved, writer);
        *saved = version.max(*saved);
    }

    /// Notes that a caller was told that a login is saved.
    pub fn note_saved_login(&mut self, key: u8) {
        self.note(Violation::LostChange, !self.had_key(key));
    }

    /// Notes a write that is about to be carried out.
    pub fn note_write(&mut self, server: &Server, message: &Message) {
        let &Message::Write { writer, attempt, leased, version, login } = message else { return };
        self.note(Violation::Overlap, leased.fence > 0 && leased.grant < self.grants);
        if version > 0 {
            let written = *of(&mut self.written, writer);
            self.note(Violation::OlderVersion, version < written);
            *of(&mut self.written, writer) = version.max(written);
            let saved = *of(&mut self.saved, writer);
            self.note(Violation::LostChange, version < saved);
        }
        let is_resurrected = attempt < *of(&mut self.deletions, writer);
        self.note(Violation::Resurrection, is_resurrected);
        if let Some(login) = login {
            let replaces = server.key != 0 && server.key != login.key;
            self.note(Violation::ReadLogin, replaces && login.is_only_read);
            self.note(Violation::OlderLogin, replaces && self.had_key(login.key));
            self.keys |= 1 << login.key;
        }
    }

    /// Notes a deletion that is about to be carried out.
    pub fn note_delete(&mut self, server: &Server, message: &Message) {
        let &Message::Delete { writer, attempt, version, .. } = message else { return };
        let is_newer = server.row.is_some_and(|row| row.writer == writer && row.version > version);
        let saved = *of(&mut self.saved, writer);
        self.note(Violation::LostChange, is_newer && saved > version);
        *of(&mut self.deletions, writer) = attempt;
    }

    /// Notes that the lease is granted, perhaps while another one stands. Returns its number.
    pub fn note_grant(&mut self, stands: bool) -> u8 {
        self.note(Violation::Overlap, stands);
        self.grants += 1;
        self.grants
    }

    /// Notes that a lease is renewed while one stands.
    pub fn note_renewal(&mut self, stands: bool, leased: Leased) {
        self.note(Violation::Overlap, stands && leased.grant < self.grants);
    }
}
