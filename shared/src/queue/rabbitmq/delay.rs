//! A delay as the way of a message through the parking queues.

use super::topology::{self, DELAYS, EXCHANGE};
use crate::job::Accelerator;
use std::time::Duration;

/// Where a message is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) exchange: String,
    pub(super) key: String,
    /// What is left of the delay when the message arrives: whoever receives it sends it on.
    pub(super) rest: Duration,
}

/// The way that takes `delay`, in whole seconds and never less.
pub(super) fn route(accelerator: Accelerator, delay: Duration) -> Route {
    const LONGEST: u64 = (1 << DELAYS) - 1;
    let seconds = delay.as_secs() + u64::from(delay.subsec_nanos() > 0);
    if seconds == 0 {
        return Route {
            exchange: EXCHANGE.to_owned(),
            key: accelerator.to_string(),
            rest: Duration::ZERO,
        };
    }
    let here = seconds.min(LONGEST);
    let bits: String = (0..DELAYS)
        .rev()
        .map(|bit| if here >> bit & 1 == 1 { "1." } else { "0." })
        .collect();
    Route {
        exchange: topology::delay_exchange(DELAYS - 1),
        key: format!("{bits}{accelerator}"),
        rest: Duration::from_secs(seconds - here),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_written_in_binary_and_never_shortened() {
        let way = |millis| route(Accelerator::Gpu, Duration::from_millis(millis));
        assert_eq!((way(0).exchange.as_str(), way(0).key.as_str()), ("trainyard", "gpu"));
        assert_eq!(way(1).key, "0.0.0.0.0.0.0.0.0.1.gpu");
        assert_eq!(way(1500).key, "0.0.0.0.0.0.0.0.1.0.gpu");
        assert_eq!(way(900_000).key, "1.1.1.0.0.0.0.1.0.0.gpu");
        assert_eq!(way(1500).exchange, "trainyard.delay.9");
        assert_eq!(way(900_000).rest, Duration::ZERO);
    }

    #[test]
    fn what_is_longer_than_the_queues_goes_twice() {
        let far = route(Accelerator::Cpu, Duration::from_secs(5000));
        assert_eq!(far.key, "1.1.1.1.1.1.1.1.1.1.cpu");
        assert_eq!(far.rest, Duration::from_secs(5000 - 1023));
    }
}
