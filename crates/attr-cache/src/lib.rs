//! Reads the attributes of many Python objects of one class out of their dictionaries.
//!
//! Objects that `__init__` filled have their attributes in their dictionaries in the order in which
//! they were set, so an attribute is usually in the same entry as in the object before. CPython's
//! interpreter remembers that entry for each line of code (`LOAD_ATTR_WITH_HINT`); an [`Attribute`]
//! does so here. A search by hash waits for memory twice, for the dictionary's index and for the
//! entry; this waits once. The entry is trusted only if its key is the very string that is looked
//! for; otherwise there is a search.
//!
//! [`Values`] holds the values of several objects: integers and flags are read in place, without a
//! reference count, and texts as UTF-8.

mod text;
mod values;

pub use values::{Attributes, Objects, Row, Values};

use std::ptr::null_mut;
use std::sync::atomic::{AtomicIsize, Ordering};

use py_once::intern;
use pyo3::exceptions::{PyAttributeError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyInt, PyString};

use text::Scripts;

/// A value, read as far as that takes no Python code.
#[derive(Debug, Default)]
pub enum AttrValue<'py> {
    /// The object has no such attribute.
    #[default]
    Missing,
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// An exact `int` that fits.
    Int(i64),
    /// Anything else.
    Object(Bound<'py, PyAny>),
}

/// An attribute: its name, and the entry where it was last found.
#[derive(Debug)]
pub struct Attribute {
    name: Py<PyString>,
    place: AtomicIsize,
    /// Whether this Python's dictionaries can be asked for an entry by its index.
    has_place: bool,
    scripts: Scripts,
}

impl Attribute {
    /// Returns the attributes with these names.
    ///
    /// # Errors
    /// What prevents Python's version from being read.
    pub fn named<const N: usize>(py: Python<'_>, names: [&str; N]) -> PyResult<[Self; N]> {
        let has_place = has_places(py)?;
        let new = |name| Self {
            name: PyString::intern(py, name).unbind(),
            place: AtomicIsize::new(0),
            has_place,
            scripts: Scripts::default(),
        };
        Ok(names.map(new))
    }

    /// Asks an object of any class for its value.
    ///
    /// # Errors
    /// What the object raises, except that it has no such attribute.
    pub fn read<'py>(&self, object: &Bound<'py, PyAny>) -> PyResult<AttrValue<'py>> {
        let found = object.getattr_opt(self.name.bind(object.py()))?;
        Ok(found.map_or(AttrValue::Missing, AttrValue::from_object))
    }

    /// Returns the value in the remembered entry if its key is the very name, or else the one that
    /// a search finds. Null if there is none. Runs no Python code.
    ///
    /// The reference is borrowed from the dictionary. Call only if `has_place` is set.
    #[inline]
    fn find(&self, dict: &Bound<'_, PyDict>) -> *mut ffi::PyObject {
        let mut at = self.place.load(Ordering::Relaxed);
        let (mut key, mut value) = (null_mut(), null_mut());
        // SAFETY: the dictionary is alive and exactly a `dict`. `has_places` has checked that the
        // place is the index of an entry, which PyDict_Next compares with the number of entries,
        // and that no other thread changes the dictionary meanwhile.
        let is_there = unsafe { ffi::PyDict_Next(dict.as_ptr(), &raw mut at, &raw mut key, &raw mut value) } != 0;
        if is_there && key == self.name.as_ptr() { value } else { self.learn(dict) }
    }

    /// Searches the whole dictionary for the entry and remembers it. Returns what [`find`](Self::find)
    /// does.
    #[cold]
    fn learn(&self, dict: &Bound<'_, PyDict>) -> *mut ffi::PyObject {
        let mut at = 0;
        loop {
            let (before, mut key, mut value) = (at, null_mut(), null_mut());
            // SAFETY: as in `find`.
            let is_there = unsafe { ffi::PyDict_Next(dict.as_ptr(), &raw mut at, &raw mut key, &raw mut value) } != 0;
            if !is_there {
                return null_mut();
            }
            if key == self.name.as_ptr() {
                self.place.store(before, Ordering::Relaxed);
                return value;
            }
        }
    }
}

