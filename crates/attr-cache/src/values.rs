//! The values of several objects of one class, read one attribute after another: objects are
//! scattered over memory, and so the processor overlaps the loads.
//!
//! The loops have few branches that depend on the data, because a wrong guess costs as much as
//! reading a value.

use std::array::from_fn;
use std::marker::PhantomData;
use std::ptr::{null, null_mut};

use arrayvec::ArrayVec;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::text::Texts;
use crate::{Attribute, dict_of, flag, integer};

/// The attributes of a class that are read: `I` integers, `F` flags and `T` texts.
#[derive(Debug)]
pub struct Attributes<const I: usize, const F: usize, const T: usize> {
    /// Each an exact `int` that fits 64 bits, or `None`.
    pub integers: [Attribute; I],
    /// Each `True`, `False` or `None`.
    pub flags: [Attribute; F],
    /// Each an exact `str`, or `None`.
    pub texts: [Attribute; T],
    /// One that hardly any object has: only whether it is there, and not `None`, is read.
    pub rare: Option<Attribute>,
}

/// The values of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row<'v, const I: usize, const F: usize, const T: usize> {
    /// The integers.
    pub integers: [Option<i64>; I],
    /// Whether each flag is `True`.
    pub flags: [bool; F],
    /// The texts.
    pub texts: [Option<&'v str>; T],
    /// Whether it has the rare attribute.
    pub has_rare: bool,
}

/// The values of up to `B` objects, which are at most 32.
#[derive(Debug)]
pub struct Values<'py, const I: usize, const F: usize, const T: usize, const B: usize> {
    count: usize,
    /// A bit for each object with an attribute that is missing or has another type.
    foreign: u32,
    integers: [ArrayVec<i64, B>; I],
    /// A bit for each object whose integer is `None`.
    no_integer: [u32; I],
    /// A bit for each object whose flag is `True`.
    flags: [u32; F],
    /// A bit for each object that has the rare attribute.
    rare: u32,
    /// Where each text begins, or null, and its length.
    texts: [ArrayVec<(*const u8, usize), B>; T],
    /// References to the objects whose texts these are.
    held: [ArrayVec<*mut ffi::PyObject, B>; T],
    encoded: Texts,
    python: PhantomData<Python<'py>>,
}

/// How many values are asked for at a time, at most.
const MOST_ASKED: usize = 128;

/// Values of one attribute: borrowed references, or null.
type Column<const B: usize> = ArrayVec<*mut ffi::PyObject, B>;

/// Up to `B` objects of one class, and their dictionaries if these can be read instead of asking
/// each object for each attribute.
#[derive(Debug)]
pub struct Objects<'a, 'py, const B: usize> {
    objects: &'a [Bound<'py, PyAny>],
    dicts: Option<ArrayVec<Bound<'py, PyDict>, B>>,
}

impl<'a, 'py, const B: usize> Objects<'a, 'py, B> {
    /// Takes the first `B` objects; `have_dicts` says that each has a dictionary.
    ///
    /// # Errors
    /// What asking an object for its dictionary raises.
    pub fn new(objects: &'a [Bound<'py, PyAny>], have_dicts: bool) -> PyResult<Self> {
        let objects = &objects[..objects.len().min(B)];
        let mut dicts = ArrayVec::new();
        for object in objects {
            match if have_dicts { dict_of(object)? } else { None } {
                Some(dict) => dicts.push(dict),
                None => return Ok(Self { objects, dicts: None }),
            }
        }
        Ok(Self { objects, dicts: Some(dicts) })
    }
}

impl<const I: usize, const F: usize, const T: usize> Attributes<I, F, T> {
    /// Returns the attributes with these names.
    ///
    /// # Errors
    /// What prevents Python's version from being read.
    pub fn new(py: Python<'_>, integers: [&str; I], flags: [&str; F], texts: [&str; T]) -> PyResult<Self> {
        Ok(Self {
            integers: Attribute::named(py, integers)?,
            flags: Attribute::named(py, flags)?,
            texts: Attribute::named(py, texts)?,
            rare: None,
        })
    }

    /// Adds a rare attribute, which every object of the class must have, mostly as `None`.
    ///
    /// # Errors
    /// What prevents Python's version from being read.
    pub fn with_rare(self, py: Python<'_>, name: &str) -> PyResult<Self> {
        let [rare] = Attribute::named(py, [name])?;
        Ok(Self { rare: Some(rare), ..self })
    }

    fn has_places(&self) -> bool {
        let all = self.integers.iter().chain(&self.flags).chain(&self.texts);
        all.into_iter().all(|attribute| attribute.has_place)
    }
}

