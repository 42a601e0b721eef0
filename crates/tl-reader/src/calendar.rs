//! The calendar. Knows nothing of Python.

/// A moment of the Gregorian calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) year: i32,
    pub(crate) month: i32,
    pub(crate) day: i32,
    pub(crate) hour: i32,
    pub(crate) minute: i32,
    pub(crate) second: i32,
}

/// Returns the moment this many seconds after 1970 began.
#[inline]
pub(crate) fn moment(seconds: i32) -> Moment {
    const DAY: i32 = 86_400;
    let (year, month, day) = civil(seconds.div_euclid(DAY));
    let time = seconds.rem_euclid(DAY);
    Moment { year, month, day, hour: time / 3600, minute: time / 60 % 60, second: time % 60 }
}

/// Returns the date so many days after 1970, in the Gregorian calendar: years that begin in March
/// end with the leap day, and 400 of them have the same number of days.
fn civil(days: i32) -> (i32, i32, i32) {
    const ERA: i32 = 146_097;
    // Days from March of the year 0 to 1970.
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(ERA), days.rem_euclid(ERA));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + carry, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_follow_one_another() {
        // The calendar again, by counting.
        let (mut year, mut month, mut day) = (1901, 12, 13);
        for number in i32::MIN.div_euclid(86_400)..=i32::MAX.div_euclid(86_400) {
            assert_eq!(civil(number), (year, month, day));
            let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let length = match month {
                2 => 28 + i32::from(is_leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day += 1;
            if day > length {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
    }

    #[test]
    fn moments_may_be_before_1970() {
        let expected = Moment { year: 1969, month: 12, day: 31, hour: 23, minute: 59, second: 59 };
        assert_eq!(moment(-1), expected);
        let expected = Moment { year: 2038, month: 1, day: 19, hour: 3, minute: 14, second: 7 };
        assert_eq!(moment(i32::MAX), expected);
    }
}
