//! Reads the attributes of many Python objects of one class out of their dictionaries.
//!
//! An object that `__init__` filled has its attributes in its dictionary in the order in which they were set, so an attribute
//! stands where it stood in the object before. Python's own interpreter remembers that place for each line of code
//! (`LOAD_ATTR_WITH_HINT`); [`Attribute`] does the same for us. A search by hash waits for the memory twice, for the
//! dictionary's index and then for the entry; this waits once. What stands in the place is believed only if its key is the
//! very string that is looked for, otherwise there is a search.
//!
//! Values come back as [`Plain`] ones: numbers and flags are read on the spot, without a reference to be counted.
#![cfg(feature = "python")]

use std::ptr::null_mut;
use std::sync::atomic::{AtomicIsize, Ordering};

use pyo3::exceptions::{PyAttributeError, PyTypeError};
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyInt, PyString};

/// A value, read as far as that can be done without running any code of Python's.
#[derive(Debug, Default)]
pub enum Plain<'py> {
    /// The object has no such attribute.
    #[default]
    Missing,
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// Exactly an `int`, which fits.
    Int(i64),
    /// Anything else.
    Object(Bound<'py, PyAny>),
}

/// An attribute: its name, and where it stood in the object before.
#[derive(Debug)]
pub struct Attribute {
    name: Py<PyString>,
    place: AtomicIsize,
    /// Whether this Python's dictionaries are known to be such that a place in one can be asked for.
    has_place: bool,
}

impl Attribute {
    /// The attributes with these names.
    ///
    /// # Errors
    /// Whatever keeps Python from saying which version it is.
    pub fn named<const N: usize>(py: Python<'_>, names: [&str; N]) -> PyResult<[Self; N]> {
        let has_place = has_places(py)?;
        let new = |name| Self { name: PyString::intern(py, name).unbind(), place: AtomicIsize::new(0), has_place };
        Ok(names.map(new))
    }

    /// The value of an object whose dictionary this is. What is not in the dictionary is asked of the object itself.
    ///
    /// It is put where it is wanted piece by piece: to be moved as a whole it would have to wait for its pieces.
    ///
    /// # Errors
    /// Whatever asking raises.
    #[inline]
    pub fn read<'py>(
        &self,
        object: &Bound<'py, PyAny>,
        dict: Option<&Bound<'py, PyDict>>,
        into: &mut Plain<'py>,
    ) -> PyResult<()> {
        let py = object.py();
        let is_found = dict.is_some_and(|dict| {
            self.look(dict, |value| {
                if let Some(flag) = flag(value) {
                    *into = flag.map_or(Plain::None, Plain::Bool);
                } else if let Some(number) = integer(value) {
                    *into = Plain::Int(number);
                } else {
                    // SAFETY: the value is alive, as `look` says.
                    *into = Plain::Object(unsafe { Bound::from_borrowed_ptr(py, value) });
                }
                Some(())
            })
            .is_some()
        });
        if is_found { Ok(()) } else { self.search(object, dict, into) }
    }

    /// The value, if it is in the dictionary and exactly an `int` that fits. `None` says nothing.
    #[inline]
    #[must_use]
    pub fn read_integer(&self, dict: &Bound<'_, PyDict>) -> Option<i64> {
        self.look(dict, integer)
    }

    /// The value, if it is in the dictionary and a flag: `True`, `False` or `None`. `None` says nothing.
    #[inline]
    #[must_use]
    pub fn read_flag(&self, dict: &Bound<'_, PyDict>) -> Option<bool> {
        self.look(dict, |value| flag(value).map(|flag| flag == Some(true)))
    }

    /// Reads the value in the place, if the key there is the very name. `read` gets an object that is alive, and must not run any
    /// code of Python's.
    #[inline]
    fn look<T>(&self, dict: &Bound<'_, PyDict>, read: impl FnOnce(*mut ffi::PyObject) -> Option<T>) -> Option<T> {
        if !self.has_place {
            return None;
        }
        let mut at = self.place.load(Ordering::Relaxed);
        let (mut key, mut value) = (null_mut(), null_mut());
        // SAFETY: the dictionary is alive and exactly a `dict`. `has_places` has seen to it that the place is the number of
        // an entry, which PyDict_Next compares with the number of entries, and that nobody changes the dictionary meanwhile.
        let is_there = unsafe { ffi::PyDict_Next(dict.as_ptr(), &raw mut at, &raw mut key, &raw mut value) } != 0;
        if is_there && key == self.name.as_ptr() { read(value) } else { read(self.learn(dict)?) }
    }

    /// Looks through the whole dictionary for the place, for the next time too. Answers a reference borrowed from it.
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
        into: &mut Plain<'py>,
    ) -> PyResult<()> {
        let name = self.name.bind(object.py());
        let found = match dict {
            Some(dict) => dict.get_item(name)?,
            None => None,
        };
        let found = if found.is_none() { object.getattr_opt(name)? } else { found };
        *into = found.map_or(Plain::Missing, Plain::from_object);
        Ok(())
    }
}

