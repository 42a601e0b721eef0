//! Puts the native reader in the place of `BinaryReader.tgread_object`, and takes it back.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::null_mut;
use std::rc::Rc;

use py_once::intern;
use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyType;

use crate::binary_reader;
use crate::gil::GilCell;
use crate::installed::Installed;
use crate::reading::read_object;
use crate::table::Known;
use crate::watch::dict_of_class;

const NAME: &str = "tgread_object";

/// The native reader of an installed Telethon.
struct Native {
    installed: Installed,
    /// What `BinaryReader.tgread_object` is while it is enabled.
    method: Py<PyAny>,
}

struct State {
    native: Option<Rc<Native>>,
    is_enabled: bool,
    /// How many objects have been read.
    calls: u64,
}

static STATE: GilCell<State> = GilCell::new(State { native: None, is_enabled: false, calls: 0 });

/// Replaces `BinaryReader.tgread_object`. Does nothing if it is replaced.
///
/// Returns why it cannot be, if the installed Telethon or this Python is not known.
///
/// # Errors
/// What looking at Telethon's classes raises.
pub fn enable(py: Python<'_>) -> PyResult<Option<String>> {
    if !has_gil(py)? {
        return Ok(Some("this Python has no GIL".to_owned()));
    }
    let class = py.import(binary_reader::MODULE)?.getattr("BinaryReader")?;
    let known = STATE.borrow(py).native.clone().filter(|native| class.is(&native.installed.reader.class));
    let native = match known {
        Some(native) => {
            let current = class.getattr(NAME)?;
            if !current.is(&native.method) && !current.is(&native.installed.reader.read_object) {
                return Ok(Some(format!("its `{NAME}` was replaced")));
            }
            native
        }
        None => match Native::find(py)? {
            Ok(native) => Rc::new(native),
            Err(reason) => return Ok(Some(reason)),
        },
    };
    class.setattr(NAME, &native.method)?;
    let before = {
        let mut state = STATE.borrow(py);
        state.is_enabled = true;
        state.native.replace(native)
    };
    // Dropping it can run Python code, which may read an object.
    drop(before);
    Ok(None)
}

/// Puts Telethon's method back. If other code has replaced ours meanwhile, its replacement stays,
/// and ours calls Telethon's from now on.
///
/// # Errors
/// What setting the attribute raises.
pub fn disable(py: Python<'_>) -> PyResult<()> {
    let native = {
        let mut state = STATE.borrow(py);
        state.is_enabled = false;
        state.native.clone()
    };
    let Some(native) = native else { return Ok(()) };
    let class = native.installed.reader.class.bind(py);
    if class.getattr(NAME)?.is(&native.method) {
        class.setattr(NAME, &native.installed.reader.read_object)?;
    }
    Ok(())
}

/// Returns `true` if objects are read natively.
///
/// # Errors
/// What reading the attribute raises.
pub fn is_enabled(py: Python<'_>) -> PyResult<bool> {
    let (native, is_enabled) = {
        let state = STATE.borrow(py);
        (state.native.clone(), state.is_enabled)
    };
    match native {
        Some(native) if is_enabled => Ok(native.installed.reader.class.bind(py).getattr(NAME)?.is(&native.method)),
        _ => Ok(false),
    }
}

/// Returns why the objects of a TL class are left to Telethon's reader; `None` if they are read
/// natively. Plans the class if that has not been done.
///
/// # Errors
/// What looking at the class raises.
pub fn explain(class: &Bound<'_, PyType>) -> PyResult<Option<String>> {
    let py = class.py();
    let Some(native) = STATE.borrow(py).native.clone() else {
        return Ok(Some("the native reader was not enabled".to_owned()));
    };
    let Installed { planner, table, .. } = &native.installed;
    let id = class.getattr("CONSTRUCTOR_ID")?;
    let registered = planner.classes.bind(py).get_item(&id)?;
    if !registered.is_some_and(|registered| registered.is(class)) {
        return Ok(Some("Telethon has another class for its constructor, or none".to_owned()));
    }
    let (known, reason) = match planner.plan(class, &id)? {
        Ok(plan) if plan.is_provisional => (Known::Planned(planner.settled(&plan, &id)?.into()), None),
        Ok(plan) => (Known::Planned(plan.into()), None),
        Err(unplanned) => {
            let reason = unplanned.reason.clone();
            (Known::Unplanned(unplanned.into()), Some(reason))
        }
    };
    let id = id.extract()?;
    let before = table.borrow(py).learn(id, known);
    drop(before);
    Ok(reason)
}

