//! Finds keys: of all nodes of a cluster.

use redis::cluster_routing::{Route, RoutingInfo, SingleNodeRoutingInfo, SlotAddr};
use redis::{RedisResult, Value, cmd};
use store_net::driver::Result;

use crate::link::{Link, Slot};
use crate::read::decode;
use crate::scripts::command;

/// How many keys the server looks at in one step: less than a millisecond's work.
const COUNT: &[u8] = b"1000";

/// Calls `each` with every key that matches a pattern. A key may come twice.
pub(crate) async fn scan_keys(slot: &Slot, pattern: &str, mut each: impl FnMut(&[u8])) -> Result<()> {
    for node in nodes(slot).await? {
        let mut cursor = b"0".to_vec();
        loop {
            let args = [&*cursor, b"MATCH", pattern.as_bytes(), b"COUNT", COUNT];
            let command = command("SCAN", args);
            let answer = slot.run(async |link: Link| ask(link, &command, node).await).await?;
            let (next, keys): (Vec<u8>, Vec<Vec<u8>>) = decode(answer)?;
            for key in &keys {
                each(key);
            }
            if next == b"0" {
                break;
            }
            cursor = next;
        }
    }
    Ok(())
}

async fn ask(link: Link, command: &redis::Cmd, node: Option<u16>) -> RedisResult<Value> {
    match (link, node) {
        (Link::Cluster(mut connection), Some(slot)) => {
            let route = SingleNodeRoutingInfo::SpecificNode(Route::new(slot, SlotAddr::Master));
            connection.route_command(command.clone(), RoutingInfo::SingleNode(route)).await
        }
        (mut link, _) => command.query_async(&mut link).await,
    }
}

/// Returns a hash slot of each primary; `None` for a server that is not a cluster.
async fn nodes(slot: &Slot) -> Result<Vec<Option<u16>>> {
    if !slot.is_cluster() {
        return Ok(vec![None]);
    }
    let mut command = cmd("CLUSTER");
    command.arg("SLOTS");
    let ranges: Vec<Value> = decode(slot.run(async |mut link: Link| command.query_async(&mut link).await).await?)?;
    // Begin, end, and the nodes with the primary first: address, port, ID.
    let mut primaries: Vec<(Value, u16)> = Vec::new();
    for range in ranges {
        let (begin, _, primary): (u16, u16, Value) = match range {
            Value::Array(mut parts) if parts.len() >= 3 => {
                parts.truncate(3);
                decode(Value::Array(parts))?
            }
            _ => continue,
        };
        if primaries.iter().all(|(known, _)| *known != primary) {
            primaries.push((primary, begin));
        }
    }
    Ok(primaries.into_iter().map(|(_, begin)| Some(begin)).collect())
}
