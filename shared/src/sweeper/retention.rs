//! What is kept of jobs that have ended, and for how long.

use crate::ledger::{State, Status};
use std::time::Duration;

/// How long what an ended job left is kept, from its end: the age of its `state.json` by the store's own clock.
///
/// `job.json` and `state.json` themselves stay, a few kilobytes a job: they are what a version was made of, what lets
/// publishing the same content again find its version instead of making a second, and what keeps fencing tokens from
/// being given twice. So are numbers of versions and whatever is registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Checkpoints of jobs that ended well.
    pub checkpoints: Duration,
    /// Everything else but the two records: attempts, logs, and what a failed or cancelled job would go on from.
    pub jobs: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            checkpoints: Duration::ZERO,
            jobs: Duration::from_secs(30 * 24 * 60 * 60),
        }
    }
}

impl Retention {
    /// Whether an object of an ended job goes. `path`: below the job's folder; `ended`: its state, which is terminal, and
    /// `age` of it; `listed`: whether the state lists the checkpoint that the object is of.
    ///
    /// Only what claims up to the state's own have written: a claim made since is not over.
    pub(super) fn drops(self, path: &str, ended: &State, age: Duration, listed: bool) -> bool {
        let mut parts = path.split('/');
        let (kind, claim) = (parts.next(), parts.next().unwrap_or_default());
        let token = claim.strip_suffix(".json").unwrap_or(claim).parse::<u64>();
        if !token.is_ok_and(|token| token <= ended.token) {
            return false;
        }
        let is_old = age >= self.jobs;
        match kind {
            Some("checkpoints") if matches!(ended.status, Status::Registered | Status::Completed) => {
                is_old || age >= self.checkpoints
            }
            Some("checkpoints") => is_old || !listed,
            Some("attempts" | "logs") => is_old,
            _ => false,
        }
    }

    /// From `age` on, how long until the next of the times is over.
    pub(super) fn next(self, age: Duration) -> Option<Duration> {
        let ahead = [self.checkpoints, self.jobs].into_iter().filter(|time| *time > age);
        ahead.min().map(|time| time.saturating_sub(age))
    }
}

#[cfg(test)]
mod tests {
    use super::Retention;
    use crate::ledger::{State, Status};
    use std::time::Duration;

    const DAY: Duration = Duration::from_secs(86_400);
    const RETENTION: Retention = Retention {
        checkpoints: DAY,
        jobs: Duration::from_secs(2 * 86_400),
    };

    fn ended(status: Status) -> State {
        State {
            status,
            token: 3,
            ..State::first()
        }
    }

    #[test]
    fn the_table() {
        let (young, day, old) = (Duration::ZERO, DAY, 2 * DAY);
        let listed = "checkpoints/3/main/10/manifest";
        let rows = [
            (Status::Registered, listed, false, [false, true, true]),
            (Status::Completed, listed, false, [false, true, true]),
            (Status::Failed, listed, true, [false, false, true]),
            (Status::Cancelled, listed, true, [false, false, true]),
            (Status::Failed, listed, false, [true, true, true]),
            (Status::Registered, "attempts/3.json", false, [false, false, true]),
            (Status::Failed, "logs/1/00000001", false, [false, false, true]),
        ];
        for (status, path, listed, expected) in rows {
            let drops = [young, day, old].map(|age| RETENTION.drops(path, &ended(status), age, listed));
            assert_eq!(drops, expected, "{status} {path} {listed}");
        }
    }

    #[test]
    fn records_and_what_later_claims_write_stay_for_ever() {
        let for_ever = Duration::from_secs(u64::MAX);
        for path in [
            "job.json",
            "state.json",
            "projection/mlflow.json",
            "checkpoints/4/main/10/manifest",
            "attempts/4.json",
            "logs/4/00000001",
            "checkpoints/x/main",
            "notes",
            "",
        ] {
            for status in [Status::Registered, Status::Failed] {
                assert!(
                    !RETENTION.drops(path, &ended(status), for_ever, false),
                    "{status} {path}"
                );
            }
        }
    }

    #[test]
    fn the_next_time_is_known() {
        assert_eq!(RETENTION.next(Duration::ZERO), Some(DAY));
        assert_eq!(RETENTION.next(DAY), Some(DAY));
        assert_eq!(RETENTION.next(2 * DAY), None);
        assert_eq!(Retention::default().next(Duration::ZERO), Some(30 * DAY));
    }
}
