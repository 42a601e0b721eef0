//! What redisthon has written: `MessagePack`, and hashes of it in base64. It expires after 30 days
//! without a save; our copy does not.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use session_core::credentials::Credentials;
use session_core::entity::Entity;
use session_core::store::{Changes, FileKey, FileKind, Kind, UpdateState};
use store_net::DriverError;
use store_net::driver::Result;
use zeroize::Zeroizing;

use super::date;
use super::msgpack;
use super::seconds;
use super::value::Value;
use crate::keys::escape_glob;
use crate::link::{Link, Slot};
use crate::list::scan_keys;
use crate::read::decode;
use crate::row::parse;
use crate::scripts::command;

/// Returns the key of a session's login.
pub(crate) fn login_key(prefix: &str, session: &str) -> Vec<u8> {
    format!("{prefix}:{session}:data").into_bytes()
}

/// Reads a login.
pub(crate) fn read_login(value: &[u8]) -> Result<Credentials> {
    let read = || {
        let value = msgpack::read(value)?;
        let auth_key = match value.get("auth_key") {
            Value::None => Vec::new(),
            key => STANDARD.decode(key.text()?).ok()?,
        };
        Some(Credentials {
            dc_id: value.get("dc_id").int().unwrap_or_default(),
            server_address: value.get("server_address").text().filter(|address| !address.is_empty()).map(str::to_owned),
            port: value.get("port").int(),
            auth_key: Zeroizing::new(auth_key),
            takeout_id: value.get("takeout_id").int(),
            ..Credentials::default()
        })
    };
    read()
        .ok_or_else(|| DriverError::new(Kind::NotASession, "redisthon has a session of this name that cannot be read"))
}

/// Adds the entities, update states and sent files of a session. Skips what is unusable.
pub(crate) async fn read_contents(slot: &Slot, prefix: &str, session: &str, changes: &mut Changes) -> Result<()> {
    let read = |value: &[u8]| msgpack::read(&STANDARD.decode(value).ok()?);
    scan_hash(slot, &format!("{prefix}:{session}:entities"), |id, value| {
        let (Some(id), Some(value)) = (parse(id), read(value)) else { return };
        let Some(access_hash) = value.get("access_hash").int() else { return };
        let text = |key| value.get(key).text().filter(|text| !text.is_empty());
        let phone = value.get("phone").phone().filter(|phone| !phone.is_empty());
        let entity = Entity {
            id,
            access_hash: Some(access_hash),
            username: text("username"),
            phone: phone.as_deref(),
            name: text("name"),
        };
        let seen = value.get("cached_at");
        changes.entities.push_seen(&entity, seconds(seen.float().or_else(|| date::parse(seen.text()?))));
    })
    .await?;
    scan_hash(slot, &format!("{prefix}:{session}:update_states"), |id, value| {
        let (Some(id), Some(value)) = (parse(id), read(value)) else { return };
        let date = value.get("date");
        let state = UpdateState {
            pts: value.get("pts").int(),
            qts: value.get("qts").int(),
            date: date.float().or_else(|| date::parse(date.text()?)),
            seq: value.get("seq").int(),
        };
        changes.update_states.push((id, state));
    })
    .await?;
    scan_hash(slot, &format!("{prefix}:{session}:sent_files"), |field, value| {
        let file = read(value).and_then(|value| Some((value.get("id").int()?, value.get("access_hash").int()?)));
        if let (Some(key), Some(file)) = (read_file_key(field), file) {
            changes.sent_files.push((key, file));
        }
    })
    .await
}

/// Reads `{md5 in hex}_{size}_{document or photo}`.
fn read_file_key(field: &[u8]) -> Option<FileKey> {
    let mut parts = std::str::from_utf8(field).ok()?.split('_');
    let (hex, size, kind) = (parts.next()?, parts.next()?, parts.next()?);
    let (pairs, rest) = hex.as_bytes().as_chunks::<2>();
    let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let md5_digest = pairs.iter().map(byte).collect::<Option<Vec<u8>>>().filter(|_| rest.is_empty())?;
    let kind = match kind {
        "document" => FileKind::Document,
        "photo" => FileKind::Photo,
        _ => return None,
    };
    Some(FileKey { md5_digest, size: size.parse().ok()?, kind })
}

/// Calls `each` with every field of a hash. A field may come twice.
async fn scan_hash(slot: &Slot, key: &str, mut each: impl FnMut(&[u8], &[u8])) -> Result<()> {
    let mut cursor = b"0".to_vec();
    loop {
        let command = command("HSCAN", [key.as_bytes(), &cursor, b"COUNT", b"1000"]);
        let answer = slot.run(async |mut link: Link| command.query_async(&mut link).await).await?;
        let (next, fields): (Vec<u8>, Vec<Vec<u8>>) = decode(answer)?;
        fields.chunks_exact(2).for_each(|pair| each(&pair[0], &pair[1]));
        if next == b"0" {
            return Ok(());
        }
        cursor = next;
    }
}

/// Returns the names of all sessions.
pub(crate) async fn list(slot: &Slot, prefix: &str, names: &mut Vec<String>) -> Result<()> {
    scan_keys(slot, &format!("{}:*:data", escape_glob(prefix)), |key| {
        let key = std::str::from_utf8(key).ok();
        names.extend(
            key.and_then(|key| key.strip_prefix(prefix)?.strip_prefix(':')?.strip_suffix(":data")).map(str::to_owned),
        );
    })
    .await
}
