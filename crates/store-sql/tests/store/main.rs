//! The driver on real servers, in one program: it is built once, and starts each server once.
#![allow(clippy::panic, clippy::unwrap_used, clippy::wildcard_imports)]

mod commits;
mod conformance;
mod layouts;
mod servers;
mod speed;
mod support;
mod values;
