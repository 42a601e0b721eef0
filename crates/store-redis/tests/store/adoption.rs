//! Sessions that other packages have written are adopted.

use std::sync::Arc;
use std::time::Duration;

use crate::support::sessions::{ask, block_on, commit, delete, driver, find, find_username, login, name, people};
use crate::support::{Server, shared, shared_client, unique};
use redis::{Commands, Connection};
use session_core::store::{FileKey, FileKind, Kind};
use store_net::driver::Driver;
use store_net::{CommitError, Loaded, OwnedQuery};
use store_redis::{RedisDriver, RedisOptions};
use zeroize::Zeroizing;

/// `base64.standard_b64encode(bytes([7] * 256))`, and of 8.
fn key(byte: u8) -> (Vec<u8>, String) {
    use base64::Engine;
    let key = vec![byte; 256];
    let text = base64::engine::general_purpose::STANDARD.encode(&key);
    (key, text)
}

fn set(client: &mut Connection, key: &str, value: impl AsRef<[u8]>) {
    let _: () = client.set(key, value.as_ref()).unwrap();
}

fn teleredis_login(client: &mut Connection, hive: &str, session: &str, dc_id: i64, auth_key: &str, rest: &str) {
    let value = format!(
        r#"{{"dc_id": {dc_id}, "server_address": "149.154.167.91", "port": 443, "auth_key": "{auth_key}"{rest}}}"#
    );
    set(client, &format!("{hive}:{session}:sessions:{dc_id}"), value);
}

fn load(driver: &Arc<RedisDriver>, session: &str) -> Result<Loaded, store_net::DriverError> {
    let (driver, session) = (Arc::clone(driver), name(session));
    block_on(async move { driver.load(&session).await })
}

fn loaded_key(driver: &Arc<RedisDriver>, session: &str) -> Vec<u8> {
    load(driver, session).unwrap().credentials.map_or_else(Vec::new, |credentials| credentials.auth_key.to_vec())
}

