//! Writes a session of grammers: `write-grammers-session FILE`, with its content as JSON on standard
//! input.

use std::error::Error;
use std::io::stdin;

use grammers_session::Session;
use grammers_session::storages::SqliteSession;
use grammers_session::types::{DcOption, PeerInfo, UpdateState, UpdatesState};
use serde::Deserialize;

#[derive(Deserialize)]
struct Content {
    home_dc: Option<i32>,
    dc_options: Vec<DcOption>,
    peers: Vec<PeerInfo>,
    updates_state: Option<UpdatesState>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("the path is missing")?;
    let content: Content = serde_json::from_reader(stdin())?;
    let session = SqliteSession::open(path).await?;
    if let Some(home_dc) = content.home_dc {
        session.set_home_dc_id(home_dc).await?;
    }
    for dc_option in &content.dc_options {
        session.set_dc_option(dc_option).await?;
    }
    session.cache_peers(content.peers).await?;
    if let Some(state) = content.updates_state {
        session.set_update_state(UpdateState::All(state)).await?;
    }
    Ok(())
}
