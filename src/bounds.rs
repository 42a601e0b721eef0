//! How many entities all sessions of the program keep in memory.

use std::num::NonZeroUsize;

use pyo3::prelude::*;
use session_core::session;

/// Sets how many entities the sessions with a store that are opened from then on keep in memory
/// together; 0 for all.
#[pyfunction]
#[pyo3(signature = (max_entities, /))]
pub(crate) fn set_max_entities(max_entities: usize) {
    session::set_max_entities(NonZeroUsize::new(max_entities));
}
