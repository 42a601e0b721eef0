//! Typed rows, as `add_entities` takes them.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyInt, PyString, PyTuple};

use crate::read::{self, Reader};
use crate::scan::kind_named;
use crate::username::lowered;
use session_core::entity::{Entity, PeerKind, mark_strictly};

/// Reads a row: an ID and a kind; access hash, username, phone, name and date may follow. Errors
/// name the row by `number`, counted from 0.
pub(crate) fn read<'py>(reader: &mut Reader<'_, 'py>, number: usize, row: &Bound<'py, PyAny>) -> PyResult<()> {
    let py = row.py();
    let tuple = row.cast::<PyTuple>().map_err(|_| {
        PyTypeError::new_err(format!("row {number} must be an Entity or a tuple of its fields, not {}", type_of(row)))
    })?;
    if !(2..=7).contains(&tuple.len()) {
        let message = format!("row {number} must have 2 to 7 values, and has {}", tuple.len());
        return Err(PyValueError::new_err(message));
    }
    let value = |at: usize| tuple.get_item(at).ok().filter(|value| !value.is_none());
    let row = Row { number, id: value(0) };
    let id = whole(row.id.as_ref().ok_or_else(|| row.wrong("id", "an int", None))?)
        .ok_or_else(|| row.wrong("id", "an int", row.id.as_ref()))?;
    let id: i64 = id.extract().map_err(|_| row.invalid("its id does not fit 64 bits"))?;
    let kind = value(1);
    let kind = kind.as_ref().ok_or_else(|| row.wrong("kind", "a str", None))?;
    let kind = kind.cast::<PyString>().map_err(|_| row.wrong("kind", "a str", Some(kind)))?;
    let kind = kind
        .to_str()
        .ok()
        .and_then(kind_named)
        .ok_or_else(|| row.invalid(&format!("its kind must be 'user', 'chat' or 'channel', not {}", repr(kind))))?;
    let Some(marked_id) = mark_strictly(id, kind) else {
        return Err(row.invalid("its id is not that of such an entity; give the id without a mark"));
    };
    let access_hash = match value(2) {
        None if kind == PeerKind::Chat => Some(0),
        None if reader.session().is_stored() => {
            return Err(row.invalid("it has no access hash, and what is stored of an entity needs one"));
        }
        None => None,
        Some(access_hash) => {
            let number =
                whole(&access_hash).ok_or_else(|| row.wrong("access_hash", "an int or None", Some(&access_hash)))?;
            Some(number.extract::<i64>().map_err(|_| row.invalid("its access_hash does not fit 64 bits"))?)
        }
    };
    let [username, phone, name] = [value(3), value(4), value(5)];
    let digits;
    let phone = match &phone {
        Some(phone) if whole(phone).is_some() => {
            digits = read::digits(phone)?;
            Some(digits.to_str()?)
        }
        phone => text(&row, "phone", phone.as_ref())?,
    };
    let seen = match value(6) {
        None => 0,
        Some(seen) => {
            let number = whole(&seen).ok_or_else(|| row.wrong("last_seen", "an int or None", Some(&seen)))?;
            let message = "its last_seen must be seconds since 1970, from 0 to 4294967295";
            number.extract::<u32>().map_err(|_| row.invalid(message))?
        }
    };
    let mut lower = String::new();
    let username = text(&row, "username", username.as_ref())?.filter(|username| !username.is_empty());
    let username = lowered(py, username, &mut lower)?;
    let name = text(&row, "name", name.as_ref())?.filter(|name| !name.is_empty());
    let phone = phone.filter(|phone| !phone.is_empty()).map(|phone| reader.session().normalize_phone(phone));
    reader.push_seen(&Entity { id: marked_id, access_hash, username, phone: phone.as_deref(), name }, seen);
    Ok(())
}

/// A row, for messages.
struct Row<'py> {
    number: usize,
    id: Option<Bound<'py, PyAny>>,
}

impl Row<'_> {
    fn named(&self) -> String {
        match self.id.as_ref().and_then(|id| id.cast::<PyInt>().ok()) {
            Some(id) => format!("row {} (id {})", self.number, repr(id)),
            None => format!("row {}", self.number),
        }
    }

    fn invalid(&self, why: &str) -> PyErr {
        PyValueError::new_err(format!("{}: {why}", self.named()))
    }

    fn wrong(&self, field: &str, wanted: &str, value: Option<&Bound<'_, PyAny>>) -> PyErr {
        let is = value.map_or_else(|| "None".to_owned(), type_of);
        PyTypeError::new_err(format!("{}: its {field} must be {wanted}, not {is}", self.named()))
    }
}

fn type_of(value: &Bound<'_, PyAny>) -> String {
    value.get_type().name().map_or_else(|_| "that".to_owned(), |name| name.to_string())
}

fn repr(value: &Bound<'_, PyAny>) -> String {
    value.repr().map_or_else(|_| "that".to_owned(), |text| text.to_string_lossy().into_owned())
}

/// Returns the value if it is an integer.
fn whole<'a, 'py>(value: &'a Bound<'py, PyAny>) -> Option<&'a Bound<'py, PyAny>> {
    Some(value).filter(|value| value.is_instance_of::<PyInt>() && !value.is_instance_of::<PyBool>())
}

fn text<'a>(row: &Row<'_>, field: &str, value: Option<&'a Bound<'_, PyAny>>) -> PyResult<Option<&'a str>> {
    let Some(value) = value else { return Ok(None) };
    let text = value.cast::<PyString>().map_err(|_| row.wrong(field, "a str or None", Some(value)))?;
    let invalid = |_| row.invalid(&format!("its {field} holds half a character and cannot be stored"));
    text.to_str().map(Some).map_err(invalid)
}
