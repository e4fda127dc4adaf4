//! Timestamps in the formats of Azure Resource Manager, in UTC.

use crate::base::clock::UnixSeconds;

/// A timestamp of the proleptic Gregorian calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Civil {
    year: u64,
    month: u64,
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
}

/// Converts a timestamp to a date, by eras of 400 years that begin on the first of March (Howard Hinnant,
/// "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`). Dates before 1970 do not occur.
const fn civil(moment: UnixSeconds) -> Civil {
    const DAYS_FROM_0000_03_01: u64 = 719_468;
    const DAYS_OF_ERA: u64 = 146_097;
    let (days, rest) = (moment.0 / 86_400 + DAYS_FROM_0000_03_01, moment.0 % 86_400);
    let (era, day_of_era) = (days / DAYS_OF_ERA, days % DAYS_OF_ERA);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    Civil {
        year: era * 400 + year_of_era + if month <= 2 { 1 } else { 0 },
        month,
        day: day_of_year - (153 * month_from_march + 2) / 5 + 1,
        hour: rest / 3600,
        minute: rest / 60 % 60,
        second: rest % 60,
    }
}

/// Formats `2023-05-12T16:27:38.0000000Z`, as in the properties of resources.
pub(super) fn iso(moment: UnixSeconds) -> String {
    let Civil { year, month, day, hour, minute, second } = civil(moment);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.0000000Z")
}

/// Formats `20230512T162738Z`, as in `x-ms-routing-request-id`.
pub(super) fn compact(moment: UnixSeconds) -> String {
    let Civil { year, month, day, hour, minute, second } = civil(moment);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

/// Formats `5/12/2023 4:27:38 PM`, as in error messages.
pub(super) fn american(moment: UnixSeconds) -> String {
    let Civil { year, month, day, hour, minute, second } = civil(moment);
    let (of_day, half) = (hour % 12, if hour < 12 { "AM" } else { "PM" });
    let hour = if of_day == 0 { 12 } else { of_day };
    format!("{month}/{day}/{year} {hour}:{minute:02}:{second:02} {half}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_in_the_three_ways_of_azure() {
        let moment = UnixSeconds(1_683_908_858);
        assert_eq!(iso(moment), "2023-05-12T16:27:38.0000000Z");
        assert_eq!(compact(moment), "20230512T162738Z");
        assert_eq!(american(moment), "5/12/2023 4:27:38 PM");
        assert_eq!(american(UnixSeconds(0)), "1/1/1970 12:00:00 AM");
    }

    #[test]
    fn leap_days_and_turns_of_years_are_right() {
        for (seconds, text) in [
            (951_782_400, "20000229T000000Z"),
            (1_709_164_800, "20240229T000000Z"),
            (1_735_689_599, "20241231T235959Z"),
            (4_107_542_400, "21000301T000000Z"),
        ] {
            assert_eq!(compact(UnixSeconds(seconds)), text);
        }
    }

    #[test]
    fn no_moment_overflows() {
        assert!(iso(UnixSeconds(u64::MAX)).ends_with('Z'));
    }
}
