//! Times to live: points of the coarse monotonic clock, so that checking one costs a few nanoseconds.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// When a cached fact stops being valid, in nanoseconds of the coarse monotonic clock.
pub(super) type Expiry = u64;

/// Not valid any more.
pub(super) const EXPIRED: Expiry = 0;
/// Valid for ever.
pub(super) const NEVER: Expiry = u64::MAX;

fn now() -> u64 {
    let time = clock_gettime(ClockId::MonotonicCoarse);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanoseconds = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(nanoseconds)
}

/// The expiry of something that is valid for `ttl` from now. Zero is not valid at all.
pub(super) fn expiry_after(ttl: Duration) -> Expiry {
    if ttl.is_zero() {
        return EXPIRED;
    }
    match u64::try_from(ttl.as_nanos()) {
        Ok(nanoseconds) => now().saturating_add(nanoseconds),
        Err(_) => NEVER,
    }
}

/// Is it still valid?
#[inline]
pub(super) fn is_fresh(expiry: Expiry) -> bool {
    match expiry {
        EXPIRED => false,
        NEVER => true,
        _ => now() < expiry,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiries_follow_the_time_to_live() {
        assert!(!is_fresh(expiry_after(Duration::ZERO)));
        assert!(is_fresh(expiry_after(Duration::MAX)));
        assert!(is_fresh(expiry_after(Duration::from_secs(10))));
        let short = expiry_after(Duration::from_millis(1));
        std::thread::sleep(Duration::from_millis(30));
        assert!(!is_fresh(short));
    }
}
