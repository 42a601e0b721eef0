//! Telethon's `BinaryReader`: whether the installed one is known, and what it holds.

use std::ptr::null_mut;

use py_once::intern;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyInt, PyString, PyType};

use crate::cursor::Last;
use crate::own::is_own;
use crate::watch::{Watch, dict_of_class};

pub(crate) const MODULE: &str = "telethon.extensions.binaryreader";

/// The methods that reading natively takes the place of.
const REPLACED: [&str; 10] = [
    "read",
    "read_byte",
    "read_int",
    "read_long",
    "read_double",
    "read_large_int",
    "tgread_bytes",
    "tgread_string",
    "tgread_bool",
    "tgread_date",
];

/// What a method must return for some bytes, as `repr` shows it, and where it must stop.
const TRIES: [(&str, &[u8], &str, usize); 16] = [
    ("read_byte", b"\xff\0", "255", 1),
    ("read_int", b"\xfe\xff\xff\xff\0", "-2", 4),
    ("read_long", b"\xfe\xff\xff\xff\xff\xff\xff\xff", "-2", 8),
    ("read_double", b"\0\0\0\0\0\0\xf8\xbf", "-1.5", 8),
    ("tgread_bytes", b"\x05abcde\0\0\0", "b'abcde'", 8),
    ("tgread_bytes", b"\x03abc", "b'abc'", 4),
    ("tgread_bytes", b"\xfe\x01\0\0a\0\0\0", "b'a'", 8),
    ("tgread_string", b"\x02\xc3\xa9\0", "'\u{e9}'", 4),
    ("tgread_string", b"\x01\xff\0\0", "'\u{fffd}'", 4),
    ("tgread_bool", b"\xb5\x75\x72\x99", "True", 4),
    ("tgread_bool", b"\x37\x97\x79\xbc", "False", 4),
    (
        "tgread_date",
        b"\xff\xff\xff\xff",
        "datetime.datetime(1969, 12, 31, 23, 59, 59, tzinfo=datetime.timezone.utc)",
        4,
    ),
    ("tgread_date", b"\xff\xff\xff\x7f", "datetime.datetime(2038, 1, 19, 3, 14, 7, tzinfo=datetime.timezone.utc)", 4),
    ("tgread_object", b"\xb5\x75\x72\x99", "True", 4),
    ("tgread_object", b"\x37\x97\x79\xbc", "False", 4),
    ("tgread_object", b"\x15\xc4\xb5\x1c\x01\0\0\0\xb5\x75\x72\x99", "[True]", 12),
];

/// Where a reader has its bytes and its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// In `stream` and `position`, since Telethon 1.40.
    Bytes,
    /// In a `BytesIO`.
    Stream,
}

/// The installed `BinaryReader`.
pub(crate) struct BinaryReader {
    pub(crate) class: Py<PyType>,
    /// Its own `tgread_object`.
    pub(crate) read_object: Py<PyAny>,
    source: Source,
    /// Whether reading a number sets `_last`.
    pub(crate) reads_numbers: bool,
    bytes_io: Py<PyAny>,
    /// Its methods, which may be replaced later.
    pub(crate) watch: Watch,
}

/// What a reader holds.
pub(crate) struct Content<'py> {
    /// Its attributes.
    pub(crate) dict: Bound<'py, PyDict>,
    pub(crate) bytes: Bound<'py, PyBytes>,
    pub(crate) position: usize,
}

