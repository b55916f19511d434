//! Places for jobs. A permit is held before a message is received; a slot is busy from then on that there is a job.

use crate::metrics::Metrics;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;

/// All places of a worker. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Slots {
    permits: Arc<Semaphore>,
    busy: watch::Sender<usize>,
    size: usize,
    metrics: Metrics,
}

/// The right to receive one message. Given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    permit: OwnedSemaphorePermit,
    slots: Slots,
}

/// A place with a job in it. Free when dropped.
#[derive(Debug)]
pub(crate) struct Busy {
    _permit: OwnedSemaphorePermit,
    slots: Slots,
}

impl Slots {
    /// At least one.
    pub(crate) fn new(size: usize, metrics: &Metrics) -> Self {
        let size = size.max(1);
        let slots = Self {
            permits: Arc::new(Semaphore::new(size)),
            busy: watch::Sender::new(0),
            size,
            metrics: metrics.clone(),
        };
        slots.show();
        slots
    }

    /// How many.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// How many have a job.
    pub(crate) fn busy(&self) -> usize {
        *self.busy.borrow()
    }

    /// How many have a job, as it changes.
    pub(crate) fn watch_busy(&self) -> watch::Receiver<usize> {
        self.busy.subscribe()
    }

    /// Waits for a free place; `None` when `stop` comes first.
    pub(crate) async fn permit(&self, stop: &CancellationToken) -> Option<Permit> {
        let permit = tokio::select! {
            biased;
            () = stop.cancelled() => None,
            permit = Arc::clone(&self.permits).acquire_owned() => permit.ok(),
        };
        permit.map(|permit| Permit {
            permit,
            slots: self.clone(),
        })
    }

    fn show(&self) {
        let busy = self.busy();
        for (state, count) in [("busy", busy), ("free", self.size.saturating_sub(busy))] {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.metrics.worker_slots.with_label_values(&[state]).set(count);
        }
    }
}

impl Permit {
    /// There is a job.
    pub(crate) fn take(self) -> Busy {
        self.slots.busy.send_modify(|busy| *busy += 1);
        self.slots.show();
        Busy {
            _permit: self.permit,
            slots: self.slots,
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.slots.busy.send_modify(|busy| *busy -= 1);
        self.slots.show();
    }
}

#[cfg(test)]
mod tests {
    use super::Slots;
    use crate::metrics::Metrics;
    use tokio_util::sync::CancellationToken;

    #[tokio::test]
    async fn a_slot_is_busy_only_while_it_has_a_job() {
        let metrics = Metrics::new(&prometheus::Registry::new()).unwrap();
        let shown = |state: &str| metrics.worker_slots.with_label_values(&[state]).get();
        let (slots, stop) = (Slots::new(2, &metrics), CancellationToken::new());
        let permit = slots.permit(&stop).await.unwrap();
        assert_eq!((slots.busy(), shown("busy"), shown("free")), (0, 0, 2));
        let busy = permit.take();
        assert_eq!((slots.busy(), shown("busy"), shown("free")), (1, 1, 1));
        drop(busy);
        assert_eq!((slots.busy(), shown("busy"), shown("free")), (0, 0, 2));
    }

    #[tokio::test]
    async fn nobody_gets_a_place_after_the_stop() {
        let metrics = Metrics::new(&prometheus::Registry::new()).unwrap();
        let (slots, stop) = (Slots::new(1, &metrics), CancellationToken::new());
        stop.cancel();
        assert!(slots.permit(&stop).await.is_none());
    }
}
