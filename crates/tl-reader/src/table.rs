//! The plans of all classes that were met.

use std::hash::{BuildHasherDefault, Hasher};
use std::rc::Rc;

use hashbrown::HashMap;
use pyo3::prelude::*;

use crate::plan::Plan;
use crate::planning::Unplanned;

/// How an object with a constructor ID is read.
pub(crate) enum How<'py> {
    Natively(Rc<Plan>),
    /// By the class's own `from_reader`.
    ByClass(Bound<'py, PyAny>),
    /// Not by a class: it is a `bool`, a vector, an object of the protocol, or unknown.
    Specially,
}

/// What is known of a class.
pub(crate) enum Known {
    /// It was met once. Short scripts do not pay for plans.
    Seen,
    Planned(Rc<Plan>),
    Unplanned(Rc<Unplanned>),
}

/// What is known of each constructor.
#[derive(Default)]
pub(crate) struct Table(HashMap<u32, Known, BuildHasherDefault<IdHasher>>);

impl Table {
    /// Returns the plan of a constructor if it was checked in this call of the reader.
    #[inline]
    pub(crate) fn checked(&self, id: u32, call: u64) -> Option<Rc<Plan>> {
        match self.0.get(&id)? {
            Known::Planned(plan) if plan.checked_in.get() == call => Some(plan.clone()),
            _ => None,
        }
    }

    /// Returns what is known of a constructor, if that still holds.
    pub(crate) fn current<'py>(&self, py: Python<'py>, id: u32, call: u64) -> Option<How<'py>> {
        match self.0.get(&id)? {
            Known::Seen => None,
            Known::Planned(plan) => {
                let holds = plan.checked_in.get() == call || plan.watch.holds(py);
                holds.then(|| {
                    plan.checked_in.set(call);
                    How::Natively(plan.clone())
                })
            }
            Known::Unplanned(class) => {
                let holds = class.watch.holds(py);
                holds.then(|| How::ByClass(class.class.bind(py).clone().into_any()))
            }
        }
    }

    /// Notes that a constructor was met. Returns `true` if it was met before.
    pub(crate) fn meet(&mut self, id: u32) -> bool {
        if self.0.contains_key(&id) {
            return true;
        }
        self.0.insert(id, Known::Seen);
        false
    }

    /// Keeps what is known of a constructor. Returns what was known before; drop it when the table
    /// is no longer borrowed, because that can run Python code.
    #[must_use]
    pub(crate) fn learn(&mut self, id: u32, known: Known) -> Option<Known> {
        self.0.insert(id, known)
    }
}

/// Constructor IDs are checksums, as good as hashes.
#[derive(Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 << 8) ^ u64::from(*byte);
        }
    }

    #[inline]
    fn write_u32(&mut self, id: u32) {
        // The table takes seven bits from the top.
        self.0 = u64::from(id) | u64::from(id) << 32;
    }
}
