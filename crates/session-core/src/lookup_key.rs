//! Parses what a user typed to find an entity: a phone number, a username, a link or a name.
//!
//! Only texts whose meaning is certain are parsed here. Anything else is [`LookupKey::Unsure`] and
//! goes through Telethon's own functions, because Python's `\w`, `\d` and `IGNORECASE` cover more
//! of Unicode than is wise to repeat, and because invite links are rare.

use std::borrow::Cow;

/// The meaning of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LookupKey<'a> {
    /// A phone number, digits only.
    Phone(Cow<'a, str>),
    /// A username in lower case.
    Username(Cow<'a, str>),
    /// What Telethon parses as the hash of an invite link, with the ID in it: of a chat, or of any
    /// entity with that ID. Otherwise a display name.
    Invite(u32),
    /// Only a display name.
    Name,
    /// Only Telethon's functions can tell.
    Unsure,
}

/// What a release of Telethon accepts as a username.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsernameRules {
    /// The length of the shortest username, except for the words below.
    pub shortest: usize,
    /// Shorter words that are usernames.
    pub short_words: &'static [&'static str],
    /// Whether `t.me/+` begins an invite link.
    pub plus_invites: bool,
}

impl UsernameRules {
    /// Up to Telethon 1.24: five letters and more, and some well-known bots.
    pub const OLD: Self = Self {
        shortest: 5,
        short_words: &["gif", "vid", "pic", "bing", "wiki", "imdb", "bold", "vote", "like", "coub"],
        plus_invites: false,
    };
    /// Later releases: three letters and more.
    pub const CURRENT: Self = Self { shortest: 3, short_words: &[], plus_invites: true };
}

const LONGEST_USERNAME: usize = 32;

/// Returns the meaning of `text` to a Telethon with these rules.
#[must_use]
pub fn parse<'a>(text: &'a str, rules: &UsernameRules) -> LookupKey<'a> {
    if !text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return if begins_with_a_foreign_letter(text) { LookupKey::Name } else { LookupKey::Unsure };
    }
    if let Some(digits) = phone(text) {
        return LookupKey::Phone(digits);
    }
    let trimmed = text.trim_matches(' ');
    let (rest, is_link) = match strip_link(trimmed, rules) {
        Link::Invite => return LookupKey::Unsure,
        Link::Username(rest) => (rest.trim_end_matches('/'), true),
        Link::None => (trimmed, false),
    };
    if is_username(rest, rules) {
        return LookupKey::Username(lowercase(rest));
    }
    // Telethon parses the rest as the hash of an invite link.
    if is_link || may_be_hexadecimal(text) || text.contains('=') {
        return LookupKey::Unsure;
    }
    invited_to(text).filter(|id| *id != 0).map_or(LookupKey::Name, LookupKey::Invite)
}

/// Returns `true` for a letter that is not ASCII, not even with `IGNORECASE`: such a text is not a
/// number, username, link or hash.
fn begins_with_a_foreign_letter(text: &str) -> bool {
    const FOLD_TO_ASCII: [char; 4] = ['\u{130}', '\u{131}', '\u{17f}', '\u{212a}'];
    text.chars().next().is_some_and(|first| {
        !first.is_ascii() && first.is_alphabetic() && !first.is_numeric() && !FOLD_TO_ASCII.contains(&first)
    })
}

fn phone(text: &str) -> Option<Cow<'_, str>> {
    let is_filler = |byte: u8| matches!(byte, b'+' | b'(' | b')' | b' ' | b'-');
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return (!text.is_empty()).then_some(Cow::Borrowed(text));
    }
    if !text.bytes().all(|byte| byte.is_ascii_digit() || is_filler(byte)) {
        return None;
    }
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    (!digits.is_empty()).then_some(Cow::Owned(digits))
}

enum Link<'a> {
    Username(&'a str),
    Invite,
    None,
}

/// Removes what precedes the username in `@name` or `https://t.me/name`.
fn strip_link<'a>(text: &'a str, rules: &UsernameRules) -> Link<'a> {
    if let Some(rest) = text.strip_prefix('@') {
        return Link::Username(rest);
    }
    if text.starts_with("tg://join?invite=") {
        return Link::Invite;
    }
    let optional = |text: &'a str, prefix: &str| text.strip_prefix(prefix).unwrap_or(text);
    let rest = text.strip_prefix("https://").unwrap_or_else(|| optional(text, "http://"));
    let rest = optional(rest, "www.");
    let Some(rest) = ["t.me/", "telegram.me/", "telegram.dog/"].iter().find_map(|host| rest.strip_prefix(host)) else {
        return Link::None;
    };
    let invites = rest.starts_with('@') || rest.starts_with("joinchat/");
    if invites || (rules.plus_invites && rest.starts_with('+')) {
        return Link::Invite;
    }
    Link::Username(rest)
}

