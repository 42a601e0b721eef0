//! The three texts of an entity as one run of bytes, so that "nothing has changed" is one
//! comparison.
//!
//! A record is a tag, the lengths of the three texts, and their bytes. The tag's lowest three bits
//! tell which of username, phone and name there are, and the next bit whether each length takes
//! four bytes, little-endian, instead of one. No record is a prefix of another.

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
            // A text of 4 GiB exceeds what Telegram, Python and memory allow.
            out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
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
    (texts, at)
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
    let (_, begin, lengths) = lengths(bytes);
    begin + lengths.into_iter().sum::<usize>()
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
}
