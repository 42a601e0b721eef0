//! Makes texts fit their columns.

use std::borrow::Cow;

use crate::layout::{Charset, Type};

/// Returns a name as a column can hold it: cut, and without characters that it cannot hold.
pub(crate) fn name<'t>(column: &Type, text: &'t str) -> Option<Cow<'t, str>> {
    let Type::Text { most, charset, .. } = column else { return None };
    let fits = |character: char| character != '\0' && (*charset != Charset::Basic || u32::from(character) <= 0xffff);
    if text.chars().count() <= *most && text.chars().all(fits) {
        return Some(Cow::Borrowed(text));
    }
    let replaced = |character| match character {
        '\0' => None,
        character if fits(character) => Some(character),
        _ => Some(char::REPLACEMENT_CHARACTER),
    };
    Some(Cow::Owned(text.chars().filter_map(replaced).take(*most).collect()))
}

/// Returns a username if a column can hold it: a part of it would be another's.
pub(crate) fn username<'t>(column: &Type, text: &'t str) -> Option<&'t str> {
    match name(column, text)? {
        Cow::Borrowed(text) => Some(text),
        Cow::Owned(_) => None,
    }
}

/// Returns a phone number if it consists of digits, as a column of integers holds it.
pub(crate) fn phone_number(column: &Type, text: &str) -> Option<i64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    column.integer(text.parse().ok().filter(|_| is_number)?)
}

/// Returns a phone number in the form in which a column of integers returns it, as far as it can be
/// told without knowing the table.
#[must_use]
pub fn normalize_phone(phone: &str) -> Cow<'_, str> {
    let is_number = phone.bytes().all(|byte| byte.is_ascii_digit());
    match phone.trim_start_matches('0') {
        shorter if is_number && shorter.len() < phone.len() => {
            Cow::Borrowed(if shorter.is_empty() { "0" } else { shorter })
        }
        _ => Cow::Borrowed(phone),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(most: usize, charset: Charset) -> Type {
        Type::Text { most, charset, is_exact: true }
    }

    #[test]
    fn texts_are_made_to_fit() {
        let basic = text(4, Charset::Basic);
        assert_eq!(name(&basic, "Анна").as_deref(), Some("Анна"));
        assert_eq!(name(&basic, "a\0b\u{1f600}cdef").as_deref(), Some("ab\u{fffd}c"));
        assert_eq!(name(&text(9, Charset::Full), "\u{1f600}").as_deref(), Some("\u{1f600}"));
        assert_eq!(name(&Type::Other, "a"), None);
        assert_eq!(username(&basic, "anna"), Some("anna"));
        assert_eq!(username(&basic, "annan"), None);
        assert_eq!(username(&basic, "a\0"), None);
    }

    #[test]
    fn phones_are_numbers_where_the_column_is() {
        let column = Type::of_postgres("bigint");
        assert_eq!(phone_number(&column, "79991234567"), Some(79_991_234_567));
        for text in ["", "+7", "888 0", "99999999999999999999", "٣٤"] {
            assert_eq!(phone_number(&column, text), None, "{text}");
        }
        assert_eq!(phone_number(&Type::of_postgres("integer"), "79991234567"), None);
        assert_eq!(normalize_phone("007"), "7");
        assert_eq!(normalize_phone("000"), "0");
        assert_eq!(normalize_phone("0 7"), "0 7");
        assert_eq!(normalize_phone(""), "");
    }
}
