//! Nothing but a test: see `tests/keys.rs`. It is a crate of its own since an allocator takes unsafe code.
