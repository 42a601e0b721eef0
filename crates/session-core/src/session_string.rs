//! The text form of a session, Telethon's `StringSession`: pure functions over text and bytes.
//!
//! A string is `1` and the URL-safe base64 of, big-endian, `dc (1) | ip (4 or 16) | port (2) | key
//! (256)`. The decoder also accepts the standard alphabet, as Telethon does, and skips what pasting
//! adds: white space, quotes and zero-width characters.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{Engine as _, alphabet};
use zeroize::Zeroizing;

/// The only version of strings.
pub const VERSION: char = '1';
/// The length of an authorization key, in bytes.
pub const KEY_LEN: usize = 256;

const V4_LEN: usize = 1 + 4 + 2 + KEY_LEN;
const V6_LEN: usize = 1 + 16 + 2 + KEY_LEN;
/// The number of base64 characters, without the trailing `=`.
const V4_LETTERS: usize = (V4_LEN * 4).div_ceil(3);
const V6_LETTERS: usize = (V6_LEN * 4).div_ceil(3);

/// Encodes with padding.
const WRITING: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, GeneralPurposeConfig::new());

/// Decodes letters without their padding. Bits after the last byte are ignored, as in Python.
const READING: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

/// Why a text is not a valid string session. No message contains a part of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StringError {
    /// Nothing is left without white space and quotes.
    #[error("Not a valid string: it is empty")]
    Empty,
    /// It does not begin with the version.
    #[error("Not a valid string: a string session begins with '{VERSION}'")]
    Version,
    /// Only the version is missing.
    #[error("Not a valid string: its first character, '{VERSION}', is missing (was all of it copied?)")]
    VersionMissing,
    /// A character that is not base64, by its position from 1.
    #[error("Not a valid string: character {0} is not valid in a string session")]
    Character(usize),
    /// Something follows the end.
    #[error("Not a valid string: it goes on after its end, '=' (were two strings pasted?)")]
    AfterEnd,
    /// The padding is missing.
    #[error("Not a valid string: a character is missing: the '=' at its end (was all of it copied?)")]
    NoEnd,
    /// At least this many characters are missing.
    #[error("Not a valid string: {} missing (was all of it copied?)", characters(*.0))]
    Missing(usize),
    /// There are this many characters too many.
    #[error("Not a valid string: {} too many (were two strings pasted, or some of it twice?)", characters(*.0))]
    TooMany(usize),
    /// It is base64 of something else.
    #[error("Not a valid string: {0} bytes where a string session has {V4_LEN} or {V6_LEN} (was all of it copied?)")]
    Length(usize),
    /// It is a string of another library.
    #[error(
        "Not a valid string: this is {0} string: convert it with `telethon-session import NAME`, or with \
         telethon_session_rust.convert.convert(string, NAME)"
    )]
    Foreign(Library),
}

fn characters(count: usize) -> String {
    if count == 1 { "a character is".to_owned() } else { format!("{count} characters are") }
}

/// A library whose session strings look like Telethon's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Library {
    /// Writes `1` and the standard base64 of `dc (1) | length (2) | address as text | port (2) |
    /// key (256)`.
    GramJs,
    /// Writes the URL-safe base64, without padding, of `dc (1) | API ID (4) | test (1) | key (256)
    /// | user (8) | bot (1)`; older versions without the API ID, and before that with four bytes
    /// for the user.
    Pyrogram,
    /// Writes the URL-safe base64 of a version (1, 2 or 3), flags, addresses and, at the end, the
    /// key as TL encodes it.
    Mtcute,
    /// Writes the URL-safe base64 of what TL writes for the data centre (as text), the key and, in
    /// newer versions, API ID, bot and user. Each run of zeros is a zero and its length.
    Mtkruto,
}

impl fmt::Display for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::GramJs => "a GramJS",
            Self::Pyrogram => "a Pyrogram",
            Self::Mtcute => "an mtcute",
            Self::Mtkruto => "an MTKruto",
        })
    }
}

