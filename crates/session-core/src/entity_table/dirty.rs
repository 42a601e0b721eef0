//! Which part of an entity is not stored yet.

/// The bits of a row's flags that hold its [`Dirty`] state.
pub(super) const DIRTY: u8 = 0b1110;

/// The part of an entity that is not stored yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dirty {
    /// Nothing: the store holds the entity as it is.
    #[default]
    Clean,
    /// The whole row.
    Full,
    /// The access hash and the date. The texts are unchanged, or unknown here and possibly in the
    /// store.
    AccessHashAndDate,
    /// The username, which another entity has taken over.
    LostUsername,
    /// The date when the entity was last seen.
    Date,
    /// Aliases, which other entities have taken over.
    LostAlias,
    /// The entity was forgotten, and its row is to be deleted. Only in a batch that is written,
    /// where the date tells until when it may have been seen: one that was seen later, by another
    /// process, stays. `u32::MAX` deletes it whenever it was seen.
    Gone,
}

impl Dirty {
    /// Returns the part that is dirty when both `self` and `other` are.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Clean, kind) | (kind, Self::Clean) => kind,
            (a, b) if a == b => a,
            (Self::Date, Self::AccessHashAndDate) | (Self::AccessHashAndDate, Self::Date) => Self::AccessHashAndDate,
            _ => Self::Full,
        }
    }

    /// Returns `true` if nothing but a date is dirty.
    #[must_use]
    pub fn is_date_at_most(self) -> bool {
        matches!(self, Self::Clean | Self::Date)
    }

    pub(super) fn to_flags(self) -> u8 {
        (self as u8) << 1
    }

    pub(super) fn from_flags(flags: u8) -> Self {
        match (flags & DIRTY) >> 1 {
            0 => Self::Clean,
            1 => Self::Full,
            2 => Self::AccessHashAndDate,
            3 => Self::LostUsername,
            5 => Self::LostAlias,
            _ => Self::Date,
        }
    }
}
