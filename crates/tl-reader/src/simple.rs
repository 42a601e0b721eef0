//! Whether making objects of a class runs no code but Telethon's generated `__init__`.

use py_once::intern;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyType};

use crate::init::InitShape;
use crate::own::is_function;
use crate::watch::Bases;

impl InitShape {
    /// Returns the attributes that a class's `__init__` sets from its parameters, if it does nothing
    /// else.
    ///
    /// # Errors
    /// What looking at the class raises.
    pub(crate) fn attributes(&self, class: &Bound<'_, PyType>) -> PyResult<Option<Vec<String>>> {
        let py = class.py();
        let init = class.getattr(intern!(py, "__init__"))?;
        if init.is(py.get_type::<PyAny>().getattr(intern!(py, "__init__"))?) {
            return Ok(Some(Vec::new()));
        }
        if !is_function(&init)? {
            return Ok(None);
        }
        let parameters = self.parameters(&init)?;
        parameters.map(|names| names.iter().map(|name| name.extract()).collect()).transpose()
    }

    /// Returns `true` if making objects of a class runs no code but Telethon's generated `__init__`.
    ///
    /// # Errors
    /// What looking at the class raises.
    pub(crate) fn is_simple<'py>(&self, class: &Bound<'py, PyType>, bases: &Bases<'py>) -> PyResult<bool> {
        let py = class.py();
        match self.attributes(class)? {
            Some(names) if makes_plain_objects(class, bases)? => {
                are_unclaimed(bases, names.iter().map(|name| PyString::new(py, name)))
            }
            _ => Ok(false),
        }
    }
}

/// Returns `true` if calling a class only makes an object with a dictionary and calls `__init__`.
///
/// # Errors
/// What looking at the class raises.
pub(crate) fn makes_plain_objects<'py>(class: &Bound<'py, PyType>, bases: &Bases<'py>) -> PyResult<bool> {
    let py = class.py();
    let object = py.get_type::<PyAny>();
    for name in ["__new__", "__setattr__"] {
        if !class.getattr(name)?.is(object.getattr(name)?) {
            return Ok(false);
        }
    }
    let metaclass = class.get_type();
    if !metaclass.is(py.get_type::<PyType>()) && !metaclass.is(py.import("abc")?.getattr("ABCMeta")?) {
        return Ok(false);
    }
    for slots in bases.all(intern!(py, "__slots__"))? {
        if slots.is_truthy()? {
            return Ok(false);
        }
    }
    Ok(class.getattr("__dictoffset__")?.extract::<isize>()? != 0)
}

/// Returns `true` if setting these attributes of an object reaches its dictionary.
///
/// # Errors
/// What looking the attributes up raises.
pub(crate) fn are_unclaimed<'py>(
    bases: &Bases<'py>,
    names: impl IntoIterator<Item = Bound<'py, PyString>>,
) -> PyResult<bool> {
    for name in names {
        if let Some(value) = bases.attribute(&name)? {
            let kind = value.get_type();
            if kind.hasattr("__set__")? || kind.hasattr("__delete__")? {
                return Ok(false);
            }
        }
    }
    Ok(true)
}
