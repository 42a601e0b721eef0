//! The driver on real servers, in one program: it is built once, and starts each server once.
#![allow(clippy::panic, clippy::unwrap_used)]

mod adoption;
mod conformance;
mod leases;
mod servers;
mod speed;
mod support;
mod values;
