//! What a waiting command shows on standard error: bars on a terminal, plain lines elsewhere.

mod bars;
mod lines;

use crate::cli::Format;
use bars::Bars;
use lines::Lines;
use shared::job::{Job, JobId};
use shared::ledger::State;
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

/// What a job is at, in a few words: `train main`, `register`, or its status.
fn activity(state: &State) -> String {
    match &state.progress {
        Some(progress) if !state.status.is_terminal() && progress.of > 0 => {
            let pipeline = if progress.pipeline == "main" {
                ""
            } else {
                progress.pipeline.as_str()
            };
            format!("{} {pipeline}", progress.phase).trim_end().to_owned()
        }
        _ if !state.stage.is_empty() && !state.status.is_terminal() => state.stage.clone(),
        _ => state.status.to_string(),
    }
}
