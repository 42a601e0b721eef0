//! The classes of which nearly all received entities are, and the fastest way to read their attributes.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyType};

use crate::entity::PeerKind;

/// `User`, `Channel` or `Chat`, and which of its attributes are read.
pub(super) struct EntityClass {
    class: Py<PyType>,
    pub(super) kind: PeerKind,
    attributes: Vec<Py<PyString>>,
    /// Whether each of its objects has a dictionary, which is read twice as fast as attributes are. Since Python 3.11 only those with more
    /// than 30 attributes have; for others it would be made when it is asked for, and kept.
    has_dict: bool,
}

/// The values of the attributes, in the order of [`EntityClass::attributes`]; those that the class, or the object, has not are `None`.
pub(super) type Values<'py> = [Option<Bound<'py, PyAny>>; 7];

/// An object of one of the classes, and its dictionary if that is read.
pub(super) struct Holder<'py> {
    pub(super) class: &'static EntityClass,
    pub(super) object: Bound<'py, PyAny>,
    dict: Option<Bound<'py, PyDict>>,
}

impl EntityClass {
    pub(super) fn new(class: Bound<'_, PyType>, kind: PeerKind) -> PyResult<Self> {
        const MOST_WITHOUT_DICT: usize = 30;
        let py = class.py();
        let attributes: &[&str] = match kind {
            PeerKind::User => &["id", "access_hash", "min", "username", "phone", "first_name", "last_name"],
            PeerKind::Channel => &["id", "access_hash", "min", "username", "title"],
            PeerKind::Chat => &["id", "title"],
        };
        let code = class.getattr("__init__")?.getattr_opt("__code__")?;
        let arguments: usize = code.map_or(Ok(0), |code| code.getattr("co_argcount")?.extract())?;
        Ok(Self {
            class: class.unbind(),
            kind,
            attributes: attributes.iter().map(|name| PyString::intern(py, name).unbind()).collect(),
            // Telethon makes an attribute of each argument, `self` apart.
            has_dict: py.version_info() < (3, 11) || arguments > MOST_WITHOUT_DICT + 1,
        })
    }

    /// Whether the object is of exactly this class, no subclass.
    pub(super) fn is_class_of(&self, object: &Bound<'_, PyAny>) -> bool {
        object.get_type().is(&self.class)
    }

    /// An object of this class, ready to be read.
    pub(super) fn hold<'py>(&'static self, object: &Bound<'py, PyAny>) -> PyResult<Holder<'py>> {
        let dict = if self.has_dict { Some(object.getattr(intern!(object.py(), "__dict__"))?) } else { None };
        let dict = dict.and_then(|dict| dict.cast_into_exact().ok());
        Ok(Holder { class: self, object: object.clone(), dict })
    }
}

impl<'py> Holder<'py> {
    pub(super) fn read(&self, values: &mut Values<'py>) -> PyResult<()> {
        let py = self.object.py();
        for (name, value) in self.class.attributes.iter().zip(values) {
            *value = self.get(name.bind(py))?;
        }
        Ok(())
    }

    /// What somebody has deleted is not there, and means what Telethon's functions make of that.
    fn get(&self, name: &Bound<'py, PyString>) -> PyResult<Option<Bound<'py, PyAny>>> {
        if let Some(dict) = &self.dict
            && let Some(value) = dict.get_item(name)?
        {
            return Ok(Some(value));
        }
        self.object.getattr_opt(name)
    }
}
