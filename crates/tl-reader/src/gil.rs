//! Values that the GIL protects.

use std::cell::{RefCell, RefMut};

use pyo3::prelude::*;

/// A value that is borrowed with the GIL held only, so that no lock is needed. Never keep the
/// borrow while Python code may run, which can release the GIL.
pub(crate) struct GilCell<T>(RefCell<T>);

// SAFETY: the value is reached only through `borrow`, which takes proof that the thread holds the
// GIL, and which panics if another borrow is alive. The reader is not enabled in an interpreter
// without a GIL (`reader::enable`).
unsafe impl<T> Sync for GilCell<T> {}
// SAFETY: as above. The value is never moved out or dropped, because it is in a `static`.
unsafe impl<T> Send for GilCell<T> {}

impl<T> GilCell<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(RefCell::new(value))
    }

    #[inline]
    pub(crate) fn borrow<'a>(&'a self, _: Python<'a>) -> RefMut<'a, T> {
        self.0.borrow_mut()
    }
}