/// A decoded string session: where to connect, and the key, which is wiped from memory when
/// dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionString {
    /// The data centre's ID.
    pub dc_id: u8,
    /// Its IP address.
    pub ip: IpAddr,
    /// Its port.
    pub port: u16,
    /// The authorization key; all zeros if there is none.
    pub auth_key: Zeroizing<[u8; KEY_LEN]>,
}

impl SessionString {
    /// Decodes a string, which may have been pasted with white space and quotes.
    ///
    /// # Errors
    /// What is wrong with the string.
    pub fn parse(text: &str) -> Result<Self, StringError> {
        let Letters { letters, padding } = Letters::read(text)?;
        let (&first, rest) = letters.split_first().ok_or(StringError::Empty)?;
        if first != VERSION as u8 {
            return Err(why_not_version(&letters));
        }
        let bytes = read_letters(rest);
        if is_gram_js(&bytes) || (![V4_LEN, V6_LEN].contains(&bytes.len()) && begins_as_gram_js(&bytes)) {
            return Err(StringError::Foreign(Library::GramJs));
        }
        match rest.len() {
            V4_LETTERS | V6_LETTERS if padding == 0 => Err(StringError::NoEnd),
            V4_LETTERS | V6_LETTERS => Self::unpack(&bytes),
            count => Err(wrong_count(count)),
        }
    }

    /// Returns the bytes that the text encodes.
    #[must_use]
    pub fn pack(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(V6_LEN));
        bytes.push(self.dc_id);
        match self.ip {
            IpAddr::V4(ip) => bytes.extend_from_slice(&ip.octets()),
            IpAddr::V6(ip) => bytes.extend_from_slice(&ip.octets()),
        }
        bytes.extend_from_slice(&self.port.to_be_bytes());
        bytes.extend_from_slice(&*self.auth_key);
        bytes
    }

    /// Decodes the bytes that a text encodes.
    ///
    /// # Errors
    /// [`StringError::Foreign`] or [`StringError::Length`] if the bytes are something else.
    pub fn unpack(bytes: &[u8]) -> Result<Self, StringError> {
        if is_gram_js(bytes) {
            return Err(StringError::Foreign(Library::GramJs));
        }
        let wrong = || StringError::Length(bytes.len());
        let (&dc_id, rest) = bytes.split_first().ok_or_else(wrong)?;
        let (ip, rest): (IpAddr, _) = match bytes.len() {
            V4_LEN => {
                let (ip, rest) = rest.split_first_chunk::<4>().ok_or_else(wrong)?;
                (Ipv4Addr::from(*ip).into(), rest)
            }
            V6_LEN => {
                let (ip, rest) = rest.split_first_chunk::<16>().ok_or_else(wrong)?;
                (Ipv6Addr::from(*ip).into(), rest)
            }
            _ => return Err(wrong()),
        };
        let (port, key) = rest.split_first_chunk::<2>().ok_or_else(wrong)?;
        let key = key.try_into().map_err(|_| wrong())?;
        Ok(Self { dc_id, ip, port: u16::from_be_bytes(*port), auth_key: Zeroizing::new(key) })
    }

    /// Returns `true` if there is a key, which is not all zeros.
    #[must_use]
    pub fn has_key(&self) -> bool {
        self.auth_key.iter().any(|byte| *byte != 0)
    }
}

/// Returns what is wrong with a string that does not begin with the version.
fn why_not_version(letters: &[u8]) -> StringError {
    let bytes = read_letters(letters);
    if is_mtkruto(&bytes) {
        // Some are as long as Pyrogram's.
        StringError::Foreign(Library::Mtkruto)
    } else if is_pyrogram(&bytes) {
        StringError::Foreign(Library::Pyrogram)
    } else if is_mtcute(&bytes) {
        StringError::Foreign(Library::Mtcute)
    } else if [V4_LEN, V6_LEN].contains(&bytes.len()) {
        StringError::VersionMissing
    } else {
        StringError::Version
    }
}

/// Returns how far a string is from the nearer of the two lengths.
fn wrong_count(count: usize) -> StringError {
    let target = if count.abs_diff(V4_LETTERS) <= count.abs_diff(V6_LETTERS) { V4_LETTERS } else { V6_LETTERS };
    let difference = count.abs_diff(target);
    if count < target { StringError::Missing(difference) } else { StringError::TooMany(difference) }
}

