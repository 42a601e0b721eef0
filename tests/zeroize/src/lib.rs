//! Holds no code: the test is `tests/keys.rs`, in a crate of its own because an allocator takes unsafe code.
