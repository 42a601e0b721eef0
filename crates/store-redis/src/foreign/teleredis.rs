//! What teleredis has written: a string for each data centre, entity and sent file, as JSON or as a
//! pickle.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use session_core::credentials::Credentials;
use session_core::entity::Entity;
use session_core::store::{Changes, FileKey, FileKind, Kind};
use store_net::DriverError;
use store_net::driver::Result;
use zeroize::Zeroizing;

use super::value::{Value, from_json};
use super::{get_all, pickle, seconds};
use crate::keys::escape_glob;
use crate::link::Slot;
use crate::list::scan_keys;
use crate::options::RedisOptions;
use crate::row::parse;

/// The data centres that a login may have. Telegram has five; a few more cost nothing.
const DATA_CENTRES: std::ops::RangeInclusive<i64> = 1..=9;
/// How many values are read at a time.
const PAGE: usize = 1000;

/// The keys of one session besides its logins.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    entities: Vec<i64>,
    files: Vec<Vec<u8>>,
}

/// The keys of all sessions of a server.
pub(crate) type AllContents = Arc<HashMap<String, Contents>>;

/// Returns the keys of the logins that a session may have.
pub(crate) fn login_keys(hive: &str, session: &str) -> Vec<Vec<u8>> {
    DATA_CENTRES.map(|dc_id| format!("{hive}:{session}:sessions:{dc_id}").into_bytes()).collect()
}

fn read(value: &[u8]) -> Option<Value> {
    if value.first() == Some(&0x80) { pickle::read(value) } else { from_json(value) }
}

/// Chooses among the logins of several data centres: it keeps the key of the old one.
pub(crate) fn choose_login(values: &[Vec<u8>], options: &RedisOptions) -> Result<Option<Credentials>> {
    if values.is_empty() {
        return Ok(None);
    }
    let unreadable = || DriverError::new(Kind::NotASession, "teleredis has a session of this name that cannot be read");
    let mut logins: Vec<(Credentials, Option<f64>)> = Vec::new();
    for value in values {
        let value = read(value).ok_or_else(unreadable)?;
        logins.push((read_login(&value).ok_or_else(unreadable)?, value.get("ts_ts").float()));
    }
    if let Some(dc_id) = options.teleredis_dc {
        logins.retain(|(login, _)| login.dc_id == dc_id);
    }
    if logins.iter().any(|(login, _)| login.has_key()) {
        logins.retain(|(login, _)| login.has_key());
    }
    if let Some(newest) = logins.iter().filter_map(|(_, at)| *at).max_by(f64::total_cmp) {
        logins.retain(|(_, at)| *at == Some(newest));
    }
    if logins.len() > 1 {
        // Every account begins at data centre 2, and some move to another.
        logins.retain(|(login, _)| login.dc_id != 2);
    }
    match &mut logins[..] {
        [] => Ok(None),
        [(login, _)] => Ok(Some(std::mem::take(login))),
        [(first, _), (second, _), ..] => {
            let message = format!(
                "teleredis has logins of this session at several data centres ({}, {}) and does not say which is the \
                 last: add the parameter teleredis_dc={} (or the other) to the URL",
                first.dc_id, second.dc_id, first.dc_id
            );
            Err(DriverError::new(Kind::NotASession, message))
        }
    }
}

fn read_login(value: &Value) -> Option<Credentials> {
    let auth_key = match value.get("auth_key") {
        Value::None => Vec::new(),
        key => STANDARD.decode(key.text()?).ok()?,
    };
    Some(Credentials {
        dc_id: value.get("dc_id").int()?,
        server_address: value.get("server_address").text().map(str::to_owned),
        port: value.get("port").int(),
        auth_key: Zeroizing::new(auth_key),
        ..Credentials::default()
    })
}

/// Finds the entities and sent files of all sessions: there is no index but the server's keyspace.
pub(crate) async fn scan(slot: &Slot, hive: &str) -> Result<HashMap<String, Contents>> {
    let mut all: HashMap<String, Contents> = HashMap::new();
    let prefix = format!("{hive}:");
    let hive = escape_glob(hive);
    scan_keys(slot, &format!("{hive}:*:entities:*"), |key| {
        let found = std::str::from_utf8(key).ok().and_then(|key| key.strip_prefix(&prefix)?.rsplit_once(":entities:"));
        if let Some((session, id)) = found
            && let Some(id) = parse(id.as_bytes())
        {
            contents(&mut all, session).entities.push(id);
        }
    })
    .await?;
    scan_keys(slot, &format!("{hive}:*:sent_files:*"), |key| {
        let text = String::from_utf8_lossy(key);
        if let Some((session, _)) = text.strip_prefix(&prefix).and_then(|key| key.split_once(":sent_files:")) {
            contents(&mut all, session).files.push(key.to_vec());
        }
    })
    .await?;
    Ok(all)
}

fn contents<'a>(all: &'a mut HashMap<String, Contents>, session: &str) -> &'a mut Contents {
    // Most keys are of a session that is known.
    if !all.contains_key(session) {
        all.insert(session.to_owned(), Contents::default());
    }
    all.entry(session.to_owned()).or_default()
}

/// Adds the entities and sent files of a session. Skips what is unusable.
pub(crate) async fn read_contents(
    slot: &Slot,
    hive: &str,
    session: &str,
    contents: &Contents,
    changes: &mut Changes,
) -> Result<()> {
    for ids in contents.entities.chunks(PAGE) {
        let keys: Vec<_> = ids.iter().map(|id| format!("{hive}:{session}:entities:{id}").into_bytes()).collect();
        for (id, value) in ids.iter().zip(get_all(slot, &keys).await?) {
            let Some(value) = value.and_then(|value| read(&value)) else { continue };
            let Some(access_hash) = value.get("hash").int() else { continue };
            let phone = value.get("phone").phone();
            let entity = Entity {
                id: *id,
                access_hash: Some(access_hash),
                username: value.get("username").text(),
                phone: phone.as_deref(),
                name: value.get("name").text(),
            };
            changes.entities.push_seen(&entity, seconds(value.get("ts_ts").float()));
        }
    }
    for keys in contents.files.chunks(PAGE) {
        for value in get_all(slot, keys).await? {
            changes.sent_files.extend(value.and_then(|value| read(&value)).and_then(|value| read_file(&value)));
        }
    }
    Ok(())
}

fn read_file(value: &Value) -> Option<(FileKey, (i64, i64))> {
    let Value::Bytes(md5_digest) = value.get("md5_digest") else { return None };
    let kind = match value.get("type").int()? {
        0 => FileKind::Document,
        1 => FileKind::Photo,
        _ => return None,
    };
    let key = FileKey { md5_digest: md5_digest.to_vec(), size: value.get("file_size").int()?, kind };
    Some((key, (value.get("id").int()?, value.get("hash").int()?)))
}

/// Returns the names of all sessions.
pub(crate) async fn list(slot: &Slot, hive: &str, names: &mut Vec<String>) -> Result<()> {
    let prefix = format!("{hive}:");
    scan_keys(slot, &format!("{}:*:sessions:*", escape_glob(hive)), |key| {
        let found = std::str::from_utf8(key).ok().and_then(|key| key.strip_prefix(&prefix)?.rsplit_once(":sessions:"));
        if let Some((session, dc_id)) = found
            && parse(dc_id.as_bytes()).is_some_and(|dc_id| DATA_CENTRES.contains(&dc_id))
        {
            names.push(session.to_owned());
        }
    })
    .await
}