/// Returns `true` if the bytes are a whole GramJS string.
///
/// An address of 14 characters makes it as long as Telethon's with IPv6, so the length does not
/// tell.
fn is_gram_js(bytes: &[u8]) -> bool {
    let Some((length, rest)) = gram_js_address(bytes) else { return false };
    rest.len() == length + 2 + KEY_LEN && rest.iter().take(length).copied().all(is_address)
}

/// Returns `true` if the bytes begin with an address as GramJS writes it; the rest may be missing.
fn begins_as_gram_js(bytes: &[u8]) -> bool {
    gram_js_address(bytes).is_some_and(|(length, rest)| {
        let address = rest.get(..length).unwrap_or(rest);
        address.len() >= 3
            && address.iter().copied().all(is_address)
            && address.iter().any(|b| matches!(b, b'.' | b':'))
    })
}

/// Returns the length of the address, and everything that follows the length.
fn gram_js_address(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let ([_dc, high, low], rest) = bytes.split_first_chunk::<3>()?;
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    // `::1` is the shortest address, and no host name is longer.
    (3..=253).contains(&length).then_some((length, rest))
}

fn is_address(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b':' | b'-' | b'_')
}

fn is_pyrogram(bytes: &[u8]) -> bool {
    // The position of the flag for a test server.
    let test = match bytes.len() {
        263 | 267 => 1,
        271 => 5,
        _ => return false,
    };
    let is_flag = |byte: Option<&u8>| byte.is_some_and(|byte| *byte <= 1);
    bytes.first().is_some_and(|dc| *dc != 0) && is_flag(bytes.get(test)) && is_flag(bytes.last())
}

fn is_mtcute(bytes: &[u8]) -> bool {
    // The length of the key as TL encodes it.
    const KEY: [u8; 4] = [0xfe, 0, 1, 0];
    let key = bytes.len().checked_sub(KEY.len() + KEY_LEN).and_then(|at| bytes.get(at..));
    bytes.first().is_some_and(|version| (1..=3).contains(version)) && key.is_some_and(|key| key.starts_with(&KEY))
}

fn is_mtkruto(bytes: &[u8]) -> bool {
    // The length of the key as TL encodes it, with each run of zeros as a zero and its length. The
    // last run may go on in the key.
    const KEY: [u8; 5] = [0xfe, 0, 1, 1, 0];
    let Some((&length, rest)) = bytes.split_first() else { return false };
    let Some((dc, rest)) = rest.split_at_checked(length.into()) else { return false };
    // TL fills up what it writes to a multiple of four bytes.
    let padding = match (dc.len() + 1) % 4 {
        0 => &[][..],
        over => &[0, 4 - u8::try_from(over).unwrap_or(0)],
    };
    dc.first().is_some_and(u8::is_ascii_digit) && rest.strip_prefix(padding).is_some_and(|rest| rest.starts_with(&KEY))
}

/// Returns the base64 characters of a string of any library, which may have been pasted with white
/// space and quotes: in the URL-safe alphabet, without padding.
///
/// # Errors
/// Which character is not base64, or that something follows the padding.
pub fn letters(text: &str) -> Result<Zeroizing<String>, StringError> {
    let Letters { letters, .. } = Letters::read(text)?;
    let mut found = Zeroizing::new(String::with_capacity(letters.len()));
    found.extend(letters.iter().map(|letter| match letter {
        b'+' => '-',
        b'/' => '_',
        other => char::from(*other),
    }));
    Ok(found)
}

/// The base64 characters in a text, in the standard alphabet.
struct Letters {
    letters: Zeroizing<Vec<u8>>,
    /// How many `=` follow them.
    padding: usize,
}

impl Letters {
    fn read(text: &str) -> Result<Self, StringError> {
        // With room for all, so that no copy of the key remains when the buffer grows.
        let mut letters = Zeroizing::new(Vec::with_capacity(text.len()));
        let mut padding = 0;
        for (at, character) in text.chars().enumerate() {
            let letter = match character {
                '=' => {
                    padding += 1;
                    continue;
                }
                '-' => b'+',
                '_' => b'/',
                '+' | '/' | '0'..='9' | 'A'..='Z' | 'a'..='z' => {
                    u8::try_from(character).map_err(|_| StringError::Character(at + 1))?
                }
                _ if is_brought_by_pasting(character) => continue,
                _ => return Err(StringError::Character(at + 1)),
            };
            if padding > 0 {
                return Err(StringError::AfterEnd);
            }
            letters.push(letter);
        }
        Ok(Self { letters, padding })
    }
}

