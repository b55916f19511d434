//! How the hub is reached and where models are kept.

use crate::backoff::Backoff;
use crate::secret::Secret;
use crate::settings::Fleet;
use std::path::PathBuf;
use std::time::Duration;

/// The public hub.
const PUBLIC: &str = "https://huggingface.co";

/// Everything that [`super::Hub`] needs to know.
#[derive(Debug, Clone)]
pub struct HubSettings {
    /// `HF_ENDPOINT`: the hub's address, without a path that ends in `/`.
    pub endpoint: String,
    /// `HF_TOKEN`, sent to the endpoint and to no other host.
    pub token: Option<Secret>,
    /// `HF_HUB_CACHE`, else `$HF_HOME/hub`, else `~/.cache/huggingface/hub`; shared with Python and other processes.
    pub cache: PathBuf,
    /// `HF_HUB_OFFLINE`: only the cache, never the network.
    pub offline: bool,
    /// `TRAINYARD_HUB_CACHE_GIB`: most bytes of the cache; `None`: it grows. What other programs put there is never
    /// removed.
    pub limit_bytes: Option<u64>,
    /// When to stop waiting.
    pub patience: Patience,
}

/// Deadlines and retries.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For a connection.
    pub connect: Duration,
    /// Without a byte from the hub.
    pub read_idle: Duration,
    /// For a whole [`super::Hub::fetch`], waiting for another process's download included.
    pub whole: Duration,
    /// For what a revision is, where the cache has an answer from before.
    pub with_cache: Duration,
    /// Attempts in a row without progress.
    pub attempts: u32,
    /// Between attempts.
    pub backoff: Backoff,
    /// The longest `Retry-After` that is waited for; a longer one ends the call at once.
    pub longest_wait: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            read_idle: Duration::from_secs(30),
            whole: Duration::from_secs(2 * 60 * 60),
            with_cache: Duration::from_secs(5),
            attempts: 5,
            backoff: Backoff {
                base: Duration::from_millis(500),
                cap: Duration::from_secs(20),
            },
            longest_wait: Duration::from_secs(120),
        }
    }
}

impl HubSettings {
    /// The public hub, no token, no limit, this cache.
    #[must_use]
    pub fn new(cache: impl Into<PathBuf>) -> Self {
        Self {
            endpoint: PUBLIC.to_owned(),
            token: None,
            cache: cache.into(),
            offline: false,
            limit_bytes: None,
            patience: Patience::default(),
        }
    }
}

impl From<&Fleet> for HubSettings {
    fn from(fleet: &Fleet) -> Self {
        Self {
            endpoint: fleet.hf_endpoint.clone(),
            token: fleet.hf_token.clone(),
            offline: fleet.hf_offline,
            limit_bytes: Some(fleet.hub_cache_bytes),
            ..Self::new(&fleet.hf_hub_cache)
        }
    }
}
