//! The codec of string sessions: no text makes it panic, and what it reads it writes again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use telethon_session_rust::session_string::{Login, decode, encode};

fuzz_target!(|text: &str| {
    let Ok(bytes) = decode(text) else { return };
    assert_eq!(*decode(&encode(&bytes)).unwrap(), *bytes);
    if let Ok(login) = Login::unpack(&bytes) {
        assert_eq!(*login.pack(), *bytes);
    }
});
