//! What the machine says about its own end: spot notice, rebalance recommendation, scale-in.

use super::Grace;
use super::imds::{Imds, ImdsError};
use jiff::Timestamp;
use serde::Deserialize;
use shared::shutdown::Shutdown;
use std::time::Duration;

/// A spot notice comes two minutes before the end; so much of them may be lost.
const POLL: Duration = Duration::from_secs(5);
/// A machine without the service does not get one; it may only have been late.
const ABSENT_CAP: Duration = Duration::from_secs(600);
/// Of a service that was there, and is in trouble.
const TROUBLE_CAP: Duration = Duration::from_secs(20);

/// Watches until dropped. Whatever is announced ends in the soft stop that SIGTERM makes, with less time where the
/// machine has less.
pub async fn watch(endpoint: String, shutdown: Shutdown, grace: Grace) {
    let started = Timestamp::now();
    let mut imds = match Imds::new(endpoint) {
        Ok(imds) => imds,
        Err(error) => {
            tracing::warn!(%error, "spot notices are not watched for");
            return;
        }
    };
    let (mut pace, mut done) = (Pace::default(), Vec::new());
    loop {
        match look(&mut imds).await {
            Ok(found) => {
                pace.answered();
                for notice in found {
                    if !done.contains(&notice) {
                        act(&notice, started, &shutdown, &grace);
                        done.push(notice);
                    }
                }
            }
            Err(error) => pace.failed(&error),
        }
        tokio::time::sleep(pace.pause()).await;
    }
}

/// Something that the machine says.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Notice {
    /// It is taken away.
    Spot {
        /// `terminate`, `stop` or `hibernate`.
        action: String,
        /// When; `None` where that could not be read.
        at: Option<Timestamp>,
    },
    /// Its Auto Scaling group takes it out.
    ScaleIn {
        /// The state that it shall have.
        target: String,
    },
    /// It is likelier than others to be taken away.
    Rebalance {
        /// Since when; `None` where that could not be read.
        since: Option<Timestamp>,
    },
}

#[derive(Deserialize)]
struct InstanceAction {
    action: String,
    time: String,
}

#[derive(Deserialize)]
struct Recommendation {
    #[serde(rename = "noticeTime")]
    notice_time: String,
}

/// Everything that is announced now.
async fn look(imds: &mut Imds) -> Result<Vec<Notice>, ImdsError> {
    let spot = imds.get("spot/instance-action").await?.map(|text| spot(&text));
    let target = imds.get("autoscaling/target-lifecycle-state").await?;
    let scale_in = target.and_then(|text| scale_in(text.trim()));
    let rebalance = imds.get("events/recommendations/rebalance").await?;
    let rebalance = rebalance.map(|text| rebalance_of(&text));
    Ok([spot, scale_in, rebalance].into_iter().flatten().collect())
}

/// One that cannot be read is still one.
fn spot(text: &str) -> Notice {
    let read: Option<InstanceAction> = serde_json::from_str(text).ok();
    Notice::Spot {
        at: read.as_ref().and_then(|it| it.time.parse().ok()),
        action: read.map_or_else(|| "unknown".to_owned(), |it| it.action),
    }
}

/// `InService`, `Standby` and `Detached` leave the machine running.
fn scale_in(target: &str) -> Option<Notice> {
    let ends = ["Terminated", "Warmed:Terminated", "Warmed:Stopped", "Warmed:Hibernated"];
    ends.contains(&target).then(|| Notice::ScaleIn {
        target: target.to_owned(),
    })
}

fn rebalance_of(text: &str) -> Notice {
    let read: Option<Recommendation> = serde_json::from_str(text).ok();
    Notice::Rebalance {
        since: read.and_then(|it| it.notice_time.parse().ok()),
    }
}

