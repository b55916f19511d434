//! How long a stop may take.

use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Of the time that there is, what jobs may use; the rest is for the process itself.
const JOBS_PART: f64 = 0.95;
/// A machine that was to be gone by now is not: its clock is wrong.
const AT_LEAST: Duration = Duration::from_secs(5);

/// The time from being told to stop to the end of the process. Clones share it.
#[derive(Debug, Clone)]
pub struct Grace {
    limit: Duration,
    end: watch::Sender<Option<Instant>>,
}

impl Grace {
    /// At most `limit`; the time begins with the stop.
    #[must_use]
    pub fn new(limit: Duration) -> Self {
        Self {
            limit,
            end: watch::Sender::new(None),
        }
    }

    /// The stop begins now, unless it has begun.
    pub fn begin(&self) {
        self.end_within(self.limit);
    }

    /// The machine goes in `left`. Sooner than a stop that has begun: that one gets shorter.
    pub fn machine_goes_in(&self, left: Duration) {
        self.end_within(left.max(AT_LEAST).min(self.limit));
    }

    /// What is left to jobs, of the stop that has begun or of one that would begin now.
    #[must_use]
    pub fn left(&self) -> Duration {
        let end = *self.end.borrow();
        end.map_or(self.limit.mul_f64(JOBS_PART), |end| {
            end.saturating_duration_since(Instant::now())
        })
    }

    /// Returns when jobs have had their time. A stop must have begun.
    pub async fn over(&self) {
        let mut changes = self.end.subscribe();
        loop {
            let left = self.left();
            tokio::select! {
                () = tokio::time::sleep(left) => return,
                // Fails only without a sender, of which `self` has one.
                _ = changes.changed() => {}
            }
        }
    }

    fn end_within(&self, time: Duration) {
        let end = Instant::now() + time.mul_f64(JOBS_PART);
        self.end.send_if_modified(|known| {
            let sooner = known.is_none_or(|known| end < known);
            if sooner {
                *known = Some(end);
            }
            sooner
        });
    }
}

#[cfg(test)]
mod tests {
    use super::Grace;
    use std::time::Duration;

    const S: fn(u64) -> Duration = Duration::from_secs;

    #[tokio::test(start_paused = true)]
    async fn the_time_runs_from_the_first_word_and_only_gets_shorter() {
        let grace = Grace::new(S(90));
        tokio::time::advance(S(1000)).await;
        assert!(grace.left() > S(80), "no stop has begun");
        grace.begin();
        tokio::time::advance(S(40)).await;
        grace.begin();
        assert!(grace.left() < S(50), "a second word gives no new time");
        grace.machine_goes_in(S(115));
        assert!(grace.left() < S(50), "a later end gives no new time");
        grace.machine_goes_in(S(20));
        assert!(grace.left() < S(20));
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_over_before_the_machine_is_gone_even_if_that_is_said_late() {
        let grace = Grace::new(S(90));
        grace.begin();
        let started = tokio::time::Instant::now();
        let shared = grace.clone();
        let over = tokio::spawn(async move { shared.over().await });
        tokio::time::sleep(S(10)).await;
        grace.machine_goes_in(S(30));
        over.await.unwrap();
        assert!(started.elapsed() < S(40), "{:?}", started.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_moment_that_has_passed_leaves_a_little() {
        let grace = Grace::new(S(90));
        grace.machine_goes_in(Duration::ZERO);
        assert!(grace.left() > S(2));
    }
}
