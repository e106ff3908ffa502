//! How long to wait before the next attempt, of a call or of a connection.

use std::time::Duration;

use crate::random;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(2);

/// Returns the wait after the `failures`-th failure of a call, between a half and the whole of
/// what doubles each time.
pub(crate) fn before_retry(failures: u32) -> Duration {
    scaled(whole(failures), 0.5, random::fraction())
}

/// Returns the wait after the `failures`-th failed connection: a little less than what doubles
/// each time, so that clients that lost a server together do not come back together.
pub(crate) fn before_reconnect(failures: u32) -> Duration {
    scaled(whole(failures), 0.8, random::fraction())
}

fn whole(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    (FIRST * (1 << doublings)).min(LONGEST)
}

fn scaled(whole: Duration, least: f64, fraction: f64) -> Duration {
    whole.mul_f64(least + (1.0 - least) * fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_from_100_ms_up_to_2_s() {
        let waits: Vec<u128> = (1..=8).map(|n| whole(n).as_millis()).collect();

        assert_eq!(waits, [100, 200, 400, 800, 1600, 2000, 2000, 2000]);
        assert_eq!(whole(0), FIRST);
        assert_eq!(whole(u32::MAX), LONGEST);
    }

    #[test]
    fn lies_between_the_least_share_and_the_whole() {
        assert_eq!(scaled(LONGEST, 0.5, 0.0), Duration::from_secs(1));
        assert_eq!(scaled(LONGEST, 0.5, 1.0), LONGEST);
        assert_eq!(scaled(FIRST, 0.8, 0.5), Duration::from_millis(90));
        for failures in 1..=10 {
            let wait = before_retry(failures);

            assert!(wait * 2 >= whole(failures) && wait <= whole(failures));
        }
    }
}