impl<'py, const I: usize, const F: usize, const T: usize, const B: usize> Values<'py, I, F, T, B> {
    /// Returns room for values.
    #[must_use]
    pub fn new(_py: Python<'py>) -> Self {
        const { assert!(B <= 32, "a row has a bit") };
        Self {
            count: 0,
            foreign: 0,
            integers: from_fn(|_| ArrayVec::new()),
            no_integer: [0; I],
            flags: [0; F],
            rare: 0,
            texts: from_fn(|_| ArrayVec::new()),
            held: from_fn(|_| ArrayVec::new()),
            encoded: Texts::default(),
            python: PhantomData,
        }
    }

    /// Returns the values of an object, by its number; `None` if one is missing or has another type
    /// than its attribute should have.
    #[inline]
    #[must_use]
    pub fn row(&self, row: usize) -> Option<Row<'_, I, F, T>> {
        if row >= self.count || self.foreign >> row & 1 == 1 {
            return None;
        }
        let is_in = |bits: u32| bits >> row & 1 == 1;
        Some(Row {
            integers: from_fn(|n| (!is_in(self.no_integer[n])).then(|| self.integers[n][row])),
            flags: from_fn(|n| is_in(self.flags[n])),
            texts: from_fn(|n| {
                let (begin, length) = self.texts[n][row];
                // SAFETY: a text that is not null is UTF-8, and `held` or `encoded` keeps it until
                // they are cleared, for which the row must have ended.
                (!begin.is_null())
                    .then(|| unsafe { std::str::from_utf8_unchecked(std::slice::from_raw_parts(begin, length)) })
            }),
            has_rare: is_in(self.rare),
        })
    }

    /// Reads the attributes of objects, which replace those before.
    ///
    /// # Errors
    /// What an object raises.
    pub fn read(&mut self, attributes: &Attributes<I, F, T>, objects: &Objects<'_, 'py, B>) -> PyResult<()> {
        self.clear();
        self.count = objects.objects.len();
        let Some(dicts) = objects.dicts.as_ref().filter(|_| attributes.has_places()) else {
            return self.ask(attributes, objects.objects);
        };
        let (mut integers, mut flags, mut texts) = (columns::<B, I>(), columns::<B, F>(), columns::<B, T>());
        for (attributes, columns) in [
            (attributes.integers.as_slice(), integers.as_mut_slice()),
            (&attributes.flags, &mut flags),
            (&attributes.texts, &mut texts),
        ] {
            for (attribute, column) in attributes.iter().zip(columns) {
                look(attribute, dicts, column);
            }
        }
        self.rare = attributes.rare.as_ref().map_or(0, |rare| look_for_rare(rare, dicts));
        self.fill(attributes, &integers, &flags, &texts);
        Ok(())
    }

    /// Asks each object for each attribute.
    #[inline(never)]
    fn ask(&mut self, attributes: &Attributes<I, F, T>, objects: &[Bound<'py, PyAny>]) -> PyResult<()> {
        let mut alive = ArrayVec::<Bound<'py, PyAny>, MOST_ASKED>::new();
        let mut ask = |attribute: &Attribute, column: &mut Column<B>| -> PyResult<()> {
            for object in objects {
                // What is not asked is missing.
                let found =
                    if alive.is_full() { None } else { object.getattr_opt(attribute.name.bind(object.py()))? };
                column.push(found.as_ref().map_or(null_mut(), Bound::as_ptr));
                alive.extend(found);
            }
            Ok(())
        };
        let (mut integers, mut flags, mut texts) = (columns::<B, I>(), columns::<B, F>(), columns::<B, T>());
        attributes.integers.iter().zip(&mut integers).try_for_each(|(attribute, column)| ask(attribute, column))?;
        attributes.flags.iter().zip(&mut flags).try_for_each(|(attribute, column)| ask(attribute, column))?;
        attributes.texts.iter().zip(&mut texts).try_for_each(|(attribute, column)| ask(attribute, column))?;
        if let Some(rare) = &attributes.rare {
            for (row, object) in objects.iter().enumerate() {
                let is_there = object.getattr_opt(rare.name.bind(object.py()))?.is_some_and(|value| !value.is_none());
                self.rare |= u32::from(is_there) << row;
            }
        }
        self.fill(attributes, &integers, &flags, &texts);
        Ok(())
    }

    /// Copies values, which must be alive or null. Runs no Python code before the last is copied.
    fn fill(
        &mut self,
        attributes: &Attributes<I, F, T>,
        integers: &[Column<B>; I],
        flags: &[Column<B>; F],
        texts: &[Column<B>; T],
    ) {
        let foreign = &mut self.foreign;
        for ((column, numbers), no_number) in integers.iter().zip(&mut self.integers).zip(&mut self.no_integer) {
            *no_number = copy_integers(column, numbers, foreign);
        }
        for (column, flags) in flags.iter().zip(&mut self.flags) {
            *flags = copy_flags(column, foreign);
        }
        let texts = texts.iter().zip(&attributes.texts).zip(&mut self.texts).zip(&mut self.held);
        for (((column, attribute), texts), held) in texts {
            if copy_texts(column, attribute, texts, held, &mut self.encoded, foreign).is_none() {
                *foreign = u32::MAX;
                return;
            }
        }
    }

    /// Forgets all values.
    pub fn clear(&mut self) {
        (self.count, self.foreign) = (0, 0);
        (self.no_integer, self.flags, self.rare) = ([0; I], [0; F], 0);
        self.integers.iter_mut().for_each(ArrayVec::clear);
        self.texts.iter_mut().for_each(ArrayVec::clear);
        self.encoded.clear();
        for text in self.held.iter_mut().flat_map(|held| held.drain(..)) {
            // SAFETY: the reference is held. Python is attached for `'py`.
            unsafe { ffi::Py_DecRef(text) };
        }
    }
}

