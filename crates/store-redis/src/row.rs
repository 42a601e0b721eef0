//! The values of our layout.
//!
//! A row of an entity is a version byte, the access hash (8 bytes, little-endian), the date when it
//! was last seen (4 bytes), a tag and the texts. The tag's lowest three bits tell which of username,
//! phone and name there are, and the next bit whether each of the three lengths that follow takes
//! four bytes instead of one. The bit after that tells that the entity's other usernames follow the
//! texts, each after its length in four bytes. Lua reads the texts, and only copies the access hash: its
//! numbers cannot hold 64 bits.

use std::fmt::Write;

use session_core::credentials::Credentials;
use session_core::entity_table::{BatchEntity, Dirty, EntityBatch};
use session_core::store::{FileKey, FileKind, SentFile, UpdateState};
use zeroize::Zeroizing;

const VERSION: u8 = 1;
/// The bit of a tag for lengths of four bytes.
const LONG: u8 = 8;
/// The bit of a tag for aliases.
const ALIASES: u8 = 16;
/// Where the tag is.
const HEAD: usize = 13;

/// The fields of a login.
pub(crate) const LOGIN_FIELDS: [&str; 8] =
    ["layout", "dc_id", "server_address", "port", "auth_key", "takeout_id", "tmp_auth_key", "adopted"];

/// The fields of a login with their values.
pub(crate) type Pairs = Vec<(&'static str, Zeroizing<Vec<u8>>)>;

/// Appends what the script is to do with the dirty part of an entity: the part and its value.
/// Returns `false` if there is nothing to do.
pub(crate) fn write_change(out: &mut Vec<u8>, entity: &BatchEntity<'_>) -> bool {
    let access_hash = entity.access_hash.unwrap_or_default();
    match entity.dirty {
        Dirty::Clean => return false,
        Dirty::Full => {
            out.push(b'F');
            write_entity(out, access_hash, entity.seen, entity.texts(), entity.aliases());
        }
        Dirty::AccessHashAndDate => {
            out.push(b'A');
            write_head(out, access_hash, entity.seen);
        }
        Dirty::Date => {
            out.push(b'D');
            out.extend_from_slice(&entity.seen.to_le_bytes());
        }
        Dirty::LostUsername => out.push(b'U'),
        Dirty::LostAlias => {
            out.push(b'L');
            out.extend_from_slice(&entity.seen.to_le_bytes());
            write_aliases(out, entity.aliases());
        }
        Dirty::Gone => {
            out.push(b'G');
            out.extend_from_slice(&entity.seen.to_le_bytes());
        }
    }
    true
}

fn write_head(out: &mut Vec<u8>, access_hash: i64, seen: u32) {
    out.push(VERSION);
    out.extend_from_slice(&access_hash.to_le_bytes());
    out.extend_from_slice(&seen.to_le_bytes());
}

/// Appends a row.
pub(crate) fn write_entity<'a>(
    out: &mut Vec<u8>,
    access_hash: i64,
    seen: u32,
    texts: Texts<'_>,
    aliases: impl IntoIterator<Item = &'a [u8]>,
) {
    write_head(out, access_hash, seen);
    let tag_at = out.len();
    let [username, phone, name] = texts;
    let tag = u8::from(username.is_some()) | u8::from(phone.is_some()) << 1 | u8::from(name.is_some()) << 2;
    let texts = texts.map(Option::unwrap_or_default);
    if texts.iter().all(|text| u8::try_from(text.len()).is_ok()) {
        out.push(tag);
        out.extend(texts.iter().map(|text| text.len().to_le_bytes()[0]));
    } else {
        out.push(tag | LONG);
        for text in texts {
            write_length(out, text);
        }
    }
    for text in texts {
        out.extend_from_slice(text);
    }
    let end = out.len();
    write_aliases(out, aliases);
    if out.len() > end {
        out[tag_at] |= ALIASES;
    }
}

fn write_aliases<'a>(out: &mut Vec<u8>, aliases: impl IntoIterator<Item = &'a [u8]>) {
    for alias in aliases {
        write_length(out, alias);
        out.extend_from_slice(alias);
    }
}