/// Returns `true` for white space, quotes, and characters of zero width.
fn is_brought_by_pasting(character: char) -> bool {
    character.is_whitespace()
        || matches!(
            character,
            '\'' | '"' | '`' | '\u{b4}' | '\u{ab}' | '\u{bb}'
            | '\u{2018}'..='\u{201f}' | '\u{2032}' | '\u{2033}' | '\u{2039}' | '\u{203a}'
            | '\u{300c}'..='\u{300f}' | '\u{ff02}' | '\u{ff07}'
            | '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{2064}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
        )
}

/// Decodes letters. A trailing letter that completes no byte is dropped.
fn read_letters(letters: &[u8]) -> Zeroizing<Vec<u8>> {
    let whole = letters.len() - usize::from(letters.len() % 4 == 1);
    let letters = letters.get(..whole).unwrap_or_default();
    let mut bytes = Zeroizing::new(vec![0; base64::decoded_len_estimate(letters.len())]);
    // The input has only letters, so decoding cannot fail.
    let length = READING.decode_slice(letters, &mut bytes).unwrap_or(0);
    bytes.truncate(length);
    bytes
}

/// Encodes bytes as padded URL-safe base64.
#[must_use]
pub fn encode(bytes: &[u8]) -> Zeroizing<String> {
    Zeroizing::new(WRITING.encode(bytes))
}