/// Returns `true` for a letter, then letters, digits and single underscores, not ending in an
/// underscore.
fn is_username(text: &str, rules: &UsernameRules) -> bool {
    let bytes = text.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    if rules.short_words.iter().any(|word| word.eq_ignore_ascii_case(text)) {
        return true;
    }
    (rules.shortest..=LONGEST_USERNAME).contains(&bytes.len())
        && first.is_ascii_alphabetic()
        && last.is_ascii_alphanumeric()
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
        && !text.contains("__")
}

fn lowercase(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(text.to_ascii_lowercase())
    } else {
        Cow::Borrowed(text)
    }
}

/// Returns `true` if Telethon would parse the text as the hexadecimal form of a hash, or fail in
/// the attempt.
fn may_be_hexadecimal(text: &str) -> bool {
    matches!(text.len(), 24 | 32) && text.bytes().next().is_some_and(|byte| byte.is_ascii_hexdigit())
}

/// Returns the ID in what Telethon decodes as base64, if that yields the 12 or 16 bytes of an
/// invite link: a chat's ID and a random number, in the longer form after the inviter's ID.
///
/// Python skips characters that are not base64, so one name in twenty is such a hash. Telethon
/// appends as many `=` as the text has characters more than a multiple of four; 22 characters of
/// base64 need two of them.
fn invited_to(text: &str) -> Option<u32> {
    const CHARACTERS_OF_64_BITS: usize = 11;
    let mut count = 0;
    let mut bits = 0_u128;
    for sextet in text.bytes().filter_map(sextet) {
        if count < CHARACTERS_OF_64_BITS {
            bits = bits << 6 | u128::from(sextet);
        }
        count += 1;
    }
    let after = match count {
        16 => 34,
        22 if text.len() % 4 >= 2 => 2,
        _ => return None,
    };
    u32::try_from(bits >> after & u128::from(u32::MAX)).ok()
}

/// Returns the six bits that a character of base64 stands for, in the standard or the URL-safe
/// alphabet.
fn sextet(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn means(text: &str, key: &LookupKey<'_>) {
        assert_eq!(&parse(text, &UsernameRules::CURRENT), key, "{text}");
    }

    #[test]
    fn numbers() {
        for text in ["79991234567", "+7 999 123-45-67", "+7(999)1234567", " 79991234567 "] {
            means(text, &LookupKey::Phone("79991234567".into()));
        }
    }

    #[test]
    fn usernames() {
        for text in ["durov", "Durov", "@durov", "t.me/durov", "https://t.me/Durov/", "http://www.telegram.me/durov"] {
            means(text, &LookupKey::Username("durov".into()));
        }
        for text in ["du", "1abc", "a__b", "abc_", "", "John Smith", "https://example.org", "()"] {
            means(text, &LookupKey::Name);
        }
        means("gif", &LookupKey::Username("gif".into()));
        assert_eq!(parse("gif", &UsernameRules::OLD), LookupKey::Username("gif".into()));
        assert_eq!(parse("abcd", &UsernameRules::OLD), LookupKey::Name);
    }

    #[test]
    fn other_alphabets() {
        for text in ["Анна", "Анна Петрова", "李小龍", "Émile"] {
            means(text, &LookupKey::Name);
        }
        for text in ["Anna П", "\u{17f}abc", "\u{212a}elvin", "٣٤", " Анна", "a\nb"] {
            means(text, &LookupKey::Unsure);
        }
    }

    #[test]
    fn names_that_are_hashes_of_invite_links() {
        // 12 bytes: chat 0x0102_0304 and eight more. Spaces are skipped.
        means("AQID BAAA AAAA AAAA", &LookupKey::Invite(0x0102_0304));
        // 16 bytes: the inviter, then the chat. Without two or three appended `=` it is not base64.
        means("AAAA AQEC AwQA AAAA AAAA AA!??", &LookupKey::Invite(0x0102_0304));
        means("AAAA AQEC AwQA AAAA AAAA AA!", &LookupKey::Name);
        means("AAAA AAAA AAAA AAAA", &LookupKey::Name);
    }

    #[test]
    fn links_that_telethon_must_read() {
        for text in ["t.me/joinchat/abc", "t.me/+abc", "tg://join?invite=abc", "abcdef 0123456789abcdef0", "a name=b"] {
            means(text, &LookupKey::Unsure);
        }
        assert_eq!(parse("t.me/+abc", &UsernameRules::OLD), LookupKey::Unsure);
    }
}