fn write_length(out: &mut Vec<u8>, text: &[u8]) {
    // No server takes 4 GiB.
    out.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
}

/// Adds a stored entity, unless its ID or its row is unusable. Returns `true` if it was added.
pub(crate) fn push_entity(batch: &mut EntityBatch, id: &[u8], row: &[u8]) -> bool {
    let (Some(id), Some((access_hash, seen, texts, mut aliases))) = (parse(id), read_entity(row)) else {
        return false;
    };
    batch.push_stored(id, access_hash, seen, texts);
    while let Some(alias) = next_alias(&mut aliases) {
        if std::str::from_utf8(alias).is_ok() {
            batch.push_alias(alias);
        }
    }
    true
}

/// Username, phone and name.
type Texts<'a> = [Option<&'a [u8]>; 3];

/// Returns the next alias, and leaves those that follow.
fn next_alias<'a>(aliases: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = aliases.split_first_chunk::<4>()?;
    let (alias, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
    *aliases = rest;
    Some(alias)
}

/// Returns access hash, date, texts and aliases of a row.
pub(crate) fn read_entity(row: &[u8]) -> Option<(i64, u32, Texts<'_>, &[u8])> {
    let (head, rest) = row.split_at_checked(HEAD)?;
    let (version, head) = head.split_first()?;
    let (access_hash, seen) = head.split_first_chunk::<8>()?;
    let seen = u32::from_le_bytes(*seen.first_chunk::<4>()?);
    let (tag, rest) = rest.split_first()?;
    let (lengths, mut rest) = if tag & LONG == 0 {
        let (lengths, rest) = rest.split_first_chunk::<3>()?;
        (lengths.map(usize::from), rest)
    } else {
        let (lengths, rest) = rest.split_first_chunk::<12>()?;
        let (lengths, _) = lengths.as_chunks::<4>();
        let [a, b, c] = lengths else { return None };
        ([a, b, c].map(|length| usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX)), rest)
    };
    let mut texts = [None; 3];
    for (bit, text) in texts.iter_mut().enumerate() {
        let found;
        (found, rest) = rest.split_at_checked(lengths[bit])?;
        *text = (tag >> bit & 1 == 1 && std::str::from_utf8(found).is_ok()).then_some(found);
    }
    let aliases = if tag & ALIASES == 0 { &[] } else { rest };
    let is_known = *version == VERSION && *tag < 2 * ALIASES;
    is_known.then_some((i64::from_le_bytes(*access_hash), seen, texts, aliases))
}

/// Returns the fields of a login, without those that are missing.
pub(crate) fn login_pairs(credentials: &Credentials) -> Pairs {
    let text = |text: String| Some(Zeroizing::new(text.into_bytes()));
    let number = |number: Option<i64>| number.and_then(|number| text(number.to_string()));
    let key = |key: &Zeroizing<Vec<u8>>| (!key.is_empty()).then(|| key.clone());
    let pairs = [
        ("dc_id", number(Some(credentials.dc_id))),
        ("server_address", credentials.server_address.clone().and_then(text)),
        ("port", number(credentials.port)),
        ("auth_key", key(&credentials.auth_key)),
        ("takeout_id", number(credentials.takeout_id)),
        ("tmp_auth_key", key(&credentials.tmp_auth_key)),
    ];
    pairs.into_iter().filter_map(|(field, value)| Some((field, value?))).collect()
}

/// A login as it is stored.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum StoredLogin {
    /// Nothing is stored.
    Missing,
    /// A session that has not logged in.
    Empty,
    /// Credentials.
    Login(Credentials),
    /// A layout of a later release.
    TooNew(String),
    /// A field that cannot be read.
    Damaged(&'static str),
}