/// Decodes padded base64 of either alphabet. White space and quotes are skipped.
///
/// # Errors
/// What is wrong with the text.
pub fn decode(text: &str) -> Result<Zeroizing<Vec<u8>>, StringError> {
    let Letters { letters, padding } = Letters::read(text)?;
    match letters.len() % 4 {
        1 => Err(StringError::Missing(1)),
        over @ (2 | 3) if padding < 4 - over => Err(StringError::NoEnd),
        _ => Ok(read_letters(&letters)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(ip: IpAddr) -> SessionString {
        SessionString { dc_id: 2, ip, port: 443, auth_key: Zeroizing::new([7; KEY_LEN]) }
    }

    #[test]
    fn comes_back_as_it_was() {
        for ip in [IpAddr::from([149, 154, 167, 51]), "2001:67c:4e8:f002::a".parse().unwrap()] {
            let text = encode(&login(ip).pack());
            assert_eq!(text.len(), if ip.is_ipv4() { 352 } else { 368 });
            let back = SessionString::unpack(&decode(&text).unwrap()).unwrap();
            assert!(back == login(ip) && back.has_key());
        }
    }

    #[test]
    fn every_other_length_is_refused() {
        for length in (0..400).filter(|length| ![V4_LEN, V6_LEN].contains(length)) {
            assert_eq!(SessionString::unpack(&vec![200; length]).err(), Some(StringError::Length(length)));
        }
    }

    fn gram_js(address: &str) -> Vec<u8> {
        let mut bytes = vec![2, 0, u8::try_from(address.len()).unwrap()];
        bytes.extend_from_slice(address.as_bytes());
        bytes.extend_from_slice(&[1; 2 + KEY_LEN]);
        bytes
    }

    fn string_of(bytes: &[u8]) -> String {
        format!("{VERSION}{}", *encode(bytes))
    }

    #[test]
    fn gram_js_is_recognised_even_at_our_length() {
        for address in ["::1", "149.154.167.51", "91.108.56.1", "venus.web.telegram.org", "2001:67c:4e8:f002::a"] {
            let bytes = gram_js(address);
            assert_eq!(SessionString::unpack(&bytes).err(), Some(StringError::Foreign(Library::GramJs)));
            let string = string_of(&bytes);
            for text in [&string, string.trim_end_matches('='), &string[..200], &string[..40]] {
                assert_eq!(
                    SessionString::parse(text).err(),
                    Some(StringError::Foreign(Library::GramJs)),
                    "{address} {text}"
                );
            }
        }
    }

    #[test]
    fn strings_of_other_libraries_are_named() {
        let flags = [0u8, 1];
        for dc in 1..=5 {
            for (test, bot) in flags.iter().flat_map(|test| flags.map(|bot| (*test, bot))) {
                for (before, user) in [(0, 4), (0, 8), (4, 8)] {
                    let mut bytes = vec![dc];
                    bytes.resize(1 + before, 200);
                    bytes.push(test);
                    bytes.resize(bytes.len() + KEY_LEN + user, 201);
                    bytes.push(bot);
                    let text = encode(&bytes);
                    let error = SessionString::parse(text.trim_end_matches('=')).err();
                    assert_eq!(error, Some(StringError::Foreign(Library::Pyrogram)));
                }
            }
        }
        for version in 1..=3 {
            let mut bytes = vec![version, 0, 0, 0, 0, 4, 1, 2, 3, 4];
            bytes.extend_from_slice(&[0xfe, 0, 1, 0]);
            bytes.resize(bytes.len() + KEY_LEN, 77);
            assert_eq!(SessionString::parse(&encode(&bytes)).err(), Some(StringError::Foreign(Library::Mtcute)));
        }
        for dc in [&b"\x012\0\x02"[..], b"\x062-test\0\x01", b"\x03203"] {
            for length in [266, 267, 271, 285] {
                let mut bytes = dc.to_vec();
                bytes.extend_from_slice(b"\xfe\0\x01\x01\0\x02");
                bytes.resize(length - 1, 77);
                bytes.push(1);
                assert_eq!(SessionString::parse(&encode(&bytes)).err(), Some(StringError::Foreign(Library::Mtkruto)));
            }
        }
    }

    #[test]
    fn what_pasting_brings_is_skipped_and_the_rest_is_named() {
        let good = string_of(&login(IpAddr::from([149, 154, 167, 51])).pack());
        let standard = good.replace('-', "+").replace('_', "/");
        let (front, back) = good.split_at(200);
        for text in [
            format!("  {good}\r\n"),
            format!("\u{feff}\u{201c}{good}\u{201d}"),
            format!("'{front}'\n    '{back}'"),
            good.chars().flat_map(|letter| [letter, '\u{200b}']).collect(),
            standard,
            format!("{good}="),
        ] {
            assert!(SessionString::parse(&text).unwrap() == login(IpAddr::from([149, 154, 167, 51])), "{text}");
        }
        let without = |at: usize| format!("{}{}", &good[..at], &good[at + 1..]);
        for (text, error) in [
            (" \"\" ".to_owned(), StringError::Empty),
            (without(0), StringError::VersionMissing),
            (without(100), StringError::Missing(1)),
            (without(good.len() - 1), StringError::NoEnd),
            (good[..good.len() - 3].to_owned(), StringError::Missing(2)),
            (format!("{front}AB{back}"), StringError::TooMany(2)),
            (format!("{good}{good}"), StringError::AfterEnd),
            (format!("{front}\u{410}{back}"), StringError::Character(201)),
            (format!("2{}", &good[1..]), StringError::Version),
        ] {
            assert_eq!(SessionString::parse(&text).err(), Some(error), "{text}");
        }
    }

    #[test]
    fn the_letters_of_any_text() {
        assert_eq!(letters(" 'a+/'\n-_ab==").map(|found| found.to_string()), Ok("a-_-_ab".to_owned()));
        assert_eq!(letters("ab!").err(), Some(StringError::Character(3)));
        assert_eq!(letters("ab==cd").err(), Some(StringError::AfterEnd));
    }

    #[test]
    fn text_that_is_not_base64_is_refused() {
        for text in ["a", "a===", "ab!=", "абвг", "ab", "ab=", "abc", "ab==ab=="] {
            assert!(decode(text).is_err(), "{text}");
        }
        for text in ["ab-_", "ab+/", "a b\n+'/'", "ab+/="] {
            assert_eq!(*decode(text).unwrap(), [0x69, 0xbf, 0xbf], "{text}");
        }
    }
}
