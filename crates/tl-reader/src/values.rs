//! Makes Python's values of TL's primitives.

use std::ffi::c_int;

use py_once::intern;
use pyo3::exceptions::PyValueError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyType};

use crate::calendar::{Moment, moment};

/// How values of types that C does not make are made.
pub(crate) struct ValueMaker {
    make_time: Option<MakeTime>,
    datetime: Py<PyType>,
    utc: Py<PyAny>,
    from_bytes: Py<PyAny>,
    signed: Py<PyDict>,
}

/// The beginning of what `datetime` offers C, which is the same in Python 3.7 to 3.14.
/// Source: `PyDateTime_CAPI` in `CPython`'s `datetime.h`.
#[repr(C)]
struct DateTimeApi {
    date: *mut ffi::PyObject,
    datetime: *mut ffi::PyObject,
    time: *mut ffi::PyObject,
    timedelta: *mut ffi::PyObject,
    tzinfo: *mut ffi::PyObject,
    utc: *mut ffi::PyObject,
    make_date: *const (),
    make_time: MakeTime,
}

/// Takes year, month, day, hour, minute, second, microsecond, time zone and class.
type MakeTime = unsafe extern "C" fn(
    c_int,
    c_int,
    c_int,
    c_int,
    c_int,
    c_int,
    c_int,
    *mut ffi::PyObject,
    *mut ffi::PyObject,
) -> *mut ffi::PyObject;

impl ValueMaker {
    /// # Errors
    /// If Python's times are not made in this way.
    pub(crate) fn new(py: Python<'_>) -> PyResult<Self> {
        let module = py.import("datetime")?;
        let datetime = module.getattr("datetime")?.cast_into::<PyType>()?;
        let utc = module.getattr("timezone")?.getattr("utc")?;
        let signed = PyDict::new(py);
        signed.set_item("signed", true)?;
        let maker = Self {
            make_time: find_make_time(&datetime, &utc),
            utc: utc.unbind(),
            from_bytes: py.get_type::<pyo3::types::PyInt>().getattr("from_bytes")?.unbind(),
            signed: signed.unbind(),
            datetime: datetime.clone().unbind(),
        };
        for seconds in [i32::MIN, -1, 0, 951_827_696, 1_709_251_199, i32::MAX] {
            let delta = module.getattr("timedelta")?.call1((0, seconds))?;
            let expected = datetime.call1((1970, 1, 1, 0, 0, 0, 0, &maker.utc))?.add(delta)?;
            let time = maker.time(py, seconds)?;
            if !time.eq(&expected)? || time.repr()?.to_cow()? != expected.repr()?.to_cow()? {
                return Err(PyValueError::new_err("times are made in another way"));
            }
        }
        Ok(maker)
    }

    /// Returns the time, in UTC, this many seconds after 1970.
    ///
    /// # Errors
    /// No memory.
    #[inline]
    pub(crate) fn time<'py>(&self, py: Python<'py>, seconds: i32) -> PyResult<Bound<'py, PyAny>> {
        let Moment { year, month, day, hour, minute, second } = moment(seconds);
        let (datetime, utc) = (self.datetime.bind(py), self.utc.bind(py));
        let Some(make) = self.make_time else {
            return datetime.call1((year, month, day, hour, minute, second, 0, utc));
        };
        // SAFETY: class and time zone are alive. The result is a new reference or, with an exception
        // set, null.
        unsafe {
            let time = make(year, month, day, hour, minute, second, 0, utc.as_ptr(), datetime.as_ptr());
            Bound::from_owned_ptr_or_err(py, time)
        }
    }

    /// Returns a large integer.
    ///
    /// # Errors
    /// No memory.
    pub(crate) fn large<'py>(&self, py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
        let arguments = (PyBytes::new(py, bytes), intern!(py, "little"));
        self.from_bytes.bind(py).call(arguments, Some(self.signed.bind(py)))
    }
}

/// Returns the function with which C makes times, if this Python is a known one.
fn find_make_time(datetime: &Bound<'_, PyType>, utc: &Bound<'_, PyAny>) -> Option<MakeTime> {
    let py = datetime.py();
    if !matches!((py.version_info().major, py.version_info().minor), (3, 10..=14)) {
        return None;
    }
    // SAFETY: the name is a string of C. If there is no such capsule, an exception is set.
    let api = unsafe { ffi::PyCapsule_Import(c"datetime.datetime_CAPI".as_ptr(), 0) };
    if api.is_null() {
        drop(PyErr::take(py));
        return None;
    }
    // SAFETY: in these versions of Python the capsule has this structure, which lives as long as the
    // interpreter.
    let api = unsafe { &*api.cast::<DateTimeApi>() };
    (api.datetime == datetime.as_ptr() && api.utc == utc.as_ptr()).then_some(api.make_time)
}

/// # Errors
/// No memory.
#[inline]
pub(crate) fn integer(py: Python<'_>, number: i64) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: the result is a new reference or, with an exception set, null.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyLong_FromLongLong(number)) }
}

/// Returns text as Telethon decodes it.
///
/// # Errors
/// No memory.
#[inline]
pub(crate) fn text<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: the bytes are alive and as long as said: at most 16 MB. The result is a new reference
    // or, with an exception set, null.
    unsafe {
        let (start, length) = (bytes.as_ptr().cast(), bytes.len().cast_signed());
        Bound::from_owned_ptr_or_err(py, ffi::PyUnicode_DecodeUTF8(start, length, c"replace".as_ptr()))
    }
}
