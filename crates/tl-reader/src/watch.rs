//! Notices that Python code has replaced something a plan depends on.

use py_once::intern;
use std::cell::Cell;
use std::ptr::null_mut;

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyType};

/// Entries of dictionaries, and sizes, that must stay as they were.
#[derive(Default)]
pub(crate) struct Watch {
    entries: Vec<Entry>,
    sizes: Vec<(Py<PyDict>, usize)>,
    /// A dictionary, the size that it had, and keys that must stay absent.
    absent: Vec<(Py<PyDict>, usize, Vec<Py<PyString>>)>,
}

/// An entry of a dictionary that must keep its value.
struct Entry {
    dict: Py<PyDict>,
    key: Py<PyAny>,
    value: Py<PyAny>,
    /// Where it was last found.
    place: Cell<ffi::Py_ssize_t>,
}

impl Watch {
    /// Watches an entry; its value must not be missing.
    ///
    /// # Errors
    /// What comparing keys raises.
    pub(crate) fn entry(&mut self, dict: &Bound<'_, PyDict>, key: &Bound<'_, PyAny>) -> PyResult<()> {
        let Some(value) = dict.get_item(key)? else { return Ok(()) };
        // An integer that is a key is another object.
        for (own_key, each) in dict {
            if each.is(&value) && own_key.eq(key)? {
                self.entry_with(dict, &own_key, &value);
                break;
            }
        }
        Ok(())
    }

    /// Watches an entry that will have this value.
    pub(crate) fn entry_with(&mut self, dict: &Bound<'_, PyDict>, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) {
        self.entries.push(Entry {
            dict: dict.clone().unbind(),
            key: key.clone().unbind(),
            value: value.clone().unbind(),
            place: Cell::new(0),
        });
    }

    /// Watches that a dictionary does not get these keys.
    pub(crate) fn absent(&mut self, py: Python<'_>, dict: &Bound<'_, PyDict>, keys: &[&str]) {
        let keys = keys.iter().map(|key| PyString::intern(py, key).unbind()).collect();
        self.absent.push((dict.clone().unbind(), dict.len(), keys));
    }

    /// Watches that a class and its bases get no new attributes and lose none.
    pub(crate) fn sizes(&mut self, bases: &Bases<'_>) {
        self.sizes.extend(bases.1.iter().map(|dict| (dict.clone().unbind(), dict.len())));
    }

    /// Watches the attribute that a class or one of its bases defines.
    ///
    /// # Errors
    /// What comparing keys raises.
    pub(crate) fn attribute(&mut self, bases: &Bases<'_>, name: &Bound<'_, PyString>) -> PyResult<()> {
        for dict in &bases.1 {
            if dict.contains(name)? {
                return self.entry(dict, name);
            }
        }
        Ok(())
    }

    /// Returns `true` if all is as it was.
    #[inline]
    pub(crate) fn holds(&self, py: Python<'_>) -> bool {
        self.sizes.iter().all(|(dict, size)| dict.bind(py).len() == *size)
            && self.entries.iter().all(|entry| entry.is_in_place() || entry.is_found())
            && self.absent.iter().all(|(dict, size, keys)| {
                let dict = dict.bind(py);
                dict.len() == *size || !keys.iter().any(|key| dict.contains(key).unwrap_or(true))
            })
    }
}

impl Entry {
    /// Returns `true` if the entry is where it was last found, which needs no search.
    #[inline]
    fn is_in_place(&self) -> bool {
        let (mut at, mut key, mut value) = (self.place.get(), null_mut(), null_mut());
        // SAFETY: the dictionary is alive and exactly a `dict`. The place is one that `PyDict_Next`
        // has returned, and which it compares with the number of entries. The GIL keeps other
        // threads from changing the dictionary meanwhile.
        let is_there = unsafe { ffi::PyDict_Next(self.dict.as_ptr(), &raw mut at, &raw mut key, &raw mut value) } != 0;
        is_there && value == self.value.as_ptr() && key == self.key.as_ptr()
    }

    /// Searches the entry, and remembers where it is if its key is this very object.
    #[cold]
    fn is_found(&self) -> bool {
        // SAFETY: both are alive. The keys are strings and integers, so no Python code runs and
        // nothing is raised.
        let found = unsafe { ffi::PyDict_GetItemWithError(self.dict.as_ptr(), self.key.as_ptr()) };
        if found != self.value.as_ptr() {
            return false;
        }
        let mut at = 0;
        loop {
            let (before, mut key, mut value) = (at, null_mut(), null_mut());
            // SAFETY: as in `is_in_place`.
            let is_there =
                unsafe { ffi::PyDict_Next(self.dict.as_ptr(), &raw mut at, &raw mut key, &raw mut value) } != 0;
            if !is_there {
                return true;
            }
            if key == self.key.as_ptr() {
                self.place.set(before);
                return true;
            }
        }
    }
}

/// The dictionaries of a class and its bases, in the order in which attributes are looked up, without
/// that of `object`.
pub(crate) struct Bases<'py>(Python<'py>, Vec<Bound<'py, PyDict>>);

impl<'py> Bases<'py> {
    pub(crate) fn py(&self) -> Python<'py> {
        self.0
    }

    /// # Errors
    /// If the dictionary of a class cannot be found.
    pub(crate) fn of(class: &Bound<'py, PyType>) -> PyResult<Self> {
        let object = class.py().get_type::<PyAny>();
        let bases = class.mro().iter().filter(|base| !base.is(&object)).collect::<Vec<_>>();
        let dicts = bases.iter().map(|base| dict_of_class(base.cast()?)).collect::<PyResult<_>>()?;
        Ok(Self(class.py(), dicts))
    }

    /// Returns the attribute that a class or one of its bases defines.
    ///
    /// # Errors
    /// What comparing keys raises.
    pub(crate) fn attribute(&self, name: &Bound<'py, PyString>) -> PyResult<Option<Bound<'py, PyAny>>> {
        for dict in &self.1 {
            if let Some(value) = dict.get_item(name)? {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// Returns the attributes of this name of all bases that have one.
    ///
    /// # Errors
    /// What comparing keys raises.
    pub(crate) fn all(&self, name: &Bound<'py, PyString>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        self.1.iter().filter_map(|dict| dict.get_item(name).transpose()).collect()
    }
}

/// Returns the dictionary of a class, which `__dict__` shows through a proxy only.
///
/// # Errors
/// If this Python does not tell.
pub(crate) fn dict_of_class<'py>(class: &Bound<'py, PyType>) -> PyResult<Bound<'py, PyDict>> {
    let py = class.py();
    let proxy = class.getattr(intern!(py, "__dict__"))?;
    let referents = py.import(intern!(py, "gc"))?.call_method1(intern!(py, "get_referents"), (proxy,))?;
    let mut dicts = referents.try_iter()?.filter_map(|referent| referent.ok()?.cast_into_exact::<PyDict>().ok());
    dicts.next().ok_or_else(|| PyTypeError::new_err("the dictionary of a class cannot be found"))
}
