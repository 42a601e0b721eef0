//! Makes values of Python's once, without a lock that a fork could find taken.
//!
//! `PyO3`'s `PyOnceLock`, and its `intern!`, release the GIL while a value is made, so that another
//! thread can fork then. In the child no thread finishes the value, and the first use of it waits
//! forever. Here threads that meet both make a value, and one of the two is dropped.

use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};

use pyo3::prelude::*;
use pyo3::types::PyString;

/// A value that is made at its first use. It lives as long as the process.
#[derive(Debug)]
pub struct PyOnce<T: Send + Sync + 'static>(AtomicPtr<T>);

impl<T: Send + Sync + 'static> PyOnce<T> {
    /// Returns one without a value.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicPtr::new(null_mut()))
    }

    /// Returns the value. Makes it with `make` if there is none; another thread may do so at the
    /// same time, and the value that is ready first stays.
    ///
    /// # Errors
    /// What `make` returns. The next use tries again.
    #[inline]
    pub fn get_or_try_init<E>(&self, _: Python<'_>, make: impl FnOnce() -> Result<T, E>) -> Result<&T, E> {
        let value = self.0.load(Ordering::Acquire);
        // SAFETY: a pointer that is not null is that of a leaked `Box`, which is never freed or
        // changed.
        match unsafe { value.as_ref() } {
            Some(value) => Ok(value),
            None => Ok(self.keep(make()?)),
        }
    }

    #[cold]
    fn keep(&self, value: T) -> &T {
        let value = Box::into_raw(Box::new(value));
        match self.0.compare_exchange(null_mut(), value, Ordering::AcqRel, Ordering::Acquire) {
            // SAFETY: it is a leaked `Box`, as above.
            Ok(_) => unsafe { &*value },
            Err(earlier) => {
                // SAFETY: ours was not stored, so this is its only owner. The other one is a leaked
                // `Box`, as above.
                unsafe {
                    drop(Box::from_raw(value));
                    &*earlier
                }
            }
        }
    }
}

impl<T: Send + Sync + 'static> Default for PyOnce<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// A string that is interned at its first use. Made by [`intern!`].
#[derive(Debug)]
pub struct Interned(PyOnce<Py<PyString>>, &'static str);

impl Interned {
    /// Returns one for this text.
    #[must_use]
    pub const fn new(text: &'static str) -> Self {
        Self(PyOnce::new(), text)
    }

    /// Returns the string.
    #[inline]
    pub fn get<'py>(&self, py: Python<'py>) -> &Bound<'py, PyString> {
        let make = || Ok::<_, std::convert::Infallible>(PyString::intern(py, self.1).unbind());
        match self.0.get_or_try_init(py, make) {
            Ok(string) => string.bind(py),
            Err(never) => match never {},
        }
    }
}

/// Returns Python's string for a literal, like `PyO3`'s `intern!`.
#[macro_export]
macro_rules! intern {
    ($py:expr, $text:expr) => {{
        static INTERNED: $crate::Interned = $crate::Interned::new($text);
        INTERNED.get($py)
    }};
}