#[test]
fn a_session_of_teleredis_is_copied_once() {
    let Some(options) = shared() else { return };
    let (hive, mut client) = (&options.hive_prefix, shared_client());
    let (own, text) = key(7);
    teleredis_login(&mut client, hive, "an*n", 4, &text, "");
    teleredis_login(&mut client, hive, "another", 4, &text, "");
    for id in [777_000_i64, -5, -1_000_000_000_007] {
        let value = format!(
            "{{\n  \"id\": {id},\n  \"hash\": -9223372036854775808,\n  \"username\": \"user_{}\",\n  \"phone\": null,\n  \"name\": \"\\u0410\\ud83d\\ude00\"\n}}",
            id.abs()
        );
        set(&mut client, &format!("{hive}:an*n:entities:{id}"), value);
    }
    let stamped = r#"{"id": 8, "hash": 9, "username": null, "phone": "79991234567", "name": "", "ts_ts": 1700000000.5, "ts_str": "x"}"#;
    set(&mut client, &format!("{hive}:an*n:entities:8"), stamped);
    for (id, value) in
        [("9", "{"), ("10", r#"{"hash": "x"}"#), ("x", stamped), ("11", "[1]"), ("12", r#"{"id": 12, "hash": 1e300}"#)]
    {
        set(&mut client, &format!("{hive}:an*n:entities:{id}"), value);
    }
    let _: () = client.lpush(format!("{hive}:an*n:entities:13"), "x").unwrap();
    // pickle.dumps({"md5_digest": bytes([7] * 16), "file_size": 5, "type": 1, "id": -1, "hash": 2**62}, 4), with BINGET.
    let mut pickle = b"\x80\x04}(\x8c\x0amd5_digestC\x10".to_vec();
    pickle.extend([7; 16]);
    pickle.extend(b"\x8c\x09file_sizeK\x05\x8c\x04typeK\x01\x8c\x02idJ\xff\xff\xff\xff\x8c\x04hash\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x40u.");
    set(&mut client, &format!("{hive}:an*n:sent_files:b'\\x07'"), &pickle);
    // A pickle of an entity.
    set(
        &mut client,
        &format!("{hive}:an*n:entities:14"),
        b"\x80\x04}(\x8c\x02idK\x0e\x8c\x04hashK\x05\x8c\x08username\x8c\x06user_e\x8c\x05phoneN\x8c\x04nameNu.",
    );

    let before: Vec<String> = client.keys(format!("{hive}:*")).unwrap();
    let driver = driver(&options);
    assert_eq!(ask!(driver.list()).unwrap(), ["an*n", "another"]);
    let loaded = load(&driver, "an*n").unwrap();
    let credentials = loaded.credentials.unwrap();
    assert!(!loaded.is_new && credentials.dc_id == 4 && *credentials.auth_key == own);
    assert_eq!((credentials.server_address.as_deref(), credentials.port), (Some("149.154.167.91"), Some(443)));
    assert_eq!(find_username(&driver, "an*n", "user_5"), [-5]);
    assert_eq!(find_username(&driver, "an*n", "user_e"), [14]);
    let found = find(&driver, "an*n", OwnedQuery::Ids((0..20).chain([777_000]).collect()));
    let ids: Vec<_> = found.iter().map(|(id, ..)| *id).collect();
    assert_eq!(ids, [8, 14, 777_000]);
    assert_eq!(found[0], (8, 9, 1_700_000_000, [None, Some("79991234567".to_owned()), Some(String::new())]));
    assert_eq!((found[2].1, found[2].3[2].as_deref()), (i64::MIN, Some("\u{410}\u{1f600}")));
    let file = FileKey { md5_digest: vec![7; 16], size: 5, kind: FileKind::Photo };
    assert_eq!(ask!(driver.sent_file(name("an*n"), file)).unwrap(), Some((-1, 1 << 62)));
    let mut after: Vec<String> = client.keys(format!("{hive}:*")).unwrap();
    assert_eq!((after.sort(), after), {
        let mut before = before;
        (before.sort(), before)
    });

    // Our copy goes its own way.
    let results = commit(&driver, vec![people("an*n", 20..30), login("an*n", 9, Some(7))]);
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    teleredis_login(&mut client, hive, "an*n", 5, &text, "");
    assert_eq!(loaded_key(&driver, "an*n"), [9; 256]);
    // A deleted one does not come back, a new login of theirs does.
    assert!(delete(&driver, &name("an*n"), &[Zeroizing::new(vec![9; 256])]));
    let _: () = client.del(format!("{hive}:an*n:sessions:5")).unwrap();
    assert!(load(&driver, "an*n").unwrap().is_new);
    assert_eq!(ask!(driver.list()).unwrap(), ["another"]);
    teleredis_login(&mut client, hive, "an*n", 4, &key(8).1, "");
    assert_eq!(loaded_key(&driver, "an*n"), [8; 256]);
    assert_eq!(find_username(&driver, "an*n", "user_5"), [-5]);
}

#[test]
fn the_last_data_centre_of_teleredis_is_chosen() {
    let Some(mut options) = shared() else { return };
    let (hive, mut client) = (options.hive_prefix.clone(), shared_client());
    let (seven, eight) = (key(7).1, key(8).1);
    let mut put = |session: &str, logins: &[(i64, &str, &str)]| {
        for (dc_id, key, rest) in logins {
            teleredis_login(&mut client, &hive, session, *dc_id, key, rest);
        }
    };
    put("stamps", &[(2, &seven, ", \"ts_ts\": 1700000001.5"), (4, &eight, ", \"ts_ts\": 1700000000")]);
    put("only key", &[(2, &seven, ""), (4, "", ""), (5, "", ", \"ts_ts\": 1e9")]);
    put("not two", &[(2, &seven, ""), (4, &eight, "")]);
    put("no key", &[(2, "", "")]);
    put("two others", &[(1, &seven, ""), (4, &eight, "")]);
    put("broken", &[(2, "***", "")]);
    let chosen = driver(&options);
    for (session, key) in [("stamps", 7), ("only key", 7), ("not two", 8)] {
        assert_eq!(loaded_key(&chosen, session), [key; 256], "{session}");
    }
    assert!(load(&chosen, "no key").unwrap().credentials.unwrap().auth_key.is_empty());
    let error = load(&chosen, "two others").unwrap_err();
    assert!(error.kind == Kind::NotASession && error.message.contains("teleredis_dc=1"), "{error}");
    assert_eq!(load(&chosen, "broken").unwrap_err().kind, Kind::NotASession);
    options.teleredis_dc = Some(4);
    assert_eq!(loaded_key(&driver(&options), "two others"), [8; 256]);
}

/// Packs a map as msgpack.
fn packed(pairs: &[(&str, Packed<'_>)]) -> Vec<u8> {
    let mut out = vec![0xde];
    out.extend(u16::try_from(pairs.len()).unwrap().to_be_bytes());
    let text = |out: &mut Vec<u8>, text: &str| {
        out.push(0xda);
        out.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
        out.extend(text.as_bytes());
    };
    for (key, value) in pairs {
        text(&mut out, key);
        match value {
            Packed::None => out.push(0xc0),
            Packed::Int(number) => {
                out.push(0xd3);
                out.extend(number.to_be_bytes());
            }
            Packed::Text(value) => text(&mut out, value),
        }
    }
    out
}

enum Packed<'a> {
    None,
    Int(i64),
    Text(&'a str),
}
use Packed::{Int, None as Nil, Text};

fn encoded(pairs: &[(&str, Packed<'_>)]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(packed(pairs))
}

fn redisthon(client: &mut Connection, prefix: &str, session: &str, auth_key: &str) {
    let prefix = format!("{prefix}:{session}");
    let data = packed(&[
        ("session_name", Text(session)),
        ("dc_id", Int(2)),
        ("server_address", Text("149.154.167.51")),
        ("port", Int(443)),
        ("auth_key", Text(auth_key)),
        ("takeout_id", Int(1 << 40)),
        ("saved_at", Text("2026-01-01T00:00:00+00:00")),
        ("version", Text("0.1.0")),
    ]);
    let _: () = client.set_ex(format!("{prefix}:data"), data, 100).unwrap();
    let hash = format!("{prefix}:entities");
    let person = [
        ("id", Int(5)),
        ("access_hash", Int(-7)),
        ("username", Text("anna")),
        ("phone", Int(79_991_234_567)),
        ("name", Text("")),
        ("cached_at", Text("2023-11-14T22:13:20+00:00")),
    ];
    let _: () = client.hset(&hash, 5, encoded(&person)).unwrap();
    let _: () = client
        .hset(
            &hash,
            -6,
            encoded(&[("id", Int(-6)), ("access_hash", Int(0)), ("username", Nil), ("name", Text("Chat"))]),
        )
        .unwrap();
    for bad in ["!", "wA==", "", "gg=="] {
        let _: () = client.hset(&hash, format!("7{bad}"), bad).unwrap();
        let _: () = client.hset(&hash, 8, bad).unwrap();
    }
    let state = [
        ("entity_id", Int(0)),
        ("pts", Int(1)),
        ("qts", Int(2)),
        ("date", Text("2023-11-14T22:13:20+00:00")),
        ("seq", Int(3)),
        ("unread_count", Int(0)),
    ];
    let _: () = client.hset(format!("{prefix}:update_states"), 0, encoded(&state)).unwrap();
    let file = [("id", Int(i64::MAX)), ("access_hash", Int(i64::MIN)), ("type", Text("photo"))];
    let _: () = client.hset(format!("{prefix}:sent_files"), "00ff07_5_photo", encoded(&file)).unwrap();
    let _: () = client.expire(&hash, 100).unwrap();
}

#[test]
fn a_session_of_redisthon_is_copied_without_its_end() {
    let Some(options) = shared() else { return };
    let (session, mut client) = (unique("an[o]n"), shared_client());
    let prefix = &options.redisthon_prefix;
    redisthon(&mut client, prefix, &session, &key(7).1);
    let driver = driver(&options);
    assert!(ask!(driver.list()).unwrap().contains(&session));
    let loaded = load(&driver, &session).unwrap();
    let credentials = loaded.credentials.unwrap();
    assert_eq!((credentials.dc_id, credentials.takeout_id, credentials.auth_key.len()), (2, Some(1 << 40), 256));
    let state = loaded.update_states[0].1;
    assert_eq!((state.pts, state.qts, state.date, state.seq), (Some(1), Some(2), Some(1_700_000_000.0), Some(3)));
    let found = find(&driver, &session, OwnedQuery::Ids(vec![5, -6, 7, 8]));
    assert_eq!(
        found,
        [
            (-6, 0, 0, [None, None, Some("Chat".to_owned())]),
            (5, -7, 1_700_000_000, [Some("anna".to_owned()), Some("79991234567".to_owned()), None]),
        ]
    );
    let file = FileKey { md5_digest: vec![0, 255, 7], size: 5, kind: FileKind::Photo };
    assert_eq!(ask!(driver.sent_file(name(&session), file.clone())).unwrap(), Some((i64::MAX, i64::MIN)));
    assert_eq!(ask!(driver.sent_files(name(&session))).unwrap(), [(file, (i64::MAX, i64::MIN))]);
    let keys: Vec<String> = client.keys(format!("{}:*", options.prefix)).unwrap();
    assert!(keys.len() > 4);
    for key in keys {
        assert_eq!(client.ttl::<_, i64>(&key).unwrap(), -1, "{key}");
    }
    // teleredis comes first where both have a session.
    let both = unique("both");
    redisthon(&mut client, prefix, &both, &key(7).1);
    teleredis_login(&mut client, &options.hive_prefix, &both, 2, &key(8).1, "");
    assert_eq!(loaded_key(&driver, &both), [8; 256]);
    let broken = unique("broken");
    set(&mut client, &format!("{prefix}:{broken}:data"), b"\xff\xff");
    assert_eq!(load(&driver, &broken).unwrap_err().kind, Kind::NotASession);
}

#[test]
fn many_sessions_are_adopted_at_once_and_only_once() {
    let Some(server) = Server::start(&[]) else { return };
    let options = server.options();
    let mut client = server.client();
    let (_, text) = key(7);
    let mut pipeline = redis::pipe();
    for session in 0..50 {
        let prefix = format!("telethon:client:bot{session}");
        let login = format!(r#"{{"dc_id": 2, "server_address": "149.154.167.51", "port": 443, "auth_key": "{text}"}}"#);
        pipeline.set(format!("{prefix}:sessions:2"), login).ignore();
        for id in 1..200 {
            let entity =
                format!(r#"{{"id": {id}, "hash": {session}, "username": "user_{id}", "phone": null, "name": null}}"#);
            pipeline.set(format!("{prefix}:entities:{id}"), entity).ignore();
        }
    }
    let _: () = pipeline.query(&mut client).unwrap();
    let drivers = [driver(&options), driver(&options)];
    std::thread::scope(|scope| {
        for session in 0..50 {
            for driver in &drivers {
                scope.spawn(move || assert_eq!(loaded_key(driver, &format!("bot{session}")), [7; 256]));
            }
        }
    });
    for session in [0, 49] {
        let found = find(&drivers[0], &format!("bot{session}"), OwnedQuery::Ids(vec![1, 199]));
        assert_eq!(found.iter().map(|(_, hash, ..)| *hash).collect::<Vec<_>>(), [session, session]);
    }
    let statistics: String = redis::cmd("INFO").arg("commandstats").query(&mut client).unwrap();
    let scans = statistics
        .lines()
        .find_map(|line| line.strip_prefix("cmdstat_scan:calls=")?.split(',').next()?.parse::<u32>().ok());
    // Two passes over 10,000 keys for each of the two drivers, a thousand keys a step.
    assert!(scans.unwrap() < 60, "{scans:?}");
    // Who writes first without having read meets what was adopted.
    assert!(matches!(&commit(&drivers[0], vec![login("bot0", 9, None)])[0], Err(CommitError::Conflict(_))));
}

#[test]
fn nothing_is_adopted_where_only_our_keys_may_be_read() {
    let Some(server) = Server::start(&[]) else { return };
    let mut client = server.client();
    let (_, text) = key(7);
    teleredis_login(&mut client, "telethon:client", "anon", 2, &text, "");
    let rules = ["on", ">s3cret", "~telethon-session:*", "+@all", "-@dangerous"];
    let _: () = redis::cmd("ACL").arg("SETUSER").arg("bot").arg(&rules).query(&mut client).unwrap();
    let options = RedisOptions::parse(&format!("redis://bot:s3cret@127.0.0.1:{}", server.port)).unwrap();
    let driver = driver(&options);
    assert!(load(&driver, "anon").unwrap().is_new);
    std::thread::sleep(Duration::from_millis(1));
}
