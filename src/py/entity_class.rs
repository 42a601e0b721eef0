//! The classes of which nearly all received entities are, and the fastest way to read their attributes.

use plain_attributes::{Attribute, Plain, dict_of};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyType};

/// `User`, `Channel` or `Chat`, and which of its attributes are read.
pub(super) struct EntityClass<const N: usize> {
    class: Py<PyType>,
    pub(super) attributes: [Attribute; N],
    /// Whether each of its objects has a dictionary, which is read twice as fast as attributes are. Since Python 3.11 only those with more
    /// than 30 attributes have; for others it would be made when it is asked for, and kept.
    has_dict: bool,
}

impl<const N: usize> EntityClass<N> {
    pub(super) fn new(class: &Bound<'_, PyType>, attributes: [&str; N]) -> PyResult<Self> {
        const MOST_WITHOUT_DICT: usize = 30;
        let py = class.py();
        let code = class.getattr("__init__")?.getattr_opt("__code__")?;
        let arguments: usize = code.map_or(Ok(0), |code| code.getattr("co_argcount")?.extract())?;
        Ok(Self {
            class: class.clone().unbind(),
            attributes: Attribute::named(py, attributes)?,
            // Telethon makes an attribute of each argument, `self` apart.
            has_dict: py.version_info() < (3, 11) || arguments > MOST_WITHOUT_DICT + 1,
        })
    }

    /// Whether the object is of exactly this class, no subclass.
    pub(super) fn is_class_of(&self, object: &Bound<'_, PyAny>) -> bool {
        object.get_type_ptr() == self.class.as_ptr().cast()
    }

    /// The dictionary of an object, if it is of this class and that is read.
    pub(super) fn dict_of<'py>(&self, object: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyDict>>> {
        if self.has_dict && self.is_class_of(object) { dict_of(object) } else { Ok(None) }
    }

    /// Reads an object of this class, whose dictionary it is. What somebody has deleted is not there, and means what
    /// Telethon's functions make of that.
    pub(super) fn read<'py>(
        &self,
        object: &Bound<'py, PyAny>,
        dict: Option<&Bound<'py, PyDict>>,
        values: &mut [Plain<'py>],
    ) -> PyResult<()> {
        read_each(&self.attributes, object, dict, values)
    }
}

/// Reads the attributes of an object of any class.
pub(super) fn read_each<'py>(
    attributes: &[Attribute],
    object: &Bound<'py, PyAny>,
    dict: Option<&Bound<'py, PyDict>>,
    values: &mut [Plain<'py>],
) -> PyResult<()> {
    attributes.iter().zip(values).try_for_each(|(attribute, value)| attribute.read(object, dict, value))
}
