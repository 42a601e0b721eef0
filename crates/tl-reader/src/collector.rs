//! Pauses the cyclic garbage collector.

use pyo3::ffi;
use pyo3::prelude::*;

/// Pauses the collector, if it is on, until it is dropped.
///
/// A large read makes thousands of objects, none of which is garbage, and each seven hundred of
/// them would be searched for cycles.
pub(crate) struct Pause {
    was_on: bool,
}

impl Pause {
    pub(crate) fn begin(_: Python<'_>) -> Self {
        // SAFETY: the GIL is held; the function cannot fail.
        Self { was_on: unsafe { ffi::PyGC_Disable() } != 0 }
    }
}

impl Drop for Pause {
    fn drop(&mut self) {
        if self.was_on {
            // SAFETY: as above. A pause is dropped by the thread that began it, with the GIL held.
            unsafe { ffi::PyGC_Enable() };
        }
    }
}
