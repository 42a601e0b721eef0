//! What a column can hold.

use std::ops::RangeInclusive;

/// Which characters a column of a `MySQL` table can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Charset {
    /// All.
    Full,
    /// Those of up to three bytes in UTF-8, so no emoji.
    Basic,
    /// Some that only the server knows.
    Unknown,
}

/// What a column can hold.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Type {
    /// Integers.
    Integer(RangeInclusive<i64>),
    /// Numbers with a fraction.
    Real,
    /// Texts of at most so many characters. `is_exact` tells that they are compared byte for byte.
    Text { most: usize, charset: Charset, is_exact: bool },
    /// At most so many bytes.
    Bytes { most: usize },
    /// Something else.
    Other,
}

/// More than any text that is stored; so that none fills a packet.
const MOST_CHARS: usize = 1000;
const MOST_BYTES: usize = 65_535;

impl Type {
    pub(crate) fn is_exact(&self) -> bool {
        !matches!(self, Self::Text { is_exact: false, .. })
    }

    /// Returns a number that the column can hold; `None` otherwise.
    pub(crate) fn integer(&self, number: i64) -> Option<i64> {
        match self {
            Self::Integer(range) => Some(number).filter(|number| range.contains(number)),
            _ => Some(number),
        }
    }

    /// Reads a type as `PostgreSQL` formats it.
    pub(crate) fn of_postgres(declared: &str) -> Self {
        let (name, size) = declared.split_once('(').unwrap_or((declared, ""));
        let most = size.trim_end_matches(')').parse().unwrap_or(MOST_CHARS).min(MOST_CHARS);
        match name.trim() {
            "smallint" => Self::Integer(i16::MIN.into()..=i16::MAX.into()),
            "integer" => Self::Integer(i32::MIN.into()..=i32::MAX.into()),
            "bigint" => Self::Integer(i64::MIN..=i64::MAX),
            "double precision" | "real" | "numeric" => Self::Real,
            "text" | "character varying" => Self::Text { most, charset: Charset::Full, is_exact: true },
            "citext" => Self::Text { most, charset: Charset::Full, is_exact: false },
            "bytea" => Self::Bytes { most: MOST_BYTES },
            _ => Self::Other,
        }
    }

    /// Reads a type as `MySQL`'s `information_schema` has it: the declared type, its length in
    /// characters or bytes, its character set and its collation.
    pub(crate) fn of_mysql(declared: &str, length: Option<i64>, charset: &str, collation: &str) -> Self {
        let declared = declared.to_ascii_lowercase();
        let name = declared.split(['(', ' ']).next().unwrap_or_default();
        let is_unsigned = declared.contains("unsigned");
        let integer = |bits: u32| {
            let top = 1_i64.checked_shl(bits - 1).unwrap_or(i64::MAX);
            if is_unsigned {
                Self::Integer(0..=if bits >= 64 { i64::MAX } else { top.saturating_mul(2) - 1 })
            } else if bits >= 64 {
                Self::Integer(i64::MIN..=i64::MAX)
            } else {
                Self::Integer(-top..=top - 1)
            }
        };
        let length = length.and_then(|length| usize::try_from(length).ok());
        match name {
            "tinyint" => integer(8),
            "smallint" => integer(16),
            "mediumint" => integer(24),
            "int" | "integer" => integer(32),
            "bigint" => integer(64),
            "float" | "double" | "decimal" | "real" | "numeric" => Self::Real,
            "varchar" | "char" | "text" | "tinytext" | "mediumtext" | "longtext" => {
                let charset = match charset {
                    "utf8mb4" | "utf16" | "utf16le" | "utf32" => Charset::Full,
                    "utf8" | "utf8mb3" | "ucs2" => Charset::Basic,
                    _ => Charset::Unknown,
                };
                // A length in bytes for `TEXT`, which is larger than any text here unless it is tiny.
                let most = if name == "tinytext" { 63 } else { length.unwrap_or(MOST_CHARS).min(MOST_CHARS) };
                // Others ignore spaces at the end, if not case.
                let is_exact = collation.ends_with("nopad_bin") || collation.ends_with("0900_bin");
                Self::Text { most, charset, is_exact }
            }
            "blob" | "mediumblob" | "longblob" | "tinyblob" | "varbinary" | "binary" => {
                Self::Bytes { most: length.unwrap_or(MOST_BYTES).min(MOST_BYTES) }
            }
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read() {
        let text = |most, charset, is_exact| Type::Text { most, charset, is_exact };
        assert_eq!(Type::of_postgres("character varying(32)"), text(32, Charset::Full, true));
        assert_eq!(Type::of_postgres("text"), text(MOST_CHARS, Charset::Full, true));
        assert_eq!(Type::of_postgres("integer").integer(1 << 40), None);
        assert_eq!(Type::of_postgres("bigint").integer(1 << 40), Some(1 << 40));
        let utf8 = Type::of_mysql("varchar(255)", Some(255), "utf8", "utf8_general_ci");
        assert_eq!(utf8, text(255, Charset::Basic, false));
        let exact = Type::of_mysql("varchar(32)", Some(32), "utf8mb4", "utf8mb4_nopad_bin");
        assert_eq!(exact, text(32, Charset::Full, true));
        assert_eq!(Type::of_mysql("int(10) unsigned", None, "", ""), Type::Integer(0..=0xffff_ffff));
        assert_eq!(Type::of_mysql("bigint(20)", None, "", ""), Type::Integer(i64::MIN..=i64::MAX));
        assert_eq!(Type::of_mysql("tinyint(4)", None, "", ""), Type::Integer(-128..=127));
        assert_eq!(Type::of_mysql("blob", Some(65_535), "", ""), Type::Bytes { most: 65_535 });
    }
}
