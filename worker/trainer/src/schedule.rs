//! The learning rate as a pure function of the step.

/// Linear warm-up, then linear decay to zero (`transformers.get_linear_schedule_with_warmup`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    /// Rate at the end of the warm-up.
    pub peak: f64,
    /// Steps until the peak.
    pub warmup: u64,
    /// Steps of the whole training.
    pub total: u64,
}

impl Schedule {
    /// The rate of step number `step`, counted from 0. The first step of a warm-up has rate 0, as in `transformers`.
    #[must_use]
    pub fn rate(&self, step: u64) -> f64 {
        if step < self.warmup {
            return self.peak * step as f64 / self.warmup.max(1) as f64;
        }
        let left = self.total.saturating_sub(step) as f64;
        self.peak * left / self.total.saturating_sub(self.warmup).max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_rises_to_the_peak_and_falls_to_zero() {
        let schedule = Schedule {
            peak: 1.0,
            warmup: 4,
            total: 12,
        };
        let rates: Vec<f64> = (0..=12).map(|step| schedule.rate(step)).collect();
        assert_eq!(
            rates,
            [
                0.0, 0.25, 0.5, 0.75, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125, 0.0
            ]
        );
    }

    #[test]
    fn a_warm_up_longer_than_the_training_never_reaches_the_peak() {
        let schedule = Schedule {
            peak: 1.0,
            warmup: 10,
            total: 5,
        };
        assert_eq!(schedule.rate(4), 0.4);
    }
}
