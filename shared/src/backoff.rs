//! Delays between attempts: exponential, with jitter, capped.

use std::time::Duration;

/// Doubles from `base` up to `cap`; each delay is anything from nothing to that, so that workers that failed together
/// come back as far apart as they can ("full jitter").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Upper bound of the first delay.
    pub base: Duration,
    /// Upper bound of every delay.
    pub cap: Duration,
}

impl Backoff {
    /// The delay after `failures` failures (1 = the first), for a `random` number in `[0, 1)`.
    #[must_use]
    pub fn delay(&self, failures: u32, random: f64) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        let whole = self.base.saturating_mul(1 << doublings).min(self.cap);
        whole.mul_f64(random.clamp(0.0, 1.0))
    }

    /// [`Backoff::delay`] with a random number of this thread's generator.
    #[must_use]
    pub fn random_delay(&self, failures: u32) -> Duration {
        self.delay(failures, rand::random::<f64>())
    }
}

#[cfg(test)]
mod tests {
    use super::Backoff;
    use proptest::prelude::*;
    use std::time::Duration;

    const BACKOFF: Backoff = Backoff {
        base: Duration::from_secs(2),
        cap: Duration::from_secs(300),
    };

    #[test]
    fn doubles_until_the_cap() {
        let delays: Vec<u64> = (1..=10).map(|n| BACKOFF.delay(n, 1.0).as_secs()).collect();
        assert_eq!(delays, [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    }

    /// The whole of it is used, not a part: who failed together is spread as far as can be.
    #[test]
    fn jitter_is_full() {
        for (random, millis) in [(0.0, 0), (0.25, 1000), (0.5, 2000), (1.0, 4000)] {
            assert_eq!(BACKOFF.delay(2, random), Duration::from_millis(millis));
        }
    }

    proptest! {
        #[test]
        fn stays_below_the_cap_and_the_next_bound(failures in 0u32.., random in 0.0f64..1.0) {
            let delay = BACKOFF.delay(failures, random);
            prop_assert!(delay <= BACKOFF.cap);
            prop_assert!(delay <= BACKOFF.delay(failures.saturating_add(1), 1.0));
        }
    }
}
