//! What a waiting command shows on standard error: bars on a terminal, plain lines elsewhere.

mod bars;
mod lines;

use crate::cli::Format;
use bars::Bars;
use lines::Lines;
use shared::job::{Job, JobId};
use shared::ledger::{Progress, State, Status};
use std::io::IsTerminal;

/// What a waiting command shows.
#[derive(Debug)]
pub(crate) enum Screen {
    /// One bar a stage.
    Bars(Bars),
    /// One line a change.
    Lines(Lines),
}

impl Screen {
    /// Bars where a person looks on, lines for logs and where a program reads the result.
    #[must_use]
    pub(crate) fn new(format: Format) -> Self {
        if format == Format::Text && std::io::stderr().is_terminal() {
            Self::Bars(Bars::default())
        } else {
            Self::Lines(Lines::default())
        }
    }

    /// Shows how a job stands; nothing where nothing has changed.
    pub(crate) fn show(&mut self, job: &Job, state: &State, id: &JobId) {
        match self {
            Self::Bars(bars) => bars.show(job, state, id),
            Self::Lines(lines) => {
                if let Some(line) = lines.changed(job, state, id) {
                    eprintln!("{line}");
                }
            }
        }
    }

    /// Says something beside the jobs.
    pub(crate) fn note(&mut self, text: &str) {
        match self {
            Self::Bars(bars) => bars.note(text),
            Self::Lines(_) => eprintln!("{text}"),
        }
    }

    /// Leaves the terminal as a person expects it.
    pub(crate) fn finish(&mut self) {
        if let Self::Bars(bars) = self {
            bars.finish();
        }
    }
}

/// What the trainer said last, while somebody is at work and it can be measured.
fn measured(state: &State) -> Option<&Progress> {
    let at_work = matches!(state.status, Status::Running | Status::Publishing);
    state.progress.as_ref().filter(|progress| at_work && progress.of > 0)
}

/// What a job is at, in a few words: `train`, `register`, or its status.
fn activity(state: &State) -> String {
    match measured(state) {
        Some(progress) if progress.pipeline == "main" => progress.phase.clone(),
        Some(progress) => format!("{} {}", progress.phase, progress.pipeline)
            .trim_end()
            .to_owned(),
        None if !state.stage.is_empty() && !state.status.is_terminal() => state.stage.clone(),
        None => state.status.to_string(),
    }
}
