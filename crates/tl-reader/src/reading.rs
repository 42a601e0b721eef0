//! Reads one object, and all that is in it, natively as far as that is possible.
//!
//! Whatever cannot be read natively is left to Telethon's own reader, one primitive or one object
//! at a time, at the position where it begins. So its exceptions, and where they leave the reader,
//! are Telethon's.

use std::cell::Cell;
use std::rc::Rc;

use py_once::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyList, PyString, PyType};

use crate::binary_reader::Content;
use crate::collector::Pause;
use crate::cursor::Cursor;
use crate::installed::Installed;
use crate::make::call;
use crate::plan::Plan;
use crate::schedule::Bits;
use crate::step::{Action, Kind};
use crate::table::{How, Known};
use crate::values::{integer, text};

/// How deep objects and vectors may be in each other before Telethon's reader takes over, which
/// ends with a `RecursionError`. Reading natively takes less than 1 kB of stack for each.
const MAX_DEPTH: u32 = 100;
/// From how many bytes on the garbage collector pauses.
const LARGE: usize = 4096;

const BOOL_TRUE: u32 = 0x9972_75b5;
const BOOL_FALSE: u32 = 0xbc79_9737;
const VECTOR: u32 = 0x1cb5_c415;

thread_local! {
    /// How deep this thread is in objects that are read natively, with Python code in between.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// A reader that is being read natively.
pub(crate) struct Reading<'r, 'py> {
    py: Python<'py>,
    installed: &'r Installed,
    reader: &'r Bound<'py, PyAny>,
    /// The reader's attributes.
    dict: &'r Bound<'py, PyDict>,
    bytes: &'r Bound<'py, PyBytes>,
    cursor: Cursor<'r>,
    /// Whether the reader's own position is the right one, not the cursor's.
    is_left: bool,
    /// The values of the objects that are being read, one above the other.
    values: Vec<Option<Bound<'py, PyAny>>>,
    depth: u32,
    /// The number of this call, in which each class is checked once.
    call: u64,
    pause: Option<Pause>,
}

/// Reads an object from a reader whose bytes and position are known.
///
/// # Errors
/// What Telethon's reader raises.
pub(crate) fn read_object<'py>(
    installed: &Installed,
    reader: &Bound<'py, PyAny>,
    content: &Content<'py>,
    call: u64,
) -> PyResult<Bound<'py, PyAny>> {
    let py = reader.py();
    let Content { dict, bytes, position } = content;
    let cursor = Cursor::new(bytes.as_bytes(), *position, installed.reader.reads_numbers);
    let pause = (cursor.remaining() >= LARGE).then(|| Pause::begin(py));
    let depth = DEPTH.get();
    let mut reading =
        Reading { py, installed, reader, dict, bytes, cursor, is_left: false, values: Vec::new(), depth, call, pause };
    let object = reading.object();
    if !reading.is_left {
        reading.store()?;
    }
    object
}

