//! A queue whose calls are points.

use super::{passing, point};
use crate::job::Accelerator;
use crate::queue::{Delivery, Depth, Message, Queue, QueueError, Receipt, Settlement};
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;

/// Every call of the queue between two points; of `receive`, which is called all the time, only what brings a message.
#[derive(Debug)]
pub(super) struct PassedQueue(pub(super) Arc<dyn Queue>);

#[async_trait]
impl Queue for PassedQueue {
    async fn publish(&self, message: &Message, delay: Duration) -> Result<(), QueueError> {
        passing("queue.publish", self.0.publish(message, delay)).await
    }

    async fn receive(&self, accelerator: Accelerator, wait: Duration) -> Result<Option<Delivery>, QueueError> {
        let received = self.0.receive(accelerator, wait).await;
        if let Ok(Some(_)) = received {
            point("queue.receive.after");
        }
        received
    }

    async fn extend(&self, receipt: &Receipt) -> Result<(), QueueError> {
        passing("queue.extend", self.0.extend(receipt)).await
    }

    async fn settle(&self, receipt: Receipt, settlement: Settlement) -> Result<(), QueueError> {
        passing("queue.settle", self.0.settle(receipt, settlement)).await
    }

    async fn depth(&self, accelerator: Accelerator) -> Result<Depth, QueueError> {
        self.0.depth(accelerator).await
    }
}