/// Reads the values of [`LOGIN_FIELDS`].
pub(crate) fn read_login(values: Vec<Option<Zeroizing<Vec<u8>>>>) -> StoredLogin {
    let Ok([layout, dc_id, server_address, port, auth_key, takeout_id, tmp_auth_key, _]) =
        <[Option<Zeroizing<Vec<u8>>>; 8]>::try_from(values)
    else {
        return StoredLogin::Damaged("layout");
    };
    let Some(layout) = layout else { return StoredLogin::Missing };
    if **layout != *b"1" {
        return StoredLogin::TooNew(String::from_utf8_lossy(&layout).chars().take(20).collect());
    }
    let Some(dc_id) = dc_id else { return StoredLogin::Empty };
    let number = |value: Option<Zeroizing<Vec<u8>>>, field| match value {
        None => Ok(None),
        Some(value) => parse(&value).map(Some).ok_or(StoredLogin::Damaged(field)),
    };
    let read = || {
        let server_address = match server_address {
            None => None,
            Some(address) => {
                Some(String::from_utf8(address.to_vec()).map_err(|_| StoredLogin::Damaged("server_address"))?)
            }
        };
        Ok(Credentials {
            dc_id: parse(&dc_id).ok_or(StoredLogin::Damaged("dc_id"))?,
            server_address,
            port: number(port, "port")?,
            auth_key: auth_key.unwrap_or_default(),
            takeout_id: number(takeout_id, "takeout_id")?,
            tmp_auth_key: tmp_auth_key.unwrap_or_default(),
        })
    };
    read().map_or_else(|damaged| damaged, StoredLogin::Login)
}

/// Reads a number in decimal.
pub(crate) fn parse<T: std::str::FromStr>(bytes: &[u8]) -> Option<T> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

/// Returns the stored form of an update state.
pub(crate) fn write_state(state: &UpdateState) -> String {
    let UpdateState { pts, qts, date, seq } = state;
    let number = |number: &Option<i64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    let date = date.map_or_else(|| "-".to_owned(), |date| format!("{date:?}"));
    format!("{} {} {date} {}", number(pts), number(qts), number(seq))
}

/// Reads an update state. What is unusable of it is missing.
pub(crate) fn read_state(value: &[u8]) -> Option<UpdateState> {
    let mut parts = std::str::from_utf8(value).ok()?.split(' ');
    let (pts, qts, date, seq) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let number = |text: &str| text.parse().ok();
    let date = date.parse().ok().filter(|date: &f64| date.is_finite());
    Some(UpdateState { pts: number(pts), qts: number(qts), date, seq: number(seq) })
}

/// Returns the field of a sent file.
pub(crate) fn file_field(key: &FileKey) -> String {
    let mut field = String::with_capacity(2 * key.md5_digest.len() + 30);
    for byte in &key.md5_digest {
        // Writing to a string does not fail.
        let _ = write!(field, "{byte:02x}");
    }
    let kind = match key.kind {
        FileKind::Document => "document",
        FileKind::Photo => "photo",
    };
    let _ = write!(field, "_{}_{kind}", key.size);
    field
}

/// Reads the field of a sent file.
pub(crate) fn read_file_field(field: &[u8]) -> Option<FileKey> {
    let (rest, kind) = std::str::from_utf8(field).ok()?.rsplit_once('_')?;
    let (digest, size) = rest.rsplit_once('_')?;
    let kind = match kind {
        "document" => FileKind::Document,
        "photo" => FileKind::Photo,
        _ => return None,
    };
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = digest.as_bytes().as_chunks::<2>();
    let md5_digest = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect::<Option<_>>()?;
    rest.is_empty().then_some(FileKey { md5_digest, size: size.parse().ok()?, kind })
}

/// Returns the stored form of a sent file.
pub(crate) fn write_file((id, access_hash): &SentFile) -> String {
    format!("{id} {access_hash}")
}

