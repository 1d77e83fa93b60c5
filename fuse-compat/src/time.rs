//! Conversion between `SystemTime` and the (seconds, nanoseconds) pairs of Linux, times before 1970 included.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// `SystemTime` of a Linux time stamp. Nanoseconds count forward from the second, also before 1970.
/// Out-of-range values give the epoch.
pub fn system_time(seconds: i64, nanoseconds: u32) -> SystemTime {
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let base = if seconds >= 0 {
        UNIX_EPOCH.checked_add(whole)
    } else {
        UNIX_EPOCH.checked_sub(whole)
    };
    base.and_then(|time| time.checked_add(Duration::from_nanos(nanoseconds.into())))
        .unwrap_or(UNIX_EPOCH)
}

/// Seconds and nanoseconds (0..1_000_000_000) of a `SystemTime`; saturates at the ends of `i64`.
pub fn seconds_nanoseconds(time: SystemTime) -> (i64, u32) {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => match i64::try_from(after.as_secs()) {
            Ok(seconds) => (seconds, after.subsec_nanos()),
            Err(_) => (i64::MAX, 999_999_999),
        },
        Err(error) => {
            let before = error.duration();
            let seconds = match i64::try_from(before.as_secs()) {
                Ok(seconds) => -seconds,
                Err(_) => return (i64::MIN, 0),
            };
            match before.subsec_nanos() {
                0 => (seconds, 0),
                part => (seconds.saturating_sub(1), 1_000_000_000 - part),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_keeps_nanoseconds_on_both_sides_of_1970() {
        for pair in [
            (0, 0),
            (1, 1),
            (-1, 999_999_999),
            (-2, 0),
            (1 << 40, 5),
            (-(1 << 40), 5),
        ] {
            assert_eq!(seconds_nanoseconds(system_time(pair.0, pair.1)), pair);
        }
    }
}
