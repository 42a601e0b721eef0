//! The driver on real servers, in one program: it is built once, and starts each server once.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod adoption;
mod conformance;
mod failures;
mod server;
mod speed;
mod support;
mod topology;
