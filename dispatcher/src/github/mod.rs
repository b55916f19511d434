//! What a GitHub Actions step shows of jobs: annotations, a summary, outputs. Nothing of it happens elsewhere.
//!
//! Source: "Workflow commands for GitHub Actions", docs.github.com.

mod annotations;
mod escape;
mod files;
mod summary;

use crate::failure::Failure;
use crate::job_view::JobView;
use crate::site::Yard;
use serde::Deserialize;
use shared::exit::ExitCode;
use shared::job::Job;
use shared::publication::{Destination, training_folder};
use shared::store::Key;
use std::borrow::Cow;
use std::path::PathBuf;

/// What is printed to standard output, where the runner cannot take it for commands. It reads both streams in no certain
/// order, so that a token on one of them does not cover the other. `json`: the text stays the same document.
#[must_use]
pub(crate) fn printable(text: &str, json: bool) -> Cow<'_, str> {
    match std::env::var("GITHUB_ACTIONS") {
        Ok(value) if value == "true" && json => Cow::Owned(text.replace("##[", "##\\u005b")),
        Ok(value) if value == "true" => escape::harmless(text),
        _ => Cow::Borrowed(text),
    }
}

/// The step that this process runs in.
#[derive(Debug, Clone, Default)]
pub(crate) struct GitHub {
    outputs: Option<PathBuf>,
    summary: Option<PathBuf>,
    /// With it the runner takes commands again; until then it takes none, whatever a job's log or cause says.
    quiet: Option<String>,
}

/// A job as it is reported.
#[derive(Debug)]
pub(crate) struct Reported {
    job: JobView,
    code: ExitCode,
    /// Folder of its version.
    place: Option<String>,
    /// (step, loss) of its training, where it registered one.
    curve: Vec<(u64, f64)>,
}

impl GitHub {
    /// Of an environment; `None` outside Actions.
    #[must_use]
    pub(crate) fn of(variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let file = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        (variable("GITHUB_ACTIONS")? == "true").then(|| Self {
            outputs: file("GITHUB_OUTPUT"),
            summary: file("GITHUB_STEP_SUMMARY"),
            quiet: None,
        })
    }

    /// From now on the runner takes nothing of what is printed for a command: texts of jobs come from anyone.
    pub(crate) fn hush(&mut self) {
        if self.quiet.is_none() {
            let token = files::token();
            eprintln!("::stop-commands::{token}");
            self.quiet = Some(token);
        }
    }

    /// The runner listens again; for the end, when all is printed.
    pub(crate) fn speak(&mut self) {
        if let Some(token) = self.quiet.take() {
            eprintln!("::{token}::");
        }
    }

    /// Tells of jobs that ended, or were given up waiting for.
    ///
    /// # Errors
    /// The runner's files cannot be written.
    pub(crate) async fn report<'a>(
        &mut self,
        yard: &Yard,
        jobs: impl Iterator<Item = (&'a Job, &'a JobView, ExitCode)>,
    ) -> Result<(), Failure> {
        let mut reported = Vec::new();
        for (job, view, code) in jobs {
            reported.push(Reported {
                place: place(yard, job, view),
                curve: curve(yard, job, view).await,
                ..Reported::briefly(view, code)
            });
        }
        self.annotate(&reported);
        if let Some(file) = &self.summary {
            files::append_summary(file, &summary::markdown(&reported))?;
        }
        if let Some(file) = &self.outputs {
            files::append_outputs(file, &outputs(&reported))?;
        }
        Ok(())
    }

    /// Tells of jobs that nobody waits for: their ids, and which of them failed before.
    ///
    /// # Errors
    /// The runner's file cannot be written.
    pub(crate) fn published<'a>(
        &mut self,
        jobs: impl Iterator<Item = (&'a JobView, ExitCode)> + Clone,
    ) -> Result<(), Failure> {
        let failed = jobs.clone().filter(|(_, code)| *code != ExitCode::Running);
        let failed: Vec<Reported> = failed.map(|(view, code)| Reported::briefly(view, code)).collect();
        self.annotate(&failed);
        match &self.outputs {
            Some(file) => files::append_outputs(file, &[("job", lines(jobs.map(|(view, _)| view.id.to_string())))]),
            None => Ok(()),
        }
    }

    fn annotate(&mut self, reported: &[Reported]) {
        self.speak();
        annotations::of_jobs(reported)
            .iter()
            .for_each(|line| eprintln!("{line}"));
    }

    /// Tells of a command that did not do what it was asked.
    pub(crate) fn failed(&mut self, failure: &Failure) {
        self.speak();
        eprintln!("{}", annotations::of_failure(failure));
    }
}