impl<const I: usize, const F: usize, const T: usize, const B: usize> Drop for Values<'_, I, F, T, B> {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Returns columns without values.
#[inline]
fn columns<const B: usize, const N: usize>() -> [Column<B>; N] {
    [const { Column::new_const() }; N]
}

// These are not inlined: after some milliseconds of parsing, code must be loaded again, and little
// code is loaded sooner.

/// Looks the values of an attribute up in dictionaries, and asks the processor to load them.
#[inline(never)]
fn look<const B: usize>(attribute: &Attribute, dicts: &[Bound<'_, PyDict>], column: &mut Column<B>) {
    for dict in dicts.iter().take(B) {
        let value = attribute.find(dict);
        prefetch(value);
        column.push(value);
    }
}

/// Returns a bit for each dictionary in which an attribute is not `None`.
#[inline(never)]
fn look_for_rare(attribute: &Attribute, dicts: &[Bound<'_, PyDict>]) -> u32 {
    // SAFETY: it exists as long as the interpreter, and is only compared.
    let none = unsafe { ffi::Py_None() };
    let mut rare = 0;
    for (row, dict) in dicts.iter().enumerate() {
        let value = attribute.find(dict);
        rare |= u32::from(value != none && !value.is_null()) << row;
    }
    rare
}

/// Copies integers. Returns a bit for each that is `None`, and adds one to `foreign` for each that
/// is something else.
#[inline(never)]
fn copy_integers<const B: usize>(
    column: &[*mut ffi::PyObject],
    numbers: &mut ArrayVec<i64, B>,
    foreign: &mut u32,
) -> u32 {
    let mut none = 0;
    for (row, value) in column.iter().enumerate() {
        let number = integer(*value);
        numbers.push(number.unwrap_or(0));
        if number.is_none() {
            let is_none = flag(*value) == Some(None);
            none |= u32::from(is_none) << row;
            *foreign |= u32::from(!is_none) << row;
        }
    }
    none
}

/// Returns a bit for each flag that is `True`, and adds one to `foreign` for each that is no flag.
#[inline(never)]
fn copy_flags(column: &[*mut ffi::PyObject], foreign: &mut u32) -> u32 {
    let mut flags = 0;
    for (row, value) in column.iter().enumerate() {
        let flag = flag(*value);
        flags |= u32::from(flag == Some(Some(true))) << row;
        *foreign |= u32::from(flag.is_none()) << row;
    }
    flags
}

/// Finds the UTF-8 of texts, whose objects are then held. Adds a bit to `foreign` for each that is
/// neither a text nor `None`. Returns `None` if a text cannot be encoded; then Python code may have
/// run.
#[inline(never)]
fn copy_texts<const B: usize>(
    column: &[*mut ffi::PyObject],
    attribute: &Attribute,
    texts: &mut ArrayVec<(*const u8, usize), B>,
    held: &mut ArrayVec<*mut ffi::PyObject, B>,
    encoded: &mut Texts,
    foreign: &mut u32,
) -> Option<()> {
    // SAFETY: it exists as long as the interpreter, and is only compared.
    let none = unsafe { ffi::Py_None() };
    let (mut rows, mut count) = ([0_u8; 32], 0);
    for (row, value) in column.iter().enumerate() {
        texts.push((null(), 0));
        rows[count % 32] = row.to_le_bytes()[0];
        count += usize::from(*value != none);
    }
    for row in rows.iter().take(count).map(|row| usize::from(*row)) {
        let value = column[row];
        // SAFETY: the object is alive if it is not null.
        if value.is_null() || unsafe { ffi::PyUnicode_CheckExact(value) } == 0 {
            *foreign |= 1 << row;
            continue;
        }
        texts[row] = encoded.read(value, &attribute.scripts)?;
        // SAFETY: the object is alive; `clear` gives the reference up.
        unsafe { ffi::Py_IncRef(value) };
        held.push(value);
    }
    Some(())
}

/// Asks the processor to load an object's first bytes, where it can be asked.
#[inline]
fn prefetch(value: *mut ffi::PyObject) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: prefetching reads nothing, from whatever address.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(value.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}
