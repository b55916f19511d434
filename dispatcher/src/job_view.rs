//! A job as people and scripts see it: `status --output json` is exactly this.

use serde::Serialize;
use shared::job::{Job, JobId};
use shared::ledger::{FailureCause, Progress, State, Status};
use std::collections::BTreeMap;

/// The documented fields, in their order. `null` where there is nothing to say.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct JobView {
    /// The job.
    pub id: JobId,
    /// Its project.
    pub project: String,
    /// The tag that was asked for.
    pub tag: String,
    /// `queued`, `running`, `publishing`, `registered`, `completed`, `failed`, `cancelled`.
    pub status: Status,
    /// What its owner is at.
    pub stage: Option<String>,
    /// Attempts of this epoch that count against a budget, the present one included; 0 before the first.
    pub attempt: u32,
    /// Claims so far, of all epochs: the fencing token.
    pub token: u64,
    /// Who has or had it last.
    pub worker: Option<String>,
    /// The registered version, for example `SEN-TRAINED-3`.
    pub version: Option<String>,
    /// Why it failed or was cancelled.
    pub cause: Option<String>,
    /// What a job that does not move waits for.
    pub waiting_for: Option<String>,
    /// What the trainer said last; empty before that.
    pub progress: ProgressView,
    /// Scores of the result.
    pub scores: BTreeMap<String, f64>,
}

/// [`Progress`], or an empty object.
#[derive(Debug, Clone, PartialEq, Serialize, Default)]
#[serde(transparent)]
pub(crate) struct ProgressView(BTreeMap<&'static str, serde_json::Value>);

impl From<&Progress> for ProgressView {
    fn from(progress: &Progress) -> Self {
        let mut fields: BTreeMap<&'static str, serde_json::Value> = BTreeMap::from([
            ("pipeline", progress.pipeline.clone().into()),
            ("phase", progress.phase.clone().into()),
            ("step", progress.step.into()),
            ("of", progress.of.into()),
        ]);
        for (name, number) in [
            ("loss", progress.loss),
            ("samples_per_second", progress.samples_per_second),
        ] {
            if let Some(number) = number {
                fields.insert(name, number.into());
            }
        }
        Self(fields)
    }
}

impl JobView {
    /// The view of a job in a state. `live_workers`: whether a worker that could take it was seen to live, where the
    /// caller looked.
    #[must_use]
    pub(crate) fn new(id: &JobId, job: &Job, state: &State, live_workers: Option<bool>) -> Self {
        Self {
            id: id.clone(),
            project: job.content.project.clone(),
            tag: job.content.tag.clone(),
            status: state.status,
            stage: some(&state.stage),
            attempt: attempt(state),
            token: state.token,
            worker: some(&state.worker),
            version: state.version.map(|n| version_name(job, n)),
            cause: state.cause.clone(),
            waiting_for: waiting_for(job, state, live_workers),
            progress: state.progress.as_ref().map(ProgressView::from).unwrap_or_default(),
            scores: state.scores.clone(),
        }
    }
}

/// `<MODEL>-<n>`.
#[must_use]
pub(crate) fn version_name(job: &Job, number: u64) -> String {
    format!("{}-{number}", job.content.target.model)
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn attempt(state: &State) -> u32 {
    let counted = state.failures.values().sum::<u32>() + state.claims_lost;
    let counts_itself = match (state.status, state.failure) {
        (Status::Queued | Status::Cancelled, _) => false,
        // A used-up budget was counted when its last failure was reported; poison likewise.
        (Status::Failed, Some(cause)) => cause != FailureCause::Poison && !state.failures.contains_key(&cause),
        _ => true,
    };
    counted + u32::from(counts_itself)
}

fn waiting_for(job: &Job, state: &State, live_workers: Option<bool>) -> Option<String> {
    let accelerator = job.content.accelerator;
    match (state.status, live_workers) {
        (Status::Queued, Some(false)) => Some(format!(
            "a worker; none is alive for {accelerator}, start one: worker run --accelerator {accelerator}"
        )),
        (Status::Queued, _) if !state.failures.is_empty() => {
            Some(format!("its next attempt on a worker for {accelerator}"))
        }
        (Status::Queued, _) => Some(format!("a free worker for {accelerator}")),
        (Status::Running | Status::Publishing, Some(false)) => Some(format!(
            "worker {} to be given up, its heartbeat has stopped; then a worker for {accelerator}",
            state.worker
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn status_has_exactly_the_documented_fields() {
        let job = fixture::job("sentiment", "t1");
        let view = JobView::new(&job.id(), &job, &State::first(), None);
        let json: serde_json::Value = serde_json::to_value(&view).unwrap();
        let mut fields: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
        fields.sort_unstable();
        let mut documented = [
            "id",
            "project",
            "tag",
            "status",
            "stage",
            "attempt",
            "token",
            "worker",
            "version",
            "cause",
            "waiting_for",
            "progress",
            "scores",
        ];
        documented.sort_unstable();
        assert_eq!(fields, documented);
        assert!(json["progress"].is_object() && json["scores"].is_object());
        assert_eq!(json["status"], "queued");
        assert_eq!(json["version"], serde_json::Value::Null);
    }

    #[test]
    fn a_version_is_named_after_its_model() {
        let job = fixture::job("sentiment", "t1");
        let state = State {
            status: Status::Registered,
            version: Some(7),
            ..State::first()
        };
        let view = JobView::new(&job.id(), &job, &state, None);
        assert_eq!(view.version, Some(format!("{}-7", job.content.target.model)));
    }

    #[test]
    fn attempts_count_what_counts_against_a_budget() {
        let mut state = State::first();
        assert_eq!(attempt(&state), 0);
        state.status = Status::Running;
        assert_eq!(attempt(&state), 1);
        state.failures.insert(FailureCause::Infrastructure, 2);
        state.claims_lost = 1;
        assert_eq!(attempt(&state), 4);
        state.status = Status::Failed;
        state.failure = Some(FailureCause::Infrastructure);
        assert_eq!(attempt(&state), 3, "the last reported failure was counted");
        state.failure = Some(FailureCause::User);
        assert_eq!(attempt(&state), 4);
    }

    #[test]
    fn a_queued_job_without_a_live_worker_says_what_to_start() {
        let job = fixture::job("sentiment", "t1");
        let waiting = waiting_for(&job, &State::first(), Some(false)).unwrap();
        assert!(waiting.contains("worker run --accelerator cpu"), "{waiting}");
        let ended = State {
            status: Status::Registered,
            ..State::first()
        };
        assert_eq!(waiting_for(&job, &ended, Some(false)), None);
    }
}
