//! When a training is saved beside the strategy of its user.

use std::time::{Duration, Instant};
use trainer_protocol::CheckpointEvery;

/// Saving may take this part of the time.
const COST: f64 = 0.02;
/// Not more often: nobody minds losing so little.
const SHORTEST: Duration = Duration::from_secs(60);
/// At least so often, whatever it costs.
const LONGEST: Duration = Duration::from_secs(15 * 60);

/// Knows when the next checkpoint is due. It looks at clocks, which is why nothing that a training computes may depend
/// on whether it was saved.
#[derive(Debug)]
pub struct Cadence {
    every: CheckpointEvery,
    last: Instant,
    cost: Option<Duration>,
}

impl Cadence {
    /// From now on.
    #[must_use]
    pub fn new(every: CheckpointEvery) -> Self {
        Self {
            every,
            last: Instant::now(),
            cost: None,
        }
    }

    /// Whether to save behind `step`.
    #[must_use]
    pub fn is_due(&self, step: u64) -> bool {
        let since = self.last.elapsed();
        match self.every {
            CheckpointEvery::Auto => since >= interval(self.cost),
            CheckpointEvery::Steps(steps) => step.is_multiple_of(u64::from(steps.max(1))),
            CheckpointEvery::Seconds(seconds) => since >= Duration::from_secs(u64::from(seconds)),
        }
    }

    /// A checkpoint, whoever asked for it, took from `started` until now.
    pub fn saved(&mut self, started: Instant) {
        self.cost = Some(started.elapsed());
        self.last = Instant::now();
    }
}

/// Between two checkpoints, of which the last took `cost`.
fn interval(cost: Option<Duration>) -> Duration {
    cost.map_or(SHORTEST, |cost| cost.div_f64(COST).clamp(SHORTEST, LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saving_costs_two_percent_at_most_from_a_minute_to_a_quarter_of_an_hour() {
        let after = |cost: f64| interval(Some(Duration::from_secs_f64(cost))).as_secs();
        assert_eq!(interval(None).as_secs(), 60);
        assert_eq!([0.01, 1.2, 6.0, 18.0, 60.0].map(after), [60, 60, 300, 900, 900]);
    }

    #[test]
    fn steps_are_counted_from_the_beginning_of_the_training_and_time_from_the_last_checkpoint() {
        let steps = Cadence::new(CheckpointEvery::Steps(3));
        assert_eq!(
            [1, 2, 3, 4, 6].map(|step| steps.is_due(step)),
            [false, false, true, false, true]
        );
        let mut time = Cadence::new(CheckpointEvery::Seconds(1));
        assert!(!time.is_due(1));
        let long_ago = Instant::now().checked_sub(Duration::from_secs(2)).unwrap();
        time.last = long_ago;
        assert!(time.is_due(1));
        time.saved(long_ago);
        assert!(!time.is_due(2));
        assert!(!Cadence::new(CheckpointEvery::Auto).is_due(1));
    }
}