impl<'py> AttrValue<'py> {
    /// Reads an object.
    #[must_use]
    pub fn from_object(object: Bound<'py, PyAny>) -> Self {
        if object.is_none() {
            Self::None
        } else if let Ok(flag) = object.cast_exact::<PyBool>() {
            Self::Bool(flag.is_true())
        } else if object.is_exact_instance_of::<PyInt>() {
            object.extract().map_or(Self::Object(object), Self::Int)
        } else {
            Self::Object(object)
        }
    }

    /// Returns the truth value, as `if` has it; `false` if it is missing.
    ///
    /// # Errors
    /// What the object raises.
    #[inline]
    pub fn is_truthy(&self) -> PyResult<bool> {
        match self {
            Self::Missing | Self::None => Ok(false),
            Self::Bool(flag) => Ok(*flag),
            Self::Int(number) => Ok(*number != 0),
            Self::Object(object) => object.is_truthy(),
        }
    }

    /// Returns the integer.
    ///
    /// # Errors
    /// `AttributeError` if it is missing, `TypeError` if it is not an integer, `OverflowError` if
    /// it does not fit.
    #[inline]
    pub fn number(&self) -> PyResult<i64> {
        match self {
            Self::Missing => Err(PyAttributeError::new_err("the object has no such attribute")),
            Self::None => Err(PyTypeError::new_err("None is not a number")),
            Self::Bool(flag) => Ok((*flag).into()),
            Self::Int(number) => Ok(*number),
            Self::Object(object) => object.extract(),
        }
    }
}

/// Returns the dictionary of an object that has its own.
///
/// # Errors
/// What asking for it raises.
pub fn dict_of<'py>(object: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyDict>>> {
    // SAFETY: the object is alive, and the result is a new reference or, with an exception set,
    // null.
    let dict = unsafe {
        let dict = ffi::PyObject_GenericGetDict(object.as_ptr(), null_mut());
        Bound::from_owned_ptr_or_err(object.py(), dict)?
    };
    Ok(dict.cast_into_exact().ok())
}

/// Returns `true` if a place in a dictionary is the index of its entry. This holds for `CPython` up
/// to the newest known version, with the GIL, which keeps other threads from changing the
/// dictionary meanwhile.
fn has_places(py: Python<'_>) -> PyResult<bool> {
    const NEWEST: (u8, u8) = (3, 14);
    let sys = py.import("sys")?;
    let name: String = sys.getattr(intern!(py, "implementation"))?.getattr(intern!(py, "name"))?.extract()?;
    let is_locked = match sys.getattr_opt(intern!(py, "_is_gil_enabled"))? {
        Some(is_enabled) => is_enabled.call0()?.is_truthy()?,
        None => true,
    };
    let version = py.version_info();
    Ok(name == "cpython" && is_locked && (version.major, version.minor) <= NEWEST)
}

/// Returns the integer if the object, which is alive or null, is an exact `int` that fits.
#[inline]
fn integer(value: *mut ffi::PyObject) -> Option<i64> {
    let mut overflow = 0;
    // SAFETY: the object is alive if not null, and exactly an `int` where it is read as one, so that no Python
    // code runs and no exception is set.
    let number = unsafe {
        if value.is_null() || ffi::PyLong_CheckExact(value) == 0 {
            return None;
        }
        ffi::PyLong_AsLongLongAndOverflow(value, &raw mut overflow)
    };
    (overflow == 0).then_some(number)
}

/// Returns which of `True`, `False` and `None` it is, if any.
#[inline]
#[allow(clippy::option_option)]
fn flag(value: *mut ffi::PyObject) -> Option<Option<bool>> {
    // SAFETY: the three exist as long as the interpreter; they are only compared.
    let (none, yes, no) = unsafe { (ffi::Py_None(), ffi::Py_True(), ffi::Py_False()) };
    if value == none {
        Some(None)
    } else if value == yes || value == no {
        Some(Some(value == yes))
    } else {
        None
    }
}