/// Reads a sent file.
pub(crate) fn read_file(value: &[u8]) -> Option<SentFile> {
    let (id, access_hash) = std::str::from_utf8(value).ok()?.split_once(' ')?;
    Some((id.parse().ok()?, access_hash.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_again() {
        let long = "x".repeat(256);
        for texts in [
            [None, None, None],
            [Some(""), None, Some("Анна")],
            [Some("anna"), Some("7"), Some(long.as_str())],
            [None, Some(&long[..255]), None],
        ] {
            let texts = texts.map(|text| text.map(str::as_bytes));
            let mut row = Vec::new();
            write_entity(&mut row, i64::MIN, u32::MAX, texts, []);
            assert_eq!(read_entity(&row), Some((i64::MIN, u32::MAX, texts, &b""[..])));
            for length in 0..row.len() {
                assert_eq!(read_entity(&row[..length]), None);
            }
            row.clear();
            let aliases = [&b"a"[..], long.as_bytes()];
            write_entity(&mut row, i64::MIN, u32::MAX, texts, aliases);
            let (.., mut found) = read_entity(&row).unwrap();
            assert_eq!(std::iter::from_fn(|| next_alias(&mut found)).collect::<Vec<_>>(), aliases);
        }
    }

    #[test]
    fn damaged_rows_are_skipped() {
        let mut row = Vec::new();
        write_entity(&mut row, 1, 2, [Some(b"anna"), Some(b"7"), Some(b"Anna")], [&b"x"[..], b"y"]);
        for at in 0..row.len() {
            for value in 0..=255 {
                let mut damaged = row.clone();
                damaged[at] = value;
                let mut batch = EntityBatch::default();
                push_entity(&mut batch, b"7", &damaged);
                assert!(batch.len() <= 1);
            }
        }
        let mut batch = EntityBatch::default();
        for id in [&b""[..], b"x", b"9223372036854775808", b"1.0", b"\xff"] {
            assert!(!push_entity(&mut batch, id, &row));
        }
        row[0] = 2;
        assert!(!push_entity(&mut batch, b"7", &row));
    }

    #[test]
    fn states_and_files_are_read_again() {
        for state in [
            UpdateState::default(),
            UpdateState { pts: Some(i64::MIN), qts: Some(0), date: Some(1_700_000_000.25), seq: Some(i64::MAX) },
        ] {
            assert_eq!(read_state(write_state(&state).as_bytes()), Some(state));
        }
        assert_eq!(
            read_state(b"1 2 NaN x").unwrap(),
            UpdateState { pts: Some(1), qts: Some(2), ..UpdateState::default() }
        );
        assert_eq!(read_state(b"1 2 3"), None);
        assert_eq!(read_file(write_file(&(i64::MAX, i64::MIN)).as_bytes()), Some((i64::MAX, i64::MIN)));
        assert_eq!(read_file(b"1"), None);
    }

    #[test]
    fn fields_of_sent_files_are_read_again() {
        for (md5_digest, size, kind) in
            [(vec![], i64::MIN, FileKind::Document), (vec![0, 255, 7], i64::MAX, FileKind::Photo)]
        {
            let key = FileKey { md5_digest, size, kind };
            assert_eq!(read_file_field(file_field(&key).as_bytes()), Some(key));
        }
        for field in ["", "00_1", "0_1_photo", "0g_1_photo", "00_x_photo", "00_1_sticker", "00__photo", "ä_1_photo"] {
            assert_eq!(read_file_field(field.as_bytes()), None, "{field}");
        }
    }

    #[test]
    fn logins_are_read_again() {
        let all = Credentials {
            dc_id: 2,
            server_address: Some("149.154.167.51".to_owned()),
            port: Some(443),
            auth_key: Zeroizing::new(vec![0, 255, 7]),
            takeout_id: Some(i64::MAX),
            tmp_auth_key: Zeroizing::new(vec![1]),
        };
        for credentials in [all, Credentials::default()] {
            let mut values = vec![None; 8];
            values[0] = Some(Zeroizing::new(b"1".to_vec()));
            for (field, value) in login_pairs(&credentials) {
                let at = LOGIN_FIELDS.iter().position(|known| *known == field).unwrap();
                values[at] = Some(value);
            }
            assert_eq!(read_login(values.clone()), StoredLogin::Login(credentials));
            values[3] = Some(Zeroizing::new(b"x".to_vec()));
            assert_eq!(read_login(values.clone()), StoredLogin::Damaged("port"));
            values[0] = Some(Zeroizing::new(b"2".to_vec()));
            assert_eq!(read_login(values.clone()), StoredLogin::TooNew("2".to_owned()));
            values[0] = None;
            assert_eq!(read_login(values), StoredLogin::Missing);
        }
    }
}
