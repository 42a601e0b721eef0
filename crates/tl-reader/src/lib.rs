//! Reads TL into Telethon's own objects.
//!
//! Everything that a Telethon client receives goes through `BinaryReader.tgread_object`. [`enable`]
//! puts a method in its place that reads natively. How each class is read is learned from the
//! installed Telethon: its generated `from_reader` is run once with a reader that records, the
//! record is written as source, and the plan is believed only if that source compiles to exactly the
//! code that the class has. So there is no schema here, and nothing to update with a new layer;
//! whatever is patched, subclassed or not understood is left to Telethon's own reader.
//!
//! Reading: `reader` (the method) → `installed` (what is known of Telethon) → `reading` (one call
//! of it) → `cursor` (bytes), `table` and `plan` (what to read), `schedule` (which steps), `values`
//! and `make` (Python's objects).
//!
//! Planning: `planning` → `record` (runs a function) → `events` → `source` (`step`s, and the source
//! that has them) → `code` (compiles and compares); `init`, `simple` and `message` know how objects
//! are made. A `watch` notices when something that a plan depends on is replaced.

// Without Python, which the tests of these do not need.
#![cfg_attr(not(feature = "python"), allow(dead_code))]

#[cfg(feature = "python")]
mod binary_reader;
mod calendar;
#[cfg(feature = "python")]
mod code;
#[cfg(feature = "python")]
mod collector;
mod cursor;
mod events;
#[cfg(feature = "python")]
mod gil;
#[cfg(feature = "python")]
mod init;
#[cfg(feature = "python")]
mod installed;
#[cfg(feature = "python")]
mod make;
#[cfg(feature = "python")]
mod message;
#[cfg(feature = "python")]
mod own;
#[cfg(feature = "python")]
mod plan;
#[cfg(feature = "python")]
mod planning;
#[cfg(feature = "python")]
mod reader;
#[cfg(feature = "python")]
mod reading;
#[cfg(feature = "python")]
mod record;
mod schedule;
#[cfg(feature = "python")]
mod simple;
mod source;
mod step;
#[cfg(feature = "python")]
mod table;
#[cfg(feature = "python")]
mod values;
#[cfg(feature = "python")]
mod watch;

#[cfg(feature = "python")]
pub use reader::{disable, enable, explain, is_enabled};
