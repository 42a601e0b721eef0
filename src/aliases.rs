//! The usernames of an entity that has several.

use py_once::intern;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString, PyTuple};

use crate::lookup::whole_text;
use crate::username::lowered;
use session_core::entity_table::EntityBatch;

/// Adds the active ones of an entity's `usernames` to the entity that was added to a batch last.
///
/// Telethon does not look at them, so what is wrong with them raises nothing: they are ignored.
pub(crate) fn push(batch: &mut EntityBatch, entity: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = entity.py();
    match read(batch, entity) {
        Err(error) if error.is_instance_of::<PyException>(py) => {
            log::debug!("the usernames of an entity cannot be read: {error}");
            Ok(())
        }
        result => result,
    }
}

fn read(batch: &mut EntityBatch, entity: &Bound<'_, PyAny>) -> PyResult<()> {
    let Some(usernames) = entity.getattr_opt(intern!(entity.py(), "usernames"))? else { return Ok(()) };
    if let Ok(list) = usernames.cast::<PyList>() {
        list.iter().try_for_each(|username| read_one(batch, &username))
    } else if let Ok(tuple) = usernames.cast::<PyTuple>() {
        tuple.iter().try_for_each(|username| read_one(batch, &username))
    } else {
        Ok(())
    }
}

fn read_one(batch: &mut EntityBatch, username: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = username.py();
    let is_active = username.getattr_opt(intern!(py, "active"))?.map_or(Ok(false), |active| active.is_truthy())?;
    let text = if is_active { username.getattr_opt(intern!(py, "username"))? } else { None };
    let Some(text) = text.as_ref().and_then(|text| text.cast::<PyString>().ok()) else { return Ok(()) };
    let (whole, mut lower) = (whole_text(text)?.filter(|text| !text.is_empty()), String::new());
    if let Some(alias) = lowered(py, whole, &mut lower)? {
        batch.push_alias(alias.as_bytes());
    }
    Ok(())
}
