//! Makes objects as Telethon's classes make them: the same attributes in the same order, in
//! dictionaries that share their keys where CPython's do.

use std::ffi::c_int;
use std::ptr::null_mut;

use py_once::intern;
use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyString, PyTuple, PyType};

use crate::plan::{Make, Plan};
use crate::schedule::Bits;

/// Classes with more attributes do not share their keys.
pub(crate) const MAX_SHARED: usize = 30;

/// How this Python makes objects.
pub(crate) struct Maker {
    /// `object.__new__`, which prepares an object's own values, as `tp_alloc` alone does not.
    new: ffi::newfunc,
    no_arguments: Py<PyTuple>,
    /// How an empty object gets a dictionary; `None` if its attributes are set instead: up to Python
    /// 3.10, where objects of any size share their keys, and in versions that are not known.
    pub(crate) adoption: Option<Adoption>,
}

/// How an empty object gets a dictionary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Adoption {
    /// `PyObject_GenericSetDict`.
    Direct,
    /// By assigning to `__dict__`. Up to Python 3.13 the function above leaves an object's own
    /// values valid (`CPython` issue 133912).
    Assigned,
}

/// A value for each slot; `None` where nothing was read.
pub(crate) type Values<'py> = [Option<Bound<'py, PyAny>>];

impl Maker {
    /// Returns how the running Python makes objects.
    ///
    /// # Errors
    /// If `object` has no `__new__`.
    pub(crate) fn new(py: Python<'_>) -> PyResult<Self> {
        let slot = new_of(&py.get_type::<PyAny>())?;
        let version = py.version_info();
        let adoption = match (version.major, version.minor) {
            (3, 11 | 12) => Some(Adoption::Direct),
            (3, 13) => Some(Adoption::Assigned),
            _ => None,
        };
        Ok(Self { new: slot, no_arguments: PyTuple::empty(py).unbind(), adoption })
    }

    /// Makes an object of its values, which the filled slots have. Returns `None` if its class must be called instead.
    ///
    /// # Errors
    /// What making it raises: no memory.
    #[inline]
    pub(crate) fn make<'py>(
        &self,
        py: Python<'py>,
        plan: &Plan,
        values: &Values<'py>,
        filled: Bits,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        match &plan.make {
            Make::Attributes => self.with_attributes(py, plan, values).map(Some),
            Make::Dictionary(template) => {
                let dict = template.bind(py).copy()?;
                let mut left = filled;
                while let Some(slot) = left.take_first() {
                    if let (Some(name), Some(Some(value))) = (plan.names.get(slot), values.get(slot)) {
                        set_item(&dict, name, value)?;
                    }
                }
                self.with_dictionary(plan, &dict).map(Some)
            }
            Make::Message(template, tail) => {
                let Some(sender_id) = tail.sender_id(py, values)? else { return Ok(None) };
                let dict = template.bind(py).copy()?;
                tail.fill(&dict, &plan.names, values, filled, &sender_id)?;
                self.with_dictionary(plan, &dict).map(Some)
            }
            Make::Call => Ok(None),
        }
    }

    fn with_attributes<'py>(&self, py: Python<'py>, plan: &Plan, values: &Values<'py>) -> PyResult<Bound<'py, PyAny>> {
        let object = self.empty(plan.class.bind(py))?;
        for ((name, value), is_flag) in plan.names.iter().zip(values).zip(&plan.is_flag) {
            let value = value.as_ref().map_or_else(|| absent(*is_flag), Bound::as_ptr);
            set_attribute(&object, name.as_ptr(), value)?;
        }
        Ok(object)
    }

    /// Makes an object with this dictionary.
    pub(crate) fn with_dictionary<'py>(&self, plan: &Plan, dict: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyAny>> {
        let py = dict.py();
        let class = plan.class.bind(py);
        let object = match self.adoption {
            Some(Adoption::Direct) => bare(class)?,
            Some(Adoption::Assigned) | None => self.empty(class)?,
        };
        match self.adoption {
            Some(Adoption::Direct) => {
                // SAFETY: both are alive, and objects of this class have a dictionary.
                if unsafe { ffi::PyObject_GenericSetDict(object.as_ptr(), dict.as_ptr(), null_mut()) } != 0 {
                    return Err(PyErr::fetch(py));
                }
            }
            Some(Adoption::Assigned) => object.setattr(intern!(py, "__dict__"), dict)?,
            None => {
                for (name, value) in dict {
                    set_attribute(&object, name.as_ptr(), value.as_ptr())?;
                }
            }
        }
        Ok(object)
    }

    fn empty<'py>(&self, class: &Bound<'py, PyType>) -> PyResult<Bound<'py, PyAny>> {
        // SAFETY: the function is `object.__new__`, and planning has checked that the class has no
        // other. The tuple is empty and alive. The result is a new reference or, with an exception
        // set, null.
        unsafe {
            let object = (self.new)(class.as_type_ptr(), self.no_arguments.as_ptr(), null_mut());
            Bound::from_owned_ptr_or_err(class.py(), object)
        }
    }
}

