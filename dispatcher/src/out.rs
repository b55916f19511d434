//! Results on standard output: tables and lines for people, one JSON document for programs.

mod dead;

pub(crate) use dead::{DeadJob, DeadView, dead_job, dead_jobs};

use crate::cli::Format;
use crate::commands::models::ModelView;
use crate::commands::publish::Published;
use crate::failure::Failure;
use crate::follow::Ended;
use crate::github;
use crate::job_view::JobView;
use crate::site::Yard;
use comfy_table::{Table, presets};
use serde::Serialize;
use serde_json::json;
use shared::exit::ExitCode;
use shared::job::Job;
use shared::publication::Destination;
use std::collections::BTreeMap;
use std::io::Write;

/// Columns of a cause in a list; all of it is in `status JOB` and `dead show`.
const CAUSE: usize = 100;

/// One job.
///
/// # Errors
/// Standard output is closed.
pub(crate) fn job(format: Format, view: &JobView) -> Result<(), Failure> {
    match format {
        Format::Json => document(view),
        Format::Text => print(&fields(view)),
    }
}

/// A list of jobs.
///
/// # Errors
/// Standard output is closed.
pub(crate) fn jobs(format: Format, views: &[JobView]) -> Result<(), Failure> {
    if format == Format::Json {
        return document(&views);
    }
    if views.is_empty() {
        return print("no jobs");
    }
    let mut table = table(&[
        "job", "project", "tag", "status", "stage", "attempt", "version", "scores",
    ]);
    for view in views {
        table.add_row([
            view.id.to_string(),
            view.project.clone(),
            view.tag.clone(),
            view.status.to_string(),
            view.stage.clone().unwrap_or_default(),
            view.attempt.to_string(),
            view.version.clone().unwrap_or_default(),
            column(&view.scores),
        ]);
    }
    let because = |view: &JobView| {
        Some(format!(
            "{} {}: {}",
            view.project,
            view.id,
            first_line(view.cause.as_deref()?)
        ))
    };
    let below: Vec<String> = std::iter::once(table.to_string())
        .chain(views.iter().filter_map(because))
        .collect();
    print(&below.join("\n"))
}

/// Jobs that were waited for.
///
/// # Errors
/// Standard output is closed.
pub(crate) fn ended(format: Format, yard: &Yard, ended: &[Ended]) -> Result<(), Failure> {
    match format {
        Format::Json => document(&ended.iter().map(|one| &one.view).collect::<Vec<_>>()),
        Format::Text => print(&outcomes(yard, ended.iter().map(|one| (&one.job, &one.view)))),
    }
}

/// Published jobs; as text their ids are the last lines.
///
/// # Errors
/// Standard output is closed.
pub(crate) fn published(format: Format, yard: &Yard, published: &[Published]) -> Result<(), Failure> {
    if format == Format::Json {
        let list: Vec<_> = published
            .iter()
            .map(|one| json!({ "action": one.action, "job": one.view, "models": one.models }))
            .collect();
        return document(&list);
    }
    let told: Vec<_> = published
        .iter()
        .filter(|one| one.view.status.is_terminal())
        .map(|one| (&one.job, &one.view))
        .collect();
    if !told.is_empty() {
        print(&outcomes(yard, told.into_iter()))?;
    }
    for one in published
        .iter()
        .filter(|one| one.code != ExitCode::Ok && one.code != ExitCode::Running)
    {
        let cause = one.view.cause.as_deref().unwrap_or("no cause was recorded");
        eprintln!("{} {}: {cause}", one.view.project, one.view.status);
    }
    let ids: Vec<String> = published.iter().map(|one| one.view.id.to_string()).collect();
    print(&ids.join("\n"))
}

/// Registered versions.
///
/// # Errors
/// Standard output is closed.
pub(crate) fn models(format: Format, views: &[ModelView]) -> Result<(), Failure> {
    if format == Format::Json {
        return document(&views);
    }
    if views.is_empty() {
        return print("no registered versions");
    }
    let mut table = table(&["version", "project", "tag", "task", "scores"]);
    for view in views {
        let tasks: Vec<&str> = view.pipelines.values().map(|pipeline| pipeline.task.as_str()).collect();
        let of = |(name, pipeline): (&String, &crate::commands::models::PipelineView)| match name.as_str() {
            "main" => column(&pipeline.scores),
            name => format!("{name}:\n{}", column(&pipeline.scores)),
        };
        table.add_row([
            view.version.clone(),
            view.project.clone(),
            view.tag.clone(),
            tasks.join("\n"),
            view.pipelines.iter().map(of).collect::<Vec<_>>().join("\n"),
        ]);
    }
    let below: Vec<String> = views
        .iter()
        .map(|view| format!("{}: {}", view.version, view.location))
        .collect();
    print(&format!("{table}\n{}", below.join("\n")))
}

