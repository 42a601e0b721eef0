//! The installed Telethon, as far as reading needs it.

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::binary_reader::{self, BinaryReader};
use crate::gil::GilCell;
use crate::planning::Planner;
use crate::table::Table;
use crate::values::ValueMaker;

/// What reading needs of it, and what is known of its classes.
pub(crate) struct Installed {
    pub(crate) reader: BinaryReader,
    pub(crate) planner: Planner,
    pub(crate) values: ValueMaker,
    pub(crate) table: GilCell<Table>,
}

impl Installed {
    /// Returns it; or why it is not known.
    ///
    /// # Errors
    /// What looking at it raises.
    pub(crate) fn find(py: Python<'_>) -> PyResult<Result<Self, String>> {
        let reader = match BinaryReader::find(py)? {
            Ok(reader) => reader,
            Err(reason) => return Ok(Err(reason)),
        };
        let module = py.import(binary_reader::MODULE)?.dict();
        let classes = module.get_item("tlobjects")?.map(Bound::cast_into_exact::<PyDict>);
        let Some(Ok(classes)) = classes else { return Ok(Err("it has no table of classes".to_owned())) };
        Ok(Ok(Self {
            reader,
            planner: Planner::new(py, classes)?,
            values: ValueMaker::new(py)?,
            table: GilCell::new(Table::default()),
        }))
    }
}
