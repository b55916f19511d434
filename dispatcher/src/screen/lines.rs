//! Plain lines: one for every change of status, stage or phase, and one for every tenth of a phase.

use super::{activity, measured};
use shared::job::{Job, JobId};
use shared::ledger::{Progress, State, Status};
use std::collections::HashMap;
use std::fmt::Write;

/// What was said last of every job.
#[derive(Debug, Default)]
pub(crate) struct Lines(HashMap<JobId, Said>);

#[derive(Debug, PartialEq, Eq)]
struct Said {
    status: Status,
    activity: String,
    tenths: u64,
    token: u64,
}

impl Lines {
    /// The line to print, if there is anything new.
    pub(super) fn changed(&mut self, job: &Job, state: &State, id: &JobId) -> Option<String> {
        let progress = measured(state);
        let said = Said {
            status: state.status,
            activity: activity(state),
            tenths: progress.map_or(0, |progress| progress.step.saturating_mul(10) / progress.of),
            token: state.token,
        };
        if self.0.get(id) == Some(&said) {
            return None;
        }
        let line = line(job, state, id, &said, progress);
        self.0.insert(id.clone(), said);
        Some(line)
    }
}

fn line(job: &Job, state: &State, id: &JobId, said: &Said, progress: Option<&Progress>) -> String {
    let short = &id.as_str()[..8];
    let mut line = format!("{} {short} {}", job.content.project, state.status);
    if said.activity != state.status.to_string() {
        let _ = write!(line, ": {}", said.activity);
    }
    if let Some(progress) = progress {
        let _ = write!(line, " {}/{}", progress.step, progress.of);
        if let Some(loss) = progress.loss {
            let _ = write!(line, ", loss {loss:.4}");
        }
        if let Some(rate) = progress.samples_per_second {
            let _ = write!(line, ", {rate:.1} samples/s");
        }
    }
    if let Some(version) = state.version {
        let _ = write!(line, " as {}-{version}", job.content.target.model);
    }
    if let Some(cause) = state.cause.as_deref().filter(|_| state.status.is_terminal()) {
        let _ = write!(line, ": {cause}");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    fn at(step: u64) -> State {
        State {
            status: Status::Running,
            token: 1,
            progress: Some(Progress {
                pipeline: "main".into(),
                phase: "train".into(),
                step,
                of: 100,
                loss: Some(0.5),
                samples_per_second: Some(12.0),
            }),
            ..State::first()
        }
    }

    #[test]
    fn a_line_is_said_once_and_then_every_tenth() {
        let job = fixture::job("sentiment", "t1");
        let id = job.id();
        let mut lines = Lines::default();
        let mut said = Vec::new();
        for step in 0..=100 {
            said.extend(lines.changed(&job, &at(step), &id));
            assert_eq!(lines.changed(&job, &at(step), &id), None, "nothing has changed");
        }
        assert_eq!(said.len(), 11);
        assert!(
            said[3].ends_with("running: train 30/100, loss 0.5000, 12.0 samples/s"),
            "{}",
            said[3]
        );
    }

    #[test]
    fn the_end_says_its_version_or_its_cause() {
        let job = fixture::job("sentiment", "t1");
        let id = job.id();
        let registered = State {
            status: Status::Registered,
            version: Some(3),
            ..at(100)
        };
        let line = Lines::default().changed(&job, &registered, &id).unwrap();
        assert!(
            line.ends_with(&format!("registered as {}-3", job.content.target.model)),
            "{line}"
        );
        let failed = State {
            status: Status::Failed,
            cause: Some("line 3 has no label".into()),
            ..at(100)
        };
        let line = Lines::default().changed(&job, &failed, &id).unwrap();
        assert!(line.ends_with("failed: line 3 has no label"), "{line}");
    }
}
