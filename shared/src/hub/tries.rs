//! Trying again: exponential back-off with jitter, the hub's own `Retry-After` where it gives one.

use super::error::HubError;
use super::settings::Patience;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use std::time::Duration;

/// How an attempt failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// Another attempt gives the same.
    Final(HubError),
    /// Another attempt may do better, after the time that the hub asked for.
    Again {
        after: Option<Duration>,
        source: anyhow::Error,
    },
}

impl From<HubError> for Failure {
    fn from(error: HubError) -> Self {
        Self::Final(error)
    }
}

impl Failure {
    /// A failure of the network or of the hub.
    pub(super) fn again(source: impl Into<anyhow::Error>) -> Self {
        Self::Again {
            after: None,
            source: source.into(),
        }
    }
}

/// The attempts at one thing.
#[derive(Debug)]
pub(super) struct Tries {
    what: String,
    patience: Patience,
    failed: u32,
}

impl Tries {
    pub(super) fn new(what: String, patience: Patience) -> Self {
        Self {
            what,
            patience,
            failed: 0,
        }
    }

    /// The last attempt got further than the one before it: the count begins again.
    pub(super) fn progressed(&mut self) {
        self.failed = 0;
    }

    /// Waits until the next attempt is due.
    ///
    /// # Errors
    /// No attempt is left, the failure is final, or the hub asks for more time than anybody has.
    pub(super) async fn wait_after(&mut self, failure: Failure) -> Result<(), HubError> {
        let (after, source) = match failure {
            Failure::Final(error) => return Err(error),
            Failure::Again { after, source } => (after, source),
        };
        self.failed += 1;
        let too_long = after.is_some_and(|after| after > self.patience.longest_wait);
        if self.failed >= self.patience.attempts || too_long {
            return Err(HubError::Unreachable {
                what: self.what.clone(),
                attempts: self.failed,
                source,
            });
        }
        let own = self.patience.backoff.random_delay(self.failed);
        let delay = after.map_or(own, |after| after.max(own));
        tracing::warn!(what = self.what, attempt = self.failed, delay = ?delay, reason = %format!("{source:#}"), "the hub did not answer as it should, trying again");
        tokio::time::sleep(delay).await;
        Ok(())
    }
}

/// Statuses after which another attempt makes sense.
pub(super) fn is_transient(status: u16) -> bool {
    matches!(status, 408 | 429 | 500..=599)
}

/// `Retry-After`, in either form of RFC 9110 section 10.2.3.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let then = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    Some(Duration::try_from(then.duration_since(jiff::Timestamp::now())).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patience() -> Patience {
        Patience {
            attempts: 3,
            ..Patience::default()
        }
    }

    fn again(after: Option<Duration>) -> Failure {
        Failure::Again {
            after,
            source: anyhow::anyhow!("status 503"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_hubs_own_delay_is_kept() {
        let start = tokio::time::Instant::now();
        let mut tries = Tries::new("x".into(), patience());
        tries
            .wait_after(again(Some(Duration::from_secs(40))))
            .await
            .expect("tries are left");
        assert!(start.elapsed() >= Duration::from_secs(40));
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_end_unless_there_is_progress() {
        let mut tries = Tries::new("x".into(), patience());
        for _ in 0..10 {
            tries.wait_after(again(None)).await.expect("tries are left");
            tries.progressed();
        }
        tries.wait_after(again(None)).await.expect("tries are left");
        tries.wait_after(again(None)).await.expect("tries are left");
        let error = tries.wait_after(again(None)).await.expect_err("no tries are left");
        assert!(matches!(error, HubError::Unreachable { attempts: 3, .. }));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_hours() {
        let start = tokio::time::Instant::now();
        let mut tries = Tries::new("x".into(), patience());
        assert!(tries.wait_after(again(Some(Duration::from_secs(9000)))).await.is_err());
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[test]
    fn retry_after_is_read_in_seconds_and_as_a_date() {
        let parsed = |text: &str| retry_after(&HeaderMap::from_iter([(RETRY_AFTER, text.parse().expect("a value"))]));
        assert_eq!(parsed("7"), Some(Duration::from_secs(7)));
        assert_eq!(parsed("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        assert!(parsed("Wed, 21 Oct 2099 07:28:00 GMT").is_some_and(|d| d > Duration::from_secs(1_000_000)));
        assert_eq!(parsed("soon"), None);
    }
}
