//! Usernames in lower case, as they are stored and looked up.

use py_once::intern;
use pyo3::prelude::*;
use pyo3::types::PyString;

/// Returns the username in lower case, as Python converts it.
pub(crate) fn lowered<'t>(
    py: Python<'_>,
    username: Option<&'t str>,
    buffer: &'t mut String,
) -> PyResult<Option<&'t str>> {
    let Some(username) = username else { return Ok(None) };
    let (is_ascii, has_upper) = letters(username.as_bytes());
    if !is_ascii {
        *buffer = PyString::new(py, username).call_method0(intern!(py, "lower"))?.extract()?;
    } else if has_upper {
        buffer.clear();
        buffer.push_str(username);
        buffer.make_ascii_lowercase();
    } else {
        return Ok(Some(username));
    }
    Ok(Some(buffer))
}

/// Returns whether a text is ASCII, and if so, whether it has capital letters.
fn letters(text: &[u8]) -> (bool, bool) {
    // Two words that overlap have no loop, whose end could not be predicted.
    if let (8..=16, Some(first), Some(last)) = (text.len(), text.first_chunk(), text.last_chunk()) {
        let (first, last) = (u64::from_le_bytes(*first), u64::from_le_bytes(*last));
        let is_ascii = (first | last) & HIGH_BITS == 0;
        return (is_ascii, is_ascii && capitals(first) | capitals(last) != 0);
    }
    (text.is_ascii(), text.iter().any(u8::is_ascii_uppercase))
}

const HIGH_BITS: u64 = u64::from_le_bytes([0x80; 8]);

/// Returns the highest bit of each byte of ASCII that is a capital letter.
fn capitals(word: u64) -> u64 {
    let at_least = |byte: u8| word.wrapping_add(u64::from_le_bytes([0x80 - byte; 8]));
    at_least(b'A') & !at_least(b'Z' + 1) & HIGH_BITS
}