impl<'py> Plain<'py> {
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

    /// Whether it is true, as `if` has it. What is missing is not.
    ///
    /// # Errors
    /// What an object raises when it is asked.
    #[inline]
    pub fn is_truthy(&self) -> PyResult<bool> {
        match self {
            Self::Missing | Self::None => Ok(false),
            Self::Bool(flag) => Ok(*flag),
            Self::Int(number) => Ok(*number != 0),
            Self::Object(object) => object.is_truthy(),
        }
    }

    /// The number.
    ///
    /// # Errors
    /// `AttributeError` if it is missing, `TypeError` if it is none, `OverflowError` if it does not fit.
    #[inline]
    pub fn number(&self) -> PyResult<i64> {
        match self {
            Self::Missing => Err(PyAttributeError::new_err("the object has no such attribute")),
            Self::None => Err(PyTypeError::new_err("None is no number")),
            Self::Bool(flag) => Ok((*flag).into()),
            Self::Int(number) => Ok(*number),
            Self::Object(object) => object.extract(),
        }
    }
}

/// The dictionary of an object that has one of its own.
///
/// # Errors
/// Whatever asking for it raises.
pub fn dict_of<'py>(object: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyDict>>> {
    // SAFETY: the object is alive, and what is answered is a new reference or, with an exception set, null.
    let dict = unsafe {
        let dict = ffi::PyObject_GenericGetDict(object.as_ptr(), null_mut());
        Bound::from_owned_ptr_or_err(object.py(), dict)?
    };
    Ok(dict.cast_into_exact().ok())
}

/// Whether a place in a dictionary is the number of its entry: so it is in `CPython` up to the newest version that we know, with
/// the interpreter's lock, which keeps others from changing it meanwhile.
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

/// The number, of an object that is alive, if it is exactly an `int` that fits.
#[inline]
fn integer(value: *mut ffi::PyObject) -> Option<i64> {
    let mut overflow = 0;
    // SAFETY: the object is alive and exactly an `int` where it is read as one, so that no code of Python's runs and no exception
    // is set.
    let number = unsafe {
        if ffi::PyLong_CheckExact(value) == 0 {
            return None;
        }
        ffi::PyLong_AsLongLongAndOverflow(value, &raw mut overflow)
    };
    (overflow == 0).then_some(number)
}

/// Which of `True`, `False` and `None` it is, if any.
#[inline]
#[allow(clippy::option_option)]
fn flag(value: *mut ffi::PyObject) -> Option<Option<bool>> {
    // SAFETY: the three are there as long as the interpreter; they are only compared.
    let (none, yes, no) = unsafe { (ffi::Py_None(), ffi::Py_True(), ffi::Py_False()) };
    if value == none {
        Some(None)
    } else if value == yes || value == no {
        Some(Some(value == yes))
    } else {
        None
    }
}
