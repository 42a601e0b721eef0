//! Reads the attributes of many Python objects of one class out of their dictionaries.
//!
//! Objects that `__init__` filled have their attributes in their dictionaries in the order in which
//! they were set, so an attribute is usually in the same entry as in the object before. CPython's
//! interpreter remembers that entry for each line of code (`LOAD_ATTR_WITH_HINT`); an [`Attribute`]
//! does so here. A search by hash waits for memory twice, for the dictionary's index and for the
//! entry; this waits once. The entry is trusted only if its key is the very string that is looked
//! for; otherwise there is a search.
//!
//! Values are returned as [`AttrValue`]s: integers and flags are read in place, without a reference
//! count.

use std::ptr::null_mut;
use std::sync::atomic::{AtomicIsize, Ordering};

use py_once::intern;
use pyo3::exceptions::{PyAttributeError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyInt, PyString};

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
}

impl Attribute {
    /// Returns the attributes with these names.
    ///
    /// # Errors
    /// What prevents Python's version from being read.
    pub fn named<const N: usize>(py: Python<'_>, names: [&str; N]) -> PyResult<[Self; N]> {
        let has_place = has_places(py)?;
        let new = |name| Self { name: PyString::intern(py, name).unbind(), place: AtomicIsize::new(0), has_place };
        Ok(names.map(new))
    }

    /// Reads the value of an object with this dictionary. If the dictionary has none, asks the
    /// object.
    ///
    /// The value is written to `into` piece by piece, because moving it as a whole would wait for
    /// its pieces.
    ///
    /// # Errors
    /// What asking the object raises.
    #[inline]
    pub fn read<'py>(
        &self,
        object: &Bound<'py, PyAny>,
        dict: Option<&Bound<'py, PyDict>>,
        into: &mut AttrValue<'py>,
    ) -> PyResult<()> {
        let py = object.py();
        let is_found = dict.is_some_and(|dict| {
            self.look(dict, |value| {
                if let Some(flag) = flag(value) {
                    *into = flag.map_or(AttrValue::None, AttrValue::Bool);
                } else if let Some(number) = integer(value) {
                    *into = AttrValue::Int(number);
                } else {
                    // SAFETY: the value is alive, as `look` guarantees.
                    *into = AttrValue::Object(unsafe { Bound::from_borrowed_ptr(py, value) });
                }
                Some(())
            })
            .is_some()
        });
        if is_found { Ok(()) } else { self.search(object, dict, into) }
    }

    /// Returns the value if it is in the dictionary and an exact `int` that fits; otherwise `None`,
    /// which says nothing.
    #[inline]
    #[must_use]
    pub fn read_integer(&self, dict: &Bound<'_, PyDict>) -> Option<i64> {
        self.look(dict, integer)
    }

    /// Returns the value if it is in the dictionary and `True`, `False` or `None`; otherwise
    /// `None`, which says nothing.
    #[inline]
    #[must_use]
    pub fn read_flag(&self, dict: &Bound<'_, PyDict>) -> Option<bool> {
        self.look(dict, |value| flag(value).map(|flag| flag == Some(true)))
    }

    /// Reads the value in the remembered entry, if its key is the very name. `read` gets an object
    /// that is alive, and must not run Python code.
    #[inline]
    fn look<T>(&self, dict: &Bound<'_, PyDict>, read: impl FnOnce(*mut ffi::PyObject) -> Option<T>) -> Option<T> {
        if !self.has_place {
            return None;
        }
        let mut at = self.place.load(Ordering::Relaxed);
        let (mut key, mut value) = (null_mut(), null_mut());
        // SAFETY: the dictionary is alive and exactly a `dict`. `has_places` has checked that the
        // place is the index of an entry, which PyDict_Next compares with the number of entries,
        // and that no other thread changes the dictionary meanwhile.
        let is_there = unsafe { ffi::PyDict_Next(dict.as_ptr(), &raw mut at, &raw mut key, &raw mut value) } != 0;
        if is_there && key == self.name.as_ptr() { read(value) } else { read(self.learn(dict)?) }
    }

    /// Searches the whole dictionary for the entry and remembers it. Returns a reference borrowed
    /// from the dictionary.
    #[cold]
    fn learn(&self, dict: &Bound<'_, PyDict>) -> Option<*mut ffi::PyObject> {
        let mut at = 0;
        loop {
            let (before, mut key, mut value) = (at, null_mut(), null_mut());
            // SAFETY: as in `look`.
            let is_there = unsafe { ffi::PyDict_Next(dict.as_ptr(), &raw mut at, &raw mut key, &raw mut value) } != 0;
            if !is_there {
                return None;
            }
            if key == self.name.as_ptr() {
                self.place.store(before, Ordering::Relaxed);
                return Some(value);
            }
        }
    }

    /// Searches by hash, and then asks the object.
    #[cold]
    fn search<'py>(
        &self,
        object: &Bound<'py, PyAny>,
        dict: Option<&Bound<'py, PyDict>>,
        into: &mut AttrValue<'py>,
    ) -> PyResult<()> {
        let name = self.name.bind(object.py());
        let found = match dict {
            Some(dict) => dict.get_item(name)?,
            None => None,
        };
        let found = if found.is_none() { object.getattr_opt(name)? } else { found };
        *into = found.map_or(AttrValue::Missing, AttrValue::from_object);
        Ok(())
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

/// Returns the integer if the object, which is alive, is an exact `int` that fits.
#[inline]
fn integer(value: *mut ffi::PyObject) -> Option<i64> {
    let mut overflow = 0;
    // SAFETY: the object is alive, and exactly an `int` where it is read as one, so that no Python
    // code runs and no exception is set.
    let number = unsafe {
        if ffi::PyLong_CheckExact(value) == 0 {
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
