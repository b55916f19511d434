//! The pairs of queue and store on which everything must hold.

use crate::rabbitmq::{Alone, Broker, Vhost};
use std::path::Path;

/// A queue's kind and a store's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pair {
    /// One machine.
    EmbeddedDirectory,
    /// A broker, and a folder that all machines see.
    RabbitDirectory,
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
    /// An empty queue and an empty store; `alone`: on a broker that nobody else uses meanwhile. `broker` is `CARGO_BIN_EXE_broker`.
    pub(super) async fn place(self, folder: &Path, broker: &str, alone: bool) -> Place {
        let directory = format!("file:{}", folder.join("store").display());
        match self {
            Self::EmbeddedDirectory => Place {
                queue_url: format!("embedded:{}", folder.join("queue.db").display()),
                store_url: directory,
                variables: Vec::new(),
                broker: Lent::Nothing,
            },
            Self::RabbitDirectory => {
                let (queue_url, broker) = rabbit(Broker::get(broker), alone).await;
                Place {
                    queue_url,
                    store_url: directory,
                    variables: Vec::new(),
                    broker,
                }
            }
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