impl Native {
    fn find(py: Python<'_>) -> PyResult<Result<Self, String>> {
        let mut installed = match Installed::find(py)? {
            Ok(installed) => installed,
            Err(reason) => return Ok(Err(reason)),
        };
        let reader = &mut installed.reader;
        let class = reader.class.bind(py);
        let method = descriptor(class)?;
        reader.watch.entry_with(&dict_of_class(class)?, intern!(py, "tgread_object"), &method);
        Ok(Ok(Self { method: method.unbind(), installed }))
    }

    /// Reads an object, natively if the reader is a usual one.
    fn read<'py>(&self, reader: &Bound<'py, PyAny>, call: u64) -> PyResult<Bound<'py, PyAny>> {
        let py = reader.py();
        let known = &self.installed.reader;
        if reader.get_type().is(&known.class) && known.watch.holds(py) {
            // What fails here fails there, with Telethon's exception.
            if let Ok(Some(content)) = known.load(reader) {
                return read_object(&self.installed, reader, &content, call);
            }
        }
        known.read_object.bind(py).call1((reader,))
    }
}

/// Returns `true` if this interpreter has the GIL, and has it enabled.
fn has_gil(py: Python<'_>) -> PyResult<bool> {
    let is_enabled = py.import("sys")?.getattr_opt("_is_gil_enabled")?;
    is_enabled.map_or(Ok(true), |is_enabled| is_enabled.call0()?.is_truthy())
}

/// Returns a method of a class, like those that are written in C.
fn descriptor<'py>(class: &Bound<'py, PyType>) -> PyResult<Bound<'py, PyAny>> {
    // It must live as long as the method, which may be kept anywhere.
    let definition = Box::leak(Box::new(ffi::PyMethodDef {
        ml_name: c"tgread_object".as_ptr(),
        ml_meth: ffi::PyMethodDefPointer { PyCFunction: tgread_object },
        ml_flags: ffi::METH_NOARGS,
        ml_doc: c"tgread_object($self, /)\n--\n\nReads a Telegram object.".as_ptr(),
    }));
    // SAFETY: the class is alive, and so is the definition, forever. The result is a new reference
    // or, with an exception set, null.
    unsafe { Bound::from_owned_ptr_or_err(class.py(), ffi::PyDescr_NewMethod(class.as_type_ptr(), definition)) }
}

/// `BinaryReader.tgread_object`, called by Python with the GIL held and a reader that is alive.
unsafe extern "C" fn tgread_object(reader: *mut ffi::PyObject, _: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: Python calls it with the GIL held.
    let py = unsafe { Python::assume_attached() };
    // SAFETY: it is alive during the call.
    let reader = unsafe { Bound::from_borrowed_ptr(py, reader) };
    let result = catch_unwind(AssertUnwindSafe(|| read(&reader)));
    match result
        .unwrap_or_else(|_| Err(PyRuntimeError::new_err("telethon-session-rust: reading TL failed; please report it")))
    {
        Ok(object) => object.into_ptr(),
        Err(error) => {
            error.restore(py);
            null_mut()
        }
    }
}

fn read<'py>(reader: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = reader.py();
    let (native, is_enabled, call) = {
        let mut state = STATE.borrow(py);
        state.calls += 1;
        (state.native.clone(), state.is_enabled, state.calls)
    };
    match native {
        Some(native) if is_enabled => native.read(reader, call),
        Some(native) => native.installed.reader.read_object.bind(py).call1((reader,)),
        None => Err(PyRuntimeError::new_err("the native reader was not enabled")),
    }
}
