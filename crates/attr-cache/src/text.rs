//! Texts as UTF-8.
//!
//! `PyUnicode_AsUTF8AndSize` is free for ASCII. Any other text it encodes into memory of its own,
//! which the text then keeps. Here such a text is encoded into memory that is used again.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::ffi;

/// Texts with more characters than this are left to Python.
const LONGEST: usize = 128;
/// Bytes for the texts of several objects. What does not fit is left to Python.
const ROOM: usize = 8192;

thread_local! {
    /// Memory that was used before, so that calls need no allocation.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Memory for texts that are not ASCII.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    /// Its capacity does not change while it holds texts.
    bytes: Vec<u8>,
}

/// Whether a text of some attribute was not ASCII. Most usernames and phones are, so that need not
/// be asked first.
#[derive(Debug, Default)]
pub(crate) struct Scripts(AtomicBool);

impl Texts {
    /// Forgets all texts.
    #[inline]
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Returns the UTF-8 of an object, which must be alive and exactly a `str`: where it begins and
    /// its length. It is valid until the object is freed or the texts are forgotten. `None` if it
    /// cannot be encoded; then Python code may have run.
    #[inline]
    pub(crate) fn read(&mut self, text: *mut ffi::PyObject, scripts: &Scripts) -> Option<(*const u8, usize)> {
        // SAFETY: the object is alive and exactly a `str`. It has a first character if its length
        // is not 0.
        let length = unsafe { ffi::PyUnicode_GetLength(text) };
        if scripts.0.load(Ordering::Relaxed)
            && length != 0
            // SAFETY: as above.
            && unsafe { ffi::PyUnicode_ReadChar(text, 0) } >= 0x80
            && let Some(encoded) = self.encode(text, usize::try_from(length).ok()?)
        {
            return Some(encoded);
        }
        let mut size = 0;
        // SAFETY: as above.
        let bytes = unsafe { ffi::PyUnicode_AsUTF8AndSize(text, &raw mut size) };
        if bytes.is_null() {
            // SAFETY: clearing an exception has no requirements.
            unsafe { ffi::PyErr_Clear() };
            return None;
        }
        if size != length {
            scripts.0.store(true, Ordering::Relaxed);
        }
        Some((bytes.cast(), usize::try_from(size).ok()?))
    }

    /// Encodes a `str` of this length here, unless it is long or has half a character.
    #[inline(never)]
    fn encode(&mut self, text: *mut ffi::PyObject, length: usize) -> Option<(*const u8, usize)> {
        let mut chars = [const { std::mem::MaybeUninit::<u32>::uninit() }; LONGEST];
        if length > LONGEST {
            return None;
        }
        if self.bytes.capacity() == 0 {
            self.bytes = SPARE.take();
            self.bytes.reserve(ROOM);
        }
        let start = self.bytes.len();
        let room = self.bytes.spare_capacity_mut();
        if room.len() < 4 * length {
            return None;
        }
        // SAFETY: the object is alive and exactly a `str`, and has at most so many characters,
        // which are then written.
        let chars = unsafe {
            if ffi::PyUnicode_AsUCS4(text, chars.as_mut_ptr().cast(), LONGEST.cast_signed(), 0).is_null() {
                ffi::PyErr_Clear();
                return None;
            }
            std::slice::from_raw_parts(chars.as_ptr().cast::<u32>(), length)
        };
        let mut size = 0;
        for char in chars {
            if (0x80..0x800).contains(char) {
                room[size].write(low_byte(0xc0 | char >> 6));
                room[size + 1].write(low_byte(0x80 | char & 0x3f));
                size += 2;
                continue;
            }
            let mut bytes = [0; 4];
            for byte in char::from_u32(*char)?.encode_utf8(&mut bytes).bytes() {
                room[size].write(byte);
                size += 1;
            }
        }
        // SAFETY: so many bytes were written.
        unsafe { self.bytes.set_len(start + size) };
        Some((self.bytes[start..].as_ptr(), size))
    }
}

impl Drop for Texts {
    fn drop(&mut self) {
        if self.bytes.capacity() > 0 {
            self.clear();
            SPARE.set(std::mem::take(&mut self.bytes));
        }
    }
}

fn low_byte(number: u32) -> u8 {
    number.to_le_bytes()[0]
}