impl Reported {
    fn briefly(view: &JobView, code: ExitCode) -> Self {
        Self {
            job: view.clone(),
            code,
            place: None,
            curve: Vec::new(),
        }
    }
}

/// `job`, `version`, `status` and `exit-code`: of several jobs a line each, in their order; the code is that of all.
fn outputs(reported: &[Reported]) -> [(&'static str, String); 4] {
    let codes: Vec<ExitCode> = reported.iter().map(|one| one.code).collect();
    let jobs = || reported.iter().map(|one| &one.job);
    [
        ("job", lines(jobs().map(|job| job.id.to_string()))),
        (
            "version",
            lines(jobs().map(|job| job.version.clone().unwrap_or_default())),
        ),
        ("status", lines(jobs().map(|job| job.status.to_string()))),
        ("exit-code", ExitCode::of_all(&codes).number().to_string()),
    ]
}

fn lines(lines: impl Iterator<Item = String>) -> String {
    lines.collect::<Vec<_>>().join("\n")
}

fn folder(job: &Job, view: &JobView) -> Option<Key> {
    let versions = Destination::new(&job.content.target).ok()?;
    versions.versions().join(view.version.as_ref()?).ok()
}

fn place(yard: &Yard, job: &Job, view: &JobView) -> Option<String> {
    Some(yard.ledger.store().location(&folder(job, view)?))
}

/// The loss curve of the version's only or first pipeline that was trained. A summary without one is still a summary, so
/// nothing that goes wrong here is an error.
async fn curve(yard: &Yard, job: &Job, view: &JobView) -> Vec<(u64, f64)> {
    #[derive(Deserialize)]
    struct Point {
        step: u64,
        loss: Option<f64>,
    }
    let trained =
        |(name, pipeline): (&String, &shared::job::Pipeline)| pipeline.training.as_ref().map(|_| name.clone());
    let Some((folder, name)) = folder(job, view).zip(job.content.pipelines.iter().find_map(trained)) else {
        return Vec::new();
    };
    let file = format!("{}/loss_curve", training_folder(&name, job.content.pipelines.len()));
    let Ok(key) = folder.join(&file) else {
        return Vec::new();
    };
    let Ok(Some(object)) = yard.ledger.store().get(&key).await else {
        return Vec::new();
    };
    let text = String::from_utf8_lossy(&object.bytes);
    let points = text.lines().filter_map(|line| serde_json::from_str::<Point>(line).ok());
    points
        .filter_map(|point| Some((point.step, point.loss.filter(|loss| loss.is_finite())?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use shared::ledger::{State, Status};
    use std::collections::BTreeMap;

    pub(super) fn reported(status: Status, code: ExitCode, cause: Option<&str>) -> Reported {
        let job = fixture::job("sentiment", "t1");
        let state = State {
            status,
            version: (status == Status::Registered).then_some(7),
            cause: cause.map(str::to_owned),
            scores: BTreeMap::from([("macro_recall".into(), 0.625)]),
            ..State::first()
        };
        Reported::briefly(&JobView::new(&job.id(), &job, &state, None), code)
    }

    #[test]
    fn only_a_step_of_actions_is_one() {
        let of = |value: Option<&str>| GitHub::of(|name| value.filter(|_| name == "GITHUB_ACTIONS").map(str::to_owned));
        assert!(of(Some("true")).is_some());
        assert!(of(Some("false")).is_none());
        assert!(of(None).is_none());
    }

    #[test]
    fn outputs_name_each_job_and_the_code_of_all() {
        let all = [
            reported(Status::Registered, ExitCode::Ok, None),
            reported(Status::Failed, ExitCode::Quality, Some("below the gate")),
        ];
        let outputs = BTreeMap::from(outputs(&all));
        assert_eq!(outputs["version"], "SEN-TRAINED-7\n");
        assert_eq!(outputs["status"], "registered\nfailed");
        assert_eq!(outputs["exit-code"], "10");
        assert_eq!(outputs["job"].lines().count(), 2);
    }
}
