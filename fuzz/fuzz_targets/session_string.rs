//! The codec of session strings: no text makes it panic, what it encodes decodes to the original, and
//! characters added by pasting do not change the result.
#![no_main]

use libfuzzer_sys::fuzz_target;
use session_core::session_string::{SessionString, decode, encode};

fuzz_target!(|text: &str| {
    if let Ok(string) = SessionString::parse(text) {
        let clean = format!("1{}", *encode(&string.pack()));
        for pasted in [clean.clone(), format!("'{text}'\n"), clean.replace('-', "+").replace('_', "/")] {
            assert!(SessionString::parse(&pasted).unwrap() == string);
        }
    }
    let Ok(bytes) = decode(text) else { return };
    assert_eq!(*decode(&encode(&bytes)).unwrap(), *bytes);
    if let Ok(string) = SessionString::unpack(&bytes) {
        assert_eq!(*string.pack(), *bytes);
    }
});
