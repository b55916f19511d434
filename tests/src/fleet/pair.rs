//! The pairs of queue and store on which everything must hold.

use crate::aws::AwsServer;
use crate::rabbitmq::{Alone, Broker, Vhost};
use shared::queue::sqs;
use std::path::Path;

/// A queue's kind and a store's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pair {
    /// One machine.
    EmbeddedDirectory,
    /// A broker, and a folder that all machines see.
    RabbitDirectory,
    /// A broker, and a bucket.
    RabbitS3,
    /// Queues of SQS, and a bucket.
    SqsS3,
}

/// What a site has of a broker.
#[derive(Debug)]
pub(super) enum Lent {
    Nothing,
    /// Nobody looks at it; it is lent as long as this lives.
    Vhost {
        _lent: Vhost,
    },
    Alone(Alone),
}

/// One place of a pair: nobody else uses it.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) queue_url: String,
    pub(super) store_url: String,
    /// What else a process needs to find them.
    pub(super) variables: Vec<(String, String)>,
    pub(super) broker: Lent,
}

impl Pair {
    /// Whether its queue is a broker, which can be killed.
    #[must_use]
    pub fn has_broker(self) -> bool {
        matches!(self, Self::RabbitDirectory | Self::RabbitS3)
    }

    /// Whether its store is a bucket.
    #[must_use]
    pub fn has_bucket(self) -> bool {
        matches!(self, Self::RabbitS3 | Self::SqsS3)
    }

    /// An empty queue and an empty store; `alone`: on a broker that nobody else uses meanwhile. `broker` is `CARGO_BIN_EXE_broker`.
    pub(super) async fn place(self, folder: &Path, broker: &str, alone: bool) -> Place {
        let (queue_url, broker) = match self {
            Self::EmbeddedDirectory => (format!("embedded:{}", folder.join("queue.db").display()), Lent::Nothing),
            Self::RabbitDirectory | Self::RabbitS3 => rabbit(Broker::get(broker), alone).await,
            Self::SqsS3 => (queues(AwsServer::of_a_fleet()).await, Lent::Nothing),
        };
        let (store_url, variables) = if self.has_bucket() {
            let server = AwsServer::of_a_fleet();
            (format!("s3://{}", server.bucket().await), server.variables())
        } else {
            (format!("file:{}", folder.join("store").display()), Vec::new())
        };
        Place {
            queue_url,
            store_url,
            variables,
            broker,
        }
    }
}

async fn rabbit(broker: &'static Broker, alone: bool) -> (String, Lent) {
    if alone {
        let alone = broker.alone().await;
        (alone.url().await, Lent::Alone(alone))
    } else {
        let vhost = broker.vhost().await;
        (vhost.url(), Lent::Vhost { _lent: vhost })
    }
}

/// New queues of SQS; their URL.
async fn queues(server: &AwsServer) -> String {
    let url = format!("sqs://{}", server.fresh_name("yard"));
    sqs::setup(&url, &server.access()).await.expect("the queues");
    url
}
