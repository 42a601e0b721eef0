//! What a generated `from_reader` does, as a record. Knows nothing of Python.

use crate::step::Kind;

/// What happened, in order. Values are numbered in the order in which they are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A value was read.
    Read(Kind),
    /// `bool(value & mask)` became a value.
    Flag { word: usize, mask: u32 },
    /// `if value & mask`.
    Test { word: usize, mask: u32 },
    /// `for _ in range(value)`, with one turn.
    Range(usize),
}

/// What a keyword of the class got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Argument {
    Value(usize),
    /// A list with one value.
    List(usize),
}

/// What a function did.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) events: Vec<Event>,
    /// The keywords with which the class was called at the end.
    pub(crate) arguments: Vec<(String, Argument)>,
}
