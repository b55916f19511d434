//! Counts over the ledger.

use crate::job::Accelerator;
use crate::ledger::{FailureCause, State, Status};
use std::collections::{BTreeMap, HashMap};

/// What is counted of a job's record, which never changes.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) project: String,
    pub(super) accelerator: Accelerator,
    pub(super) published_at: String,
}

/// What one pass over the ledger came to.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) published: HashMap<(String, Accelerator), u64>,
    pub(super) ended: HashMap<(String, Accelerator, Status), u64>,
    pub(super) dead: BTreeMap<&'static str, i64>,
    pub(super) oldest: HashMap<Accelerator, f64>,
}

impl Counts {
    pub(super) fn add(&mut self, known: &Known, state: &State) {
        *self
            .published
            .entry((known.project.clone(), known.accelerator))
            .or_default() += 1;
        if state.status.is_terminal() {
            let key = (known.project.clone(), known.accelerator, state.status);
            *self.ended.entry(key).or_default() += 1;
        }
        if state.status == Status::Failed {
            *self.dead.entry(cause(state.failure)).or_default() += 1;
        }
        if state.status == Status::Queued {
            let since = if state.updated_at.is_empty() {
                &known.published_at
            } else {
                &state.updated_at
            };
            let waited = seconds_since(since);
            let oldest = self.oldest.entry(known.accelerator).or_default();
            *oldest = oldest.max(waited);
        }
    }
}

/// By the writer's clock, which is for people; a time to come counts as none.
fn seconds_since(rfc3339: &str) -> f64 {
    let Ok(then) = rfc3339.parse::<jiff::Timestamp>() else {
        return 0.0;
    };
    jiff::Timestamp::now().duration_since(then).as_secs_f64().max(0.0)
}

/// Values of the label `cause`.
pub(super) const CAUSES: [&str; 7] = [
    "infrastructure",
    "trainer_killed",
    "capacity",
    "user",
    "quality",
    "poison",
    "internal",
];

fn cause(cause: Option<FailureCause>) -> &'static str {
    match cause {
        Some(FailureCause::Infrastructure) => "infrastructure",
        Some(FailureCause::TrainerKilled) => "trainer_killed",
        Some(FailureCause::Capacity) => "capacity",
        Some(FailureCause::User) => "user",
        Some(FailureCause::Quality) => "quality",
        Some(FailureCause::Poison) => "poison",
        Some(FailureCause::Internal) | None => "internal",
    }
}
