//! Leases: a key that expires, and a number that rises.

use std::time::Duration;

use redis::Value;
use session_core::store::Kind;
use store_net::driver::Result;
use store_net::{Acquired, DriverError, Fence};

use crate::keys::Keys;
use crate::link::Slot;
use crate::read::decode;
use crate::row::parse;
use crate::scripts::{ACQUIRE, Call, RELEASE, RENEW};

/// Takes the lease, or says who has it.
pub(crate) async fn acquire(slot: &Slot, keys: &Keys, owner: &str, time: Duration) -> Result<Acquired> {
    let call = Call::new(&ACQUIRE, [&*keys.lease, &keys.fence]).arg(owner).arg(time.as_millis().to_string());
    let answer: Vec<Vec<u8>> = decode(call.run(slot).await?)?;
    let [word, text] = &answer[..] else { return unreadable() };
    if word == b"taken" {
        return parse(text).map_or_else(unreadable, |fence| Ok(Acquired::Taken(Fence(fence))));
    }
    let held = String::from_utf8_lossy(text);
    Ok(Acquired::InUse(held.split_once(' ').map_or("", |(_, owner)| owner).to_owned()))
}

/// Extends the lease. Returns `false` if another session has, or had, it since.
pub(crate) async fn renew(slot: &Slot, keys: &Keys, Fence(fence): Fence, owner: &str, time: Duration) -> Result<bool> {
    let call = Call::new(&RENEW, [&*keys.lease, &keys.fence]);
    let call = call.arg(fence.to_string()).arg(owner).arg(time.as_millis().to_string());
    Ok(call.run(slot).await? == Value::Int(1))
}

/// Ends the lease if it still stands.
pub(crate) async fn release(slot: &Slot, keys: &Keys, Fence(fence): Fence) -> Result<()> {
    Call::new(&RELEASE, [&*keys.lease]).arg(fence.to_string()).run(slot).await?;
    Ok(())
}

fn unreadable<T>() -> Result<T> {
    Err(DriverError::new(Kind::Other, "the server's answer about the lease cannot be read"))
}
