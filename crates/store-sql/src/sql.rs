//! How values and names are written in SQL.
//!
//! Texts are written as hexadecimal digits, so that no quoting rule of any server applies to them.
//! Statements with such literals go by the servers' simple protocols: one round trip, several
//! statements at once, and nothing that a pooler such as `PgBouncer` would have to remember. Keys are
//! never written as literals, because servers log statements.

use std::fmt::Write as _;

use crate::options::Dialect;

impl Dialect {
    /// Quotes a name.
    pub(crate) fn name(self, name: &str) -> String {
        match self {
            Self::Postgres => format!("\"{}\"", name.replace('"', "\"\"")),
            Self::MySql => format!("`{}`", name.replace('`', "``")),
        }
    }

    /// Appends a literal for a text.
    pub(crate) fn push_text(self, sql: &mut String, text: &str) {
        match self {
            Self::Postgres => {
                sql.push_str("convert_from(decode('");
                push_hex(sql, text.as_bytes());
                sql.push_str("','hex'),'UTF8')");
            }
            Self::MySql => {
                sql.push_str("_utf8mb4 X'");
                push_hex(sql, text.as_bytes());
                sql.push('\'');
            }
        }
    }

    /// Returns a literal for a text.
    pub(crate) fn text(self, text: &str) -> String {
        let mut sql = String::new();
        self.push_text(&mut sql, text);
        sql
    }

    /// Returns a literal for bytes.
    pub(crate) fn bytes(self, bytes: &[u8]) -> String {
        let mut sql = String::new();
        sql.push_str(if self == Self::Postgres { "decode('" } else { "X'" });
        push_hex(&mut sql, bytes);
        sql.push_str(if self == Self::Postgres { "','hex')" } else { "'" });
        sql
    }

    /// Returns an expression for bytes as hexadecimal digits.
    pub(crate) fn hex(self, bytes: &str) -> String {
        match self {
            Self::Postgres => format!("encode({bytes}, 'hex')"),
            Self::MySql => format!("HEX({bytes})"),
        }
    }

    /// Returns an expression for a column that may hold a text or a number, as a text.
    pub(crate) fn as_text(self, column: &str) -> String {
        match self {
            Self::Postgres => format!("{column}::text"),
            Self::MySql => column.to_owned(),
        }
    }

    /// Returns an expression for the server's clock in milliseconds since 1970.
    pub(crate) fn clock(self) -> &'static str {
        match self {
            Self::Postgres => "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)",
            Self::MySql => "CAST(UNIX_TIMESTAMP(SYSDATE(3)) * 1000 AS SIGNED)",
        }
    }

    /// Returns the condition that a text equals another one, byte for byte, by an index where there is
    /// one. `is_exact` tells that the column's own comparison does that.
    pub(crate) fn equals(self, column: &str, text: &str, is_exact: bool) -> String {
        let literal = self.text(text);
        match self {
            Self::MySql if !is_exact => {
                let bytes = self.bytes(text.as_bytes());
                format!("{column} = {literal} AND CAST(CONVERT({column} USING utf8mb4) AS BINARY) = {bytes}")
            }
            Self::MySql | Self::Postgres => format!("{column} = {literal}"),
        }
    }

    /// Returns the condition that a text is one of these, as the column compares it.
    pub(crate) fn is_one_of<'t>(self, column: &str, texts: impl Iterator<Item = &'t str>) -> String {
        let literals: Vec<String> = texts.map(|text| self.text(text)).collect();
        format!("{column} IN ({})", literals.join(","))
    }
}

/// Returns numbers separated by commas.
pub(crate) fn numbers(numbers: &[i64]) -> String {
    let mut sql = String::new();
    for (at, number) in numbers.iter().enumerate() {
        let _ = write!(sql, "{}{number}", if at > 0 { "," } else { "" });
    }
    sql
}

pub(crate) fn push_hex(sql: &mut String, bytes: &[u8]) {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    sql.reserve(2 * bytes.len());
    for byte in bytes {
        sql.push(DIGITS[usize::from(byte >> 4)]);
        sql.push(DIGITS[usize::from(byte & 15)]);
    }
}

/// Returns the bytes of hexadecimal digits; `None` if they are not.
pub(crate) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_text_is_read_as_sql() {
        let text = Dialect::Postgres.text("'; \\--");
        assert_eq!(text, "convert_from(decode('273b205c2d2d','hex'),'UTF8')");
        assert_eq!(Dialect::MySql.text("a"), "_utf8mb4 X'61'");
        assert_eq!(Dialect::Postgres.name("a\"b"), "\"a\"\"b\"");
        assert_eq!(Dialect::MySql.name("a`b"), "`a``b`");
        assert_eq!(numbers(&[1, -2]), "1,-2");
    }

    #[test]
    fn hexadecimal_digits_are_read_again() {
        let mut digits = String::new();
        push_hex(&mut digits, &[0, 255, 7]);
        assert_eq!(from_hex(&digits), Some(vec![0, 255, 7]));
        assert_eq!(from_hex("AbF"), None);
        assert_eq!(from_hex("xy"), None);
    }
}
