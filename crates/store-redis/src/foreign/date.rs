//! Reads dates as Python's `isoformat` writes them.

/// Returns the seconds since 1970 of `2026-11-26T20:23:18.5+01:00`. A date without a zone is UTC.
pub(crate) fn parse(text: &str) -> Option<f64> {
    let (date, time) = text.split_once(['T', ' '])?;
    let mut parts = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let (time, zone) = match time.find(['+', '-', 'Z']) {
        Some(at) => time.split_at(at),
        None => (time, ""),
    };
    let mut parts = time.splitn(3, ':');
    let (hour, minute) = (parts.next()?.parse::<i64>().ok()?, parts.next()?.parse::<i64>().ok()?);
    let second: f64 = parts.next().unwrap_or("0").parse().ok()?;
    let in_range = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0.0..61.0).contains(&second);
    if !in_range {
        return None;
    }
    let seconds = ((days(year, month, day) * 24 + hour) * 60 + minute) * 60 - offset(zone)?;
    // Far below 2^53.
    #[allow(clippy::cast_precision_loss)]
    Some(seconds as f64 + second)
}

/// Returns the seconds by which a zone is ahead of UTC.
fn offset(zone: &str) -> Option<i64> {
    let (sign, rest) = match zone.as_bytes().first() {
        None | Some(b'Z') => return Some(0),
        Some(b'+') => (1, &zone[1..]),
        _ => (-1, &zone[1..]),
    };
    let (hours, minutes) = rest.split_once(':')?;
    Some(sign * (i64::from(hours.parse::<u8>().ok()?) * 3600 + i64::from(minutes.parse::<u8>().ok()?) * 60))
}

/// Returns the days from 1970-01-01 to a date.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // Years that begin in March, so that the leap day is their last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn dates_are_read() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00+00:00", Some(0.0)),
            ("2000-02-29T12:00:00", Some(951_825_600.0)),
            ("2023-11-14T23:13:20.5+01:00", Some(1_700_000_000.5)),
            ("2023-11-14 22:13:20Z", Some(1_700_000_000.0)),
            ("2023-13-14T22:13:20", None),
            ("2023-11-14", None),
            ("2023-11-14T22:13:NaN", None),
            ("2023-11-14T22:13:20+é", None),
        ] {
            assert_eq!(parse(text), seconds, "{text}");
        }
    }
}
