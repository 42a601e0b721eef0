//! The three texts of an entity as one run of bytes, so that "nothing has changed" is one comparison.
//!
//! A record is a tag whose low three bits say which of username, phone and name there are, the length of each of
//! those as a LEB128 number, and then their bytes. No record is the beginning of another.

use crate::entity::Entity;

/// Which of an entity's texts, in the order in which a record holds them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextKey {
    /// The username.
    Username = 0,
    /// The phone number.
    Phone = 1,
    /// The display name.
    Name = 2,
}

impl TextKey {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Username, Self::Phone, Self::Name];
}

/// Username, phone and name.
pub(crate) type Texts<'a> = [Option<&'a [u8]>; 3];

/// Appends the record of an entity's texts.
pub(crate) fn write(out: &mut Vec<u8>, entity: &Entity<'_>) {
    write_texts(out, [entity.username, entity.phone, entity.name].map(|text| text.map(str::as_bytes)));
}

/// Appends the record of three texts.
pub(crate) fn write_texts(out: &mut Vec<u8>, texts: Texts<'_>) {
    let tag = (0..3).filter(|bit| texts[*bit].is_some()).fold(0, |tag, bit| tag | 1 << bit);
    out.push(tag);
    for text in texts.into_iter().flatten() {
        let mut rest = text.len();
        while rest > 0x7f {
            out.push(low_byte(rest) | 0x80);
            rest >>= 7;
        }
        out.push(low_byte(rest));
    }
    for text in texts.into_iter().flatten() {
        out.extend_from_slice(text);
    }
}

/// The texts of the record at the beginning of `bytes`, and the record's length.
///
/// Bytes that are no record read as one without texts; that cannot come about, since records are only written here.
pub(crate) fn read(bytes: &[u8]) -> (Texts<'_>, usize) {
    try_read(bytes).unwrap_or(([None; 3], 1))
}

/// One of the texts of the record at the beginning of `bytes`.
pub(crate) fn read_one(bytes: &[u8], key: TextKey) -> Option<&[u8]> {
    read(bytes).0[key as usize]
}

fn try_read(bytes: &[u8]) -> Option<(Texts<'_>, usize)> {
    let tag = *bytes.first()?;
    let mut at = 1;
    let mut lengths = [0; 3];
    for (bit, length) in lengths.iter_mut().enumerate() {
        if tag >> bit & 1 == 0 {
            continue;
        }
        let mut shift = 0;
        loop {
            let byte = *bytes.get(at)?;
            at += 1;
            *length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                break;
            }
        }
    }
    let mut texts = [None; 3];
    for (bit, text) in texts.iter_mut().enumerate() {
        if tag >> bit & 1 == 1 {
            *text = Some(bytes.get(at..at + lengths[bit])?);
            at += lengths[bit];
        }
    }
    Some((texts, at))
}

/// The lowest eight bits.
fn low_byte(number: usize) -> u8 {
    number.to_le_bytes()[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_wrote() {
        let long = "x".repeat(70_000);
        for texts in [
            [None, None, None],
            [Some(""), None, Some("Анна")],
            [Some("anna"), Some("79991234567"), Some(long.as_str())],
            [None, Some("7"), None],
        ] {
            let mut bytes = Vec::new();
            let [username, phone, name] = texts;
            write(&mut bytes, &Entity { username, phone, name, ..Entity::default() });
            let length = bytes.len();
            bytes.extend_from_slice(b"what follows");
            assert_eq!(read(&bytes), (texts.map(|text| text.map(str::as_bytes)), length));
        }
    }
}
