//! This crate has no code. The test `tests/keys.rs` has its own crate because an allocator needs
//! unsafe code.
