//! The classes of nearly all received entities, and the fastest way to read their attributes.

use attr_cache::{AttrValue, Attribute, dict_of};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyType};

/// `User`, `Channel` or `Chat`, and which of its attributes are read.
pub(crate) struct EntityClass<const N: usize> {
    class: Py<PyType>,
    pub(crate) attributes: [Attribute; N],
    /// Whether each of its objects has a dictionary, which is read twice as fast as attributes.
    /// Since Python 3.11 only objects with more than 30 attributes have one; for others it would be
    /// created when asked for, and kept.
    has_dict: bool,
}

impl<const N: usize> EntityClass<N> {
    pub(crate) fn new(class: &Bound<'_, PyType>, attributes: [&str; N]) -> PyResult<Self> {
        const MOST_WITHOUT_DICT: usize = 30;
        let py = class.py();
        let code = class.getattr("__init__")?.getattr_opt("__code__")?;
        let arguments: usize = code.map_or(Ok(0), |code| code.getattr("co_argcount")?.extract())?;
        Ok(Self {
            class: class.clone().unbind(),
            attributes: Attribute::named(py, attributes)?,
            // Telethon makes an attribute of each argument except `self`.
            has_dict: py.version_info() < (3, 11) || arguments > MOST_WITHOUT_DICT + 1,
        })
    }

    /// Returns `true` if the object is of exactly this class.
    pub(crate) fn is_class_of(&self, object: &Bound<'_, PyAny>) -> bool {
        object.get_type_ptr() == self.class.as_ptr().cast()
    }

    /// Returns the dictionary of an object, if it is of this class and its dictionary is read.
    pub(crate) fn dict_of<'py>(&self, object: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyDict>>> {
        if self.has_dict && self.is_class_of(object) { dict_of(object) } else { Ok(None) }
    }

    /// Reads an object of this class with its dictionary. An attribute that was deleted is missing,
    /// and means what Telethon's functions make of that.
    pub(crate) fn read<'py>(
        &self,
        object: &Bound<'py, PyAny>,
        dict: Option<&Bound<'py, PyDict>>,
        values: &mut [AttrValue<'py>],
    ) -> PyResult<()> {
        read_each(&self.attributes, object, dict, values)
    }
}

/// Reads the attributes of an object of any class.
pub(crate) fn read_each<'py>(
    attributes: &[Attribute],
    object: &Bound<'py, PyAny>,
    dict: Option<&Bound<'py, PyDict>>,
    values: &mut [AttrValue<'py>],
) -> PyResult<()> {
    attributes.iter().zip(values).try_for_each(|(attribute, value)| attribute.read(object, dict, value))
}
