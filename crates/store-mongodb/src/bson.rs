//! Reads values of documents that may be another program's.

use mongodb::bson::RawBsonRef;
use session_core::store::DATES;

/// Returns an integer of whatever numeric type.
pub(crate) fn integer(value: RawBsonRef<'_>) -> Option<i64> {
    match value {
        RawBsonRef::Int64(number) => Some(number),
        RawBsonRef::Int32(number) => Some(number.into()),
        RawBsonRef::Double(number) => whole(number),
        _ => None,
    }
}

/// Returns the integer that a double is, if it is one.
fn whole(number: f64) -> Option<i64> {
    // 2^63: every double in between fits.
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    #[allow(clippy::cast_possible_truncation)]
    (number.fract() == 0.0 && (-LIMIT..LIMIT).contains(&number)).then_some(number as i64)
}

/// Returns seconds since 1970, of whatever numeric type or a date, if Python can represent them.
pub(crate) fn seconds(value: RawBsonRef<'_>) -> Option<f64> {
    #[allow(clippy::cast_precision_loss)]
    let seconds = match value {
        RawBsonRef::Double(number) => number,
        RawBsonRef::DateTime(date) => date.timestamp_millis() as f64 / 1000.0,
        value => integer(value)? as f64,
    };
    DATES.contains(&seconds).then_some(seconds)
}

/// Returns a text.
pub(crate) fn text(value: RawBsonRef<'_>) -> Option<&str> {
    match value {
        RawBsonRef::String(text) => Some(text),
        _ => None,
    }
}

/// Returns bytes.
pub(crate) fn bytes(value: RawBsonRef<'_>) -> Option<&[u8]> {
    match value {
        RawBsonRef::Binary(binary) => Some(binary.bytes),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_have_three_types() {
        assert_eq!(integer(RawBsonRef::Int32(-7)), Some(-7));
        assert_eq!(integer(RawBsonRef::Int64(i64::MIN)), Some(i64::MIN));
        assert_eq!(integer(RawBsonRef::Double(-1_000_000_000_007.0)), Some(-1_000_000_000_007));
        for double in [0.5, f64::NAN, f64::INFINITY, 9.3e18] {
            assert_eq!(integer(RawBsonRef::Double(double)), None);
        }
        assert_eq!(integer(RawBsonRef::String("7")), None);
    }

    #[test]
    fn dates_are_those_that_python_has() {
        assert_eq!(seconds(RawBsonRef::Int32(5)), Some(5.0));
        assert_eq!(seconds(RawBsonRef::DateTime(mongodb::bson::DateTime::from_millis(-1500))), Some(-1.5));
        for value in
            [RawBsonRef::Double(f64::NAN), RawBsonRef::Double(1e300), RawBsonRef::Int64(i64::MIN), RawBsonRef::Null]
        {
            assert_eq!(seconds(value), None);
        }
    }
}
