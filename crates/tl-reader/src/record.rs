//! Records what a generated `from_reader` does: runs its code with a reader that notes each call
//! and with flags that are all set.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use crate::events::{Argument, Event, Record};
use crate::step::Kind;

/// All names that a generated function may use: the methods of the reader, and what it calls.
pub(crate) const NAMES: [&str; 12] = [
    "read_int",
    "read_long",
    "read_double",
    "read_large_int",
    "tgread_bytes",
    "tgread_string",
    "tgread_bool",
    "tgread_date",
    "tgread_object",
    "bool",
    "range",
    "append",
];

/// More than any constructor has, in case the code loops.
const MAX_EVENTS: usize = 2000;

/// Runs the code of a function whose names are all among `NAMES`, so that nothing else is called,
/// and returns what it did.
///
/// # Errors
/// What running it raises, if it does anything that is not recorded.
pub(crate) fn record(py: Python<'_>, code: &Bound<'_, PyAny>) -> PyResult<Record> {
    let log = Bound::new(py, Log::default())?;
    let of = |role| Bound::new(py, Callee { log: log.clone().unbind(), role });
    let globals = PyDict::new(py);
    globals.set_item("bool", of(Role::Bool)?)?;
    globals.set_item("range", of(Role::Range)?)?;
    globals.set_item("__builtins__", PyDict::new(py))?;
    let function = py.import("types")?.getattr("FunctionType")?.call1((code, globals))?;
    let reader = Bound::new(py, RecordingReader(log.clone().unbind()))?;
    let result = function.call1((of(Role::Class)?, reader))?;
    if !result.is(&log) {
        return Err(unexpected());
    }
    Ok(std::mem::take(&mut log.get().lock().0))
}

/// Makes the types of this module now. Their first use takes a lock, which a child that another
/// thread forks meanwhile would wait for.
pub(crate) fn prepare(py: Python<'_>) {
    py.get_type::<Log>();
    py.get_type::<RecordingReader>();
    py.get_type::<Value>();
    py.get_type::<Masked>();
    py.get_type::<Callee>();
}

fn unexpected() -> PyErr {
    PyRuntimeError::new_err("not what Telethon generates")
}

/// What is noted during a run.
#[pyclass(frozen)]
#[derive(Default)]
struct Log(Mutex<(Record, usize)>);

impl Log {
    fn lock(&self) -> MutexGuard<'_, (Record, usize)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes an event. Returns the number of the next value.
    fn add(&self, event: Event) -> PyResult<usize> {
        let (record, values) = &mut *self.lock();
        if record.events.len() == MAX_EVENTS {
            return Err(unexpected());
        }
        let number = *values;
        *values += usize::from(matches!(event, Event::Read(_) | Event::Flag { .. }));
        record.events.push(event);
        Ok(number)
    }
}

/// The reader that the function gets.
#[pyclass(frozen)]
struct RecordingReader(Py<Log>);

impl RecordingReader {
    fn read(&self, py: Python<'_>, kind: Kind) -> PyResult<Value> {
        Ok(Value { number: self.0.get().add(Event::Read(kind))?, log: self.0.clone_ref(py) })
    }
}

#[pymethods]
impl RecordingReader {
    #[pyo3(signature = (signed = true))]
    fn read_int(&self, py: Python<'_>, signed: bool) -> PyResult<Value> {
        self.read(py, if signed { Kind::Int } else { Kind::UnsignedInt })
    }

    fn read_long(&self, py: Python<'_>) -> PyResult<Value> {
        self.read(py, Kind::Long)
    }

    fn read_double(&self, py: Python<'_>) -> PyResult<Value> {
        self.read(py, Kind::Double)
    }

    fn read_large_int(&self, py: Python<'_>, bits: u32) -> PyResult<Value> {
        match bits {
            128 => self.read(py, Kind::Int128),
            256 => self.read(py, Kind::Int256),
            _ => Err(unexpected()),
        }
    }

    fn tgread_bytes(&self, py: Python<'_>) -> PyResult<Value> {
        self.read(py, Kind::Bytes)
    }

    fn tgread_string(&self, py: Python<'_>) -> PyResult<Value> {
        self.read(py, Kind::Text)
    }

    fn tgread_bool(&self, py: Python<'_>) -> PyResult<Value> {
        self.read(py, Kind::Bool)
    }

    fn tgread_date(&self, py: Python<'_>) -> PyResult<Value> {
        self.read(py, Kind::Date)
    }

    fn tgread_object(&self, py: Python<'_>) -> PyResult<Value> {
        self.read(py, Kind::Object)
    }
}

/// A value that was read or computed.
#[pyclass(frozen)]
struct Value {
    log: Py<Log>,
    number: usize,
}

#[pymethods]
impl Value {
    fn __and__(&self, py: Python<'_>, mask: u32) -> Masked {
        Masked { log: self.log.clone_ref(py), word: self.number, mask }
    }
}

/// Bits of a flag word.
#[pyclass(frozen)]
struct Masked {
    log: Py<Log>,
    word: usize,
    mask: u32,
}

#[pymethods]
impl Masked {
    fn __bool__(&self) -> PyResult<bool> {
        self.log.get().add(Event::Test { word: self.word, mask: self.mask })?;
        Ok(true)
    }
}

/// `bool`, `range` and the class, as the function sees them.
#[pyclass(frozen)]
struct Callee {
    log: Py<Log>,
    role: Role,
}

#[derive(Clone, Copy)]
enum Role {
    Bool,
    Range,
    Class,
}

#[pymethods]
impl Callee {
    #[pyo3(signature = (*positional, **keywords))]
    fn __call__<'py>(
        &self,
        positional: &Bound<'py, PyTuple>,
        keywords: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = positional.py();
        match (self.role, keywords) {
            (Role::Bool, None) => {
                let (masked,): (PyRef<'_, Masked>,) = positional.extract()?;
                let number = self.log.get().add(Event::Flag { word: masked.word, mask: masked.mask })?;
                Ok(Bound::new(py, Value { log: self.log.clone_ref(py), number })?.into_any())
            }
            (Role::Range, None) => {
                let (count,): (PyRef<'_, Value>,) = positional.extract()?;
                self.log.get().add(Event::Range(count.number))?;
                Ok(PyTuple::new(py, [py.None()])?.into_any())
            }
            (Role::Class, keywords) if positional.is_empty() => {
                let arguments = keywords.map_or(Ok(Vec::new()), |keywords| {
                    keywords.iter().map(|(name, value)| PyResult::Ok((name.extract()?, argument(&value)?))).collect()
                });
                self.log.get().lock().0.arguments = arguments?;
                Ok(self.log.bind(py).clone().into_any())
            }
            _ => Err(unexpected()),
        }
    }
}

fn argument(value: &Bound<'_, PyAny>) -> PyResult<Argument> {
    if let Ok(list) = value.cast_exact::<PyList>() {
        let [item]: [PyRef<'_, Value>; 1] = list.extract()?;
        return Ok(Argument::List(item.number));
    }
    Ok(Argument::Value(value.cast::<Value>()?.get().number))
}