/// Projects whose settings were found to be valid.
///
/// # Errors
/// Standard output is closed.
pub(crate) fn settings_valid(format: Format, projects: &[&str]) -> Result<(), Failure> {
    match format {
        Format::Json => document(&json!({ "valid": projects })),
        Format::Text => print(&format!("the settings are valid: {}", projects.join(", "))),
    }
}

/// What a job wrote to its log.
///
/// # Errors
/// Standard output is closed.
pub(crate) fn log_text(format: Format, text: &str) -> Result<(), Failure> {
    match format {
        _ if text.is_empty() => Ok(()),
        Format::Json => text
            .lines()
            .try_for_each(|line| print(&json!({ "text": line }).to_string())),
        Format::Text => print(text.trim_end_matches('\n')),
    }
}

/// One JSON document.
///
/// # Errors
/// Standard output cannot be written.
pub(crate) fn document(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Failure::new(ExitCode::Infrastructure, error))?;
    print(&github::printable(&text, true))
}

/// Text with a line feed. Whoever has read enough (`| head`) is no failure, and changes no exit code.
///
/// # Errors
/// Standard output cannot be written.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    match writeln!(std::io::stdout().lock(), "{}", github::printable(text, false)) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            let error = anyhow::Error::new(error).context("failed to write to standard output");
            Err(Failure::new(ExitCode::Infrastructure, error))
        }
        _ => Ok(()),
    }
}

/// A table for people, as wide as it needs: a cell that is broken over lines cannot be copied.
#[must_use]
pub(crate) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_FULL_CONDENSED)
        .set_header(header.to_vec());
    table
}

/// A table, and below it, where a terminal does not cut it, where each version lies or why there is none.
fn outcomes<'a>(yard: &Yard, jobs: impl Iterator<Item = (&'a Job, &'a JobView)>) -> String {
    let mut table = table(&["project", "result", "version", "scores"]);
    let mut below = Vec::new();
    for (job, view) in jobs {
        table.add_row([
            view.project.clone(),
            view.status.to_string(),
            view.version.clone().unwrap_or_else(|| "–".into()),
            column(&view.scores),
        ]);
        let name = view.version.as_ref().unwrap_or(&view.project);
        below.push(format!("{name}: {}", location(yard, job, view)));
    }
    format!("{table}\n{}", below.join("\n"))
}

/// Where the version lies; for a job without one, why there is none.
fn location(yard: &Yard, job: &Job, view: &JobView) -> String {
    let folder = view.version.as_ref().and_then(|version| {
        let versions = Destination::new(&job.content.target).ok()?;
        let key = versions.versions().join(version).ok()?;
        Some(yard.ledger.store().location(&key))
    });
    let why = || view.cause.clone().or_else(|| view.waiting_for.clone());
    folder.or_else(why).unwrap_or_else(|| view.status.to_string())
}

fn fields(view: &JobView) -> String {
    let progress = serde_json::to_string(&view.progress).unwrap_or_default();
    let rows = [
        ("id", Some(view.id.to_string())),
        ("project", Some(view.project.clone())),
        ("tag", Some(view.tag.clone())),
        ("status", Some(view.status.to_string())),
        ("stage", view.stage.clone()),
        ("attempt", Some(view.attempt.to_string())),
        ("token", Some(view.token.to_string())),
        ("worker", view.worker.clone()),
        ("version", view.version.clone()),
        ("cause", view.cause.clone()),
        ("waiting for", view.waiting_for.clone()),
        ("progress", Some(progress).filter(|text| text != "{}")),
        ("scores", Some(scores(&view.scores)).filter(|text| !text.is_empty())),
    ];
    let lines = rows
        .into_iter()
        .filter_map(|(name, value)| Some(format!("{name:<12} {}", value?)));
    lines.collect::<Vec<_>>().join("\n")
}

/// One score a line, for a table.
fn column(of: &BTreeMap<String, f64>) -> String {
    scores(of).replace(", ", "\n")
}

fn scores(scores: &BTreeMap<String, f64>) -> String {
    scores
        .iter()
        .map(|(name, score)| format!("{name} {score:.4}"))
        .collect::<Vec<_>>()
        .join(", ")
}

fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() <= CAUSE {
        return line.to_owned();
    }
    line.chars().take(CAUSE).chain("…".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_causes_are_cut_in_lists() {
        assert_eq!(first_line("one\ntwo"), "one");
        assert_eq!(first_line(&"ä".repeat(300)).chars().count(), CAUSE + 1);
    }

    #[test]
    fn scores_are_written_with_four_digits() {
        let of = BTreeMap::from([("accuracy".to_owned(), 0.5), ("loss".to_owned(), 1.0 / 3.0)]);
        assert_eq!(scores(&of), "accuracy 0.5000, loss 0.3333");
    }
}
