//! Failed jobs: why, what was tried, and their last words.

use super::{document, fields, first_line, print, table};
use crate::cli::Format;
use crate::failure::Failure;
use crate::job_view::JobView;
use serde::Serialize;
use serde_json::{Value, json};
use shared::ledger::{Attempt, FailureCause, Fingerprint, State};

/// A failed job in a list.
#[derive(Debug)]
pub(crate) struct DeadView {
    /// As every command shows it.
    pub job: JobView,
    /// Which budget or rule ended it.
    pub failure: Option<FailureCause>,
    /// When, by the clock of who wrote it.
    pub ended_at: String,
}

impl DeadView {
    /// Of a failed job.
    #[must_use]
    pub(crate) fn new(job: JobView, state: &State) -> Self {
        Self {
            job,
            failure: state.failure,
            ended_at: state.updated_at.clone(),
        }
    }

    /// The job's own fields, and two more.
    fn document(&self) -> Value {
        let mut value = json!(self.job);
        value["failure"] = json!(self.failure);
        value["ended_at"] = json!(self.ended_at);
        value
    }
}

/// One failed job with everything that its ledger remembers.
#[derive(Debug, Serialize)]
pub(crate) struct DeadJob {
    /// As every command shows it.
    pub job: JobView,
    /// Which budget or rule ended it.
    pub failure: Option<FailureCause>,
    /// Claims in a row that ended without a word; they leave no attempt.
    pub claims_lost: u32,
    /// The last two reported errors.
    pub errors: Vec<Fingerprint>,
    /// What each claim came to, of all epochs.
    pub attempts: Vec<Attempt>,
    /// The last lines of its log.
    pub log: Vec<String>,
}

/// A list of failed jobs.
///
/// # Errors
/// Standard output is closed.
pub(crate) fn dead_jobs(format: Format, views: &[DeadView]) -> Result<(), Failure> {
    if format == Format::Json {
        return document(&views.iter().map(DeadView::document).collect::<Vec<_>>());
    }
    if views.is_empty() {
        return print("no jobs");
    }
    let mut table = table(&["job", "project", "tag", "failure", "attempt", "ended"]);
    let mut below = Vec::new();
    for view in views {
        let job = &view.job;
        table.add_row([
            job.id.to_string(),
            job.project.clone(),
            job.tag.clone(),
            name(view.failure),
            job.attempt.to_string(),
            view.ended_at.clone(),
        ]);
        let cause = first_line(job.cause.as_deref().unwrap_or("no cause was recorded"));
        below.push(format!("{} {}: {cause}", job.project, job.id));
    }
    print(&format!("{table}\n{}", below.join("\n")))
}

/// A failed job with its attempts, errors and last log lines.
///
/// # Errors
/// Standard output is closed.
pub(crate) fn dead_job(format: Format, dead: &DeadJob) -> Result<(), Failure> {
    match format {
        Format::Json => document(dead),
        Format::Text => print(&text(dead)),
    }
}

fn text(dead: &DeadJob) -> String {
    let mut text = format!("{}\n{:<12} {}", fields(&dead.job), "failure", name(dead.failure));
    if dead.claims_lost > 0 {
        text.push_str(&format!(
            "\n{:<12} {} claims in a row ended without a word",
            "silent", dead.claims_lost
        ));
    }
    for attempt in &dead.attempts {
        text.push_str(&format!(
            "\nattempt {} by {} on {}, {} to {}: {}",
            attempt.token, attempt.worker, attempt.host, attempt.started_at, attempt.ended_at, attempt.outcome
        ));
        if !attempt.message.is_empty() {
            text.push_str(&format!("\n  {}", attempt.message));
        }
    }
    let unrecorded = |error: &&Fingerprint| dead.attempts.iter().all(|attempt| attempt.token != error.token);
    for error in dead.errors.iter().filter(unrecorded) {
        text.push_str(&format!(
            "\nerror of claim {} on {}:\n  {}",
            error.token, error.host, error.message
        ));
    }
    if !dead.log.is_empty() {
        text.push_str(&format!(
            "\nlast lines of its log (dispatcher logs {}):\n  {}",
            dead.job.id,
            dead.log.join("\n  ")
        ));
    }
    text
}

/// As JSON has it.
fn name(failure: Option<FailureCause>) -> String {
    match json!(failure) {
        Value::String(name) => name,
        _ => String::new(),
    }
}
