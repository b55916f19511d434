//! A connection that is replaced when it is gone, and its channels.
//!
//! lapin's own recovery is off: it brings back neither a channel that the broker closed alone (406), nor deliveries of
//! before. Whatever comes next opens what is missing.

use super::address::Address;
use anyhow::{Context, anyhow};
use lapin::options::{BasicQosOptions, ConfirmSelectOptions};
use lapin::{Channel, Connection, ConnectionProperties};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// What a connection is for. There are two, since a broker short of memory or disk stops reading from whoever
/// publishes: acknowledgements must not wait behind a publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Channels in confirm mode.
    Publish,
    /// Channels that get one message at a time.
    Take,
}

/// A connection of one role. `Debug` shows no credentials.
#[derive(Debug)]
pub(super) struct Link {
    address: Address,
    role: Role,
    /// An answer of the broker takes no longer.
    answer: Duration,
    current: tokio::sync::Mutex<Option<Connection>>,
    idle: Mutex<Vec<Channel>>,
}

impl Link {
    pub(super) fn new(address: Address, role: Role, answer: Duration) -> Self {
        Self {
            address,
            role,
            answer,
            current: tokio::sync::Mutex::new(None),
            idle: Mutex::new(Vec::new()),
        }
    }

    /// A channel for the caller alone.
    pub(super) async fn channel(&self) -> anyhow::Result<Channel> {
        loop {
            let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            match idle {
                Some(channel) if channel.status().connected() => return Ok(channel),
                Some(_) => {}
                None => return self.in_time("open a channel", self.open()).await,
            }
        }
    }

    /// Takes a channel back that has nothing in hand and no consumer.
    pub(super) fn give_back(&self, channel: Channel) {
        if channel.status().connected() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(channel);
        }
    }

    /// Whether the broker said that it takes no publishes.
    pub(super) async fn is_blocked(&self) -> bool {
        let current = self.current.lock().await;
        current.as_ref().is_some_and(|connection| connection.status().blocked())
    }

    /// `work`, within the time that an answer may take.
    pub(super) async fn in_time<T>(
        &self,
        what: &str,
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        match tokio::time::timeout(self.answer, work).await {
            Ok(done) => done.with_context(|| format!("failed to {what}")),
            Err(_) => Err(anyhow!("failed to {what}: no answer within {:?}", self.answer)),
        }
    }

    async fn open(&self) -> anyhow::Result<Channel> {
        let mut current = self.current.lock().await;
        if !current
            .as_ref()
            .is_some_and(|connection| connection.status().connected())
        {
            *current = None;
            let properties = ConnectionProperties::default().with_connection_name(self.name().into());
            let runtime = lapin::runtime::default_runtime()?;
            let (uri, tls) = (self.address.uri.clone(), self.address.tls.clone());
            let connection = Connection::connect_uri_with_config(uri, properties, tls, runtime).await?;
            *current = Some(connection);
        }
        let connection = current.as_ref().ok_or_else(|| anyhow!("the connection is gone"))?;
        let channel = connection.create_channel().await?;
        drop(current);
        match self.role {
            Role::Publish => channel.confirm_select(ConfirmSelectOptions::default()).await?,
            Role::Take => channel.basic_qos(1, BasicQosOptions::default()).await?,
        }
        Ok(channel)
    }

    /// What the broker's lists of connections show.
    fn name(&self) -> String {
        let role = match self.role {
            Role::Publish => "publishes",
            Role::Take => "takes",
        };
        format!("trainyard {} {role}", std::process::id())
    }
}
