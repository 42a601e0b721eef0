//! The classes of nearly all received entities, and the fastest way to read their attributes.

use attr_cache::{Attributes, Objects, Values};
use pyo3::prelude::*;
use pyo3::types::PyType;

/// The attribute for all usernames of an entity that has several.
const USERNAMES: &str = "usernames";

/// `User`, `Channel` or `Chat`, and which of its attributes are read.
pub(crate) struct EntityClass<const I: usize, const F: usize, const T: usize> {
    class: Py<PyType>,
    pub(crate) attributes: Attributes<I, F, T>,
    /// Whether each of its objects has a dictionary, which is read twice as fast as attributes.
    /// Since Python 3.11 only objects with more than 30 attributes have one; for others it would be
    /// created when asked for, and kept.
    has_dict: bool,
}

impl<const I: usize, const F: usize, const T: usize> EntityClass<I, F, T> {
    /// Returns the class; `integers`, `flags` and `texts` name the attributes that are read.
    pub(crate) fn new(
        class: &Bound<'_, PyType>,
        integers: [&str; I],
        flags: [&str; F],
        texts: [&str; T],
    ) -> PyResult<Self> {
        const MOST_WITHOUT_DICT: usize = 30;
        let py = class.py();
        let code = class.getattr("__init__")?.getattr_opt("__code__")?;
        let arguments: usize = code.as_ref().map_or(Ok(0), |code| code.getattr("co_argcount")?.extract())?;
        let mut attributes = Attributes::new(py, integers, flags, texts)?;
        // Not before Telethon 1.27.
        if !texts.is_empty() && has_argument(code.as_ref(), USERNAMES)? {
            attributes = attributes.with_rare(py, USERNAMES)?;
        }
        Ok(Self {
            class: class.clone().unbind(),
            attributes,
            // Telethon makes an attribute of each argument except `self`.
            has_dict: py.version_info() < (3, 11) || arguments > MOST_WITHOUT_DICT + 1,
        })
    }

    /// Returns `true` if the object is of exactly this class.
    pub(crate) fn is_class_of(&self, object: &Bound<'_, PyAny>) -> bool {
        object.get_type_ptr() == self.class.as_ptr().cast()
    }

    /// Returns objects of exactly this class, to read attributes of.
    pub(crate) fn objects<'a, 'py, const B: usize>(
        &self,
        objects: &'a [Bound<'py, PyAny>],
    ) -> PyResult<Objects<'a, 'py, B>> {
        Objects::new(objects, self.has_dict)
    }

    /// Reads the attributes of objects of exactly this class.
    pub(crate) fn read<'py, const B: usize>(
        &self,
        objects: &[Bound<'py, PyAny>],
        values: &mut Values<'py, I, F, T, B>,
    ) -> PyResult<()> {
        values.read(&self.attributes, &self.objects(objects)?)
    }
}

/// Returns `true` if a function has an argument with this name.
fn has_argument(code: Option<&Bound<'_, PyAny>>, name: &str) -> PyResult<bool> {
    code.map_or(Ok(false), |code| code.getattr("co_varnames")?.contains(name))
}