impl BinaryReader {
    /// Returns the installed one; or why it is not known.
    ///
    /// # Errors
    /// What looking at it raises.
    pub(crate) fn find(py: Python<'_>) -> PyResult<Result<Self, String>> {
        let module = py.import(MODULE)?;
        let class = module.getattr("BinaryReader")?.cast_into::<PyType>()?;
        let dict = dict_of_class(&class)?;
        let mut watch = Watch::default();
        for name in REPLACED.iter().chain(&["tgread_object", "tell_position", "set_position", "seek"]) {
            let Some(method) = dict.get_item(name)? else { return Ok(Err(format!("it has no `{name}`"))) };
            if !is_own(&method, MODULE, &format!("BinaryReader.{name}"))? {
                return Ok(Err(format!("its `{name}` is not Telethon's")));
            }
        }
        for name in REPLACED {
            watch.entry(&dict, PyString::intern(py, name).as_any())?;
        }
        for name in ["_EPOCH", "timedelta", "struct", "unpack", "tlobjects", "core_objects"] {
            watch.entry(&module.dict(), PyString::intern(py, name).as_any())?;
        }
        watch.absent(py, &dict, &["__getattribute__", "__getattr__", "__setattr__", "stream", "position", "_last"]);
        for (name, bytes, expected, end) in TRIES {
            let reader = class.call1((PyBytes::new(py, bytes),))?;
            let result = reader.call_method0(name)?.repr()?;
            if !result.eq(expected) || reader.call_method0("tell_position")?.extract::<usize>()? != end {
                return Ok(Err(format!("its `{name}` returns {result} where {expected} is expected")));
            }
        }
        let reader = class.call1((PyBytes::new(py, &[0; 4]),))?;
        reader.call_method0("read_int")?;
        let reads_numbers = !reader.getattr("_last")?.is_none();
        let bytes_io = py.import("io")?.getattr("BytesIO")?;
        let stream = reader.getattr("stream")?;
        let source = if stream.is_exact_instance_of::<PyBytes>() {
            Source::Bytes
        } else if stream.get_type().is(&bytes_io) {
            Source::Stream
        } else {
            return Ok(Err("it keeps its bytes in another way".to_owned()));
        };
        let Some(read_object) = dict.get_item("tgread_object")? else {
            return Ok(Err("it has no `tgread_object`".to_owned()));
        };
        Ok(Ok(Self {
            class: class.unbind(),
            read_object: read_object.unbind(),
            source,
            reads_numbers,
            bytes_io: bytes_io.unbind(),
            watch,
        }))
    }

    /// Returns what a reader holds; `None` if it is used in an unusual way.
    ///
    /// # Errors
    /// What reading its attributes raises.
    #[inline]
    pub(crate) fn load<'py>(&self, reader: &Bound<'py, PyAny>) -> PyResult<Option<Content<'py>>> {
        let py = reader.py();
        // SAFETY: the object is alive, and the result is a new reference or, with an exception set,
        // null.
        let dict =
            unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyObject_GenericGetDict(reader.as_ptr(), null_mut()))? };
        let dict = dict.cast_into_exact::<PyDict>()?;
        let Some(stream) = dict.get_item(intern!(py, "stream"))? else { return Ok(None) };
        let (bytes, position, attributes) = match self.source {
            Source::Bytes => (Some(stream), dict.get_item(intern!(py, "position"))?, 3),
            Source::Stream if stream.get_type().is(&self.bytes_io) => (
                Some(stream.call_method0(intern!(py, "getvalue"))?),
                Some(stream.call_method0(intern!(py, "tell"))?),
                2,
            ),
            Source::Stream => (None, None, 0),
        };
        // Another attribute of its own may be a method.
        let (Some(bytes), Some(position), true) = (bytes, position, dict.len() == attributes) else { return Ok(None) };
        let (Ok(bytes), Ok(position)) = (bytes.cast_into_exact(), position.cast_exact::<PyInt>()) else {
            return Ok(None);
        };
        Ok(position.extract().ok().map(|position| Content { dict, bytes, position }))
    }

    /// Sets a reader's position, and its last bytes if there are any.
    ///
    /// # Errors
    /// What setting its attributes raises.
    #[inline]
    pub(crate) fn store(
        &self,
        dict: &Bound<'_, PyDict>,
        bytes: &Bound<'_, PyBytes>,
        position: usize,
        last: Last,
    ) -> PyResult<()> {
        let py = dict.py();
        if let Last::Range(start, end) = last {
            let last = PyBytes::new(py, bytes.as_bytes().get(start..end).unwrap_or_default());
            dict.set_item(intern!(py, "_last"), last)?;
        }
        match (self.source, dict.get_item(intern!(py, "stream"))?) {
            (Source::Stream, Some(stream)) => stream.call_method1(intern!(py, "seek"), (position,)).map(drop),
            _ => dict.set_item(intern!(py, "position"), position),
        }
    }
}