impl<'py> Reading<'_, 'py> {
    /// Reads an object, as `tgread_object` does.
    fn object(&mut self) -> PyResult<Bound<'py, PyAny>> {
        if self.depth >= MAX_DEPTH {
            return self.by_python(read_deep_object);
        }
        let Some(id) = self.cursor.peek_id() else { return self.by_python(read_any_object) };
        let checked = self.installed.table.borrow(self.py).checked(id, self.call);
        if let Some(plan) = checked {
            return self.planned(&plan);
        }
        match self.how(id)? {
            How::Natively(plan) => self.planned(&plan),
            How::ByClass(class) => {
                self.cursor.int();
                self.by_python(|_, reader| class.call_method1(intern!(reader.py(), "from_reader"), (reader,)))
            }
            How::Specially => self.special(id),
        }
    }

    /// Reads an object that has no class of its own.
    fn special(&mut self, id: u32) -> PyResult<Bound<'py, PyAny>> {
        match id {
            BOOL_TRUE | BOOL_FALSE => {
                self.cursor.int();
                Ok(PyBool::new(self.py, id == BOOL_TRUE).to_owned().into_any())
            }
            VECTOR => {
                self.cursor.int();
                let start = self.values.len();
                self.depth += 1;
                let items = self.vector(Kind::Object);
                self.depth -= 1;
                self.values.truncate(start);
                items
            }
            _ => self.by_python(read_any_object),
        }
    }

    /// Returns how to read an object whose class was not checked in this call.
    fn how(&mut self, id: u32) -> PyResult<How<'py>> {
        let py = self.py;
        let Installed { table, planner, .. } = self.installed;
        let current = table.borrow(py).current(py, id, self.call);
        let number = id.into_pyobject(py)?.into_any();
        match current {
            Some(How::Natively(plan)) if plan.is_provisional => {
                if let Ok(settled) = self.with_collector(|| planner.settled(&plan, &number)) {
                    return Ok(How::Natively(self.keep(id, settled)));
                }
                return Ok(How::Natively(plan));
            }
            Some(how) => return Ok(how),
            None => {}
        }
        let Some(class) = planner.classes.bind(py).get_item(&number)? else { return Ok(How::Specially) };
        let was_met = table.borrow(py).meet(id);
        let planned = match class.cast::<PyType>() {
            Ok(class) if was_met => self.with_collector(|| planner.plan(class, &number)),
            _ => return Ok(How::ByClass(class)),
        };
        // A class that cannot even be watched is looked at again each time.
        let Ok(planned) = planned else { return Ok(How::ByClass(class)) };
        match planned {
            Ok(plan) => Ok(How::Natively(self.keep(id, plan))),
            Err(unplanned) => {
                let before = table.borrow(py).learn(id, Known::Unplanned(unplanned.into()));
                drop(before);
                Ok(How::ByClass(class))
            }
        }
    }

    /// Keeps a plan, which need not be checked again in this call.
    fn keep(&self, id: u32, plan: Plan) -> Rc<Plan> {
        let plan = Rc::new(plan);
        plan.checked_in.set(self.call);
        let before = self.installed.table.borrow(self.py).learn(id, Known::Planned(plan.clone()));
        drop(before);
        plan
    }

    /// Reads an object with a plan.
    fn planned(&mut self, plan: &Plan) -> PyResult<Bound<'py, PyAny>> {
        self.cursor.int();
        let base = self.values.len();
        self.values.resize_with(base + plan.names.len(), || None);
        self.depth += 1;
        let object = self.fill(plan, base).and_then(|filled| self.make(plan, base, filled));
        self.depth -= 1;
        self.values.truncate(base);
        object
    }

    /// Reads the values of an object into its slots. Returns those with a value.
    fn fill(&mut self, plan: &Plan, base: usize) -> PyResult<Bits> {
        let Plan { schedule, .. } = plan;
        let (mut due, mut filled) = (schedule.always(), Bits::default());
        while let Some(at) = due.take_first() {
            let (slot, value) = match schedule.steps()[at].action {
                Action::Word(word) => {
                    due.extend(schedule.caused(word, self.int()?));
                    continue;
                }
                Action::Skip => {
                    self.int()?;
                    continue;
                }
                Action::Flag { slot, .. } => (slot, PyBool::new(self.py, true).to_owned().into_any()),
                Action::Value { slot, kind } => (slot, self.value(kind)?),
                Action::Vector { slot, kind, has_id } => {
                    if has_id {
                        self.int()?;
                    }
                    (slot, self.vector(kind)?)
                }
            };
            let slot = usize::from(slot);
            self.values[base + slot] = Some(value);
            filled.insert(slot);
        }
        Ok(filled)
    }

    fn make(&mut self, plan: &Plan, base: usize, filled: Bits) -> PyResult<Bound<'py, PyAny>> {
        let py = self.py;
        if let Some(object) = self.installed.planner.maker.make(py, plan, &self.values[base..], filled)? {
            return Ok(object);
        }
        let values = std::mem::take(&mut self.values);
        let object = self.by_python(|_, _| call(py, plan, &values[base..]));
        self.values = values;
        object
    }

    /// Reads the length of a vector, and its items.
    fn vector(&mut self, kind: Kind) -> PyResult<Bound<'py, PyAny>> {
        let count = match self.cursor.int() {
            Some(count) => count.into(),
            None => self.by_method(intern!(self.py, "read_int"))?.extract::<i64>()?,
        };
        let start = self.values.len();
        let count = usize::try_from(count).unwrap_or(0);
        // Each item takes four bytes at least; a hostile length reserves nothing.
        if count <= self.cursor.remaining() / 4 {
            self.values.reserve(count);
        }
        for _ in 0..count {
            let item = self.value(kind)?;
            self.values.push(Some(item));
        }
        Ok(PyList::new(self.py, self.values.drain(start..))?.into_any())
    }

    /// Reads a flag word, or an integer that is not used.
    fn int(&mut self) -> PyResult<u32> {
        if let Some(int) = self.cursor.int() {
            return Ok(int.cast_unsigned());
        }
        let int: i64 = self.by_method(intern!(self.py, "read_int"))?.extract()?;
        // The bits that `&` reaches.
        Ok((int & i64::from(u32::MAX)).try_into()?)
    }

    #[inline]
    fn value(&mut self, kind: Kind) -> PyResult<Bound<'py, PyAny>> {
        let py = self.py;
        match kind {
            Kind::Object => self.object(),
            Kind::Int => match self.cursor.int() {
                Some(int) => integer(py, int.into()),
                None => self.by_method(intern!(py, "read_int")),
            },
            Kind::UnsignedInt => match self.cursor.int() {
                Some(int) => integer(py, int.cast_unsigned().into()),
                None => self.by_python(|_, reader| {
                    let options = PyDict::new(reader.py());
                    options.set_item("signed", false)?;
                    reader.call_method("read_int", (), Some(&options))
                }),
            },
            Kind::Long => match self.cursor.long() {
                Some(long) => integer(py, long),
                None => self.by_method(intern!(py, "read_long")),
            },
            Kind::Double => match self.cursor.double() {
                Some(double) => Ok(PyFloat::new(py, double).into_any()),
                None => self.by_method(intern!(py, "read_double")),
            },
            Kind::Int128 => match self.cursor.raw::<16>() {
                Some(bytes) => self.installed.values.large(py, bytes),
                None => self.by_python(|_, reader| reader.call_method1("read_large_int", (128,))),
            },
            Kind::Int256 => match self.cursor.raw::<32>() {
                Some(bytes) => self.installed.values.large(py, bytes),
                None => self.by_python(|_, reader| reader.call_method1("read_large_int", (256,))),
            },
            Kind::Bytes => match self.cursor.bytes() {
                Some(bytes) => Ok(PyBytes::new(py, bytes).into_any()),
                None => self.by_method(intern!(py, "tgread_bytes")),
            },
            Kind::Text => match self.cursor.bytes() {
                Some(bytes) => text(py, bytes),
                None => self.by_method(intern!(py, "tgread_string")),
            },
            Kind::Bool => match self.cursor.peek_id() {
                Some(id @ (BOOL_TRUE | BOOL_FALSE)) => {
                    self.cursor.int();
                    Ok(PyBool::new(py, id == BOOL_TRUE).to_owned().into_any())
                }
                _ => self.by_method(intern!(py, "tgread_bool")),
            },
            Kind::Date => match self.cursor.int() {
                Some(seconds) => self.installed.values.time(py, seconds),
                None => self.by_method(intern!(py, "tgread_date")),
            },
        }
    }

    fn by_method(&mut self, name: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
        self.by_python(|_, reader| reader.call_method0(name))
    }

    /// Calls Python code with the reader at the cursor's position, and goes on where that ends.
    #[cold]
    fn by_python(
        &mut self,
        read: impl FnOnce(&Installed, &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if !self.is_left {
            self.store()?;
            self.is_left = true;
        }
        let (installed, reader) = (self.installed, self.reader);
        let result = self.with_collector(|| read(installed, reader))?;
        // If the reader has other bytes now, everything else is read by Python, too.
        self.cursor = Cursor::new(&[], 0, false);
        if let Some(content) = installed.reader.load(reader)?
            && content.bytes.is(self.bytes)
            && content.dict.is(self.dict)
        {
            self.cursor = Cursor::new(self.bytes.as_bytes(), content.position, installed.reader.reads_numbers);
            self.is_left = false;
        }
        Ok(result)
    }

    /// Runs Python code that does not use the reader, or expects it to be where it is.
    fn with_collector<T>(&mut self, run: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
        let was_paused = self.pause.take().is_some();
        let depth = DEPTH.replace(self.depth);
        let result = run();
        DEPTH.set(depth);
        if was_paused {
            self.pause = Some(Pause::begin(self.py));
        }
        result
    }

    fn store(&self) -> PyResult<()> {
        self.installed.reader.store(self.dict, self.bytes, self.cursor.position(), self.cursor.last())
    }
}

/// Reads an object by Telethon's reader, and those in it as usual.
fn read_any_object<'py>(installed: &Installed, reader: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    installed.reader.read_object.bind(reader.py()).call1((reader,))
}

/// Reads an object and all in it by Telethon's reader, so that it is as deep in calls as without
/// us: an attribute of the reader's own is found before the class's.
fn read_deep_object<'py>(installed: &Installed, reader: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = reader.py();
    let name = intern!(py, "tgread_object");
    let method = installed.reader.read_object.bind(py).call_method1(intern!(py, "__get__"), (reader,))?;
    reader.setattr(name, &method)?;
    let result = method.call0();
    reader.delattr(name)?;
    result
}
