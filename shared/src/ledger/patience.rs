//! How long an open question to the store is asked again.

use rand::RngExt;
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(5);
const TIMES: u32 = 10;

/// Pauses between repetitions: doubling from 50 ms to 5 s, each with full jitter so that writers who collided do not
/// collide again; about 20 s in all.
pub(crate) fn pauses() -> impl Iterator<Item = Duration> + Send {
    (0..TIMES).map(|time| {
        let whole = FIRST.saturating_mul(1 << time.min(16)).min(LONGEST);
        whole.mul_f64(rand::rng().random_range(0.5..1.0))
    })
}
