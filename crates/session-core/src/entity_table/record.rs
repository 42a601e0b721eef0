//! The three texts of an entity as one run of bytes, so that "nothing has changed" is one
//! comparison.
//!
//! A record is a tag, the lengths of the three texts, and their bytes. The tag's lowest three bits
//! tell which of username, phone and name there are, and the next bit whether each length takes
//! four bytes, little-endian, instead of one. The bit after that tells that aliases follow: usernames
//! besides the first. No record is a prefix of another.
//!
//! Aliases are a date (0 for that of the entity), the length of the rest, and the length and the bytes
//! of each; all numbers take four bytes.

use crate::entity::Entity;

/// A text of an entity, in the order of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TextField {
    /// The username.
    Username = 0,
    /// The phone number.
    Phone = 1,
    /// The display name.
    Name = 2,
}

impl TextField {
    /// All fields.
    pub const ALL: [Self; 3] = [Self::Username, Self::Phone, Self::Name];
}

/// The bit of a tag for lengths of four bytes.
const LONG: u8 = 8;

/// The bit of a tag for aliases.
const ALIASES: u8 = 16;
/// How many bytes there are before the first alias.
const ALIASES_HEAD: usize = 8;

/// Username, phone and name.
pub(crate) type Texts<'a> = [Option<&'a [u8]>; 3];

/// Appends the record of an entity's texts. Appends a space and the last name, if any, to its name.
pub(crate) fn write(out: &mut Vec<u8>, entity: &Entity<'_>, last_name: Option<&str>) {
    let Entity { username, phone, name, .. } = entity;
    let texts = [*username, *phone, *name].map(|text| text.map(str::as_bytes));
    match last_name {
        None => write_texts(out, texts),
        Some(last_name) => write_with_ending(out, texts, [b" ", last_name.as_bytes()]),
    }
}

/// Appends the record of three texts.
pub(crate) fn write_texts(out: &mut Vec<u8>, texts: Texts<'_>) {
    write_with_ending(out, texts, [b"", b""]);
}

fn write_with_ending(out: &mut Vec<u8>, texts: Texts<'_>, ending: [&[u8]; 2]) {
    let [username, phone, name] = texts;
    let tag = u8::from(username.is_some()) | u8::from(phone.is_some()) << 1 | u8::from(name.is_some()) << 2;
    let [username, phone, name] = texts.map(Option::unwrap_or_default);
    let lengths = [username.len(), phone.len(), name.len() + ending[0].len() + ending[1].len()];
    let [a, b, c] = lengths;
    if u8::try_from(a | b | c).is_ok() {
        out.reserve(4 + a + b + c);
        out.extend_from_slice(&[tag, low_byte(a), low_byte(b), low_byte(c)]);
    } else {
        out.push(tag | LONG);
        for length in lengths {
            out.extend_from_slice(&length_bytes(length));
        }
    }
    // Appending an empty text costs a third of the work: most entities have no phone, and many no
    // username.
    for text in [username, phone, name, ending[0], ending[1]] {
        if !text.is_empty() {
            out.extend_from_slice(text);
        }
    }
}

fn low_byte(number: usize) -> u8 {
    number.to_le_bytes()[0]
}

/// Returns the texts of the record at the beginning of `bytes`, and the record's length.
///
/// Bytes that are not a record are read as one without texts. This does not happen, because records
/// are only written here.
pub(crate) fn read(bytes: &[u8]) -> (Texts<'_>, usize) {
    let (tag, begin, lengths) = lengths(bytes);
    let mut at = begin;
    let mut texts = [None; 3];
    for (bit, text) in texts.iter_mut().enumerate() {
        let end = at + lengths[bit];
        if tag >> bit & 1 == 1 {
            *text = bytes.get(at..end);
        }
        at = end;
    }
    (texts, if tag & ALIASES == 0 { at } else { end_of_aliases(bytes, at) })
}

/// Returns one of the texts of the record at the beginning of `bytes`.
pub(crate) fn read_one(bytes: &[u8], field: TextField) -> Option<&[u8]> {
    let (tag, begin, [username, phone, name]) = lengths(bytes);
    if tag >> field as u8 & 1 == 0 {
        return None;
    }
    let (before, length) = match field {
        TextField::Username => (0, username),
        TextField::Phone => (username, phone),
        TextField::Name => (username + phone, name),
    };
    bytes.get(begin + before..begin + before + length)
}

/// Returns the length of the record at the beginning of `bytes`.
pub(crate) fn length(bytes: &[u8]) -> usize {
    let (tag, begin, lengths) = lengths(bytes);
    let end = begin + lengths.into_iter().sum::<usize>();
    if tag & ALIASES == 0 { end } else { end_of_aliases(bytes, end) }
}

/// Returns `true` if the record at the beginning of `bytes` has aliases.
pub(crate) fn has_aliases(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|tag| tag & ALIASES != 0)
}

