//! How long a job may be worked on.

use crate::outcome::{Ending, Failure};
use humantime::format_duration;
use shared::job::Content;
use shared::ledger::{FailureCause, State};
use std::time::Duration;

/// What a job has, and what is left of it. It counts work, not waiting: the attempts since the job was (re-)opened,
/// other workers' included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimeLimit {
    whole: Duration,
    left: Duration,
}

impl TimeLimit {
    /// Of a claimed job; `None`: it has all the time there is.
    pub(crate) fn of(content: &Content, claimed: &State) -> Option<Self> {
        let whole = Duration::from_secs(content.time_limit_s?);
        Some(Self {
            whole,
            left: whole.saturating_sub(Duration::from_secs(claimed.worked_s)),
        })
    }

    /// Drops `work`, and with it its trainer, when the time is over.
    ///
    /// # Errors
    /// Those of `work`; a failure that says so when it was not done in time. It is the user's: the limit is part of
    /// the job, so the same job anew would end the same way.
    pub(crate) async fn bound<T>(
        limit: Option<Self>,
        work: impl Future<Output = Result<T, Ending>>,
    ) -> Result<T, Ending> {
        let Some(limit) = limit else { return work.await };
        match tokio::time::timeout(limit.left, work).await {
            Ok(done) => done,
            Err(_) => Err(Ending::Failed(Failure::new(FailureCause::User, limit.used_up()))),
        }
    }

    fn used_up(self) -> String {
        let mut text = format!(
            "the time limit of {} is used up (TIME_LIMIT)",
            format_duration(self.whole)
        );
        if self.left < self.whole {
            let before = format_duration(self.whole.saturating_sub(self.left));
            text.push_str(&format!(": {before} by earlier attempts, the rest by this one"));
        }
        text.push_str("; a larger limit is another job, and dead requeue gives this one its time again");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::TimeLimit;
    use crate::outcome::{Ending, Failure};
    use shared::ledger::FailureCause;
    use std::time::Duration;
    use tokio::time::{Instant, sleep};

    fn limit(whole: u64, left: u64) -> TimeLimit {
        TimeLimit {
            whole: Duration::from_secs(whole),
            left: Duration::from_secs(left),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_is_done_in_time_is_let_alone() {
        let work = async {
            sleep(Duration::from_secs(9)).await;
            Ok(5)
        };
        assert_eq!(TimeLimit::bound(Some(limit(20, 10)), work).await, Ok(5));
        assert_eq!(TimeLimit::bound(None, async { Ok(6) }).await, Ok(6));
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_is_late_ends_by_the_users_limit_after_what_was_left() {
        let started = Instant::now();
        let ended = TimeLimit::bound(Some(limit(21_600, 600)), std::future::pending::<Result<(), Ending>>()).await;
        assert_eq!(started.elapsed().as_secs(), 600);
        let Err(Ending::Failed(Failure { cause, message })) = ended else {
            panic!("{ended:?}")
        };
        assert_eq!(cause, FailureCause::User);
        for part in ["time limit of 6h", "TIME_LIMIT", "5h 50m by earlier attempts"] {
            assert!(message.contains(part), "{message}");
        }
    }
}
