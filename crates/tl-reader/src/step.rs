//! What is read of an object, step by step. Knows nothing of Python.

/// How many flag words a constructor may have.
pub(crate) const MAX_WORDS: usize = 4;

/// A value in TL, by the method of Telethon's reader that reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Int,
    UnsignedInt,
    Long,
    Double,
    Int128,
    Int256,
    Bytes,
    Text,
    Bool,
    Date,
    Object,
}

/// Bits of a flag word of which at least one must be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Condition {
    pub(crate) word: u8,
    pub(crate) mask: u32,
}

/// What is read next. Slots are the places of the values that the object is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// A flag word.
    Word(u8),
    /// An integer that is not used: the constructor ID of a vector.
    Skip,
    /// Nothing: the slot is `True` or `False`.
    Flag {
        slot: u16,
        flag: Condition,
    },
    Value {
        slot: u16,
        kind: Kind,
    },
    /// A vector; with its constructor ID before it, or without.
    Vector {
        slot: u16,
        kind: Kind,
        has_id: bool,
    },
}

/// An action, and when it takes place; otherwise the slot is `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) when: Option<Condition>,
    pub(crate) action: Action,
}