/// Returns the date at which an entity was seen with its aliases, or 0 if that is the entity's own, and
/// the aliases of the record at the beginning of `bytes`.
pub(crate) fn aliases(bytes: &[u8]) -> (u32, impl Iterator<Item = &[u8]>) {
    let (date, mut rest) = split_aliases(bytes).unwrap_or_default();
    let each = std::iter::from_fn(move || {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let (alias, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        rest = after;
        Some(alias)
    });
    (date, each)
}

/// Appends an alias to the record that begins at `begin` and is the last.
pub(crate) fn push_alias(out: &mut Vec<u8>, begin: usize, alias: &[u8]) {
    let Some(record) = out.get_mut(begin..) else { return };
    let head = texts_end(record);
    let Some(tag) = record.first_mut() else { return };
    if *tag & ALIASES == 0 {
        *tag |= ALIASES;
        out.extend_from_slice(&[0; ALIASES_HEAD]);
    }
    out.extend_from_slice(&length_bytes(alias.len()));
    out.extend_from_slice(alias);
    let length = length_bytes(out.len() - begin - head - ALIASES_HEAD);
    set(out, begin + head + 4, length);
}

/// Sets the date of the aliases of the record that begins at `begin`, if it has any.
pub(crate) fn set_alias_date(out: &mut [u8], begin: usize, date: u32) {
    if out.get(begin..).is_some_and(has_aliases) {
        let head = texts_end(&out[begin..]);
        set(out, begin + head, date.to_le_bytes());
    }
}

/// Appends the record of the same texts with these aliases.
pub(crate) fn write_with_aliases<'a>(
    out: &mut Vec<u8>,
    texts: Texts<'_>,
    date: u32,
    aliases: impl IntoIterator<Item = &'a [u8]>,
) {
    let begin = out.len();
    write_texts(out, texts);
    aliases.into_iter().for_each(|alias| push_alias(out, begin, alias));
    set_alias_date(out, begin, date);
}

fn length_bytes(length: usize) -> [u8; 4] {
    // A text of 4 GiB exceeds what Telegram, Python and memory allow.
    u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes()
}

fn set(out: &mut [u8], at: usize, bytes: [u8; 4]) {
    if let Some(place) = out.get_mut(at..at + 4) {
        place.copy_from_slice(&bytes);
    }
}

/// Returns where the texts of a record end.
fn texts_end(bytes: &[u8]) -> usize {
    let (_, begin, lengths) = lengths(bytes);
    begin + lengths.into_iter().sum::<usize>()
}

/// Returns the date of a record's aliases, and the aliases.
fn split_aliases(bytes: &[u8]) -> Option<(u32, &[u8])> {
    if !has_aliases(bytes) {
        return None;
    }
    let (date, rest) = bytes.get(texts_end(bytes)..)?.split_first_chunk::<4>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    Some((u32::from_le_bytes(*date), rest.get(..u32::from_le_bytes(*length) as usize)?))
}

#[cold]
fn end_of_aliases(bytes: &[u8], texts_end: usize) -> usize {
    let aliases = split_aliases(bytes).map_or(0, |(_, aliases)| ALIASES_HEAD + aliases.len());
    texts_end + aliases
}

/// Returns the tag, where the first text begins, and the length of each.
fn lengths(bytes: &[u8]) -> (u8, usize, [usize; 3]) {
    match bytes.first_chunk::<4>() {
        Some([tag, lengths @ ..]) if tag & LONG == 0 => (*tag, 4, lengths.map(usize::from)),
        _ => long_lengths(bytes).unwrap_or((0, 1, [0; 3])),
    }
}

#[cold]
fn long_lengths(bytes: &[u8]) -> Option<(u8, usize, [usize; 3])> {
    let (tag, rest) = bytes.split_first()?;
    let (lengths, _) = rest.first_chunk::<12>()?.as_chunks::<4>();
    let [a, b, c] = lengths else { return None };
    Some((*tag, 13, [*a, *b, *c].map(|length| u32::from_le_bytes(length) as usize)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_last_name_comes_after_a_space() {
        let long = "x".repeat(250);
        for last_name in ["Smith", &long] {
            let mut bytes = Vec::new();
            write(
                &mut bytes,
                &Entity { username: Some("anna"), name: Some("Anna"), ..Entity::default() },
                Some(last_name),
            );
            let name = format!("Anna {last_name}");
            assert_eq!(read(&bytes), ([Some(&b"anna"[..]), None, Some(name.as_bytes())], bytes.len()));
        }
    }

    #[test]
    fn reads_what_it_wrote() {
        let long = "x".repeat(70_000);
        for texts in [
            [None, None, None],
            [Some(""), None, Some("Анна")],
            [Some("anna"), Some("79991234567"), Some(long.as_str())],
            [None, Some("7"), None],
            [None, None, Some(&long[..255])],
            [None, None, Some(&long[..256])],
        ] {
            let mut bytes = Vec::new();
            let [username, phone, name] = texts;
            write(&mut bytes, &Entity { username, phone, name, ..Entity::default() }, None);
            let length = bytes.len();
            bytes.extend_from_slice(b"what follows");
            let texts = texts.map(|text| text.map(str::as_bytes));
            assert_eq!(read(&bytes), (texts, length));
            assert_eq!(super::length(&bytes), length);
            assert_eq!(TextField::ALL.map(|key| read_one(&bytes, key)), texts);
        }
    }

    #[test]
    fn aliases_follow_the_texts() {
        let long = "x".repeat(300);
        for texts in [[None, None, None], [Some(&b"anna"[..]), None, Some(long.as_bytes())]] {
            let mut bytes = b"before".to_vec();
            let begin = bytes.len();
            let aliases = [&b"a"[..], b"", long.as_bytes()];
            write_with_aliases(&mut bytes, texts, 7, aliases);
            let length = bytes.len() - begin;
            bytes.extend_from_slice(b"what follows");
            let record = &bytes[begin..];
            assert_eq!((read(record), super::length(record)), ((texts, length), length));
            assert_eq!(TextField::ALL.map(|key| read_one(record, key)), texts);
            let (date, found) = super::aliases(record);
            assert_eq!((date, found.collect::<Vec<_>>()), (7, aliases.to_vec()));
        }
        let mut bytes = Vec::new();
        write_with_aliases(&mut bytes, [None; 3], 7, []);
        assert!(!has_aliases(&bytes) && super::aliases(&bytes).1.next().is_none());
    }
}
