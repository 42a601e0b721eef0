//! Plans: how the objects of a class are read and made.

use std::cell::Cell;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyType};

use crate::message::MessageTail;
use crate::schedule::Schedule;
use crate::watch::Watch;

/// How an object is made of the values in the slots.
pub(crate) enum Make {
    /// By setting the attributes of an empty object.
    Attributes,
    /// By giving an empty object a copy of this dictionary, which has the attributes of an object
    /// without flags and optional values, and changing the others.
    Dictionary(Py<PyDict>),
    /// As above, with the attributes that Telethon's own `Message` adds.
    Message(Py<PyDict>, MessageTail),
    /// By calling the class with keywords.
    Call,
}

/// How objects of a class are read.
pub(crate) struct Plan {
    pub(crate) class: Py<PyType>,
    pub(crate) schedule: Schedule,
    /// The name of each slot: a keyword of the class and, unless the class is called, the
    /// attribute that gets its value. In the order in which the class sets its attributes.
    pub(crate) names: Box<[Py<PyString>]>,
    /// For each slot, whether it is `False` instead of `None` if nothing is read into it.
    pub(crate) is_flag: Box<[bool]>,
    pub(crate) make: Make,
    /// Whether a better way to make objects may be found at the next use.
    pub(crate) is_provisional: bool,
    /// What the plan depends on.
    pub(crate) watch: Watch,
    /// The call of the reader in which the watch was asked last.
    pub(crate) checked_in: Cell<u64>,
}
