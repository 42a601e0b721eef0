//! The codec of string sessions: no text makes it panic, it reads back what it writes, and what pasting brings makes no
//! difference.
#![no_main]

use libfuzzer_sys::fuzz_target;
use telethon_session_rust::session_string::{Login, decode, encode};

fuzz_target!(|text: &str| {
    if let Ok(login) = Login::parse(text) {
        let clean = format!("1{}", *encode(&login.pack()));
        for pasted in [clean.clone(), format!("'{text}'\n"), clean.replace('-', "+").replace('_', "/")] {
            assert!(Login::parse(&pasted).unwrap() == login);
        }
    }
    let Ok(bytes) = decode(text) else { return };
    assert_eq!(*decode(&encode(&bytes)).unwrap(), *bytes);
    if let Ok(login) = Login::unpack(&bytes) {
        assert_eq!(*login.pack(), *bytes);
    }
});