fn act(notice: &Notice, started: Timestamp, shutdown: &Shutdown, grace: &Grace) {
    match notice {
        Notice::Spot { action, at } => {
            let left = at.map(|at| Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default());
            tracing::warn!(
                action,
                left_s = left.map(|left| left.as_secs()),
                "spot notice: stopping"
            );
            if let Some(left) = left {
                grace.machine_goes_in(left);
            }
            shutdown.stop();
        }
        Notice::ScaleIn { target } => {
            tracing::warn!(target_state = target, "the machine is scaled in: stopping");
            shutdown.stop();
        }
        // Whoever starts a worker on a machine that was warned about wants it to work there: it would otherwise be
        // started and stop for as long as the machine lives, since a recommendation is never taken back.
        Notice::Rebalance { since: Some(since) } if *since < started => {
            tracing::info!(%since, "a rebalance recommendation is older than this worker: it works on until a notice");
        }
        Notice::Rebalance { .. } => {
            tracing::warn!("rebalance recommendation: stopping before the spot notice comes");
            shutdown.stop();
        }
    }
}

/// How often to ask.
#[derive(Debug, Default)]
struct Pace {
    was_there: bool,
    failures: u32,
}

impl Pace {
    fn answered(&mut self) {
        if !self.was_there {
            tracing::info!("watching the instance metadata service for spot notices");
        } else if self.failures > 0 {
            tracing::info!("the instance metadata service answers again");
        }
        *self = Self {
            was_there: true,
            failures: 0,
        };
    }

    fn failed(&mut self, error: &ImdsError) {
        self.failures = self.failures.saturating_add(1);
        match (self.was_there, self.failures) {
            // Most machines have none.
            (false, 1) => tracing::debug!(%error, "no instance metadata service"),
            (true, 1) => {
                tracing::warn!(%error, "the instance metadata service is in trouble: a spot notice may be missed")
            }
            _ => {}
        }
    }

    fn pause(&self) -> Duration {
        let cap = if self.was_there { TROUBLE_CAP } else { ABSENT_CAP };
        POLL.saturating_mul(1 << self.failures.min(16)).min(cap)
    }
}

#[cfg(test)]
mod tests {
    use super::{Notice, Pace, rebalance_of, scale_in, spot};
    use crate::interruption::imds::ImdsError;
    use std::time::Duration;

    #[test]
    fn notices_are_read_and_unreadable_ones_count_too() {
        let Notice::Spot { action, at } = spot(r#"{"action": "terminate", "time": "2026-09-18T08:22:00Z"}"#) else {
            panic!("no notice")
        };
        assert_eq!((action.as_str(), at.unwrap().as_second()), ("terminate", 1_789_719_720));
        assert!(matches!(spot("<html>"), Notice::Spot { at: None, .. }));
        let recommended = rebalance_of(r#"{"noticeTime": "2026-10-27T08:22:00Z"}"#);
        assert!(matches!(recommended, Notice::Rebalance { since: Some(_) }));
        assert!(matches!(rebalance_of("{}"), Notice::Rebalance { since: None }));
    }

    #[test]
    fn only_states_that_end_the_machine_are_scale_in() {
        assert!(scale_in("Terminated").is_some() && scale_in("Warmed:Stopped").is_some());
        for state in ["InService", "Standby", "Detached", "Warmed:Running", ""] {
            assert_eq!(scale_in(state), None, "{state}");
        }
    }

    #[test]
    fn an_absent_service_is_asked_rarely_and_one_in_trouble_often_enough() {
        let (mut absent, mut troubled) = (Pace::default(), Pace::default());
        troubled.answered();
        assert_eq!(troubled.pause(), Duration::from_secs(5));
        let mut pauses = Vec::new();
        for _ in 0..10 {
            absent.failed(&ImdsError::Odd("x"));
            troubled.failed(&ImdsError::Odd("x"));
            pauses.push(absent.pause().as_secs());
            assert!(troubled.pause() <= Duration::from_secs(20));
        }
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 600, 600, 600, 600]);
    }
}