/// Makes an object without values of its own, which a dictionary would replace.
fn bare<'py>(class: &Bound<'py, PyType>) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: the class is alive, and planning has checked that it is made by `object.__new__`, which
    // allocates in this way. The result is a new reference or, with an exception set, null.
    unsafe { Bound::from_owned_ptr_or_err(class.py(), ffi::PyType_GenericAlloc(class.as_type_ptr(), 0)) }
}

/// Calls a class with keywords.
///
/// # Errors
/// What the class raises.
pub(crate) fn call<'py>(py: Python<'py>, plan: &Plan, values: &Values<'py>) -> PyResult<Bound<'py, PyAny>> {
    let keywords = PyDict::new(py);
    for ((name, value), is_flag) in plan.names.iter().zip(values).zip(&plan.is_flag) {
        match value {
            Some(value) => keywords.set_item(name, value)?,
            None if *is_flag => keywords.set_item(name, PyBool::new(py, false))?,
            None => keywords.set_item(name, py.None())?,
        }
    }
    plan.class.bind(py).call((), Some(&keywords))
}

/// Sets an attribute, both of which are alive, of an object whose class has no `__setattr__` and no
/// data descriptor of this name, so that no Python code runs.
#[inline]
fn set_attribute(object: &Bound<'_, PyAny>, name: *mut ffi::PyObject, value: *mut ffi::PyObject) -> PyResult<()> {
    // SAFETY: all three are alive, and the name is a string.
    if unsafe { ffi::PyObject_GenericSetAttr(object.as_ptr(), name, value) } == 0 {
        Ok(())
    } else {
        Err(PyErr::fetch(object.py()))
    }
}

/// Returns what a slot is if nothing was read into it, as a borrowed reference.
fn absent(is_flag: bool) -> *mut ffi::PyObject {
    // SAFETY: both exist as long as the interpreter.
    unsafe { if is_flag { ffi::Py_False() } else { ffi::Py_None() } }
}

/// Sets an item whose key is a string, so that no Python code runs.
#[inline]
pub(crate) fn set_item<'py>(dict: &Bound<'py, PyDict>, name: &Py<PyString>, value: &Bound<'py, PyAny>) -> PyResult<()> {
    // SAFETY: all three are alive.
    if unsafe { ffi::PyDict_SetItem(dict.as_ptr(), name.as_ptr(), value.as_ptr()) } == 0 {
        Ok(())
    } else {
        Err(PyErr::fetch(dict.py()))
    }
}

/// Returns the C function behind a class's `__new__`.
///
/// # Errors
/// If there is none.
pub(crate) fn new_of(class: &Bound<'_, PyType>) -> PyResult<ffi::newfunc> {
    const SLOT: c_int = ffi::Py_tp_new;
    // SAFETY: the class is alive, and this slot is a `newfunc` or null, which is what `Option` of a
    // function pointer means.
    let function = unsafe {
        std::mem::transmute::<*mut std::ffi::c_void, Option<ffi::newfunc>>(ffi::PyType_GetSlot(
            class.as_type_ptr(),
            SLOT,
        ))
    };
    function.ok_or_else(|| PyTypeError::new_err("a class has no __new__"))
}
