//! What of an entity is not in the file yet.

/// Where in a row's flags it is kept.
pub(super) const UNSAVED: u8 = 0b1110;

/// What of a row is not in the file yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unsaved {
    /// Nothing.
    #[default]
    Nothing,
    /// The whole row.
    Row,
    /// Hash and date; the texts are unchanged, or were never known here and may be in the file.
    HashAndDate,
    /// That the row has lost its username to another one.
    LostUsername,
    /// When it was last seen, and nothing else.
    Date,
}

impl Unsaved {
    /// What is unsaved when both are.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Nothing, kind) | (kind, Self::Nothing) => kind,
            (a, b) if a == b => a,
            (Self::Date, Self::HashAndDate) | (Self::HashAndDate, Self::Date) => Self::HashAndDate,
            _ => Self::Row,
        }
    }

    pub(super) fn to_flags(self) -> u8 {
        (self as u8) << 1
    }

    pub(super) fn from_flags(flags: u8) -> Self {
        match (flags & UNSAVED) >> 1 {
            0 => Self::Nothing,
            1 => Self::Row,
            2 => Self::HashAndDate,
            3 => Self::LostUsername,
            _ => Self::Date,
        }
    }
}
